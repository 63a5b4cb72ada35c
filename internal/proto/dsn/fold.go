package dsn

import (
	"encoding/base64"
	"strings"
	"time"
	"unicode/utf8"

	"yubin/internal/mail"
	"yubin/internal/scan"
)

// Lengths of a line, in octets without the CRLF (RFC 5322 §2.1.1).
const (
	foldLine = 78
	maxLine  = 998
)

const dateLayout = "Mon, 2 Jan 2006 15:04:05 -0700"

// appendField appends a field, folded before spaces. Lines of value, parted by
// LF, each start a line of the field.
func appendField(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ':')
	col := len(name) + 1
	for line := range strings.SplitSeq(value, "\n") {
		if col == 0 {
			dst = append(dst, "\r\n"...)
		}
		dst = appendFolded(dst, col, " "+line)
		col = 0
	}
	return append(dst, "\r\n"...)
}

// appendFolded appends text, the line being at col, and breaks the line where
// it must. A word goes on its line with all the space before it, so unfolding
// gives text again; only a word over a line's limit gets a space inside.
func appendFolded(dst []byte, col int, text string) []byte {
	for text != "" {
		word := cutWord(text)
		text = text[len(word):]
		if col+len(word) > foldLine && col > 0 && !startsReply(word) || col+len(word) > maxLine {
			dst = append(dst, "\r\n"...)
			col = 0
		}
		for len(word) > maxLine {
			n := runeStart(word, maxLine-1)
			dst = append(append(dst, word[:n]...), "\r\n"...)
			word = " " + word[n:]
		}
		dst = append(dst, word...)
		col += len(word)
	}
	return dst
}

// cutWord returns the spaces at the start of s and the word behind them.
func cutWord(s string) string {
	i := 0
	for i < len(s) && s[i] == ' ' {
		i++
	}
	if end := strings.IndexByte(s[i:], ' '); end >= 0 {
		return s[:i+end]
	}
	return s
}

// startsReply reports whether word, at the start of a line, would be taken for
// the next line of a reply (RFC 3461 §9.2).
func startsReply(word string) bool {
	w := strings.TrimLeft(word, " ")
	return len(w) >= 3 && scan.IsDigit(w[0]) && scan.IsDigit(w[1]) && scan.IsDigit(w[2]) && (len(w) == 3 || w[3] == '-')
}

// runeStart returns the last index of s, at most i, where a character starts.
func runeStart(s string, i int) int {
	for i > 0 && !utf8.RuneStart(s[i]) {
		i--
	}
	return i
}

// appendDate appends a field that is a date-time, unless t is zero.
func appendDate(dst []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	return appendField(dst, name, t.Format(dateLayout))
}

// cleanLine returns one line of the words of others: valid UTF-8, at most limit
// octets, no control characters (they become spaces), no space at the end.
func cleanLine(s string, limit int) string {
	if len(s) > limit {
		s = s[:runeStart(s, limit)]
	}
	s = strings.ToValidUTF8(s, "\ufffd")
	s = strings.Map(func(r rune) rune {
		switch {
		case r < ' ', r >= 0x7f && r < 0xa0, r == '\u2028', r == '\u2029', isBidi(r):
			return ' '
		}
		return r
	}, s)
	return strings.Trim(s, " ")
}

// isBidi reports whether r changes the direction of what follows it, so that a
// text could show other than it is.
func isBidi(r rune) bool { return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' }

// cleanLines is cleanLine for each line of s, without empty ones; at most
// MaxDiagnostic octets in all.
func cleanLines(s string) string {
	var out []byte
	for line := range strings.SplitSeq(s, "\n") {
		line = cleanLine(line, MaxDiagnosticLine)
		if line == "" || len(out)+1+len(line) > MaxDiagnostic {
			continue
		}
		if len(out) > 0 {
			out = append(out, '\n')
		}
		out = append(out, line...)
	}
	return string(out)
}

// toASCII writes what is not ASCII as RFC 6533 §3 does in addresses.
func toASCII(s string) string {
	if isASCII(s) {
		return s
	}
	var out []byte
	for _, r := range s {
		if r < utf8.RuneSelf {
			out = append(out, byte(r))
		} else {
			out = mail.AppendEmbedded(out, r)
		}
	}
	return string(out)
}

// encodeWords returns text as encoded-words where it needs them (RFC 2047). They
// are short enough that the first one fits behind the name of its field, for
// some readers show a fold there as space.
func encodeWords(text string) string {
	const most = 39 // octets in a word, 52 in base64, 64 with what is around
	if isASCII(text) && !strings.Contains(text, "=?") {
		return text
	}
	var words []string
	for text != "" {
		n := len(text)
		if n > most {
			n = runeStart(text, most)
		}
		words = append(words, "=?utf-8?B?"+base64.StdEncoding.EncodeToString([]byte(text[:n]))+"?=")
		text = text[n:]
	}
	return strings.Join(words, " ")
}
