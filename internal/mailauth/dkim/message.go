package dkim

import (
	"bytes"
	"strings"

	"yubin/internal/message"
	"yubin/internal/scan"
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
	n := len(m.kept)
	piece := p[:min(len(p), MaxHeader-n)]
	// The empty line may have begun in what is there: look two octets back.
	end := -1
	if n > 0 {
		m.kept = append(m.kept, piece...)
		end = emptyLine(m.kept, max(0, n-2)) - n
	} else if end = emptyLine(piece, 0); end < 0 {
		m.kept = append(make([]byte, 0, max(firstHeader, len(piece))), piece...)
	} else {
		m.kept = append([]byte(nil), piece[:end]...)
	}
	switch {
	case end >= 0:
		m.kept = m.kept[:n+end]
		m.end()
		return p[end:]
	case len(m.kept) == MaxHeader:
		m.header.TooLong = true
		m.end()
		m.body = Body{} // What stands behind is not known to be body.
	}
	return nil
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

// Header is the header of a message, by fields. It is not for several goroutines.
type Header struct {
	// TooLong says that it has more than MaxHeader octets; only that many are here, and
	// no signature can be verified.
	TooLong bool
	Fields  []Field // from the top

	lowest map[string]int32 // the last field of each name
	next   map[string]int32 // of appendFields: the field of each name that comes next
}

// Field is one of a header. It is part of what was written and may be kept.
type Field struct {
	Name string // lower-case
	Raw  []byte // whole, with line ends
	// above is the next field above it with the same name; -1 if there is none.
	above int32
}

func (h *Header) index(header []byte) {
	lines := bytes.Count(header, []byte("\n")) // There are hardly more fields.
	h.lowest = make(map[string]int32, lines)
	h.Fields = make([]Field, 0, lines)
	var low [64]byte
	for name, raw := range message.RawFields(header) {
		f := Field{Name: lowerName(appendLower(low[:0], name)), Raw: raw, above: -1}
		if above, ok := h.lowest[f.Name]; ok {
			f.above = above
		}
		h.lowest[f.Name] = int32(len(h.Fields))
		h.Fields = append(h.Fields, f)
	}
}

// usualNames are the names for which no memory is taken again and again.
var usualNames = func() map[string]string {
	all := map[string]string{}
	for _, list := range [][]string{oversigned, oversignedIfThere, signedIfThere, {"received", "return-path", "dkim-signature", "bcc",
		"authentication-results", "arc-seal", "arc-message-signature", "arc-authentication-results", "user-agent", "x-mailer", "delivered-to"}} {
		for _, name := range list {
			name = strings.ToLower(name)
			all[name] = name
		}
	}
	return all
}()

// lowerName is a name, which is lower-case, as a string.
func lowerName(low []byte) string {
	if name, ok := usualNames[string(low)]; ok {
		return name
	}
	return string(low)
}

func appendLower[T string | []byte](dst []byte, s T) []byte {
	for i := range len(s) {
		dst = append(dst, scan.Lower(s[i]))
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

// AppendFields writes the fields that names, in lower case, say, as they are hashed: of
// each name the last field, then the next above it each time that it comes again;
// nothing for what is not there (RFC 6376 §5.4.2).
func (h *Header) AppendFields(dst []byte, c Canonicalization, names []string) []byte {
	return h.appendFields(dst, c, names, -1)
}

// appendFields passes over the field with the number own, which holds the signature
// itself.
func (h *Header) appendFields(dst []byte, c Canonicalization, names []string, own int32) []byte {
	if h.next == nil {
		h.next = make(map[string]int32, len(h.lowest))
	}
	clear(h.next)
	for _, name := range names {
		i, ok := h.next[name]
		if !ok {
			if i, ok = h.lowest[name]; !ok {
				i = -1
			}
		}
		if i == own && i >= 0 {
			i = h.Fields[i].above
		}
		if i >= 0 {
			dst = c.AppendField(dst, h.Fields[i].Raw)
			i = h.Fields[i].above
		}
		h.next[name] = i
	}
	return dst
}
