package smtp

import (
	"bytes"
	"errors"
	"io"
)

// ErrBareNewline is a CR or LF that is not part of CRLF. Whoever takes one for
// the end of a line sees another message than we do (CVE-2023-51764), so it
// ends the session.
var ErrBareNewline = errors.New("smtp: CR or LF that is not part of CRLF")

// DataReader undoes the dot stuffing of DATA (RFC 5321 §4.5.2) and finds its
// end, and nothing but CRLF "." CRLF is the end. It works on the caller's
// blocks without copying; how the octets are cut into blocks makes no
// difference. The zero value is ready for one message.
type DataReader struct {
	// BareLF takes lines that end in LF alone and gives them a CR. No such line
	// ends the message or has a dot taken off: only CRLF . CRLF ends it.
	BareLF bool

	state dataState
	err   error
	fix   repair
}

type dataState uint8

const (
	atLineStart dataState = iota
	afterDot              // a dot at the start of a line, held back
	afterDotCR            // and a CR, held back
	inLine
	afterCR
	atEnd
)

// Next looks at the next octets. Out is content, a part of in; used is how many
// octets of in are done with, and if that is less than all, Next wants to see
// the rest again, unless end says that the message is over.
func (d *DataReader) Next(in []byte) (out []byte, used int, end bool, err error) {
	i := 0
	for i < len(in) && d.err == nil && d.state < inLine {
		if d.state == atLineStart && in[i] != '.' {
			break
		}
		if d.state == afterDot && in[i] != '\r' {
			d.state = inLine
			break
		}
		if d.state == afterDotCR && in[i] != '\n' {
			d.err = ErrBareNewline
			break
		}
		d.state++ // A dot, then CR, then LF.
		if i++; d.state == inLine {
			d.state = atEnd
		}
	}
	if d.err != nil || d.state == atEnd {
		return nil, i, d.state == atEnd, d.err
	}
	n, state, err := lines(in[i:], d.state, true, d.BareLF)
	d.state, d.err = state, err
	out = in[i : i+n]
	if d.BareLF {
		out = d.fix.line(out)
	}
	return out, i + n, false, err
}

// lines passes over whole and half lines, up to a dot at the start of a line
// if dots is set. With bareLF, an LF alone is an octet within a line.
func lines(b []byte, state dataState, dots, bareLF bool) (n int, _ dataState, err error) {
	for n < len(b) {
		if state == atLineStart && dots && b[n] == '.' {
			return n, state, nil
		}
		lf := bytes.IndexByte(b[n:], '\n')
		if lf < 0 {
			return halfLine(b, n, state)
		}
		cr := bytes.IndexByte(b[n:n+lf], '\r')
		whole := state == afterCR && lf == 0 || state != afterCR && cr >= 0 && cr == lf-1
		if !whole && (!bareLF || state == afterCR || cr >= 0) {
			return n, state, ErrBareNewline
		}
		n += lf + 1
		if state = atLineStart; !whole {
			state = inLine
		}
	}
	return n, state, nil
}

// halfLine passes over the start of a line whose end is not there yet.
func halfLine(b []byte, n int, state dataState) (int, dataState, error) {
	cr := bytes.IndexByte(b[n:], '\r')
	switch {
	case state == afterCR || cr >= 0 && cr != len(b)-n-1:
		return n, state, ErrBareNewline
	case cr >= 0:
		return len(b), afterCR, nil
	}
	return len(b), inLine, nil
}

// LineChecker verifies that CR and LF come only as CRLF, in chunks that are
// not declared binary. The zero value is ready for one message.
type LineChecker struct {
	state dataState
	fix   repair
}

// Check looks at the next octets. Its error is ErrBareNewline.
func (c *LineChecker) Check(b []byte) error {
	_, state, err := lines(b, c.state, false, false)
	c.state = state
	return err
}

// Repair is Check for who may send lines that end in LF alone, as with
// DataReader.BareLF: it returns the octets with a CR for each, good until the
// next call.
func (c *LineChecker) Repair(b []byte) ([]byte, error) {
	_, state, err := lines(b, c.state, false, true)
	c.state = state
	return c.fix.line(b), err
}

// repair gives a CR to each LF that has none before it.
type repair struct {
	cr  bool // the last octet was one
	buf []byte
}

func (r *repair) line(b []byte) []byte {
	r.buf = r.buf[:0]
	for rest := b; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			r.buf = append(r.buf, rest...)
			r.cr = rest[len(rest)-1] == '\r'
			break
		}
		r.buf = append(r.buf, rest[:i]...)
		if i > 0 && rest[i-1] != '\r' || i == 0 && !r.cr {
			r.buf = append(r.buf, '\r')
		}
		r.buf = append(r.buf, '\n')
		rest, r.cr = rest[i+1:], false
	}
	return r.buf
}

// End is told that no more comes.
func (c *LineChecker) End() error {
	if c.state == afterCR {
		return ErrBareNewline
	}
	return nil
}

// DataWriter writes a message as DATA wants it: dots stuffed, lines ended by
// CRLF, and at Close the line that ends it. A CR or LF by itself goes out as
// CRLF: whatever the next hop makes of bare ones, it cannot see an end that we
// did not mean.
type DataWriter struct {
	w    io.Writer
	last byte // the last octet written; LF at the start
	cr   bool // a CR is held back
}

// NewDataWriter returns a writer of one message to w.
func NewDataWriter(w io.Writer) *DataWriter { return &DataWriter{w: w, last: '\n'} }

// Write writes the next octets.
func (d *DataWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n, err := d.step(rest)
		if err != nil {
			return len(p) - len(rest), err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// step writes one line, half line or line end of b.
func (d *DataWriter) step(b []byte) (int, error) {
	if d.cr {
		d.cr = false
		n := 0
		if b[0] == '\n' {
			n = 1
		}
		return n, d.put([]byte("\r\n"))
	}
	if d.last == '\n' && b[0] == '.' {
		if err := d.put([]byte(".")); err != nil {
			return 0, err
		}
	}
	line := b
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		line = b[:lf]
	}
	switch cr := bytes.IndexByte(line, '\r'); {
	case cr >= 0 && cr == lf-1:
		return lf + 1, d.put(b[:lf+1])
	case cr >= 0:
		d.cr = true
		return cr + 1, d.put(b[:cr])
	case lf >= 0:
		return lf + 1, errors.Join(d.put(line), d.put([]byte("\r\n")))
	}
	return len(b), d.put(b)
}

func (d *DataWriter) put(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	d.last = b[len(b)-1]
	_, err := d.w.Write(b)
	return err
}

// Close writes the end. It does not close the writer beneath.
func (d *DataWriter) Close() error {
	end := ".\r\n"
	if d.cr || d.last != '\n' {
		end = "\r\n.\r\n"
	}
	d.cr = false
	return d.put([]byte(end))
}
