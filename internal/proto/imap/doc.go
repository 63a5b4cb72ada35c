// Package imap is the language of IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC
// 9051) as a server speaks it: commands are read and parsed into typed values,
// responses are written from values. With it come the syntax of ID (RFC 2971),
// BINARY (RFC 3516), UIDPLUS (RFC 4315), ESEARCH and SEARCHRES (RFC 4731,
// 5182), SASL-IR (RFC 4959), ENABLE (RFC 5161), LIST-EXTENDED, LIST-STATUS and
// SPECIAL-USE (RFC 5258, 5819, 6154), MOVE (RFC 6851), LITERAL+ (RFC 7888),
// STATUS=SIZE (RFC 8438) and UTF8=ACCEPT (RFC 9755).
//
// Reader assembles a command from lines and literals, ParseCommand parses it,
// VerbOf says with which command a line begins, Encoder writes responses.
// ENVELOPE, BODYSTRUCTURE and BODY are written straight from a message.Form.
//
// It holds no connection and no session state, and it does not judge what a
// command asks for: mailbox names, flags and sets are only read here.
package imap
