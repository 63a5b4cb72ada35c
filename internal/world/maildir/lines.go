package maildir

import (
	"bytes"
	"io"
)

// CRLF writes to w with each LF that has no CR before it made CRLF.
type CRLF struct {
	W   io.Writer
	cr  bool   // the last octet was CR
	buf []byte // reused
}

func (c *CRLF) Write(p []byte) (int, error) {
	c.buf = c.buf[:0]
	for rest := p; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			c.buf = append(c.buf, rest...)
			c.cr = rest[len(rest)-1] == '\r'
			break
		}
		c.buf = append(c.buf, rest[:i]...)
		if i > 0 && rest[i-1] != '\r' || i == 0 && !c.cr {
			c.buf = append(c.buf, '\r')
		}
		c.buf = append(c.buf, '\n')
		rest, c.cr = rest[i+1:], false
	}
	if _, err := c.W.Write(c.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}

// LF writes to w with each CRLF made LF. Exact says afterwards whether CRLF gives
// back what was written; false if a line ended in LF alone or in CRCRLF.
type LF struct {
	W       io.Writer
	inexact bool
	crs     int // how many CRs the octets so far end in, up to two
	buf     []byte
}

func (l *LF) Write(p []byte) (int, error) {
	l.buf = l.buf[:0]
	for _, c := range p {
		switch c {
		case '\r':
			if l.crs == 2 {
				l.buf = append(l.buf, '\r')
			} else {
				l.crs++
			}
			continue
		case '\n':
			l.inexact = l.inexact || l.crs != 1
			l.crs--
		}
		for ; l.crs > 0; l.crs-- {
			l.buf = append(l.buf, '\r')
		}
		l.crs = 0
		l.buf = append(l.buf, c)
	}
	if _, err := l.W.Write(l.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close writes what was held back.
func (l *LF) Close() error {
	_, err := l.W.Write([]byte("\r\r")[:max(l.crs, 0)])
	l.crs = 0
	return err
}

// Exact reports whether nothing was lost.
func (l *LF) Exact() bool { return !l.inexact }
