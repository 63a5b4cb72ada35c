package imapd

import (
	"bytes"
	"io"
	"strings"

	"yubin/internal/engine/store"
	"yubin/internal/message"
	"yubin/internal/proto/imap"
)

// maxHeaderBlock bounds the header that HEADER.FIELDS looks at, in octets.
const maxHeaderBlock = 1 << 20

// fetchedMessage writes the items of one message.
type fetchedMessage struct {
	f    *fetcher
	row  *store.Row
	w    *imap.Fetched
	root *message.Part // if an item needs it
}

func (m *fetchedMessage) item(it imap.FetchItem) error {
	row, w := m.row, m.w
	switch it.Kind {
	case imap.FetchUID:
		w.UID(row.UID)
	case imap.FetchFlags:
		w.Flags(row.Flags, row.Keywords, m.f.s.box.recent.Contains(row.UID))
	case imap.FetchInternalDate:
		w.InternalDate(row.Received)
	case imap.FetchSize:
		w.Size(row.Size)
	case imap.FetchEnvelope:
		w.Envelope(row.Envelope)
	case imap.FetchBodyStructure:
		w.BodyStructure(row.BodyStructure)
	case imap.FetchBodyStructureBasic:
		if err := w.Body(row.BodyStructure); err != nil {
			m.f.s.logFailure("FETCH BODY", err)
		}
	case imap.FetchBinary, imap.FetchBinarySize:
		return m.binary(it)
	default:
		return m.body(it)
	}
	return nil
}

// ready looks at what the items need before anything is written, as a response
// that has begun cannot be taken back. False leaves the message out; the
// fetcher notes why.
func (m *fetchedMessage) ready() bool {
	if m.f.need&store.NeedContent != 0 && m.row.Content == nil {
		m.f.unreadable = true
		return false
	}
	if m.f.need&store.NeedParts != 0 {
		root, err := message.DecodeStructure(m.row.Parts)
		if err != nil {
			m.f.unreadable = true
			return false
		}
		m.root = root
	}
	for _, it := range m.f.items {
		if (it.Kind == imap.FetchBinary || it.Kind == imap.FetchBinarySize) && !m.decodable(it) {
			return false
		}
	}
	return true
}

// body writes BODY[...] and the RFC822 forms of RFC 3501.
func (m *fetchedMessage) body(it imap.FetchItem) error {
	section := it.Section
	switch it.Kind {
	case imap.FetchRFC822Header:
		section.Text = imap.SectionHeader
	case imap.FetchRFC822Text:
		section.Text = imap.SectionBodyText
	}
	part, off, end := locate(m.root, section, m.row.Size)
	switch {
	case isWhole(section):
	case part == nil:
		m.w.Nil(it)
		return nil
	case section.Text == imap.SectionHeaderFields, section.Text == imap.SectionHeaderFieldsNot:
		return m.fields(it, off, end)
	}
	off, end = cut(it.Partial, off, end)
	m.w.Literal(it, end-off, false)
	if err := m.row.Content.WriteRange(m.f.s.out, off, end); err != nil {
		if m.f.s.out.Err() == nil {
			m.f.s.logFailure("FETCH", err)
		}
		return errBroken
	}
	return nil
}

// isWhole reports whether a section is all of the message, for which nobody
// needs to know its parts.
func isWhole(s imap.Section) bool { return len(s.Path) == 0 && s.Text == imap.SectionAll }

// stream writes size octets of r as the literal of it.
func (m *fetchedMessage) stream(it imap.FetchItem, r io.Reader, size int64, hasNUL bool) error {
	m.w.Literal(it, size, hasNUL)
	n, err := io.CopyN(m.f.s.out, r, size)
	if err != nil && m.f.s.out.Err() == nil {
		m.f.s.logFailure("FETCH", err)
	}
	if n < size {
		return errBroken
	}
	return nil
}

// fields writes a HEADER.FIELDS or HEADER.FIELDS.NOT item of the header from off to end.
func (m *fetchedMessage) fields(it imap.FetchItem, off, end int64) error {
	block := make([]byte, min(end-off, maxHeaderBlock))
	if n, err := m.row.Content.ReadAt(block, off); n < len(block) {
		m.f.s.logFailure("FETCH", err)
		return errBroken
	}
	text := subset(block, it.Section.Fields, it.Section.Text == imap.SectionHeaderFields)
	from, to := cut(it.Partial, 0, int64(len(text)))
	return m.stream(it, bytes.NewReader(text[from:to]), to-from, false)
}

// subset returns the fields of a header whose name is in names, or is not, with
// the empty line at the end if the header has one (RFC 9051 §6.4.5.1).
func subset(header []byte, names []string, in bool) []byte {
	var out []byte
	for field := range message.Fields(header) {
		if nameIn(names, field.Name) == in {
			out = append(out, field.Raw...)
		}
	}
	if bytes.HasSuffix(header, []byte("\n\r\n")) || bytes.HasSuffix(header, []byte("\n\n")) ||
		string(header) == "\r\n" || string(header) == "\n" {
		out = append(out, "\r\n"...)
	}
	return out
}

func nameIn(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// locate finds the octets of a section in a message of size octets (RFC 9051
// §6.4.5.1). No part means that there is no such section.
func locate(root *message.Part, s imap.Section, size int64) (part *message.Part, off, end int64) {
	if len(s.Path) == 0 {
		switch s.Text {
		case imap.SectionAll:
			return root, 0, size
		case imap.SectionBodyText:
			return root, root.Body, size
		}
		return root, root.Offset, root.Body
	}
	part = root.Find(s.Path)
	if part == nil {
		return nil, 0, 0
	}
	switch s.Text {
	case imap.SectionAll:
		return part, part.Body, part.End
	case imap.SectionMIME:
		return part, part.Offset, part.Body
	}
	if !part.IsMessage() || len(part.Children) != 1 {
		return nil, 0, 0
	}
	inner := part.Children[0]
	if s.Text == imap.SectionBodyText {
		return inner, inner.Body, part.End
	}
	return inner, inner.Offset, inner.Body
}

// cut narrows a range of octets to a partial.
func cut(p *imap.Partial, off, end int64) (int64, int64) {
	if p == nil {
		return off, end
	}
	off = min(off+int64(p.Offset), end)
	return off, min(end, off+int64(p.Count))
}
