package imap

import (
	"bytes"
	"io"
	"math"

	"yubin/internal/scan"
)

// Limits of one command on its way in.
const (
	MaxLine        = 64 << 10 // octets of all its lines
	MaxLiteralSize = 64 << 10 // octets of all its literals, but for the message of APPEND
	MaxLiterals    = 2048     // as many as the thousand keys that a SEARCH may OR, and more
	// MaxSkip is how many octets are read only to be dropped, when a literal
	// that the client did not wait for is refused (RFC 7888 §4).
	MaxSkip = 64 << 20
)

// readChunk bounds what is set aside for a literal before its octets arrive.
const readChunk = 4 << 10

// Source is where commands come from. ReadLine returns a line without its CRLF,
// valid until the next read; *netx.Conn is one.
type Source interface {
	ReadLine(limit int) ([]byte, error)
	io.Reader
}

// parsedFactor is how many octets a command takes in memory for each of its own,
// about, with what it is parsed into.
const parsedFactor = 4

// Reader assembles commands. It holds nothing between them.
type Reader struct {
	src     Source
	proceed func() error
	room    func(octets int) bool // nil: there always is
}

// Count has room told how many octets a command takes, more and more while it
// comes, and 0 when it is done with. If there is no room for it, the command is an
// Error of kind NoRoom.
func (r *Reader) Count(room func(octets int) bool) { r.room = room }

// fits tells that the command takes octets, and whether there is room for them.
func (r *Reader) fits(octets int) bool { return r.room == nil || r.room(parsedFactor*octets) }

// NewReader returns a reader of src. Proceed sends and flushes a command
// continuation request ("+ ..."), each time a literal that the client waits
// with may come.
func NewReader(src Source, proceed func() error) *Reader {
	return &Reader{src: src, proceed: proceed}
}

// ReadCommand reads the next command and parses it. An *Error is about the
// command, and unless Error.Close is set the next one can be read; any other
// error is of the source or of proceed.
//
// The message literal of APPEND is not read. The session decides by
// Append.Literal: to take it, it asks the client to proceed unless NonSync,
// reads Size octets from the source, and calls FinishAppend; to refuse it, it
// calls RefuseAppend.
func (r *Reader) ReadCommand(mode Mode) (Command, error) {
	r.fits(0)
	line, err := r.src.ReadLine(MaxLine)
	if err != nil {
		return Command{}, err
	}
	lit, at, ok := trailingLiteral(line)
	switch {
	case !r.fits(len(line)):
		return Command{}, r.drop(lit, &Error{Kind: NoRoom, Tag: tagOf(line)})
	case !ok:
		return ParseCommand(line, mode)
	}
	if isMessage(line[:at]) {
		return r.parseAppend(line, lit, mode)
	}
	return r.assemble(line, mode)
}

// parseAppend parses an APPEND up to its message literal. If that fails, a
// literal that is on its way already is dropped.
func (r *Reader) parseAppend(text []byte, lit Literal, mode Mode) (Command, error) {
	cmd, err := ParseCommand(text, mode)
	if err == nil {
		return cmd, nil
	}
	return Command{}, r.drop(lit, err.(*Error))
}

// assemble reads the literals and lines that follow line.
func (r *Reader) assemble(line []byte, mode Mode) (Command, error) {
	buf := bytes.Clone(line)
	text, octets := len(line), int64(0)
	for n := 1; ; n++ {
		lit, at, ok := trailingLiteral(line)
		at += len(buf) - len(line)
		switch {
		case !ok:
			return ParseCommand(buf, mode)
		case isMessage(buf[:at]):
			return r.parseAppend(buf, lit, mode)
		case lit.Size > MaxLiteralSize-octets || n > MaxLiterals:
			return Command{}, r.drop(lit, &Error{Kind: TooBig, Tag: tagOf(buf), Column: at})
		case !r.fits(len(buf) + int(lit.Size)):
			return Command{}, r.drop(lit, &Error{Kind: NoRoom, Tag: tagOf(buf), Column: at})
		}
		octets += lit.Size
		var err error
		if buf, err = r.literal(append(buf, '\r', '\n'), lit); err != nil {
			return Command{}, err
		}
		if line, err = r.src.ReadLine(MaxLine - text); err != nil {
			return Command{}, unexpected(err)
		}
		text += len(line)
		buf = append(buf, line...)
	}
}

// literal appends the octets of lit to buf.
func (r *Reader) literal(buf []byte, lit Literal) ([]byte, error) {
	if !lit.NonSync {
		if err := r.proceed(); err != nil {
			return nil, err
		}
	}
	for left := int(lit.Size); left > 0; {
		n := min(left, readChunk)
		buf = append(buf, make([]byte, n)...)
		if _, err := io.ReadFull(r.src, buf[len(buf)-n:]); err != nil {
			return nil, unexpected(err)
		}
		left -= n
	}
	return buf, nil
}

// FinishAppend reads what stands behind the message literal of a: the ")" of
// UTF8 and the end of the command. The error is as of ReadCommand, without Tag.
func (r *Reader) FinishAppend(a *Append) error {
	line, err := r.src.ReadLine(MaxLine)
	if err != nil {
		return unexpected(err)
	}
	var p parser
	p.Reset(line)
	if a.UTF8 {
		p.Expect(')')
	}
	p.end()
	fault := p.failure(Command{Verb: APPEND})
	if fault == nil {
		return nil
	}
	lit, _, _ := trailingLiteral(line)
	return r.drop(lit, fault.(*Error))
}

// RefuseAppend drops the message literal of a that the session does not take,
// if it is on its way already. It returns nil if the next command can be read,
// else an error as of ReadCommand, of kind TooBig.
func (r *Reader) RefuseAppend(a *Append) error {
	fault := &Error{Kind: TooBig, Name: APPEND.String()}
	if err := r.drop(a.Literal, fault); err != error(fault) || fault.Close {
		return err
	}
	return nil
}

// drop reads lit and what follows it of the command, as far as the client sends
// it unasked, and returns fault, or the error of the source. Past MaxSkip it
// gives up and sets fault.Close.
func (r *Reader) drop(lit Literal, fault *Error) error {
	for left := int64(MaxSkip); lit.NonSync; {
		if left -= lit.Size; left < 0 {
			fault.Close = true
			return fault
		}
		if _, err := io.CopyN(io.Discard, r.src, lit.Size); err != nil {
			return unexpected(err)
		}
		line, err := r.src.ReadLine(MaxLine)
		if err != nil {
			return unexpected(err)
		}
		left -= int64(len(line))
		lit, _, _ = trailingLiteral(line)
	}
	return fault
}

// trailingLiteral returns the literal that line announces at its end and where
// its announcement starts (RFC 7888 §3). A size that is no number64 is the largest.
func trailingLiteral(line []byte) (lit Literal, at int, ok bool) {
	inner, ok := bytes.CutSuffix(line, []byte("}"))
	if !ok {
		return Literal{}, 0, false
	}
	inner, lit.NonSync = bytes.CutSuffix(inner, []byte("+"))
	at = len(inner)
	for at > 0 && scan.IsDigit(inner[at-1]) {
		at--
	}
	if at == len(inner) || at == 0 || inner[at-1] != '{' {
		return Literal{}, 0, false
	}
	size, fits := scan.Uint(inner[at:])
	if !fits || size > math.MaxInt64 {
		size = math.MaxInt64
	}
	lit.Size = int64(size)
	at--
	if lit.Binary = at > 0 && inner[at-1] == '~'; lit.Binary {
		at--
	}
	return lit, at, true
}

// isMessage reports whether a literal announced behind text is the message of
// an APPEND: the first argument, the mailbox name, stands already.
func isMessage(text []byte) bool {
	c := scan.New(text)
	c.While1(isTagChar, "")
	c.Expect(' ')
	c.ExpectFold("APPEND ")
	return !c.AtEnd()
}

// tagOf returns the tag that text starts with, "" if it is none.
func tagOf(text []byte) string {
	c := scan.New(text)
	tag := c.While1(isTagChar, "")
	c.Expect(' ')
	if c.Failed() || len(tag) > MaxTag {
		return ""
	}
	return string(tag)
}

// unexpected is err, but the end of input in the midst of a command is
// io.ErrUnexpectedEOF.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
