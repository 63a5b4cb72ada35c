package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"os"
	"strings"

	"yubin/internal/message"
)

// Bounds of what sendmail reads.
const (
	maxLetterHeader = 256 << 10 // as a server of ours takes
	maxLetterMemory = 1 << 20   // of the message; more goes into a temporary file
)

// letter is a message that was read to its end, with CRLF. Nothing is sent before: a
// program may take hours for what it writes.
type letter struct {
	header []byte          // without the empty line
	lead   string          // what stands between fields that are put before the header and it
	head   *message.Parser // says where the header ends; nil once that is known
	memory bytes.Buffer
	file   *os.File // what memory did not hold, or nil
}

// readLetter reads a message up to the end of r, or to a line with a dot alone unless
// dots is true. A separator of mbox before the header is dropped.
func readLetter(r io.Reader, dots bool) (*letter, error) {
	l := &letter{head: message.NewParser()}
	lines := letterLines{r: bufio.NewReaderSize(r, 64<<10), dots: dots}
	separator := false
	for first := true; ; first = false {
		piece, begins, err := lines.next()
		separator = begins && first && bytes.HasPrefix(piece, []byte("From ")) || !begins && separator
		switch {
		case errors.Is(err, io.EOF):
			err = l.end()
			if err == nil {
				return l, nil
			}
		case err == nil && !separator:
			err = l.take(piece)
		}
		if err != nil {
			l.close()
			return nil, err
		}
	}
}

// take adds to the message: to the header, until it is known where that ends.
func (l *letter) take(p []byte) error {
	if l.head == nil {
		return l.write(p)
	}
	l.header = append(l.header, p...)
	_, _ = l.head.Write(p) // It never fails.
	return l.part()
}

// end is told that nothing more comes.
func (l *letter) end() error {
	if l.head == nil {
		return nil
	}
	l.head.Finish()
	return l.part()
}

// part parts the header from the body if it is known where it ends.
func (l *letter) part() error {
	h, known := l.head.Header()
	if l.head.HeaderSize() > maxLetterHeader {
		if message.HeaderSize(l.header) > 0 {
			return exitf(exDataErr, "the header is over %d KiB", maxLetterHeader>>10)
		}
		h, known = message.Header{}, true // One long line that is no field.
	}
	if !known {
		return nil
	}
	header, body := l.header[:h.Size:h.Size], l.header[h.Size:]
	if bytes.HasSuffix(header, []byte("\n\r\n")) || string(header) == "\r\n" {
		header = header[:len(header)-2]
	}
	l.header, l.lead, l.head = header, h.Lead, nil
	return l.write(body)
}

// write adds to the body.
func (l *letter) write(p []byte) error {
	if l.file == nil && l.memory.Len()+len(p) <= maxLetterMemory {
		l.memory.Write(p)
		return nil
	}
	if l.file == nil {
		f, err := os.CreateTemp("", "yubin-sendmail-*")
		if err != nil {
			return exitf(exTempFail, "the message cannot be kept while it is read: %v", err)
		}
		_ = os.Remove(f.Name()) // It has no name any more, and is gone with the process.
		l.file = f
	}
	if _, err := l.file.Write(p); err != nil {
		return exitf(exTempFail, "the message cannot be kept while it is read: %v", err)
	}
	return nil
}

func (l *letter) close() {
	if l.file != nil {
		_ = l.file.Close()
	}
}

// writeTo writes the message as it stands after DATA: dots at the beginning of lines are
// doubled, and the last line is a dot.
func (l *letter) writeTo(w io.Writer) error {
	d := &dotted{w: bufio.NewWriterSize(w, 64<<10), begin: true}
	_, err := d.Write(append(l.header, "\r\n"...))
	if err == nil {
		_, err = d.Write(l.memory.Bytes())
	}
	if err == nil && l.file != nil {
		if _, err = l.file.Seek(0, io.SeekStart); err == nil {
			_, err = io.Copy(d, l.file)
		}
	}
	if err != nil {
		return err
	}
	if !d.begin {
		_, _ = d.w.WriteString("\r\n")
	}
	_, _ = d.w.WriteString(".\r\n")
	return d.w.Flush()
}

// dotted doubles the dots that lines begin with (RFC 5321 §4.5.2).
type dotted struct {
	w     *bufio.Writer
	begin bool // of a line
}

func (d *dotted) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		if d.begin && line[0] == '.' {
			_ = d.w.WriteByte('.')
		}
		if _, err := d.w.Write(line); err != nil {
			return 0, err
		}
		d.begin = line[len(line)-1] == '\n'
	}
	return len(p), nil
}

// letterLines reads lines that end in LF, CRLF or CR, and gives them out with CRLF; long
// ones in pieces.
type letterLines struct {
	r    *bufio.Reader
	dots bool
	mid  bool   // the last piece did not end its line
	cr   bool   // what was read ended in a CR, which may be of a CRLF
	rest []byte // of what was read
}

// next returns a piece of a line, and whether it begins one.
func (l *letterLines) next() (piece []byte, begins bool, err error) {
	for len(l.rest) == 0 {
		chunk, err := l.r.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, false, exitf(exIOErr, "the message cannot be read: %v", err)
		}
		if l.cr && len(chunk) > 0 && chunk[0] == '\n' {
			chunk = chunk[1:] // The line ended with the CR.
		}
		if len(chunk) > 0 {
			l.cr = false
		}
		if l.rest = chunk; len(chunk) == 0 && errors.Is(err, io.EOF) {
			if l.mid { // The last line had no end.
				l.mid = false
				return []byte("\r\n"), false, nil
			}
			return nil, false, io.EOF
		}
	}
	begins = !l.mid
	end := bytes.IndexAny(l.rest, "\r\n")
	if end < 0 {
		piece, l.rest, l.mid = l.rest, nil, true
		if begins && !l.dots && string(piece) == "." { // The last line, without an end.
			return nil, false, io.EOF
		}
		return piece, begins, nil
	}
	line := l.rest[:end]
	l.cr = l.rest[end] == '\r' && end+1 == len(l.rest)
	if l.rest[end] == '\r' && end+1 < len(l.rest) && l.rest[end+1] == '\n' {
		end++
	}
	l.rest, l.mid = l.rest[end+1:], false
	if begins && !l.dots && string(line) == "." {
		return nil, false, io.EOF
	}
	return append(line[:len(line):len(line)], "\r\n"...), begins, nil
}

// has reports whether the header has a field.
func (l *letter) has(name string) bool {
	for f := range message.Fields(l.header) {
		if strings.EqualFold(f.Name, name) {
			return true
		}
	}
	return false
}

// recipients are those of To, Cc and Bcc; of what is sent again (RFC 5322 §3.6.6), those
// of the Resent fields.
func (l *letter) recipients() (all []string, err error) {
	prefix := ""
	for _, name := range []string{"resent-to", "resent-cc", "resent-bcc"} {
		if l.has(name) {
			prefix = "resent-"
		}
	}
	seen := map[string]bool{} // of the newest Resent block, which is the first
	for f := range message.Fields(l.header) {
		name := strings.ToLower(f.Name)
		switch strings.TrimPrefix(name, prefix) {
		case "to", "cc", "bcc":
		default:
			continue
		}
		if !strings.HasPrefix(name, prefix) || prefix != "" && seen[name] {
			continue
		}
		seen[name] = true
		list, err := recipientsIn(f.Value, exDataErr)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// addFrom puts a From field into a header that has none. Lines that are no fields stay
// apart from it.
func (l *letter) addFrom(name, address string) {
	if l.has("from") {
		return
	}
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, name)
	field := "From: " + quotedName(name) + " <" + address + ">\r\n"
	if len(message.BeforeFields(l.header)) > 0 {
		field += l.lead
	}
	l.header = append([]byte(field), l.header...)
}

// quotedName is a name as it stands before an address.
func quotedName(name string) string {
	if encoded := mime.QEncoding.Encode("utf-8", name); encoded != name {
		return encoded
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}
