package imapd

import (
	"bytes"
	"time"

	"yubin/internal/message"
	"yubin/internal/proto/imap"
	"yubin/internal/scan"
)

// maxHeaderBlock bounds the header that HEADER.FIELDS looks at, in octets.
const maxHeaderBlock = 1 << 20

// fieldNames are the names in all HEADER.FIELDS items of a command, each with a
// number from 1 on; a field of no such name has number 0. So a header is looked
// through once, whatever is asked of it.
type fieldNames struct {
	numbers map[string]int32 // by the name in lower case
	items   map[int]numbers  // the numbers of the names in an item, by where it stands in the command
}

// numbers are a set of them, a bit each.
type numbers []uint64

func (n numbers) has(i int32) bool { return int(i/64) < len(n) && n[i/64]>>(i%64)&1 != 0 }

// newFieldNames returns nil if no item has names.
func newFieldNames(items []imap.FetchItem) *fieldNames {
	var names *fieldNames
	for i, it := range items {
		if it.Section.Text != imap.SectionHeaderFields && it.Section.Text != imap.SectionHeaderFieldsNot {
			continue
		}
		if names == nil {
			names = &fieldNames{numbers: make(map[string]int32), items: make(map[int]numbers)}
		}
		names.items[i] = names.add(it.Section.Fields)
	}
	return names
}

func (n *fieldNames) add(list []string) numbers {
	var set numbers
	for _, name := range list {
		lower := string(appendLower(nil, name))
		i, known := n.numbers[lower]
		if !known {
			i = int32(len(n.numbers)) + 1
			n.numbers[lower] = i
		}
		for int(i/64) >= len(set) {
			set = append(set, 0)
		}
		set[i/64] |= 1 << (i % 64)
	}
	return set
}

func appendLower(dst []byte, name string) []byte {
	for i := range len(name) {
		dst = append(dst, scan.Lower(name[i]))
	}
	return dst
}

// headerFields is a header looked through.
type headerFields struct {
	off    int64  // where it stands in the message
	text   []byte // its fields, one after the other
	fields []headerField
	blank  bool // an empty line ends it
}

// headerField is one that goes on from the end of the one before it.
type headerField struct {
	end    uint32
	number int32
}

// read looks through a header, which it takes over.
func (n *fieldNames) read(header []byte, off int64) *headerFields {
	h := &headerFields{off: off, blank: bytes.HasSuffix(header, []byte("\n\r\n")) || bytes.HasSuffix(header, []byte("\n\n")) ||
		string(header) == "\r\n" || string(header) == "\n"}
	h.text = header[:0]
	var lower []byte
	for field := range message.Fields(header) {
		lower = appendLower(lower[:0], field.Name)
		h.text = append(h.text, field.Raw...) // Moved over what no field is, at the start.
		h.fields = append(h.fields, headerField{uint32(len(h.text)), n.numbers[string(lower)]})
	}
	return h
}

// chosen yields the runs of fields that are in set, or are not, and the empty
// line at the end if the header has one (RFC 9051 §6.4.5.1).
func (h *headerFields) chosen(set numbers, in bool) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		start, run := uint32(0), uint32(0) // of the field, of those chosen before it
		for _, f := range h.fields {
			if set.has(f.number) != in {
				if run < start && !yield(h.text[run:start]) {
					return
				}
				run = f.end
			}
			start = f.end
		}
		if run < start && !yield(h.text[run:start]) {
			return
		}
		if h.blank {
			yield([]byte("\r\n"))
		}
	}
}

// fields writes the HEADER.FIELDS or HEADER.FIELDS.NOT item that stands at i in
// the command, of the header from off to end.
func (m *fetchedMessage) fields(i int, off, end int64) error {
	h, err := m.header(off, end)
	if err != nil {
		m.f.s.logFailure("FETCH", err)
		return errBroken
	}
	it := m.f.items[i]
	runs := h.chosen(m.f.names.items[i], it.Section.Text == imap.SectionHeaderFields)
	size := int64(0)
	for run := range runs {
		size += int64(len(run))
	}
	from, to := cut(it.Partial, 0, size)
	w := m.w.Literal(it, to-from, false)
	at := int64(0)
	for run := range runs {
		first, last := max(from-at, 0), min(to-at, int64(len(run)))
		at += int64(len(run))
		if first < last {
			_, _ = w.Write(run[first:last]) // The error sticks.
		}
	}
	return nil
}

// header returns the fields of the header from off to end, which is read once
// for all items.
func (m *fetchedMessage) header(off, end int64) (*headerFields, error) {
	for _, h := range m.headers {
		if h.off == off {
			return h, nil
		}
	}
	start := time.Now()
	block := make([]byte, min(end-off, maxHeaderBlock))
	if n, err := m.row.Content.ReadAt(block, off); n < len(block) {
		return nil, err
	}
	h := m.f.names.read(block, off)
	m.headers = append(m.headers, h)
	_ = m.f.work.spend(time.Since(start)) // Said after the message.
	return h, nil
}
