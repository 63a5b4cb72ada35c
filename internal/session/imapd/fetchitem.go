package imapd

import (
	"io"

	"yubin/internal/engine/store"
	"yubin/internal/message"
	"yubin/internal/proto/imap"
)

// fetchedMessage writes the items of one message.
type fetchedMessage struct {
	f    *fetcher
	row  *store.Row
	w    *imap.Fetched
	root *message.Part // if an item needs it

	headers []*headerFields // those that HEADER.FIELDS looked through
	bodies  []*decodedBody  // those that BINARY decoded
}

// item writes the item that stands at i in the command.
func (m *fetchedMessage) item(i int) error {
	row, w, it := m.row, m.w, m.f.items[i]
	switch it.Kind {
	case imap.FetchUID:
		w.UID(row.UID)
	case imap.FetchFlags:
		m.f.s.flags(w, row.Entry)
	case imap.FetchInternalDate:
		w.InternalDate(row.Received)
	case imap.FetchSize:
		w.Size(row.Size)
	case imap.FetchEnvelope:
		w.Envelope(row.Form)
	case imap.FetchBodyStructure:
		w.BodyStructure(row.Form)
	case imap.FetchBodyStructureBasic:
		w.Body(row.Form)
	case imap.FetchBinary, imap.FetchBinarySize:
		return m.binary(it)
	default:
		return m.body(i)
	}
	return nil
}

// ready looks at what the items need before anything is written, as a response
// that has begun cannot be taken back. False leaves the message out; the
// fetcher notes why. An error ends the command.
func (m *fetchedMessage) ready() (bool, error) {
	if !m.open() {
		m.f.unreadable = true
		return false, nil
	}
	for i, it := range m.f.items {
		if needOf(it)&store.NeedContent != 0 && !m.readable(i) {
			m.f.unreadable = true
			return false, nil
		}
		if it.Kind != imap.FetchBinary && it.Kind != imap.FetchBinarySize {
			continue
		}
		if ready, err := m.decodable(it); !ready {
			return false, err
		}
	}
	return true, nil
}

// open reads which parts there are, if an item needs their octets, and says whether
// what the store gave can be used.
func (m *fetchedMessage) open() bool {
	if m.f.need&store.NeedContent == 0 {
		return true
	}
	if m.f.need&store.NeedForm != 0 {
		m.root = m.row.Form.Root()
	}
	return m.row.Content != nil
}

// readable says whether the octets that the item at i needs are undamaged.
func (m *fetchedMessage) readable(i int) bool {
	it := m.f.items[i]
	part, off, end := locate(m.root, sectionOf(it), m.row.Size)
	if part == nil && !isWhole(it.Section) {
		return true
	}
	if it.Kind != imap.FetchBinary { // What is decoded is read from its beginning.
		off, end = cut(it.Partial, off, end)
	}
	return m.row.Content.Verify(off, end) == nil
}

// sectionOf is the section that an item stands for.
func sectionOf(it imap.FetchItem) imap.Section {
	section := it.Section
	switch it.Kind {
	case imap.FetchRFC822Header:
		section.Text = imap.SectionHeader
	case imap.FetchRFC822Text:
		section.Text = imap.SectionBodyText
	}
	return section
}

// body writes BODY[...] and the RFC822 forms of RFC 3501.
func (m *fetchedMessage) body(i int) error {
	it := m.f.items[i]
	section := sectionOf(it)
	part, off, end := locate(m.root, section, m.row.Size)
	switch {
	case isWhole(section):
	case part == nil:
		m.w.Nil(it)
		return nil
	case section.Text == imap.SectionHeaderFields, section.Text == imap.SectionHeaderFieldsNot:
		return m.fields(i, off, end)
	}
	off, end = cut(it.Partial, off, end)
	w := m.w.Literal(it, end-off, false)
	if err := m.row.Content.WriteRange(w, off, end); err != nil {
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
	n, err := io.CopyN(m.w.Literal(it, size, hasNUL), r, size)
	if err != nil && m.f.s.out.Err() == nil {
		m.f.s.logFailure("FETCH", err)
	}
	if n < size {
		return errBroken
	}
	return nil
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
