package message

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"slices"
)

// inOrder sorts edits by where they stand; those at one place that insert are
// joined, since only one may add the empty line.
func inOrder(edits []edit) []edit {
	slices.SortStableFunc(edits, func(a, b edit) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	out := edits[:0]
	for _, e := range edits {
		if n := len(out); n > 0 && e.from == e.to && out[n-1].from == e.from && out[n-1].to == e.from {
			out[n-1].text = append(bytes.TrimSuffix(out[n-1].text, emptyLine(out[n-1].text)), e.text...)
			continue
		}
		out = append(out, e)
	}
	return out
}

// emptyLine is the empty line that text ends in, or nothing.
func emptyLine(text []byte) []byte {
	if bytes.HasSuffix(text, []byte("\r\n\r\n")) {
		return text[len(text)-2:]
	}
	return nil
}

// Reader converts the message that r reads: the one that was planned. It holds
// a few kilobytes, however large the message is.
func (c *Conversion) Reader(r io.Reader) io.Reader { return &converted{from: r, edits: c.edits} }

// converted reads a message with edits made.
type converted struct {
	from  io.Reader
	at    int64
	edits []edit
	now   io.Reader // the stretch that is being read; nil between two
	past  bool      // the last stretch was begun
}

func (c *converted) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if c.now == nil && !c.next() {
			return 0, io.EOF
		}
		n, err := c.now.Read(p)
		if err == io.EOF {
			c.now, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, nil
}

// next begins the next stretch: what stays before an edit, an edit, or the rest.
func (c *converted) next() bool {
	if c.past {
		return false
	}
	if len(c.edits) == 0 {
		c.now, c.past = c.from, true
		return true
	}
	e := c.edits[0]
	if c.at < e.from {
		c.now = io.LimitReader(c.from, e.from-c.at)
		c.at = e.from
		return true
	}
	c.edits, c.at = c.edits[1:], e.to
	c.now = e.reader(io.LimitReader(c.from, e.to-e.from))
	return true
}

// reader makes of the octets that are to be replaced what replaces them. It
// reads all of r.
func (e edit) reader(r io.Reader) io.Reader {
	switch e.encode {
	case "":
		return &skipping{r: r, then: bytes.NewReader(e.text)}
	case "mask":
		return masked{r}
	case "surrogate":
		return &surrogateHeader{r: r}
	}
	enc := &encoder{from: NewDecoder(r, e.decode), end: e.end}
	if e.encode == "base64" {
		enc.to = base64.NewEncoder(base64.StdEncoding, &wrapped{w: &enc.out})
	} else {
		enc.to = quotedprintable.NewWriter(&enc.out)
	}
	return enc
}

// skipping reads r to its end for nothing, and then then.
type skipping struct{ r, then io.Reader }

func (s *skipping) Read(p []byte) (int, error) {
	if s.r != nil {
		if _, err := io.Copy(io.Discard, s.r); err != nil {
			return 0, err
		}
		s.r = nil
	}
	return s.then.Read(p)
}

// masked writes a question mark for each octet that is not ASCII: between parts,
// where nothing is said and nothing may be encoded (RFC 2046 §5.1.1), and in what
// is too large to be understood.
type masked struct{ io.Reader }

func (m masked) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	mask(p[:n])
	return n, err
}

// encoder reads from in a transfer encoding.
type encoder struct {
	from io.Reader
	to   io.WriteCloser // into out
	out  bytes.Buffer
	end  bool // a line end comes last
	last byte // octet that was written
	done bool
	buf  [2 << 10]byte
}

func (e *encoder) Read(p []byte) (int, error) {
	for e.out.Len() == 0 {
		if e.done {
			return 0, io.EOF
		}
		n, err := e.from.Read(e.buf[:])
		if _, failed := e.to.Write(e.buf[:n]); failed != nil {
			return 0, failed
		}
		if err == io.EOF {
			e.done, err = true, e.to.Close()
		}
		if err != nil {
			return 0, err
		}
		e.note()
	}
	return e.out.Read(p)
}

// note sees the last octet, and ends the last line.
func (e *encoder) note() {
	if b := e.out.Bytes(); len(b) > 0 {
		e.last = b[len(b)-1]
	}
	if e.done && e.end && e.last != '\n' {
		e.out.WriteString("\r\n")
	}
}

// base64Line is how many octets a line of base64 has (RFC 2045 §6.8).
const base64Line = 76

// wrapped breaks lines.
type wrapped struct {
	w    *bytes.Buffer
	line int
}

func (l *wrapped) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		if l.line == base64Line {
			l.w.WriteString("\r\n")
			l.line = 0
		}
		n := min(len(p), base64Line-l.line)
		l.w.Write(p[:n])
		l.line += n
		p = p[n:]
	}
	return written, nil
}
