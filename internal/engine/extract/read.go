package extract

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"yubin/internal/message"
)

// Read reads the message whose structure is root out of its octets.
func Read(octets io.ReaderAt, root *message.Part) *Content {
	r := reader{octets: octets, c: new(Content), textLeft: MaxText, sniffLeft: MaxSniff}
	r.header(root)
	r.part(root, 0)
	r.c.Text = string(r.text)
	r.c.count(r.c.Subject)
	r.c.count(r.c.Text)
	return r.c
}

// reader goes through the parts of a message.
type reader struct {
	octets    io.ReaderAt
	c         *Content
	text      []byte // Content.Text so far
	textLeft  int    // of MaxText
	sniffLeft int    // of MaxSniff
}

// at reads the octets from off to end; what of them can be read.
func (r *reader) at(off, end int64) []byte {
	if off < 0 || end <= off {
		return nil
	}
	b := make([]byte, end-off)
	n, _ := r.octets.ReadAt(b, off)
	return b[:n]
}

// header reads the fields of the message.
func (r *reader) header(root *message.Part) {
	end := min(root.Body, root.Offset+MaxHeader)
	r.c.Truncated = end < root.Body
	block := r.at(root.Offset, end)
	h := &r.c.Header
	h.Stray = len(message.BeforeFields(block)) > 0
	h.EightBit = !isASCII(block)
	h.Fields = make([]Field, 0, 24)
	for f := range message.Fields(block) {
		if len(h.Fields) == MaxFields {
			r.c.Truncated = true
			break
		}
		h.Fields = append(h.Fields, Field{Name: strings.ToLower(f.Name), Given: f.Name, Value: f.Value})
	}
	subject := h.Get("subject")
	r.c.Subject = cut(message.DecodeText(subject[:min(len(subject), 4*MaxSubject)]), MaxSubject)
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// cut returns the first octets of s, n at most, as whole characters.
func cut[T string | []byte](s T, n int) T {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// short returns what a stranger called something as UTF-8 of at most MaxName octets.
func short(s string) string { return cut(strings.ToValidUTF8(s, "\ufffd"), MaxName) }

// part reads p and what is in it.
func (r *reader) part(p *message.Part, depth int) {
	if depth > MaxDepth || len(r.c.Parts) == MaxLeaves {
		r.c.Truncated = true
		return
	}
	if len(p.Children) > 0 {
		for _, child := range p.Children {
			r.part(child, depth+1)
		}
		return
	}
	out := Part{
		Type: short(p.Type + "/" + p.Subtype), Name: short(p.Filename()),
		Attachment: p.Disposition == "attachment", Encoding: short(p.Encoding), Size: p.Size(),
	}
	if p.Type == "text" || p.Type == "message" {
		r.leaf(p, &out)
	} else {
		r.sniff(p, &out)
	}
	r.c.Parts = append(r.c.Parts, out)
}

// leaf reads the text of a part.
func (r *reader) leaf(p *message.Part, out *Part) {
	if charset := p.Param("charset"); charset != "" && len(r.c.Charsets) < 8 {
		charset = cut(strings.ToLower(strings.ToValidUTF8(charset, "\ufffd")), 32)
		if !slices.Contains(r.c.Charsets, charset) {
			r.c.Charsets = append(r.c.Charsets, charset)
		}
	}
	limit := min(MaxStart, r.textLeft)
	raw := min(p.Size(), wasteful*int64(limit))
	text := r.decode(p, r.at(p.Body, p.Body+raw), limit)
	if bytes.IndexByte(text[:min(len(text), 512)], 0) >= 0 {
		r.sniff(p, out)
	}
	r.textLeft -= len(text)
	r.add(p, text)
	if raw < p.Size() || len(text) == limit {
		r.c.Truncated = true
		r.leafEnd(p, min(MaxEnd, r.textLeft))
	}
}

// leafEnd reads the text at the end of a part, of which the start was read.
func (r *reader) leafEnd(p *message.Part, limit int) {
	from := max(p.Body+MaxStart, p.End-int64(limit)*3/2)
	from -= (from - p.Body) % 4 // Base64 in a single line.
	text := r.decode(p, afterLine(r.at(from, p.End)), 2*limit)
	text = text[max(0, len(text)-limit):]
	for len(text) > 0 && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	r.textLeft -= len(text)
	r.add(p, text)
}

// afterLine returns what follows the first line end of b: there a decoder can begin.
func afterLine(b []byte) []byte { return b[bytes.IndexByte(b, '\n')+1:] }

// decode decodes octets of a text part, into at most limit octets of UTF-8.
func (r *reader) decode(p *message.Part, raw []byte, limit int) []byte {
	charset := p.Param("charset")
	plain := charset == "" || strings.EqualFold(charset, "us-ascii") || strings.EqualFold(charset, "utf-8")
	if plain && (p.Encoding == "" || p.Encoding == "7bit" || p.Encoding == "8bit") && utf8.Valid(raw) {
		return cut(raw, limit)
	}
	text := message.NewCharsetReader(message.NewDecoder(bytes.NewReader(raw), p.Encoding), charset)
	out := make([]byte, 0, min(limit, len(raw)+64))
	for len(out) < limit {
		if len(out) == cap(out) {
			out = slices.Grow(out, min(len(out)+64, limit-len(out)))
		}
		n, err := text.Read(out[len(out):min(cap(out), limit)])
		out = out[:len(out)+n]
		if err != nil {
			break
		}
	}
	return bytes.ToValidUTF8(out, []byte("\ufffd"))
}

// add adds the decoded text of p to the content.
func (r *reader) add(p *message.Part, text []byte) {
	if p.Subtype == "html" || p.Subtype == "xhtml" {
		r.c.HTML.Parts++
		r.html(text)
	} else {
		before := len(r.text)
		if r.text == nil {
			r.text = text // Nobody else has it.
		} else {
			r.text = append(r.text, text...)
		}
		r.c.PlainText += len(r.text) - before
		r.textLinks(before)
	}
	if n := len(r.text); n > 0 && r.text[n-1] != '\n' {
		r.text = append(r.text, '\n')
	}
}
