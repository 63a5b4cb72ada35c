package message

import (
	"encoding/binary"
	"errors"
)

// structureVersion is the first octet of what AppendStructure writes.
const structureVersion = 1

// ErrStructure says that octets are not what AppendStructure wrote.
var ErrStructure = errors.New("message: not an encoded structure")

// Bits of a part's field mask: which of the rarer fields follow.
const (
	hasParams = 1 << iota
	hasID
	hasDescription
	hasMD5
	hasLocation
	hasEncoding
	hasDisposition
	hasDispositionParams
	hasLanguages
	hasChildren
	maskBits = iota
)

// AppendStructure appends the tree under root, without envelopes, in a compact
// binary form. A text message takes about 15 octets.
//
// After a version octet comes the root; a part is: mask of fields; type and
// subtype; the fields of the mask in its order; Offset - (Body of the parent),
// Body - Offset, End - Body, Lines; the children. Numbers are varints. A string
// is 2*i+1 for names[i], or 2*length and its octets; a list is its length and
// its elements.
func AppendStructure(dst []byte, root *Part) []byte {
	return appendPart(append(dst, structureVersion), root, 0)
}

func appendPart(dst []byte, p *Part, base int64) []byte {
	m := p.mask()
	dst = binary.AppendUvarint(dst, m)
	dst = appendString(appendString(dst, p.Type), p.Subtype)
	if m&hasParams != 0 {
		dst = appendParams(dst, p.Params)
	}
	dst = appendNonEmpty(dst, p.ID, p.Description, p.MD5, p.Location, p.Encoding, p.Disposition)
	if m&hasDispositionParams != 0 {
		dst = appendParams(dst, p.DispositionParams)
	}
	if m&hasLanguages != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(p.Languages)))
		for _, l := range p.Languages {
			dst = appendString(dst, l)
		}
	}
	for _, n := range [...]int64{p.Offset - base, p.Body - p.Offset, p.End - p.Body, p.Lines} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	if m&hasChildren != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(p.Children)))
		for _, c := range p.Children {
			dst = appendPart(dst, c, p.Body)
		}
	}
	return dst
}

func (p *Part) mask() uint64 {
	var m uint64
	for bit, has := range [maskBits]bool{
		len(p.Params) > 0, p.ID != "", p.Description != "", p.MD5 != "", p.Location != "", p.Encoding != "",
		p.Disposition != "", len(p.DispositionParams) > 0, len(p.Languages) > 0, len(p.Children) > 0,
	} {
		if has {
			m |= 1 << bit
		}
	}
	return m
}

func appendNonEmpty(dst []byte, strings ...string) []byte {
	for _, s := range strings {
		if s != "" {
			dst = appendString(dst, s)
		}
	}
	return dst
}

func appendParams(dst []byte, ps []Param) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ps)))
	for _, p := range ps {
		dst = appendString(appendString(dst, p.Name), p.Value)
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	if i, ok := nameIndex[s]; ok {
		return binary.AppendUvarint(dst, uint64(i)<<1|1)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s))<<1)
	return append(dst, s...)
}

// DecodeStructure reads what AppendStructure wrote. The tree it returns keeps
// the invariants of the package, save that there are no envelopes, and its
// strings share one copy of b. The error is ErrStructure.
func DecodeStructure(b []byte) (*Part, error) {
	d := decoder{s: string(b)}
	if d.number() != structureVersion {
		return nil, ErrStructure
	}
	root := new(Part)
	d.part(root, 0, maxOffset, 0)
	if d.bad || d.s != "" {
		return nil, ErrStructure
	}
	return root, nil
}

// maxOffset bounds offsets so that no sum of them overflows.
const maxOffset = 1 << 56

// decoder reads an encoded structure. Its first failure sticks.
type decoder struct {
	s     string
	parts int
	bad   bool
}

// part reads a part that lies in [base, end) of the message.
func (d *decoder) part(p *Part, base, end int64, depth int) {
	m := d.number()
	if d.parts++; m>>maskBits != 0 || d.parts > 2*MaxParts || depth > MaxDepth {
		d.fail()
	}
	p.Type, p.Subtype = d.text(), d.text()
	if m&hasParams != 0 {
		p.Params = d.params()
	}
	d.texts(m, p)
	if m&hasDispositionParams != 0 {
		p.DispositionParams = d.params()
	}
	if m&hasLanguages != 0 {
		p.Languages = make([]string, d.count(MaxLanguages))
		for i := range p.Languages {
			p.Languages[i] = d.text()
		}
	}
	p.Offset = base + d.offset()
	p.Body = p.Offset + d.offset()
	p.End = p.Body + d.offset()
	if p.Lines = d.offset(); p.End > end {
		d.fail()
	}
	if m&hasChildren != 0 {
		d.children(p, depth)
	} else if p.IsMultipart() || p.IsMessage() {
		d.fail()
	}
}

// texts reads the fields that are single strings.
func (d *decoder) texts(m uint64, p *Part) {
	for i, s := range [...]*string{&p.ID, &p.Description, &p.MD5, &p.Location, &p.Encoding, &p.Disposition} {
		if m&(hasID<<i) != 0 {
			*s = d.text()
		}
	}
}

func (d *decoder) children(p *Part, depth int) {
	n := d.count(MaxParts)
	if !p.IsMultipart() && (!p.IsMessage() || n != 1) {
		d.fail()
	}
	base := p.Body
	for range n {
		if d.bad {
			return
		}
		c := new(Part)
		d.part(c, p.Body, p.End, depth+1)
		if c.Offset < base {
			d.fail()
		}
		base = c.End
		p.Children = append(p.Children, c)
	}
}

func (d *decoder) params() []Param {
	ps := make([]Param, d.count(MaxParams))
	for i := range ps {
		ps[i] = Param{d.text(), d.text()}
	}
	return ps
}

func (d *decoder) number() uint64 {
	var v uint64
	for i := 0; i < len(d.s) && i < binary.MaxVarintLen64-1; i++ {
		c := d.s[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			d.s = d.s[i+1:]
			return v
		}
	}
	d.fail()
	return 0
}

func (d *decoder) fail() { d.bad, d.s = true, "" }

// count reads the length of a list that is not empty.
func (d *decoder) count(limit int) int {
	n := d.number()
	if n == 0 || n > uint64(min(limit, len(d.s))) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) offset() int64 {
	n := d.number()
	if n > maxOffset {
		d.fail()
		return 0
	}
	return int64(n)
}

func (d *decoder) text() string {
	n := d.number()
	if n&1 == 1 {
		if n >>= 1; n < uint64(len(names)) {
			return names[n]
		}
		d.fail()
		return ""
	}
	if n >>= 1; n > uint64(len(d.s)) {
		d.fail()
		return ""
	}
	s := d.s[:n]
	d.s = d.s[n:]
	return s
}
