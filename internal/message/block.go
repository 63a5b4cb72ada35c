package message

import "bytes"

// header is the header block that is being read.
type header struct {
	kept   []byte
	full   bool  // a line did not fit any more
	fields bool  // a field was seen
	dashes bool  // a line was tried as the delimiter of this very header's boundary
	stray  stray // the first line since the last field that is not of a header
}

// stray is a line that may turn out to be the start of the body.
type stray struct {
	ok    bool
	off   int64
	lines int64
	kept  int // octets of header.kept before it
}

// firstHeader is room enough for the header of most messages.
const firstHeader = 2 << 10

func (h *header) reset() { *h = header{kept: h.kept[:0]} }

func (h *header) keep(line []byte, n int64, limit int) {
	if h.full || int64(len(h.kept))+n > int64(limit) {
		h.full = true
		return
	}
	if h.kept == nil {
		h.kept = make([]byte, 0, firstHeader)
	}
	h.kept = append(h.kept, line...)
}

// headerLine reads a line of n octets as part of a header; false if the header
// is over and the line still has to be read as what follows it.
func (p *Parser) headerLine(line []byte, n int64, eol int) bool {
	if isBlank(line) {
		p.advance(n, eol)
		p.endHeader(p.off, p.lines)
		return true
	}
	if p.delimiter(line, n, eol) {
		return true
	}
	if p.endsHeader(line) {
		p.endHeader(p.off, p.lines)
		return false
	}
	p.head.keep(line, n, min(MaxHeader, MaxHeaders-p.headers))
	p.advance(n, eol)
	return true
}

// endsHeader reports whether line, which is not empty, can only be body. After
// the first field few lines are: the header ends at an empty line, and a line
// that is no field is taken as folded (RFC 7103 §7.2). But if no empty line and
// no field follows it, it is the body that cutHeader finds.
func (p *Parser) endsHeader(line []byte) bool {
	h := &p.head
	switch {
	case fieldColon(line) > 0:
		h.fields, h.stray.ok = true, false
	case !h.fields:
		return !p.isMboxFrom(line)
	case isWSP(line[0]) || h.stray.ok:
	case !h.dashes && bytes.HasPrefix(line, []byte("--")):
		h.dashes = true
		return startsWithBoundary(line[2:], h.kept)
	default:
		h.stray = stray{ok: true, off: p.off, lines: p.lines, kept: len(h.kept)}
	}
	return false
}

// isMboxFrom reports whether line is what mbox files have before a message.
func (p *Parser) isMboxFrom(line []byte) bool {
	return p.off == 0 && bytes.HasPrefix(bytes.TrimPrefix(line, []byte(">")), []byte("From "))
}

// startsWithBoundary reports whether b starts with the boundary that the
// header head declares.
func startsWithBoundary(b, head []byte) bool {
	for f := range Fields(head) {
		if bytes.EqualFold([]byte(f.Name), []byte("Content-Type")) {
			var p Part
			p.setType(f.Value)
			boundary := p.boundary()
			return boundary != nil && bytes.HasPrefix(b, boundary)
		}
	}
	return false
}

// cutHeader ends a header that no empty line ended.
func (p *Parser) cutHeader() {
	off, lines := p.off, p.lines
	var text []byte
	if s := p.head.stray; p.inHeader && s.ok {
		off, lines = s.off, s.lines
		text = bytes.Clone(p.head.kept[s.kept:])
		p.head.kept = p.head.kept[:s.kept]
	}
	for p.inHeader {
		p.endHeader(off, lines)
	}
	p.keep(text)
}

// endHeader makes the innermost part what its header says. The body starts at
// off, after lines line ends.
func (p *Parser) endHeader(off, lines int64) {
	depth := len(p.stack)
	f := &p.stack[depth-1]
	f.part.Body, f.linesAt = off, lines
	p.headers += len(p.head.kept)
	p.inHeader = false
	p.readFields(f)
	part := f.part
	switch {
	case part.IsMultipart() && depth < MaxDepth:
		if f.boundary = part.boundary(); f.boundary != nil {
			p.bounds++
		}
	case part.IsMessage() && !p.spent(depth):
		p.push(off, true)
	default:
		p.pre.begin(part)
	}
	part.delimiter = nil
}
