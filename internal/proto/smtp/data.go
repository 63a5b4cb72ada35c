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
	state dataState
	err   error
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
	n, state, err := lines(in[i:], d.state, true)
	d.state, d.err = state, err
	return in[i : i+n], i + n, false, err
}

// lines passes over whole and half lines, up to a dot at the start of a line
// if dots is set.
func lines(b []byte, state dataState, dots bool) (n int, _ dataState, err error) {
	for n < len(b) {
		if state == atLineStart && dots && b[n] == '.' {
			return n, state, nil
		}
		lf := bytes.IndexByte(b[n:], '\n')
		if lf < 0 {
			return halfLine(b, n, state)
		}
		if state == afterCR {
			if lf != 0 {
				return n, state, ErrBareNewline
			}
		} else if lf == 0 || bytes.IndexByte(b[n:n+lf], '\r') != lf-1 {
			return n, state, ErrBareNewline
		}
		n += lf + 1
		state = atLineStart
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
type LineChecker struct{ state dataState }

// Check looks at the next octets. Its error is ErrBareNewline.
func (c *LineChecker) Check(b []byte) error {
	_, state, err := lines(b, c.state, false)
	c.state = state
	return err
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
