package message

import "bytes"

// header is the header block that is being read.
type header struct {
	kept []byte
	full bool // a line did not fit any more
	end  headerEnd
}

// firstHeader is room enough for the header of most messages.
const firstHeader = 2 << 10

func (h *header) reset(message bool, off, lines int64) {
	*h = header{kept: h.kept[:0], end: headerEnd{message: message, start: mark{off: off, lines: lines}}}
}

func (h *header) keep(line []byte, n int64, limit int) {
	if h.full || int64(len(h.kept))+n > int64(limit) {
		h.full = true
		return
	}
	if h.kept == nil {
		h.kept = make([]byte, 0, firstHeader)
	}
	h.kept = append(h.kept, line...) // What hold held is there already.
}

// hold puts b behind line, which is the start of a line or nil and stands behind
// kept, and returns both; of what will not fit into kept only what can decide.
func (h *header) hold(line, b []byte) []byte {
	if h.kept == nil {
		h.kept = make([]byte, 0, firstHeader)
	}
	n, most := len(h.kept), max(maxLineStart, MaxHeader-len(h.kept))
	all := append(h.kept[:n+len(line)], b[:min(len(b), most-len(line))]...)
	h.kept = all[:n]
	return all[n:]
}

// headerLine reads a line of n octets as part of a header; false if the header
// is over and the line still has to be read as what follows it.
func (p *Parser) headerLine(line []byte, n int64, eol int) bool {
	if isBlank(line) {
		if !p.head.end.ownsBlank(p.off) {
			p.cutHeader()
			return false
		}
		p.advance(n, eol)
		p.endHeader(p.off, p.lines)
		return true
	}
	if p.delimiter(line, n, eol) {
		return true
	}
	if p.head.end.before(line, mark{p.off, p.lines, len(p.head.kept)}, p.head.kept) {
		p.cutHeader()
		return false
	}
	p.head.keep(line, n, min(MaxHeader, MaxHeaders-p.headers))
	p.advance(n, eol)
	return true
}

// cutHeader ends a header that no empty line ended.
func (p *Parser) cutHeader() {
	if !p.inHeader {
		return
	}
	at := p.head.end.cut(mark{p.off, p.lines, len(p.head.kept)})
	text := bytes.Clone(p.head.kept[at.kept:])
	p.head.kept = p.head.kept[:at.kept]
	for p.inHeader {
		p.endHeader(at.off, at.lines)
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
	p.msg.Surrogate.note(f.part.Offset, off, p.head.kept, p.head.full)
	if depth == 1 {
		p.msg.Header = Header{Size: off, Lead: p.head.end.lead(off)}
	}
	p.readFields(f)
	if depth == 1 {
		p.msg.Header.MessageID = p.msg.Envelope.MessageID
	}
	part := f.part
	switch {
	case part.IsMultipart() && depth < MaxDepth:
		if f.boundary = part.boundary(); f.boundary != nil {
			p.bounds++
		}
	case part.IsMessage() && !p.spent(depth):
		p.push(off, lines, true)
	default:
		p.pre.begin(part)
	}
	part.delimiter = nil
}
