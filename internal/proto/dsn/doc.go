// Package dsn is the language of delivery reports: what became of a message,
// recipient by recipient, as the mail system tells its sender.
//
// It provides
//   - Report, the content of a report (RFC 3464 §2; Deliver-By-Date, RFC 2852 §5;
//     Future-Release-Request, RFC 4865 §5.1.2; UTF-8 addresses, RFC 6533);
//   - Message, a Report as a whole message that streams to a writer: the words
//     for a person in English, Japanese or both, the fields for a program, and
//     the original or its header (RFC 6522, RFC 3461 §6, RFC 3834, RFC 5321 §3.6.3);
//   - QuotaNotice, the message that tells the owner of an account how full it is;
//   - Parse, which reads the reports of other mail systems;
//   - Status, the enhanced status code with its meaning in words (RFC 3463, and
//     the codes registered by RFC 3886, 4468, 4954, 5248, 6531, 6710, 7293, 7372,
//     7505, 8617 and 8689);
//   - EnvelopeID and TypedAddress, for what senders said of a message and its
//     recipients when they asked for reports (RFC 3461 §4, RFC 6533 §3).
//
// Invariants:
//   - The octets of a Message depend only on what it was made of, so the time and
//     the random ID are passed in. They have CRLF line ends, and no line of ours
//     is over 78 octets save where one word is; none is over 998. The original is
//     passed on as it is.
//   - The boundary is made of the ID, which is random and younger than the
//     original. So nobody could have put the boundary into the original, and it
//     need not be searched for it.
//   - Reports go to the reverse-path from the null reverse-path, and there is none
//     about a message that came from the null one (RFC 5321 §4.5.5).
//   - Parse never fails; what it keeps is bounded by the Max constants.
//
// It does not decide who gets a report and when: Action.Asked tells what the
// sender wants, the queue the rest. Disposition notifications
// (RFC 8098) tell what a reader did with a message; they are not reports here.
// Extension fields, Localized-Diagnostic and the comments of a status are not
// kept.
package dsn

import "yubin/internal/message"

// Limits on what is kept and shown of the words of others. Longer is cut.
const (
	MaxStatusPart     = 1 << 20           // octets of a delivery-status part that Parse looks at
	MaxRecipients     = 1000              // recipients that Parse keeps
	MaxValue          = 800               // octets of an address, a name or an identifier
	MaxDiagnosticLine = 512               // octets of one line of a diagnostic; RFC 5321 §4.5.3.1.5
	MaxDiagnostic     = 4096              // octets of a diagnostic
	MaxDiagnostics    = 256 << 10         // octets of all diagnostics of a Message: many recipients share them
	MaxHeader         = message.MaxHeader // octets of the original's header that are returned alone
)

// Lengths of Options.ID. With 62 letters and digits, 22 have 128 bits.
const (
	MinID = 16
	MaxID = 64
)
