package dkim

import (
	"bytes"
	"hash"

	"yubin/internal/message"
)

// Message is a message as it comes. Who wants something of it (a Verifier, a Signer, one
// for ARC) is told of the header when it is complete, and says then what is to be
// hashed of the body.
type Message struct {
	header Header
	body   Body
	kept   []byte // of the header
	ended  bool   // the header has
	over   bool   // all of it is
	wants  []func(*Header, *Body)
}

// NewMessage starts a message. Each of wants is called once, with the complete header and
// a body that has not begun: in Write, or in Finish.
func NewMessage(wants ...func(*Header, *Body)) *Message { return &Message{wants: wants} }

// Write takes the next octets of the message, whose lines end in CRLF. It never fails.
func (m *Message) Write(p []byte) (int, error) {
	n := len(p)
	if !m.ended {
		p = m.keep(p)
	}
	m.body.write(p)
	return n, nil
}

// firstHeader is room enough for the header of most messages.
const firstHeader = 4 << 10

// keep adds p to the header and returns what of it is body.
func (m *Message) keep(p []byte) []byte {
	if m.kept == nil {
		m.kept = make([]byte, 0, max(firstHeader, min(len(p), MaxHeader)))
	}
	// The empty line may have begun in what is there: look two octets back.
	from := max(0, len(m.kept)-2)
	room := min(len(p), MaxHeader-len(m.kept))
	m.kept = append(m.kept, p[:room]...)
	end := emptyLine(m.kept, from)
	if end < 0 {
		if len(m.kept) == MaxHeader {
			m.header.TooLong = true
			m.end()
			m.body = Body{} // What stands behind is not known to be body.
			return nil
		}
		return nil
	}
	p = p[room-(len(m.kept)-end):]
	m.kept = m.kept[:end]
	m.end()
	return p
}

// emptyLine is where the first empty line of b ends that ends at from or later, -1
// if there is none. Lines end in LF, as in package message.
func emptyLine(b []byte, from int) int {
	for i := from; ; i++ {
		lf := bytes.IndexByte(b[i:], '\n')
		if lf < 0 {
			return -1
		}
		i += lf
		before := bytes.TrimSuffix(b[:i], []byte("\r"))
		if len(before) == 0 || before[len(before)-1] == '\n' {
			return i + 1
		}
	}
}

// end ends the header: what is kept is it, or there is none.
func (m *Message) end() {
	m.ended = true
	size := message.HeaderSize(m.kept)
	m.header.index(m.kept[:size])
	for _, want := range m.wants {
		want(&m.header, &m.body)
	}
	m.body.write(m.kept[size:])
}

// Ended reports whether the header has come whole.
func (m *Message) Ended() bool { return m.ended }

// Finish says that the message is over. It can be called again.
func (m *Message) Finish() {
	if m.over {
		return
	}
	if m.over = true; !m.ended {
		m.end()
	}
	m.body.finish()
}

// Header is the header of a message, by fields.
type Header struct {
	// TooLong says that it has more than MaxHeader octets; only that many are here, and
	// no signature can be verified.
	TooLong bool
	Fields  []Field // from the top

	lowest map[string]int32 // the last field of each name
}

// Field is one of a header. It is part of what was written and may be kept.
type Field struct {
	Name string // lower-case
	Raw  []byte // whole, with line ends
	// above is the next field above it with the same name; -1 if there is none.
	above int32
}

func (h *Header) index(header []byte) {
	h.lowest = make(map[string]int32, 32)
	h.Fields = make([]Field, 0, 32)
	var low [64]byte
	for name, raw := range message.RawFields(header) {
		key := appendLower(low[:0], name)
		above, ok := h.lowest[string(key)]
		f := Field{Raw: raw, above: -1}
		if ok {
			f.Name, f.above = h.Fields[above].Name, above
		} else {
			f.Name = string(key)
		}
		h.lowest[f.Name] = int32(len(h.Fields))
		h.Fields = append(h.Fields, f)
	}
}

func appendLower(dst, b []byte) []byte {
	for _, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// Value is what stands behind the colon of f, with all line ends and space.
func (f Field) Value() []byte { return f.Raw[bytes.IndexByte(f.Raw, ':')+1:] }

// Count is how many fields have a name, given in lower case.
func (h *Header) Count(name string) (n int) {
	i, ok := h.lowest[name]
	for ; ok && i >= 0; i = h.Fields[i].above {
		n++
	}
	return n
}

// Hash writes the fields that names, in lower case, say to w: of each name the
// last field, then the next above it each time that it comes again; nothing for
// what is not there (RFC 6376 §5.4.2). The field with the number own, which holds
// the signature itself, is passed over; -1 for none. Scratch is used on the way
// and returned.
func (h *Header) Hash(w hash.Hash, c Canonicalization, names []string, own int, scratch []byte) []byte {
	next := make(map[string]int32, len(names))
	for _, name := range names {
		i, ok := next[name]
		if !ok {
			if i, ok = h.lowest[name]; !ok {
				i = -1
			}
		}
		if int(i) == own && i >= 0 {
			i = h.Fields[i].above
		}
		if i >= 0 {
			scratch = c.AppendField(scratch[:0], h.Fields[i].Raw)
			w.Write(scratch)
			i = h.Fields[i].above
		}
		next[name] = i
	}
	return scratch
}
