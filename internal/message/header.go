package message

import (
	"bytes"
	"iter"

	"yubin/internal/scan"
)

// Field is one field of a header.
type Field struct {
	Name  string // as written, without space before the colon
	Raw   []byte // the whole field with its line ends, as it stands in the header
	Value []byte // after the colon, unfolded, without space at either end; else raw
}

// Fields yields the fields of a header, with or without the empty line that
// ends it; Header.Size says where that is in a message. A line that is neither a
// field nor folded belongs to the field above it (RFC 7103 §7.2); before the
// first field it belongs to none, as the "From " line of an mbox does. Raw, and
// Value where there is no folding, are slices of header.
func Fields(header []byte) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for name, raw := range RawFields(header) {
			colon := len(name) + bytes.IndexByte(raw[len(name):], ':')
			if !yield(Field{Name: string(name), Raw: raw, Value: unfold(raw[colon+1:])}) {
				return
			}
		}
	}
}

// RawFields yields the names of the fields of a header, as written and without space
// before the colon, and each field whole, as Field.Raw. It copies nothing.
func RawFields(header []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, raw []byte) bool) {
		for {
			raw, colon, rest := cutField(header)
			if raw == nil || !yield(bytes.TrimRight(raw[:colon], " \t"), raw) {
				return
			}
			header = rest
		}
	}
}

// BeforeFields returns the lines of a header that stand before its first field.
func BeforeFields(header []byte) []byte {
	for n := 0; n < len(header); n += lineLen(header[n:]) {
		if line := header[n : n+lineLen(header[n:])]; isBlank(line) || fieldColon(line) > 0 {
			return header[:n]
		}
	}
	return header
}

// cutField returns the first field of h, where its colon is, and what follows
// it; nil if there is none before an empty line.
func cutField(h []byte) (raw []byte, colon int, rest []byte) {
	for len(h) > 0 && colon <= 0 {
		n := lineLen(h)
		if isBlank(h[:n]) {
			return nil, 0, nil
		}
		if colon = fieldColon(h[:n]); colon < 0 {
			h = h[n:]
		}
	}
	if len(h) == 0 {
		return nil, 0, nil
	}
	end := lineLen(h)
	for end < len(h) {
		n := lineLen(h[end:])
		if line := h[end : end+n]; isBlank(line) || fieldColon(line) > 0 {
			break
		}
		end += n
	}
	return h[:end], colon, h[end:]
}

// lineLen returns the length of the first line of b with its line end.
func lineLen(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}

// isBlank reports whether line is nothing but a line end.
func isBlank(line []byte) bool {
	return len(line) == 1 && line[0] == '\n' || len(line) == 2 && line[0] == '\r' && line[1] == '\n'
}

// maxLineStart is how much of a line of a header can decide what it is.
const maxLineStart = MaxFieldName + MaxLine

// fieldColon returns where the colon is if line starts a field, else -1:
// ftext of RFC 5322 §2.2, then perhaps space (obsolete, §4.5), then a colon.
func fieldColon(line []byte) int {
	i := 0
	for i < len(line) && line[i] > ' ' && line[i] < 0x7f && line[i] != ':' {
		if i++; i > MaxFieldName {
			return -1
		}
	}
	if i == 0 {
		return -1
	}
	line = line[:min(len(line), maxLineStart)]
	for i < len(line) && isWSP(line[i]) {
		i++
	}
	if i < len(line) && line[i] == ':' {
		return i
	}
	return -1
}

// unfold takes the line ends out of a field value, and space off both ends
// (RFC 5322 §2.2.3). It copies only if there is a line end inside.
func unfold(v []byte) []byte {
	v = bytes.Trim(v, " \t\r\n")
	if v == nil {
		return []byte{} // a field that is there and empty is not a field that is not there
	}
	if bytes.IndexByte(v, '\n') < 0 {
		return v
	}
	out := make([]byte, 0, len(v))
	for len(v) > 0 {
		n := lineLen(v)
		line := bytes.TrimRight(v[:n], "\r\n")
		if len(out) > 0 && len(line) > 0 && !isWSP(line[0]) {
			out = append(out, ' ')
		}
		out = append(out, line...)
		v = v[n:]
	}
	return out
}

func isWSP(c byte) bool { return c == ' ' || c == '\t' }

// lowerName writes the name of a field or parameter in lower case into buf;
// nil if it does not fit. Names that matter here are short.
func lowerName(buf *[32]byte, name []byte) []byte {
	name = bytes.TrimRight(name, " \t")
	if len(name) > len(buf) {
		return nil
	}
	for i, c := range name {
		buf[i] = scan.Lower(c)
	}
	return buf[:len(name)]
}

// lowerString returns b as a string with its ASCII letters lowered.
func lowerString(b []byte) string {
	var buf [32]byte
	if low := lowerName(&buf, b); low != nil {
		return intern(low)
	}
	return string(bytes.ToLower(b))
}
