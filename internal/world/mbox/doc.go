// Package mbox reads and writes files that hold many messages, one after
// another, each behind a line "From sender date" (RFC 4155).
//
// There is no one format. What is read:
//
//   - A message begins at a "From " line that has a date, at the start of the
//     file or behind an empty line; or where a Content-Length says, if the file
//     goes on as it must there (mboxcl, mboxcl2).
//   - The empty line before the next "From " line is the file's, also where it is
//     all that follows a header.
//   - A line that begins with ">From " loses one ">" (mboxrd), wherever it stands: where
//     the header ends, messages differ about. In a message with a
//     Content-Length it does only if nothing in it shows that the writer did not quote.
//     mboxo quotes only "From ", which cannot be told from mboxrd: see Quoting.
//   - Flags are in Status, X-Status and X-Keywords, UIDs in X-UID and X-IMAP or
//     X-IMAPbase (c-client, Dovecot); Thunderbird's are in X-Mozilla-Status and
//     X-Mozilla-Keys. These fields, and Content-Length, are the file's and not
//     the message's: they are left out. c-client's first message, which holds
//     only such data, is none; nor are messages that Thunderbird has deleted but
//     not yet removed.
//   - The date of the "From " line is when the message came; UTC unless it has a
//     zone.
//
// What is written is mboxrd with these fields.
package mbox

// Limits of what is read.
const (
	MaxFromLine = 1 << 10  // octets of a "From " line
	MaxField    = 64 << 10 // octets of a field that is understood
	MaxMessages = 10_000_000
)

// Quoting is how lines of bodies that begin with "From " were kept apart.
type Quoting uint8

// The ways of quoting.
const (
	QuotingRD   Quoting = iota // ">From " stands for "From ", ">>From " for ">From "
	QuotingO                   // ">From " stands for "From ", ">>From " for itself
	QuotingNone                // nothing was quoted
)
