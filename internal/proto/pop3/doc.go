// Package pop3 is the language of POP3 as a server speaks it (RFC 1939):
// commands are parsed into typed values, replies and multi-line answers are
// written from values. With it come the syntax of STLS (RFC 2595), of AUTH with
// initial responses (RFC 5034), of UTF8 and LANG (RFC 6856), and the response
// codes of RFC 2449 §8 and RFC 3206.
//
// It holds no connection and no session state. APOP is not offered: it needs
// the password in clear on the server.
package pop3

// Limits on what a client sends, in octets without CRLF.
const (
	// MaxLine bounds a command. Deviation: RFC 2449 §4 asks for 255 with CRLF;
	// passwords and initial responses can be longer.
	MaxLine = 2048
	// MaxNumber bounds message and line numbers.
	MaxNumber = 1<<31 - 1
	// MaxLanguage bounds a language range (RFC 4647 §2.1 has eight-octet subtags).
	MaxLanguage = 64
)

// MaxReply is the longest status line, with its CRLF (RFC 2449 §4).
const MaxReply = 512
