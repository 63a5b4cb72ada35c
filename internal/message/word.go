package message

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// maxWord is how long an encoded-word may be; RFC 2047 §2 allows 75 octets.
const maxWord = 1024

// DecodeText returns the value of an unstructured field, a phrase or a comment
// as text: encoded-words decoded (RFC 2047, with the language of RFC 2231 §5),
// raw UTF-8 as it is (RFC 6532), other raw octets by the likeliest charset,
// one line without control characters.
//
// Quirk: words are also decoded inside quotes, beside other text, with space
// in them, over the length limit, and where a character is cut between two.
func DecodeText(b []byte) string { return decodeText(b, "") }

// decodeText is DecodeText, with the charset that raw octets have if they are
// not UTF-8.
func decodeText(b []byte, charset string) string {
	if isPlain(b) {
		return intern(b)
	}
	d := textDecoder{fallback: charset}
	for len(b) > 0 {
		i := bytes.Index(b, []byte("=?"))
		if i < 0 {
			break
		}
		w, ok := cutWord(b[i:])
		if !ok {
			d.raw = append(d.raw, b[:i+2]...)
			b = b[i+2:]
			continue
		}
		d.raw = append(d.raw, b[:i]...)
		d.word(w)
		b = b[i+w.size:]
	}
	d.raw = append(d.raw, b...)
	d.flush()
	return clean(d.out.String())
}

// isPlain reports whether b is printable ASCII without an encoded-word.
func isPlain(b []byte) bool {
	for i, c := range b {
		if c < ' ' || c > '~' || c == '=' && i+1 < len(b) && b[i+1] == '?' {
			return false
		}
	}
	return true
}

// word is an encoded-word taken apart (RFC 2047 §2).
type word struct {
	charset  string
	encoding byte // 'b' or 'q'
	text     []byte
	size     int
}

// cutWord reads the encoded-word that b, which starts with "=?", starts with.
func cutWord(b []byte) (w word, ok bool) {
	if len(b) < len("=?x?q??=") || b[1] != '?' {
		return w, false
	}
	b = b[:min(len(b), maxWord)]
	n := bytes.IndexAny(b[2:], "? \t\r\n")
	if n <= 0 || len(b) < n+len("=??q??=") || b[n+2] != '?' || b[n+4] != '?' {
		return w, false
	}
	w.encoding = b[n+3] | 0x20
	end := bytes.Index(b[n+5:], []byte("?="))
	if end < 0 || w.encoding != 'b' && w.encoding != 'q' {
		return w, false
	}
	charset, _, _ := bytes.Cut(b[2:n+2], []byte("*"))
	w.charset, w.text, w.size = lowerString(charset), b[n+5:n+5+end], n+5+end+2
	return w, true
}

// textDecoder gathers the words of one charset that stand side by side, for a
// character may be cut between them, and the raw octets after them.
type textDecoder struct {
	out      strings.Builder
	fallback string
	charset  string
	pending  []byte // octets of words, if any
	words    bool
	raw      []byte // octets after them
}

// word takes an encoded-word. Space between it and another one does not count
// (RFC 2047 §6.2).
func (d *textDecoder) word(w word) {
	adjacent := d.words && len(bytes.Trim(d.raw, " \t\r\n")) == 0
	if adjacent {
		d.raw = d.raw[:0]
	}
	if !adjacent || d.charset != w.charset {
		d.flush()
	}
	d.words, d.charset = true, w.charset
	if w.encoding == 'b' {
		d.pending = appendBase64(d.pending, w.text)
	} else {
		d.pending = appendQ(d.pending, w.text)
	}
}

// flush writes what was gathered.
func (d *textDecoder) flush() {
	if d.words {
		d.out.WriteString(decodeCharset(d.pending, d.charset))
	}
	if len(d.raw) > 0 {
		d.out.WriteString(guess(unfoldInner(d.raw), d.fallback))
	}
	d.pending, d.words, d.raw = d.pending[:0], false, d.raw[:0]
}

// appendQ decodes the "Q" encoding (RFC 2047 §4.2).
func appendQ(dst, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '_' {
			c = ' '
		} else if c == '=' && i+2 < len(text) {
			if hi, lo := unhex(text[i+1]), unhex(text[i+2]); hi|lo < 16 {
				c = hi<<4 | lo
				i += 2
			}
		}
		dst = append(dst, c)
	}
	return dst
}

// unfoldInner takes line ends out, and leaves space at the ends.
func unfoldInner(b []byte) []byte {
	if bytes.IndexByte(b, '\n') < 0 {
		return b
	}
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), nil), []byte("\n"), nil)
}

// clean makes control characters spaces and drops NUL (RFC 7103 §7.6): what is
// decoded must not become a line of its own in a protocol or a log.
func clean(s string) string {
	if strings.IndexFunc(s, isControl) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == 0:
			return -1
		case isControl(r):
			return ' '
		}
		return r
	}, s)
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// cut returns s cut to at most n octets, between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
