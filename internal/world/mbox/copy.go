package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Copy writes a message with CRLF, without the fields of the file and with what
// was quoted as it was.
func Copy(w io.Writer, r io.ReaderAt, m Message, q Quoting) error {
	in := bufio.NewReaderSize(io.NewSectionReader(r, m.Offset, m.End-m.Offset), 64<<10)
	c := &copier{w: bufio.NewWriterSize(w, 32<<10), header: true, quoting: q, fresh: true}
	if m.raw {
		c.quoting = QuotingNone
	}
	for {
		text, err := in.ReadSlice('\n')
		if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if writeErr := c.piece(text); writeErr != nil {
			return writeErr
		}
		if err == io.EOF {
			return c.w.Flush()
		}
	}
}

// copier writes the lines of a message; long ones come in pieces.
type copier struct {
	w       *bufio.Writer
	header  bool
	name    string // of the field
	skip    bool   // it is the file's
	fresh   bool   // a line begins
	quoting Quoting
}

func (c *copier) piece(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	body, newline := bytes.CutSuffix(text, []byte("\n"))
	if newline {
		body = bytes.TrimSuffix(body, []byte("\r"))
	}
	if c.fresh {
		body = c.begin(body)
	}
	c.fresh = newline
	if c.skip && c.header {
		return nil
	}
	_, err := c.w.Write(body)
	if newline && err == nil {
		_, err = c.w.WriteString("\r\n")
	}
	return err
}

// begin looks at the beginning of a line.
func (c *copier) begin(line []byte) []byte {
	switch {
	case !c.header:
	case len(line) == 0:
		c.header, c.skip = false, false
	case line[0] == ' ' || line[0] == '\t':
		c.skip = c.skip && folds(c.name)
	default:
		c.name, _ = field(string(line))
		c.skip = fileFields[c.name] != nil
	}
	return c.unquote(line)
}

func (c *copier) unquote(line []byte) []byte {
	rest := bytes.TrimLeft(line, ">")
	n := len(line) - len(rest)
	if n == 0 || c.quoting == QuotingNone || c.quoting == QuotingO && n > 1 || !bytes.HasPrefix(rest, []byte("From ")) {
		return line
	}
	return line[1:]
}
