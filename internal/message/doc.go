// Package message reads internet messages: the header of RFC 5322 and the
// MIME structure below it. It never fails. Whatever octets come in, there is
// a Message with a Root, an Envelope and offsets that fit the octets; what
// cannot be understood is text.
//
// Sections followed:
//   - RFC 5322 §2 to §4 (fields, folding, addresses, dates, message-ids, and the
//     obsolete forms of each), RFC 6532 (UTF-8 in all of them), RFC 6854;
//   - RFC 2045 §5 and §6, RFC 2046 §5, RFC 2049 (structure, transfer encodings);
//   - RFC 2047 and RFC 2231 (encoded-words, long and encoded parameters);
//   - RFC 2183, 1864, 2557 and 3282 as far as IMAP's BODYSTRUCTURE shows them;
//   - RFC 7103 (what to do with malformed mail), named where it is used;
//   - RFC 6858 and 6152 (Surrogate, Conversion: a message for who takes less);
//   - RFC 9051 §6.4.5.1 (part numbers), §7.5.2 (envelope); RFC 5256 §2.1 (base
//     subject); RFC 8621 §4.1.4 and RFC 8970 (preview).
//
// Invariants:
//   - Any chunking of Parser.Write gives the same Message.
//   - Offset <= Body <= End for each part; children lie in [Body, End) of their
//     parent, in order, without overlap. The octets between them are delimiters,
//     the preamble and the epilogue, so nothing of the message is lost.
//   - A multipart has at least one child; message/rfc822 and message/global have
//     exactly one child and an Envelope. Where the message has none, the child is
//     a leaf without a header that holds the whole body.
//   - Memory and time per octet are bounded by the Max constants. Beyond a limit
//     on parts the rest of the message is the body of the leaf that is open.
//
// AppendForm writes what is kept beside a message to be shown again and again,
// and ParseForm reads it.
//
// It does not write messages, verify signatures, decode bodies while parsing
// (NewDecoder and NewCharsetReader do, for who asks), nor judge a message: a
// malformed one is read in the way RFC 7103 thinks most likely to be meant.
// Line ends are CRLF or LF; a CR alone is an octet like any other.
package message

// Limits on what is looked at. Octets beyond a limit stay where they are in
// the message; they are only not interpreted.
const (
	MaxHeader      = 256 << 10 // octets of one header block
	MaxHeaders     = 1 << 20   // octets of all header blocks of a message together
	MaxStray       = 16 << 10  // octets of stray lines in a header before they are body
	MaxDeliveredTo = 128       // Delivered-To fields that are looked at
	MaxParts       = 1000      // parts of one message, at all levels
	MaxDepth       = 50        // parts around a part
	MaxBoundary    = 256       // octets of a boundary; RFC 2046 §5.1.1 allows 70
	MaxFieldName   = 256       // octets of the name of a header field
	MaxParams      = 64        // parameters, or pieces of them, of one field
	MaxValue       = 4096      // octets of a parameter or of a Content-ID and the like
	MaxLanguages   = 32        // of Content-Language
	MaxAddresses   = 4096      // addresses of a list, and of all envelopes of a message
	MaxSubject     = 2048      // octets of a decoded subject
	MaxRefs        = 32        // message-ids of Message.Refs
	MaxMessageID   = 512       // octets of one message-id; longer ones do not count as references
	MaxPreview     = 256       // octets of a preview (RFC 8621 §4.1.4)
	MaxForm        = 8 << 20   // octets of a Form: an octet of MaxHeaders and one MaxHeader becomes at most six
)
