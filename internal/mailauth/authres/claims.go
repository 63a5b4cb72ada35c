package authres

import (
	"strings"
	"unicode"

	"yubin/internal/mail"
	"yubin/internal/scan"
)

// maxID is how long a word may be that is compared with a name, in octets: with
// U-labels a domain is not longer.
const maxID = 2 << 10

// Claims reports whether a field with this value says that servID wrote it, so that
// it has to be cut out of what a stranger sends (RFC 8601 §5). Names are compared
// without regard to case, U-labels and A-labels alike, whatever comments, quotes,
// version or dot at the end there are; a name may go on where no domain does, as
// in example.org/mx1.
//
// Where readers may differ it claims. What counts is everything before the first
// semicolon that is neither in a comment nor in quotes, or all of it if one of
// these has no end. The field claims if that, without comments, quotes and space, is
// the name; if one word of it is, be it in a comment; or if it begins with an
// encoded-word. It takes time linear in the length.
func Claims(value []byte, servID string) bool {
	name := canonical(strings.Map(onlySeen, servID))
	if name == "" {
		return false
	}
	start, text, _ := beginning(value)
	if strings.HasPrefix(start, "=?") || names(start, name) {
		return true
	}
	n := 0
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(` ()";`, r) }) {
		if n++; names(word, name) {
			return true
		}
	}
	// The version of a name that a comment divides.
	return n > 1 && names(strings.TrimRight(start, "0123456789"), name)
}

// names reports whether word is name, or begins with it and goes on as no domain does.
func names(word, name string) bool {
	if len(word) > maxID {
		word = word[:maxID]
	}
	end := strings.IndexFunc(word, func(r rune) bool {
		return r < 0x80 && !scan.IsAlpha(byte(r)) && !scan.IsDigit(byte(r)) && !strings.ContainsRune("-_.", r)
	})
	return canonical(word) == name || end > 0 && canonical(word[:end]) == name
}

// canonical is the form in which names are compared.
func canonical(s string) string {
	s = strings.TrimRight(s, ".。．｡")
	if d, err := mail.ParseDomain(s); err == nil {
		return string(d)
	}
	return mail.FoldLocal(s)
}

// onlySeen drops space and what is not seen: control and format characters.
func onlySeen(r rune) rune {
	if r <= ' ' || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Z) {
		return -1
	}
	return r
}

// AfterServID returns what of a value stands behind its identifier and version, from
// the semicolon on: the results with their comments, as they were written. It is nil
// if there is none.
func AfterServID(value []byte) []byte {
	if _, _, n := beginning(value); n < len(value) {
		return value[n:]
	}
	return nil
}

// beginning returns what stands before the first semicolon that counts, whose place is
// end: start, which is without comments, quotes, backslashes and space, and all the
// text of it, in which only backslashes and what is not seen are missing.
func beginning(value []byte) (start, text string, end int) {
	var outside, all strings.Builder
	depth, quoted := 0, false
	end = len(value)
	for i := 0; i < end; i++ {
		c := value[i]
		escaped := c == '\\' && i+1 < len(value) && (quoted || depth > 0)
		if escaped {
			i++
			c = value[i]
		}
		switch {
		case c == '\t' || c == '\r' || c == '\n':
			c = ' '
		case c < ' ' || c == 0x7f || c == '\\' && !escaped:
			continue
		}
		switch {
		case escaped:
		case c == '"' && depth == 0:
			quoted = !quoted
		case c == '(' && !quoted:
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == ';' && !quoted && depth == 0:
			end = i
			continue
		}
		all.WriteByte(c)
		if depth == 0 && (escaped || c != '"' && c != ')') {
			outside.WriteByte(c)
		}
	}
	text = strings.Map(func(r rune) rune {
		if r == ' ' {
			return r
		}
		return onlySeen(r)
	}, all.String())
	return strings.Map(onlySeen, outside.String()), text, end
}
