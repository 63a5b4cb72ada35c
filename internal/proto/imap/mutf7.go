package imap

import (
	"encoding/base64"
	"unicode/utf16"
	"unicode/utf8"
)

// ParseMailbox reads a mailbox name as a client sends it: UTF-8 if utf8Mode,
// else modified UTF-7 (RFC 3501 §5.1.3). A name that has octets beyond
// US-ASCII is taken as UTF-8 in both (RFC 9755 §3). False if it is neither.
func ParseMailbox(b []byte, utf8Mode bool) (string, bool) {
	if utf8Mode || !isASCII(b) {
		return string(b), utf8.Valid(b)
	}
	return decodeUTF7(b)
}

// AppendMailbox appends name, which is UTF-8, as it is written to a client:
// modified UTF-7 unless utf8Mode. Quotes are the caller's.
func AppendMailbox(dst []byte, name string, utf8Mode bool) []byte {
	if utf8Mode {
		return append(dst, name...)
	}
	return appendUTF7(dst, name)
}

// base64UTF7 is modified BASE64: "," for "/" and no padding.
var base64UTF7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").
	WithPadding(base64.NoPadding).Strict()

// isDirect accepts what represents itself in modified UTF-7.
func isDirect(r rune) bool { return r >= 0x20 && r <= 0x7e && r != '&' }

// decodeUTF7 is strict: it accepts only what appendUTF7 makes.
func decodeUTF7(b []byte) (string, bool) {
	out := make([]byte, 0, len(b))
	shifted := false // the octet before ended a shift
	for i := 0; i < len(b); {
		c := b[i]
		if c != '&' {
			if !isDirect(rune(c)) {
				return "", false
			}
			out, shifted = append(out, c), false
			i++
			continue
		}
		n := shiftLength(b[i+1:])
		if n < 0 || n > 0 && shifted {
			return "", false
		}
		var ok bool
		if out, ok = appendShifted(out, b[i+1:i+1+n]); !ok {
			return "", false
		}
		shifted = n > 0
		i += n + 2
	}
	return string(out), true
}

// shiftLength counts the octets before the "-" that ends a shift; -1 without one.
func shiftLength(b []byte) int {
	for i, c := range b {
		if c == '-' {
			return i
		}
	}
	return -1
}

// appendShifted decodes the text between "&" and "-"; none stands for "&".
func appendShifted(dst, text []byte) ([]byte, bool) {
	if len(text) == 0 {
		return append(dst, '&'), true
	}
	units := make([]byte, base64UTF7.DecodedLen(len(text)))
	n, err := base64UTF7.Decode(units, text)
	if err != nil || n == 0 || n%2 != 0 || hasNewline(text) {
		return dst, false
	}
	for i := 0; i < n; i += 2 {
		r := rune(units[i])<<8 | rune(units[i+1])
		if utf16.IsSurrogate(r) {
			if i += 2; i == n {
				return dst, false
			}
			r = utf16.DecodeRune(r, rune(units[i])<<8|rune(units[i+1]))
			if r == utf8.RuneError {
				return dst, false
			}
		}
		if r >= 0x20 && r <= 0x7e {
			return dst, false
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, true
}

// hasNewline: encoding/base64 skips CR and LF, which no name may hold.
func hasNewline(b []byte) bool {
	for _, c := range b {
		if c == '\r' || c == '\n' {
			return true
		}
	}
	return false
}

// appendUTF7 encodes s. Octets that are no UTF-8 become U+FFFD.
func appendUTF7(dst []byte, s string) []byte {
	var units []byte
	for _, r := range s {
		if r < 0x20 || r > 0x7e {
			units = appendUTF16(units, r)
			continue
		}
		dst = appendShift(dst, units)
		units = units[:0]
		if r == '&' {
			dst = append(dst, '&', '-')
		} else {
			dst = append(dst, byte(r))
		}
	}
	return appendShift(dst, units)
}

func appendUTF16(dst []byte, r rune) []byte {
	if r >= 0x10000 {
		high, low := utf16.EncodeRune(r)
		return append(dst, byte(high>>8), byte(high), byte(low>>8), byte(low))
	}
	return append(dst, byte(r>>8), byte(r))
}

func appendShift(dst, units []byte) []byte {
	if len(units) == 0 {
		return dst
	}
	dst = append(dst, '&')
	dst = base64UTF7.AppendEncode(dst, units)
	return append(dst, '-')
}
