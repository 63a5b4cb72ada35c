package authres

import (
	"bytes"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"yubin/internal/mail"
)

// maxLine is how long a line gets, unless one word is longer.
const maxLine = 77

// maxWritten is how long a value may be that is written, in octets: any address is
// shorter, and with it a line is one of RFC 5322 §2.1.1. A property whose value is
// longer is left out.
const maxWritten = 512

// Append appends the field with its name and line end, folded. Where the message is
// not internationalized (RFC 6532) utf8 is false and all is ASCII: domains have
// A-labels, and of an address that cannot be told the domain is. Else they have
// U-labels. No value can end the field: octets that could stand nowhere become "?".
func (f Field) Append(dst []byte, utf8 bool) []byte {
	w := writer{dst: dst, utf8: utf8}
	w.start(FieldName)
	return w.payload(f)
}

// AppendARC appends the field ARC-Authentication-Results of an instance, as Append
// does.
func (f Field) AppendARC(dst []byte, instance int, utf8 bool) []byte {
	w := writer{dst: dst, utf8: utf8}
	w.start(ARCFieldName)
	w.word("i=" + strconv.Itoa(instance) + ";")
	return w.payload(f)
}

// AppendValue appends the value alone, without a line end, for who puts a name before
// it that is no longer than that of ARC's field with its instance.
func (f Field) AppendValue(dst []byte, utf8 bool) []byte {
	w := writer{width: len(ARCFieldName + ": i=50;"), utf8: utf8}
	value := bytes.Trim(w.payload(f), " \r\n")
	return append(dst, value...)
}

// writer writes words with a space before each, or a line break where the line
// would get too long.
type writer struct {
	dst   []byte
	width int
	utf8  bool
}

func (w *writer) start(name string) {
	w.dst = append(append(w.dst, name...), ':')
	w.width = len(name) + 1
}

// word writes s, which has no space in it, or only such that may not be folded.
func (w *writer) word(s string) {
	n := utf8.RuneCountInString(s)
	switch {
	case w.width > 1 && w.width+1+n > maxLine:
		w.fold(' ')
	case w.width > 1:
		w.dst = append(w.dst, ' ')
		w.width++
	}
	w.dst = append(w.dst, s...)
	w.width += n
}

// fold goes on in another line. Within a string space has to be the space that
// stood there.
func (w *writer) fold(space byte) {
	w.dst = append(w.dst, '\r', '\n', space)
	w.width = 1
}

// words writes text, its words separated by one space each, between two marks.
func (w *writer) words(before, text, after string) {
	words := strings.Fields(text)
	for i, word := range words {
		if i == 0 {
			word = before + word
		}
		if i == len(words)-1 {
			word += after
		}
		w.word(word)
	}
}

func (w *writer) payload(f Field) []byte {
	id := w.clean(f.ServID)
	if !isToken(id) {
		id = quoted(id)
	}
	w.word(id + ";")
	if len(f.Results) == 0 {
		w.word("none")
	}
	for i, r := range f.Results {
		if i > 0 {
			w.dst = append(w.dst, ';')
		}
		w.fold('\t')
		w.result(r)
	}
	return append(w.dst, '\r', '\n')
}

func (w *writer) result(r Result) {
	method := keyword(r.Method)
	if r.Version > 1 {
		method += "/" + strconv.FormatUint(uint64(r.Version), 10)
	}
	w.word(method + "=" + keyword(r.Value))
	if comment := w.short(r.Comment); comment != "" {
		w.words("(", escape(comment, `()\`), ")")
	}
	switch reason := w.short(r.Reason); {
	case reason == "":
	case isToken(reason):
		w.word("reason=" + reason)
	default:
		w.words(`reason="`, escape(reason, `"\`), `"`)
	}
	for _, p := range r.Properties {
		if value := w.value(p.Value); value != "" {
			w.word(keyword(p.Type) + "." + keyword(p.Name) + "=" + value)
		}
	}
}

// value is a pvalue; "" if v cannot be told.
func (w *writer) value(v string) string {
	if len(v) > maxWritten {
		return ""
	}
	local, domain := "", mail.Domain("")
	if a, err := mail.ParseAddress(v); err == nil {
		local, domain = mail.Address{Local: a.Local, Domain: "x"}.String(), a.Domain
		if local = strings.TrimSuffix(local, "x"); a.NeedsUTF8() && !w.utf8 {
			local = ""
		}
	} else if d, err := mail.ParseDomain(strings.TrimPrefix(v, "@")); err == nil && (v[0] == '@' || strings.Contains(v, ".")) {
		local, domain = v[:len(v)-len(strings.TrimPrefix(v, "@"))], d
	}
	if domain != "" && !domain.IsLiteral() {
		if w.utf8 {
			domain = mail.Domain(domain.Unicode())
		}
		return local + string(domain)
	}
	if v = w.clean(v); isToken(v) {
		return v
	}
	return quoted(v)
}

// clean makes s one that can stand in quotes and comments, of printable characters.
func (w *writer) clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r >= utf8.RuneSelf && (!w.utf8 || !unicode.IsPrint(r)) || r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

// short is clean text of at most MaxReason octets, with single spaces in it.
func (w *writer) short(s string) string {
	s = w.clean(s)
	if len(s) > MaxReason {
		s = strings.ToValidUTF8(s[:MaxReason], "")
	}
	return strings.Join(strings.Fields(s), " ")
}

func keyword(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf || !isKeyword(byte(r)) {
			return '-'
		}
		return r
	}, s)
}

func quoted(s string) string { return `"` + escape(s, `"\`) + `"` }

// escape puts a backslash before each of the octets in special.
func escape(s, special string) string {
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(special, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// isToken is token of RFC 2045 §5.1.
func isToken(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?=`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}
