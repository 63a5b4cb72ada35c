package message

import (
	"bytes"
	"strconv"

	"yubin/internal/scan"
)

// piece is a parameter as it stands in a field: perhaps one section of a long
// one, perhaps with percent encoding (RFC 2231 §3 and §4).
type piece struct {
	name     string // without section and asterisks
	section  int    // -1 if the parameter is not cut
	extended bool
	joined   int // 1 more than the sections that continue each other, or 0: not known yet
	value    []byte
}

// newPiece takes name, name*, name*0 and name*0* apart.
func newPiece(name, value []byte) piece {
	p := piece{section: -1, value: value[:min(len(value), MaxValue)]}
	if n := len(name) - 1; n > 0 && name[n] == '*' {
		p.extended, name = true, name[:n]
	}
	if i := bytes.LastIndexByte(name, '*'); i > 0 && len(name)-i <= 4 {
		if n, ok := scan.Uint(name[i+1:]); ok {
			p.section, name = int(n), name[:i]
		}
	}
	if len(name) <= MaxFieldName {
		p.name = lowerString(name)
	}
	return p
}

// givenParams returns the parameters that pieces are, unless they are decoded.
func givenParams(pieces []piece, decoded []Param) given {
	list := make(given, 0, len(pieces))
	same := true
	for i := range pieces {
		p := &pieces[i]
		if p.name == "" {
			continue
		}
		q := Param{Name: p.name, Value: string(p.value)}
		if p.section >= 0 {
			if p.joined == 0 {
				noteContinuations(pieces, p.name)
			}
			switch {
			case p.section >= p.joined-1:
				q.Name += "*" + strconv.Itoa(p.section) // It continues nothing.
			case p != find(pieces, p.name, 0):
				continue
			default:
				q.Value, p.extended = givenValue(pieces, p.name, p.joined-1)
			}
		}
		if p.extended {
			q.Name += "*"
		}
		n := len(list)
		same = same && n < len(decoded) && decoded[n] == q
		list = append(list, q)
	}
	if same && len(list) == len(decoded) {
		return nil
	}
	return list
}

// noteContinuations finds how many sections of a parameter there are from 0 on.
func noteContinuations(pieces []piece, name string) {
	n := 0
	for find(pieces, name, n) != nil {
		n++
	}
	for i := range pieces {
		if pieces[i].name == name {
			pieces[i].joined = n + 1
		}
	}
}

// givenValue joins the first n sections of a parameter. If one of them is
// extended, all become so.
func givenValue(pieces []piece, name string, n int) (value string, extended bool) {
	for i := range n {
		extended = extended || find(pieces, name, i).extended
	}
	var out []byte
	for i := range n {
		switch p := find(pieces, name, i); {
		case p.extended == extended:
			out = append(out, p.value...)
		case i == 0:
			out = appendPercent(append(out, "''"...), p.value)
		default:
			out = appendPercent(out, p.value)
		}
		if len(out) >= MaxValue {
			break
		}
	}
	return string(out[:min(len(out), MaxValue)]), extended
}

// appendPercent appends v in the encoding of RFC 2231 §4.
func appendPercent(dst, v []byte) []byte {
	const hex = "0123456789ABCDEF"
	for _, c := range v {
		if c > ' ' && c < 0x7f && bytes.IndexByte([]byte("*'%()<>@,;:\\\"/[]?="), c) < 0 { // attribute-char, §7
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

// join puts the value of the parameter called name together. Where there is
// more than one form of it, that in sections counts before the extended one,
// and that before the plain one: mailers send the plain one for old readers.
func join(pieces []piece, name string) (raw []byte, charset string, extended bool) {
	first := find(pieces, name, 0)
	if first == nil {
		return single(pieces, name)
	}
	raw = first.value
	if first.extended {
		raw, charset = percentDecode(cutCharset(first.value))
		extended = true
	}
	raw = bytes.Clone(raw)
	for n := 1; len(raw) < MaxValue; n++ {
		p := find(pieces, name, n)
		if p == nil {
			break
		}
		v := p.value
		if p.extended {
			v, _ = percentDecode(v, "")
			extended = true
		}
		raw = append(raw, v...)
	}
	return raw[:min(len(raw), MaxValue)], charset, extended
}

// single is join for a parameter that is not cut.
func single(pieces []piece, name string) (raw []byte, charset string, extended bool) {
	var plain *piece
	for i := range pieces {
		p := &pieces[i]
		if p.name != name {
			continue
		}
		if p.extended {
			raw, charset = percentDecode(cutCharset(p.value))
			return raw, charset, true
		}
		if plain == nil {
			plain = p
		}
	}
	return plain.value, "", false
}

// find returns the section of a cut parameter. A lone section other than 0, or
// one that is not cut, makes the name known but has no first section.
func find(pieces []piece, name string, section int) *piece {
	for i := range pieces {
		if pieces[i].section == section && pieces[i].name == name {
			return &pieces[i]
		}
	}
	return nil
}

// cutCharset takes charset'language' off the start of an extended value.
func cutCharset(v []byte) (text []byte, charset string) {
	i := bytes.IndexByte(v, '\'')
	if i < 0 {
		return v, ""
	}
	j := bytes.IndexByte(v[i+1:], '\'')
	if j < 0 {
		return v, ""
	}
	return v[i+j+2:], string(v[:i])
}

func percentDecode(v []byte, charset string) ([]byte, string) {
	if bytes.IndexByte(v, '%') < 0 {
		return v, charset
	}
	out := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		if v[i] == '%' && i+2 < len(v) {
			if hi, lo := unhex(v[i+1]), unhex(v[i+2]); hi|lo < 16 {
				out = append(out, hi<<4|lo)
				i += 2
				continue
			}
		}
		out = append(out, v[i])
	}
	return out, charset
}

// unhex returns the value of a hexadecimal digit, 255 for anything else.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// paramText returns a parameter value as text. Quirk: mailers put encoded-words
// and raw 8-bit octets there.
func paramText(raw []byte, charset string, extended bool) string {
	if !extended {
		return DecodeText(raw)
	}
	return decodeCharset(raw, charset)
}
