// Package smtp is the language of SMTP (RFC 5321) and LMTP (RFC 2033): typed
// commands and their parser, replies with enhanced status codes (RFC 3463) and
// their parser, and message data as it crosses the wire, with dots stuffed or
// in chunks. It serves both sides of a conversation.
//
// Extensions whose syntax it knows: SIZE (RFC 1870), 8BITMIME (RFC 6152),
// BINARYMIME and CHUNKING (RFC 3030), SMTPUTF8 (RFC 6531), AUTH (RFC 4954),
// STARTTLS (RFC 3207), ENHANCEDSTATUSCODES (RFC 2034), DSN (RFC 3461, with the
// addresses of RFC 6533 §3), DELIVERBY (RFC 2852), FUTURERELEASE (RFC 4865),
// MT-PRIORITY (RFC 6710), REQUIRETLS (RFC 8689).
//
// It is pure: no I/O, no clock. Which command is allowed when is for the
// conversation (session/smtpd) to say.
package smtp

// Limits of the grammar, in octets without the CRLF.
const (
	// MaxCommandLine is 512 with CRLF (RFC 5321 §4.5.3.1.4), and what the
	// extensions add to MAIL: SIZE 26, BODY 17, SMTPUTF8 10, AUTH 500, RET and
	// ENVID 116, FUTURERELEASE 34, BY 17, MT-PRIORITY 15, REQUIRETLS 11. NOTIFY and
	// ORCPT add less to RCPT.
	MaxCommandLine = 512 + 26 + 17 + 10 + 500 + 116 + 34 + 17 + 15 + 11 - 2
	// MaxAuthLine is the longest line of an authentication exchange (RFC 4954 §4).
	MaxAuthLine = 12288
	// MaxReplyLine is 512 with CRLF (RFC 5321 §4.5.3.1.5). Longer text of our
	// own replies goes on in another line.
	MaxReplyLine = 512 - 2
	// MaxReplyLines is how many lines of one reply the parser takes.
	MaxReplyLines = 256
	// MaxReplyText is how much text of one reply the parser keeps.
	MaxReplyText = 16 << 10
	// MaxHello is the longest argument of EHLO, HELO and LHLO.
	MaxHello = 255
	// MaxEnvID, MaxNotify and MaxORCPT are what the values of parameters have at
	// most (RFC 3461 §5.4).
	MaxEnvID  = 100
	MaxNotify = 28
	MaxORCPT  = 500
	// MaxSeconds is the largest number of seconds in BY= (RFC 2852 §4) and
	// HOLDFOR= (RFC 4865 §3).
	MaxSeconds = 999_999_999
	// MaxPriority and its negative are the bounds of MT-PRIORITY (RFC 6710 §3).
	MaxPriority = 9
	// MaxMechanism is the longest name of a SASL mechanism (RFC 4422 §3.1).
	MaxMechanism = 20
)

// Verb is the keyword of a command.
type Verb uint8

// The verbs.
const (
	Unknown Verb = iota
	EHLO
	HELO
	LHLO
	MAIL
	RCPT
	DATA
	BDAT
	RSET
	VRFY
	EXPN
	NOOP
	QUIT
	STARTTLS
	AUTH
	HELP
	Verbs // how many there are
)

var verbNames = [Verbs]string{"", "EHLO", "HELO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "VRFY", "EXPN",
	"NOOP", "QUIT", "STARTTLS", "AUTH", "HELP"}

func (v Verb) String() string { return verbNames[v] }

// ParseVerb returns the verb that name is in any case, or Unknown.
func ParseVerb(name []byte) Verb {
	var upper [8]byte
	if len(name) == 0 || len(name) > len(upper) {
		return Unknown
	}
	for i, c := range name {
		if c >= 'a' && c <= 'z' {
			c -= 0x20
		}
		upper[i] = c
	}
	for v := EHLO; v < Verbs; v++ {
		if verbNames[v] == string(upper[:len(name)]) {
			return v
		}
	}
	return Unknown
}
