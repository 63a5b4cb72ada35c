package mail

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

const hexDigits = "0123456789ABCDEF"

// AppendXtext encodes s as xtext (RFC 3461 §4).
func AppendXtext(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; isQchar(c) || c == '\\' {
			dst = append(dst, c)
		} else {
			dst = append(dst, '+', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return dst
}

// ParseXtext decodes xtext. False if s is not xtext.
func ParseXtext[T string | []byte](s T) (string, bool) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			if i+2 >= len(s) {
				return "", false
			}
			hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			out = append(out, byte(hi<<4|lo))
			i += 2
		case !isQchar(c) && c != '\\':
			return "", false
		default:
			out = append(out, c)
		}
	}
	return string(out), true
}

// isQchar is QCHAR of RFC 6533 §3; with "\" it is xchar of RFC 3461 §4.
func isQchar(c byte) bool { return c >= '!' && c <= '~' && c != '+' && c != '=' && c != '\\' }

// AppendUnitext encodes an address of type utf-8 (RFC 6533 §3): with ascii as
// utf-8-addr-xtext, else as utf-8-addr-unitext. Control characters, which it
// has no form for, and octets that are not UTF-8 become U+FFFD.
func AppendUnitext(dst []byte, s string, ascii bool) []byte {
	for _, r := range s {
		switch {
		case r < ' ' || r >= 0x7f && r < 0xa0:
			r = utf8.RuneError
			fallthrough
		case r >= 0x80:
			if !ascii {
				dst = utf8.AppendRune(dst, r)
				continue
			}
		case isQchar(byte(r)):
			dst = append(dst, byte(r))
			continue
		}
		dst = AppendEmbedded(dst, r)
	}
	return dst
}

// AppendEmbedded appends r as EmbeddedUnicodeChar.
func AppendEmbedded(dst []byte, r rune) []byte {
	dst = append(dst, `\x{`...)
	dst = append(dst, strings.ToUpper(strconv.FormatInt(int64(r), 16))...)
	return append(dst, '}')
}

// ParseUnitext decodes utf-8-addr-xtext and utf-8-addr-unitext. False if s is
// neither; controls, which the grammar has too, are refused.
func ParseUnitext(s string) (string, bool) {
	var out strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == '\\' {
			r, n = CutEmbedded(s)
		} else if r == utf8.RuneError && n == 1 || r < 0x80 && !isQchar(byte(r)) {
			return "", false
		}
		if n == 0 || r >= 0x7f && r < 0xa0 {
			return "", false
		}
		out.WriteRune(r)
		s = s[n:]
	}
	return out.String(), true
}

// CutEmbedded reads an EmbeddedUnicodeChar: HEXPOINT without the controls is one
// of the five characters that need it, or anything beyond ASCII. n is 0 if it
// is none.
func CutEmbedded(s string) (r rune, n int) {
	digits, ok := strings.CutPrefix(s, `\x{`)
	end := strings.IndexByte(digits, '}')
	if !ok || end < 2 || end > 6 || digits[0] == '+' || digits[0] == '-' {
		return 0, 0
	}
	v, err := strconv.ParseUint(digits[:end], 16, 32)
	r = rune(v)
	if err != nil || r < 0x80 && strings.IndexByte(` +=\`, byte(r)) < 0 || !utf8.ValidRune(r) {
		return 0, 0
	}
	if end > 2 && digits[0] == '0' {
		return 0, 0 // HEXPOINT has no leading zeros
	}
	return r, len(`\x{`) + end + 1
}
