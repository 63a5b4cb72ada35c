package dsn

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// textColumns is the width of the text; a wide character takes two columns.
const textColumns = 72

// appendWrapped appends text as lines that start with indent, and breaks them
// at spaces and between wide characters. A word that is too long has a line
// of its own.
func appendWrapped(dst []byte, indent, text string) []byte {
	if text == "" {
		return dst
	}
	dst = append(dst, indent...)
	col, first := len(indent), true
	for text != "" {
		unit, spaced := cutUnit(text)
		text = text[len(unit):]
		unit = strings.TrimLeft(unit, " ")
		space, n := 0, columns(unit)
		if spaced {
			space = 1
		}
		switch {
		case first:
		case col+space+n > textColumns:
			dst = append(append(dst, "\r\n"...), indent...)
			col = len(indent)
		case spaced:
			dst = append(dst, ' ')
			col++
		}
		dst = append(dst, unit...)
		col, first = col+n, false
	}
	return append(dst, "\r\n"...)
}

// cutUnit returns what stays together at the start of text, with the spaces
// before it. Japanese lines do not start with closing punctuation, nor end
// with an opening bracket.
func cutUnit(text string) (unit string, spaced bool) {
	i := len(text) - len(strings.TrimLeft(text, " "))
	spaced = i > 0
	prev := rune(0)
	for i < len(text) && text[i] != ' ' {
		r, n := utf8.DecodeRuneInString(text[i:])
		if prev != 0 && (isWide(prev) || isWide(r)) && !isClosing(r) && !isOpening(prev) {
			break
		}
		prev, i = r, i+n
	}
	return text[:i], spaced
}

func columns(s string) (n int) {
	for _, r := range s {
		n++
		if isWide(r) {
			n++
		}
	}
	return n
}

func isWide(r rune) bool {
	if r < 0x1100 {
		return false
	}
	k := width.LookupRune(r).Kind()
	return k == width.EastAsianWide || k == width.EastAsianFullwidth
}

func isClosing(r rune) bool {
	return strings.ContainsRune("、。，．・：；？！）」』】ーっゃゅょァィゥェォッャュョ)", r)
}

func isOpening(r rune) bool { return strings.ContainsRune("（「『【(", r) }
