package search

import (
	"io"
	"strings"

	"yubin/internal/engine/store"
	"yubin/internal/message"
)

// Limits on what is read of one message at a time, in octets.
const (
	maxHeader = 1 << 20 // of a header block; what follows is not searched
	chunk     = 16 << 10
)

// octets is a stored message whose octets are looked at.
type octets struct {
	content io.ReaderAt
	root    *message.Part
	header  []byte // of the message; nil until it is read
	broken  bool   // something could not be read
}

func openOctets(row *store.Row) *octets { return &octets{content: row.Content, root: row.Form.Root()} }

// block reads the octets from off to end, at most maxHeader of them.
func (o *octets) block(off, end int64) []byte {
	if o.broken || off < 0 || end <= off {
		return nil
	}
	b := make([]byte, min(end-off, maxHeader))
	n, err := o.content.ReadAt(b, off)
	if n < len(b) && err != nil {
		o.broken = true
		return nil
	}
	return b
}

func (o *octets) headerBlock() []byte {
	if o.header == nil && !o.broken {
		o.header = o.block(o.root.Offset, o.root.Body)
	}
	return o.header
}

// matchFields shows m the values of the message's own header fields.
func (o *octets) matchFields(m *matcher) {
	for field := range message.Fields(o.headerBlock()) {
		if in, wanted := m.words.fields[strings.ToLower(field.Name)]; wanted {
			m.begin(in)
			m.piece([]byte(message.DecodeText(field.Value)), true)
		}
		if m.left == 0 {
			return
		}
	}
}

// match shows m the texts of the message until it has found all.
func (o *octets) match(pause func() error, m *matcher) {
	o.matchHeader(m, o.headerBlock(), inAny)
	if !o.broken {
		o.matchPart(pause, m, o.root)
	}
}

// matchHeader shows m each field of a header block as "Name: value".
func (o *octets) matchHeader(m *matcher, block []byte, in ...where) {
	for field := range message.Fields(block) {
		if m.left == 0 {
			return
		}
		m.begin(in...)
		m.piece([]byte(field.Name+": "+message.DecodeText(field.Value)), true)
	}
}

// matchPart shows m the text of p, whose own header was seen already.
func (o *octets) matchPart(pause func() error, m *matcher, p *message.Part) {
	in := []where{inAny}
	if len(p.Children) > 0 && p.Type == "message" { // The header of an embedded message.
		in = append(in, inBody)
	}
	for _, child := range p.Children {
		if m.left == 0 || o.broken {
			return
		}
		o.matchHeader(m, o.block(child.Offset, child.Body), in...)
		o.matchPart(pause, m, child)
	}
	if len(p.Children) == 0 && (p.Type == "text" || p.Type == "message") {
		o.matchLeaf(pause, m, p)
	}
}

// matchLeaf shows m the decoded text of a leaf, in pieces of equal size: some
// decoders give no more than a line.
func (o *octets) matchLeaf(pause func() error, m *matcher, p *message.Part) {
	if m.left == 0 || o.broken {
		return
	}
	src := &source{pause: pause, r: io.NewSectionReader(o.content, p.Body, p.End-p.Body)}
	text := message.NewCharsetReader(message.NewDecoder(src, p.Encoding), p.Param("charset"))
	if m.buf == nil {
		m.buf = make([]byte, chunk)
	}
	m.begin(inAny, inBody, inLeaf)
	for m.left > 0 {
		n, err := io.ReadFull(text, m.buf)
		m.piece(m.buf[:n], err != nil)
		if err != nil {
			break
		}
	}
	o.broken = o.broken || src.failed
}

// source reads the octets of a part, pauses between them, ends when its search
// does, and remembers failures, which decoders may swallow.
type source struct {
	pause  func() error // an error ends the search
	r      io.Reader
	failed bool
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.pause(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.failed = true
	}
	return n, err
}
