package message

import "bytes"

// A Parser reads one message that is written to it, in pieces of any size. It
// keeps the header that is being read, the tree of parts, and the start of the
// text it makes the preview of; never the body.
//
// The unit of work is the line. A line is looked at when it is complete; of a
// line that the caller cut in two, only what may still matter is held.
type Parser struct {
	msg   Message
	stack []frame // the open parts, outermost first; the last one gets the octets
	head  header
	pre   preview

	inHeader  bool
	rest      bool // a limit is reached: all that follows is body
	bounds    int  // frames with a boundary
	parts     int
	headers   int // octets of header blocks kept so far
	addresses int // in envelopes so far

	off     int64 // where the current line starts
	lines   int64 // line ends before off
	eol     int   // octets of the line end just before off; 0 at the start
	empty   bool  // the line before off was empty
	partial bool  // the line before off had no line end: the message is over

	mid    bool   // inside a line
	held   bool   // and line is its start, for it may matter
	line   []byte // only then; in a header it stands behind head.kept, in the same memory
	lineN  int64  // octets of that line so far
	lastCR bool
	done   bool
}

// A frame is an open part.
type frame struct {
	part     *Part
	message  bool   // part is the root of a message, so its header has an envelope
	boundary []byte // of a multipart; nil if it has none that can be used
	closed   bool   // the close-delimiter was seen; the epilogue follows
	linesAt  int64  // line ends before the body
}

// maxDelimiter is how much of a line can decide whether it is a delimiter.
const maxDelimiter = MaxBoundary + len("--") + len("--")

// NewParser returns a Parser at the start of a message.
func NewParser() *Parser {
	p := new(Parser)
	p.msg.Root = p.push(0, 0, true)
	return p
}

// Write takes the next octets of the message. It never fails.
func (p *Parser) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		switch {
		case p.mid:
			b = p.resume(b)
		case p.inHeader:
			b = p.oneLine(b, true)
		default:
			b = p.bodyLines(b)
		}
	}
	return n, nil
}

// Finish says that the message is over and returns what it is. Nothing may be
// written after that.
func (p *Parser) Finish() *Message {
	if p.done {
		return &p.msg
	}
	p.done = true
	if p.mid && p.held {
		p.endLine(p.line, p.lineN, 0)
		p.line = nil
	} else if p.mid {
		p.advance(p.lineN, 0)
	}
	p.cutHeader()
	lines := p.lines
	if p.partial {
		lines++
	}
	for len(p.stack) > 0 {
		p.pop(p.off, lines)
	}
	p.msg.Size = p.off
	p.msg.Preview = p.pre.text
	return &p.msg
}

// Header returns what is known of the header of the message, once its end is.
func (p *Parser) Header() (Header, bool) {
	return p.msg.Header, p.done || !p.inHeader || len(p.stack) > 1
}

// Memory returns how many octets the parser holds, about, with what it will return.
func (p *Parser) Memory() int {
	line := 0
	if !p.inHeader {
		line = cap(p.line)
	}
	return line + cap(p.head.kept) + p.headers + p.parts*partMemory + p.addresses*addressMemory
}

// What a part and an address of an envelope take of memory beside the header that
// they were read from, in octets, about.
const (
	partMemory    = 512
	addressMemory = 128
)

// BetweenFields reports whether a line has just ended and a field that came next
// would be one of the message's header, whatever follows it.
func (p *Parser) BetweenFields() bool {
	return p.inHeader && len(p.stack) == 1 && !p.mid && !p.head.end.strays && p.head.end.leading != leadingStray
}

// HeaderSize returns how many octets the header has, or has so far.
func (p *Parser) HeaderSize() int64 {
	if h, known := p.Header(); known {
		return h.Size
	}
	if p.mid {
		return p.off + p.lineN
	}
	return p.off
}

// bodyLines reads plain lines as fast as it can, then one that may be a
// delimiter or is not complete.
func (p *Parser) bodyLines(b []byte) []byte {
	n := p.plainLines(b)
	if b = b[n:]; len(b) == 0 {
		return nil
	}
	return p.oneLine(b, p.candidate(b))
}

// plainLines reads the complete lines at the start of b that cannot be
// delimiters and returns how many octets they have.
func (p *Parser) plainLines(b []byte) int {
	pos, lines := 0, int64(0)
	if p.delimited() {
		for pos < len(b) && !p.candidate(b[pos:]) {
			i := bytes.IndexByte(b[pos:], '\n')
			if i < 0 {
				break
			}
			pos += i + 1
			lines++
		}
	} else {
		pos = bytes.LastIndexByte(b, '\n') + 1
		lines = int64(bytes.Count(b[:pos], []byte("\n")))
	}
	if pos == 0 {
		return 0
	}
	p.keep(b[:pos])
	p.off += int64(pos)
	p.lines += lines
	p.eol = eolLen(b[:pos])
	p.empty = pos == p.eol || b[pos-p.eol-1] == '\n'
	return pos
}

// delimited reports whether a line can be a delimiter here.
func (p *Parser) delimited() bool { return p.bounds > 0 && !p.rest }

// candidate reports whether the line that b starts may be a delimiter.
func (p *Parser) candidate(b []byte) bool {
	return b[0] == '-' && p.delimited() && (len(b) == 1 || b[1] == '-')
}

// eolLen returns the length of the line end that line has.
func eolLen(line []byte) int {
	if len(line) >= 2 && line[len(line)-2] == '\r' {
		return 2
	}
	return 1
}

// oneLine reads one line, or the start of one. Only if it matters is it held
// until it is complete.
func (p *Parser) oneLine(b []byte, matters bool) []byte {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		p.endLine(b[:i+1], int64(i+1), eolLen(b[:i+1]))
		return b[i+1:]
	}
	p.mid, p.held, p.lineN = true, matters, 0
	if p.line = p.line[:0]; p.inHeader {
		p.line = nil
	}
	p.take(b)
	return nil
}

// resume reads on in a line that an earlier Write began.
func (p *Parser) resume(b []byte) []byte {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		p.take(b)
		return nil
	}
	eol := 1
	if i > 0 && b[i-1] == '\r' || i == 0 && p.lastCR {
		eol = 2
	}
	p.take(b[:i+1])
	p.mid = false
	if inHeader := p.inHeader; p.held {
		p.endLine(p.line, p.lineN, eol)
		if inHeader {
			p.line = nil
		}
	} else {
		p.advance(p.lineN, eol)
	}
	return b[i+1:]
}

// take adds b, which is not empty, to the line that is being read.
func (p *Parser) take(b []byte) {
	p.lineN += int64(len(b))
	p.lastCR = b[len(b)-1] == '\r'
	if !p.held {
		p.keep(b)
		return
	}
	if p.inHeader {
		p.line = p.head.hold(p.line, b)
		return
	}
	n := min(len(b), maxDelimiter-len(p.line))
	p.line = append(p.line, b[:n]...)
	if n == len(b) {
		return
	}
	if _, _, ok := p.match(p.line); !ok {
		p.held = false
		p.keep(p.line)
		p.keep(b[n:])
	}
}

// endLine reads a complete line of n octets. Of a long one line may be only
// the start, which is then all that can matter.
func (p *Parser) endLine(line []byte, n int64, eol int) {
	for p.inHeader {
		if p.headerLine(line, n, eol) {
			return
		}
	}
	if p.delimiter(line, n, eol) {
		return
	}
	p.keep(line)
	p.advance(n, eol)
}

func (p *Parser) advance(n int64, eol int) {
	p.off += n
	p.eol, p.empty, p.partial = eol, n == int64(eol), eol == 0
	if eol > 0 {
		p.lines++
	}
}

// match returns the multipart whose delimiter line is: any line that begins
// with "--" and the boundary (RFC 2046 §5.1.1). Boundaries may begin with each
// other, so the longest counts; of equal ones the innermost that is still open.
func (p *Parser) match(line []byte) (k int, closing, ok bool) {
	if !p.delimited() || !bytes.HasPrefix(line, []byte("--")) {
		return 0, false, false
	}
	k = -1
	for i := len(p.stack) - 1; i >= 0; i-- {
		f := &p.stack[i]
		if f.boundary == nil || !bytes.HasPrefix(line[2:], f.boundary) {
			continue
		}
		if k < 0 || len(f.boundary) > len(p.stack[k].boundary) ||
			len(f.boundary) == len(p.stack[k].boundary) && p.stack[k].closed && !f.closed {
			k = i
		}
	}
	if k < 0 || p.stack[k].closed {
		return 0, false, false
	}
	return k, bytes.HasPrefix(line[2+len(p.stack[k].boundary):], []byte("--")), true
}

// delimiter ends what line ends if it is a delimiter, and says whether it was.
func (p *Parser) delimiter(line []byte, n int64, eol int) bool {
	k, closing, ok := p.match(line)
	if !ok {
		return false
	}
	if !closing && p.spent(k+1) {
		p.rest = true
		return false
	}
	p.cutHeader()
	lines, end := p.lines, p.off-int64(p.eol) // the line end before the delimiter belongs to it
	if p.empty {
		lines--
	}
	for len(p.stack) > k+1 {
		p.pop(end, lines)
	}
	p.advance(n, eol)
	if closing {
		p.stack[k].closed = true
	} else {
		p.push(p.off, p.lines, false)
	}
	return true
}

// spent reports whether there may be no further part with depth parts around it.
func (p *Parser) spent(depth int) bool {
	return p.rest || p.parts >= MaxParts || p.headers >= MaxHeaders || depth >= MaxDepth
}

// push opens a part whose header starts at off, after lines line ends.
func (p *Parser) push(off, lines int64, message bool) *Part {
	part := &Part{Offset: off}
	if n := len(p.stack); n > 0 {
		parent := p.stack[n-1].part
		parent.Children = append(parent.Children, part)
	}
	p.stack = append(p.stack, frame{part: part, message: message})
	p.parts++
	p.inHeader = true
	p.head.reset(message, off, lines)
	return part
}

// pop closes the innermost part, whose body ends at end and after lines lines.
// If end is inside the header, because its empty line is all that stands before
// a delimiter, the header stays whole.
func (p *Parser) pop(end, lines int64) {
	f := p.stack[len(p.stack)-1]
	p.stack = p.stack[:len(p.stack)-1]
	if f.boundary != nil {
		p.bounds--
	}
	f.part.End = max(f.part.Body, end)
	if n := len(f.part.Children); n > 0 && f.part.Children[n-1].End > end {
		f.part.End = f.part.Children[n-1].End
		if p.empty {
			lines++
		}
	}
	if f.part.End > f.part.Body {
		f.part.Lines = max(0, lines-f.linesAt)
	}
	p.pre.end(f.part)
	if len(f.part.Children) == 0 && (f.part.IsMultipart() || f.part.IsMessage()) {
		f.part.addOpaque()
	}
}

// addOpaque gives a container that could not be opened the leaf that holds
// its whole body.
func (p *Part) addOpaque() {
	p.Children = []*Part{{
		Type: "text", Subtype: "plain", Params: usASCII(), Encoding: p.Encoding,
		Offset: p.Body, Body: p.Body, End: p.End, Lines: p.Lines,
	}}
	if p.IsMessage() {
		p.Envelope = new(Envelope)
	}
}

// usASCII is the parameter of the default type (RFC 2045 §5.2).
func usASCII() []Param { return []Param{{"charset", "us-ascii"}} }

// keep lets the preview have octets of the body.
func (p *Parser) keep(b []byte) {
	if p.pre.want > 0 {
		n := min(p.pre.want, len(b))
		p.pre.raw = append(p.pre.raw, b[:n]...)
		p.pre.want -= n
	}
}
