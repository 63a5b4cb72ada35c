package imapd

import (
	"bytes"
	"io"

	"yubin/internal/message"
	"yubin/internal/proto/imap"
)

// maxDecoded is how much of a decoded part is kept in memory so that it need
// not be decoded twice, in octets.
const maxDecoded = 64 << 10

// decodable reports whether BINARY can be answered for it; the fetcher notes
// why not.
func (m *fetchedMessage) decodable(it imap.FetchItem) bool {
	part, _, _ := locate(m.root, it.Section, m.row.Size)
	switch {
	case part == nil || len(it.Section.Path) == 0:
	case part.IsMultipart() || part.IsMessage():
		m.f.notLeaf = true
		return false
	case !message.KnownEncoding(part.Encoding):
		m.f.unknownCTE = true
		return false
	}
	return true
}

// binary writes BINARY[...] and BINARY.SIZE[...] (RFC 9051 §6.4.5, RFC 3516).
func (m *fetchedMessage) binary(it imap.FetchItem) error {
	part, off, end := locate(m.root, it.Section, m.row.Size)
	switch {
	case part == nil && it.Kind == imap.FetchBinarySize:
		m.w.BinarySize(it, 0)
		return nil
	case part == nil:
		m.w.Nil(it)
		return nil
	case len(it.Section.Path) == 0: // The message as it is: it has no transfer encoding of its own.
		part = &message.Part{Offset: off, Body: off, End: end}
	}
	return m.decoded(it, part)
}

// decoded writes the decoded body of part.
func (m *fetchedMessage) decoded(it imap.FetchItem, part *message.Part) error {
	var first survivor
	if _, err := io.Copy(&first, m.decoder(part)); err != nil {
		m.f.s.logFailure("FETCH BINARY", err)
		return errBroken
	}
	if it.Kind == imap.FetchBinarySize {
		m.w.BinarySize(it, first.size)
		return nil
	}
	off, end := cut(it.Partial, 0, first.size)
	if first.size <= maxDecoded {
		return m.stream(it, bytes.NewReader(first.kept[off:end]), end-off, first.hasNUL)
	}
	again := m.decoder(part)
	if _, err := io.CopyN(io.Discard, again, off); err != nil {
		return errBroken
	}
	return m.stream(it, again, end-off, first.hasNUL)
}

// decoder reads the body of part without its transfer encoding. Lines of text
// end in CRLF (RFC 9051 §7.5.2), whatever a sender put into base64.
func (m *fetchedMessage) decoder(part *message.Part) io.Reader {
	raw := io.NewSectionReader(m.row.Content, part.Body, part.End-part.Body)
	r := message.NewDecoder(raw, part.Encoding)
	if part.Type == "text" {
		return &crlfReader{r: r}
	}
	return r
}

// survivor counts octets, notes NUL, and keeps what is short.
type survivor struct {
	kept   []byte
	size   int64
	hasNUL bool
}

func (s *survivor) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	s.hasNUL = s.hasNUL || bytes.IndexByte(p, 0) >= 0
	if s.size <= maxDecoded {
		s.kept = append(s.kept, p...)
	} else {
		s.kept = nil
	}
	return len(p), nil
}

// crlfReader puts a CR before each LF that has none.
type crlfReader struct {
	r      io.Reader
	buf    [4 << 10]byte
	text   []byte // of buf; not passed on yet
	lastCR bool   // the octet passed on last was CR
	err    error
}

func (c *crlfReader) Read(p []byte) (int, error) {
	for len(c.text) == 0 && c.err == nil {
		var n int
		n, c.err = c.r.Read(c.buf[:])
		c.text = c.buf[:n]
	}
	if len(c.text) == 0 {
		return 0, c.err
	}
	n := 0
	for n < len(p) && len(c.text) > 0 {
		b := c.text[0]
		if b == '\n' && !c.lastCR {
			b = '\r'
		} else {
			c.text = c.text[1:]
		}
		p[n] = b
		c.lastCR = b == '\r'
		n++
	}
	return n, nil
}
