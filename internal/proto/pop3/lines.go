package pop3

import (
	"bytes"
	"io"

	"yubin/internal/message"
)

// LineWriter writes the lines of a multi-line answer (RFC 1939 §3): a dot at
// the start of a line is doubled, every line ends in CRLF. A LF without CR,
// which a message from IMAP APPEND can have, gets one; a CR alone stays, since
// it ends no line. NUL is shown as message.WithoutNUL does. Close ends the answer.
type LineWriter struct {
	w    io.Writer
	last byte // octet written before; LF at the start of a line
	err  error
}

// NewLineWriter returns a LineWriter to w, which should have a buffer.
func NewLineWriter(w io.Writer) *LineWriter { return &LineWriter{w: message.WithoutNUL(w), last: '\n'} }

// Write adds p, which may end anywhere in a line. Errors are those of the
// writer below, and stick.
func (l *LineWriter) Write(p []byte) (int, error) {
	start := 0 // of what is not written yet
	for i := 0; i < len(p) && l.err == nil; {
		if l.last == '\n' && p[i] == '.' {
			l.put(p[start:i])
			l.put(dot)
			start = i
		}
		lf := bytes.IndexByte(p[i:], '\n')
		if lf < 0 {
			l.last = p[len(p)-1]
			break
		}
		if before := l.before(p, i+lf); before != '\r' {
			l.put(p[start : i+lf])
			l.put(cr)
			start = i + lf
		}
		l.last = '\n'
		i += lf + 1
	}
	l.put(p[start:])
	if l.err != nil {
		return 0, l.err
	}
	return len(p), nil
}

// before returns the octet before p[i].
func (l *LineWriter) before(p []byte, i int) byte {
	if i == 0 {
		return l.last
	}
	return p[i-1]
}

// Close ends an unfinished line and writes the line with the single dot.
func (l *LineWriter) Close() error {
	switch l.last {
	case '\n':
	case '\r':
		l.put(crlf[1:])
	default:
		l.put(crlf)
	}
	l.put(end)
	return l.err
}

func (l *LineWriter) put(p []byte) {
	if l.err == nil && len(p) > 0 {
		_, l.err = l.w.Write(p)
	}
}

// What LineWriter puts between the octets given; never changed.
var (
	dot  = []byte(".")
	cr   = []byte("\r")
	crlf = []byte("\r\n")
	end  = []byte(".\r\n")
)

// TopCutter finds the end of what TOP sends (RFC 1939 §7): the header, the
// blank line and the first lines of the body.
type TopCutter struct {
	lines  int // of the body, still to come
	inBody bool
	line   lineSoFar
	done   bool
}

// lineSoFar is what there was since the last LF.
type lineSoFar uint8

const (
	nothing lineSoFar = iota
	onlyCR
	something
)

// NewTopCutter returns a TopCutter for so many lines of the body.
func NewTopCutter(lines int) *TopCutter { return &TopCutter{lines: lines} }

// Cut takes the next octets of the message and returns how many of them belong
// to the answer; done says that nothing after them does.
func (t *TopCutter) Cut(p []byte) (n int, done bool) {
	for n < len(p) && !t.done {
		lf := bytes.IndexByte(p[n:], '\n')
		if lf < 0 {
			t.line = t.line.with(p[n:])
			return len(p), false
		}
		t.lineEnds(t.line.with(p[n:n+lf]) != something)
		n += lf + 1
	}
	return n, t.done
}

func (t *TopCutter) lineEnds(blank bool) {
	switch {
	case t.inBody:
		t.lines--
	case blank:
		t.inBody = true
	}
	t.line = nothing
	t.done = t.inBody && t.lines <= 0
}

func (s lineSoFar) with(p []byte) lineSoFar {
	switch {
	case len(p) == 0:
		return s
	case s == nothing && len(p) == 1 && p[0] == '\r':
		return onlyCR
	}
	return something
}
