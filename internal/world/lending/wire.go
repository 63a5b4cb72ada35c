package lending

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"syscall"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// errWire says that the other side does not speak as it must.
var errWire = errors.New("the other side speaks another language; are both the same yubin?")

const headLen = 5

// beginFrame begins a frame in b; its content is appended.
func beginFrame(b []byte, kind byte) []byte { return append(b[:0], kind, 0, 0, 0, 0) }

// endFrame writes the length of a frame.
func endFrame(b []byte) []byte {
	binary.BigEndian.PutUint32(b[1:], uint32(len(b)-headLen))
	return b
}

// readFrame reads a frame into buf, if that is large enough.
func readFrame(r io.Reader, buf []byte) (kind byte, content []byte, err error) {
	var head [headLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxFrame {
		return 0, nil, errWire
	}
	if uint32(cap(buf)) < n {
		buf = make([]byte, n)
	}
	_, err = io.ReadFull(r, buf[:n])
	return head[0], buf[:n], err
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendFlag(b []byte, on bool) []byte {
	if on {
		return append(b, 1)
	}
	return append(b, 0)
}

// appendTime writes a time; the zero one as itself.
func appendTime(b []byte, t time.Time) []byte {
	b = appendFlag(b, !t.IsZero())
	if t.IsZero() {
		return b
	}
	b = binary.AppendVarint(b, t.Unix())
	return binary.AppendUvarint(b, uint64(t.Nanosecond()))
}

func appendAsk(b []byte, a files.Ask) []byte {
	b = appendFlag(append(b, byte(a.Op)), a.Strict)
	return appendTime(appendText(appendText(b, a.Name), a.To), a.Time)
}

func appendEntry(b []byte, e files.Entry) []byte {
	b = binary.AppendUvarint(appendText(b, e.Name()), uint64(e.Mode()))
	_, err := e.Info()
	b = appendFlag(b, err == nil)
	if err == nil {
		b = appendTime(binary.AppendVarint(b, e.Size()), e.ModTime())
	}
	return b
}

// appendError writes an error: its kind, if it has one of ours, the number of the
// system's, what was done with which path, and the words.
func appendError(b []byte, err error) []byte {
	var known *mail.Error
	var at *fs.PathError
	var errno syscall.Errno
	kind, text, path := -1, err.Error(), fs.PathError{}
	if errors.As(err, &known) {
		kind, text = int(known.Kind), known.Text
	} else if errors.As(err, &at) {
		path, text = *at, at.Err.Error()
	}
	errors.As(err, &errno)
	b = binary.AppendUvarint(binary.AppendVarint(b, int64(kind)), uint64(errno))
	return appendText(appendText(appendText(b, path.Op), path.Path), text)
}

// parser reads what was appended; once something is wrong, bad is set and all else is
// zero.
type parser struct {
	b   []byte
	bad bool
}

func (p *parser) fail() {
	p.b, p.bad = nil, true
}

func (p *parser) octet() byte {
	if len(p.b) == 0 {
		p.fail()
		return 0
	}
	c := p.b[0]
	p.b = p.b[1:]
	return c
}

func (p *parser) flag() bool { return p.octet() != 0 }

func (p *parser) number() uint64 {
	n, w := binary.Uvarint(p.b)
	if w <= 0 {
		p.fail()
		return 0
	}
	p.b = p.b[w:]
	return n
}

func (p *parser) signed() int64 {
	n, w := binary.Varint(p.b)
	if w <= 0 {
		p.fail()
		return 0
	}
	p.b = p.b[w:]
	return n
}

func (p *parser) text() string {
	n := p.number()
	if n > uint64(len(p.b)) {
		p.fail()
		return ""
	}
	s := string(p.b[:n])
	p.b = p.b[n:]
	return s
}

func (p *parser) time() time.Time {
	if !p.flag() {
		return time.Time{}
	}
	sec, nsec := p.signed(), p.number()
	if nsec >= uint64(time.Second) {
		p.fail()
	}
	return time.Unix(sec, int64(nsec))
}

func (p *parser) ask() files.Ask {
	a := files.Ask{Op: files.Op(p.octet()), Strict: p.flag(), Name: p.text(), To: p.text(), Time: p.time()}
	if len(a.Name) > MaxName || len(a.To) > MaxName {
		p.fail()
	}
	return a
}

func (p *parser) entry() files.Entry {
	name, mode := p.text(), p.number()
	if mode > math.MaxUint32 {
		p.fail()
	}
	e := files.NewEntry(name, fs.FileMode(mode))
	if p.flag() {
		size := p.signed()
		e = e.Sized(size, p.time())
	}
	return e
}

func (p *parser) error() error {
	kind, errno := p.signed(), p.number()
	op, path, text := p.text(), p.text(), p.text()
	var cause error
	if errno != 0 && errno <= math.MaxInt32 {
		cause = &files.Fault{Text: text, Errno: syscall.Errno(errno)}
	}
	switch {
	case kind > int64(mail.Unavailable):
		p.fail()
	case kind >= 0:
		return &mail.Error{Kind: mail.Kind(kind), Text: text, Err: cause}
	case cause == nil:
		cause = errors.New(text)
	}
	if path == "" {
		return cause
	}
	return &fs.PathError{Op: op, Path: path, Err: cause}
}

// What an answer has.
const (
	hasError = 1 << iota
	hasFile
	hasFolder
	hasEntry
)
