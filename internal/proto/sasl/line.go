package sasl

import (
	"encoding/base64"

	"yubin/internal/mail"
)

// MaxLine is the longest line that a client needs for one message, in octets
// without CRLF.
const MaxLine = (MaxTokenMessage + 2) / 3 * 4

// IsCancel reports whether line gives the exchange up (RFC 4954 §4, RFC 5034
// §4, RFC 9051 §6.2.2).
func IsCancel(line []byte) bool { return len(line) == 1 && line[0] == '*' }

// DecodeInitial reads an initial response as it stands in the command: base64,
// or "=" for an empty one. It is never nil without an error.
func DecodeInitial(arg []byte) ([]byte, error) {
	if len(arg) == 1 && arg[0] == '=' {
		return []byte{}, nil
	}
	if len(arg) == 0 {
		return nil, mail.Errorf(mail.Invalid, "an empty initial response is written as =")
	}
	return DecodeLine(arg)
}

// DecodeLine reads a line that answers a challenge. The error is Invalid if it
// is not base64, TooLarge beyond MaxLine.
func DecodeLine(line []byte) ([]byte, error) {
	if len(line) > MaxLine {
		return nil, mail.Errorf(mail.TooLarge, "an authentication line has at most %d octets", MaxLine)
	}
	b := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	n, err := base64.StdEncoding.Strict().Decode(b, line)
	if err != nil {
		return nil, mail.Errorf(mail.Invalid, "the line is not base64")
	}
	return b[:n], nil
}

// AppendChallenge appends challenge to dst as it goes over the wire, without
// the protocol's own "334 " or "+ " and CRLF.
func AppendChallenge(dst, challenge []byte) []byte {
	return base64.StdEncoding.AppendEncode(dst, challenge)
}
