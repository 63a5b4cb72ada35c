package obs

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Printable returns s so that it says nothing to a terminal: controls, line ends
// and tabs too, characters that turn the direction of text, that have no width
// or that end a line, and octets that are no UTF-8, are written as JSON writes
// them ("\u009b"). What strangers wrote stands in one line then, and is in the
// order in which it is read.
func Printable(s string) string {
	i := strings.IndexFunc(s, func(r rune) bool { return r == utf8.RuneError || !shown(r) })
	if i < 0 {
		return s
	}
	return string(appendPrintable([]byte(s[:i]), []byte(s[i:]), false))
}

// Printing returns a writer that writes to w what is Printable, and line ends
// and tabs as they are. It is the last thing before a log, a terminal or a
// stream of JSON, so that nobody who writes can forget it; JSON stays JSON. A
// Write may end within a character; the rest comes with the next one.
func Printing(w io.Writer) io.Writer { return &printing{w: w} }

type printing struct {
	w    io.Writer
	rest []byte // the begin of a character
	buf  []byte // reused
}

func (p *printing) Write(b []byte) (int, error) {
	if len(p.rest) == 0 && plain(b) {
		return p.w.Write(b)
	}
	n := len(b)
	if len(p.rest) > 0 {
		b = append(p.rest, b...)
	}
	whole := len(b)
	for i := whole - 1; i >= 0 && i >= whole-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				whole = i
			}
			break
		}
	}
	p.buf = appendPrintable(p.buf[:0], b[:whole], true)
	p.rest = append([]byte(nil), b[whole:]...)
	if _, err := p.w.Write(p.buf); err != nil {
		return 0, err
	}
	return n, nil
}

// plain reports whether b has nothing that is to be written otherwise, as far as
// that can be told without decoding it.
func plain(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\t' || c >= 0x7f {
			return false
		}
	}
	return true
}

// shown reports whether a character shows and does nothing else.
func shown(r rune) bool { return r >= ' ' && r < 0x7f || r > 0x7f && unicode.IsGraphic(r) }

// appendPrintable appends b to dst; lines says that line ends and tabs stay.
func appendPrintable(dst, b []byte, lines bool) []byte {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n == 1:
			dst = appendEscaped(dst, unicode.ReplacementChar)
		case shown(r), lines && (r == '\n' || r == '\t'):
			dst = append(dst, b[:n]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			dst = appendEscaped(appendEscaped(dst, high), low)
		default:
			dst = appendEscaped(dst, r)
		}
		b = b[n:]
	}
	return dst
}

func appendEscaped(dst []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}
