package search

import (
	"context"
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

func openOctets(row *store.Row) *octets {
	root, err := message.DecodeStructure(row.Parts)
	if err != nil {
		return &octets{broken: true}
	}
	return &octets{content: row.Content, root: root}
}

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

// hasField reports whether a field called name contains the folded text.
func (o *octets) hasField(name, folded string, f *folder) bool {
	for field := range message.Fields(o.headerBlock()) {
		if !strings.EqualFold(field.Name, name) {
			continue
		}
		if folded == "" || strings.Contains(f.foldString(message.DecodeText(field.Value)), folded) {
			return true
		}
	}
	return false
}

// facts are those of the envelope that the header makes.
func (o *octets) facts(row *store.Row, f *folder) facts {
	known := factsOf(row)
	known.describe(message.Parse(o.headerBlock()).Envelope, f)
	return known
}

// match shows m the texts of the message until it has found all.
func (o *octets) match(ctx context.Context, m *matcher) {
	o.matchHeader(m, o.headerBlock(), true)
	if !o.broken {
		o.matchPart(ctx, m, o.root)
	}
}

// matchHeader shows m each field of a header block as "Name: value".
func (o *octets) matchHeader(m *matcher, block []byte, own bool) {
	for field := range message.Fields(block) {
		if m.left == 0 {
			return
		}
		m.text([]byte(field.Name+": "+message.DecodeText(field.Value)), own, true)
	}
}

// matchPart shows m the text of p, whose own header was seen already.
func (o *octets) matchPart(ctx context.Context, m *matcher, p *message.Part) {
	embedded := len(p.Children) > 0 && p.Type == "message"
	for _, child := range p.Children {
		o.matchHeader(m, o.block(child.Offset, child.Body), !embedded)
		o.matchPart(ctx, m, child)
	}
	if len(p.Children) == 0 && (p.Type == "text" || p.Type == "message") {
		o.matchLeaf(ctx, m, p)
	}
}

// matchLeaf shows m the decoded text of a leaf.
func (o *octets) matchLeaf(ctx context.Context, m *matcher, p *message.Part) {
	if m.left == 0 || o.broken {
		return
	}
	src := &source{ctx: ctx, r: io.NewSectionReader(o.content, p.Body, p.End-p.Body)}
	text := message.NewCharsetReader(message.NewDecoder(src, p.Encoding), p.Param("charset"))
	for m.left > 0 {
		n, err := text.Read(m.buf)
		m.text(m.buf[:n], false, err != nil)
		if err != nil {
			break
		}
	}
	m.cut()
	o.broken = o.broken || src.failed
}

// source reads the octets of a part, ends when its search is cancelled, and
// remembers failures, which decoders may swallow.
type source struct {
	ctx    context.Context
	r      io.Reader
	failed bool
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.failed = true
	}
	return n, err
}
