package mbox

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"yubin/internal/mail"
)

// Writer writes a file, mboxrd with the fields of the package comment. UIDs must
// ascend.
type Writer struct {
	w        *bufio.Writer
	validity mail.UIDValidity
	next     mail.UID
	begun    bool
}

// NewWriter returns a writer of a mailbox with these numbers.
func NewWriter(w io.Writer, v mail.UIDValidity, next mail.UID) *Writer {
	return &Writer{w: bufio.NewWriterSize(w, 64<<10), validity: v, next: next}
}

// Add writes a message, whose octets write gives with CRLF. An error of write is
// returned as it is; the file is not whole then.
func (w *Writer) Add(uid mail.UID, f mail.Flags, keywords []string, received time.Time, write func(io.Writer) error) error {
	fmt.Fprintf(w.w, "From MAILER-DAEMON %s\n", received.UTC().Format("Mon Jan _2 15:04:05 2006"))
	if !w.begun {
		fmt.Fprintf(w.w, "X-IMAPbase: %d %d\n", w.validity, w.next-1)
		w.begun = true
	}
	fmt.Fprintf(w.w, "X-UID: %d\n", uid)
	if s := pick(f, "ADFT"); s != "" {
		fmt.Fprintf(w.w, "X-Status: %s\n", s)
	}
	if len(keywords) > 0 {
		fmt.Fprintf(w.w, "X-Keywords: %s\n", strings.Join(keywords, " "))
	}
	fmt.Fprintf(w.w, "Status: %sO\n", pick(f, "R")) // The last: it never folds, and the message may begin with space.
	q := &quoter{w: w.w, fresh: true}
	if err := write(q); err != nil {
		return err
	}
	return q.close()
}

func pick(f mail.Flags, letters string) string {
	return strings.Map(func(c rune) rune {
		if f&statusLetters[c] == 0 {
			return -1
		}
		return c
	}, letters)
}

// Flush ends the file.
func (w *Writer) Flush() error { return w.w.Flush() }

// quoter writes lines with LF and quotes those that begin with "From ", quoted
// or not.
type quoter struct {
	w     *bufio.Writer
	line  []byte // the begin of a line, as far as must be seen to quote it
	fresh bool
	cr    bool
	any   bool
}

func (q *quoter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			q.part(p)
			break
		}
		q.part(p[:i])
		q.endLine()
		p = p[i+1:]
	}
	if _, err := q.w.Write(nil); err != nil {
		return 0, err
	}
	return n, nil
}

// part takes octets of a line.
func (q *quoter) part(p []byte) {
	if len(p) == 0 {
		return
	}
	q.any = q.any || q.cr || len(p) > 1 || p[0] != '\r'
	if q.cr {
		q.put('\r')
	}
	if q.cr = p[len(p)-1] == '\r'; q.cr {
		p = p[:len(p)-1]
	}
	if !q.fresh {
		_, _ = q.w.Write(p) // bufio keeps the error.
		return
	}
	q.line = append(q.line, p...)
	if !undecided(q.line) {
		q.settle()
	}
}

func (q *quoter) put(c byte) {
	if q.fresh {
		q.line = append(q.line, c)
		return
	}
	_ = q.w.WriteByte(c)
}

// maxQuoted is how many octets of a line are looked at.
const maxQuoted = 32 << 10

// undecided reports whether more of a line must be seen.
func undecided(line []byte) bool {
	rest := bytes.TrimLeft(line, ">")
	return len(line) < maxQuoted && len(rest) < len("From ") && bytes.HasPrefix([]byte("From "), rest)
}

func (q *quoter) settle() {
	if bytes.HasPrefix(bytes.TrimLeft(q.line, ">"), []byte("From ")) {
		_ = q.w.WriteByte('>')
	}
	_, _ = q.w.Write(q.line)
	q.line, q.fresh = q.line[:0], false
}

func (q *quoter) endLine() {
	if q.fresh {
		q.settle()
	}
	_ = q.w.WriteByte('\n')
	q.cr, q.fresh, q.any = false, true, false
}

// close ends the last line, and writes the empty one that parts messages.
func (q *quoter) close() error {
	if q.any || q.cr {
		q.endLine()
	}
	return q.w.WriteByte('\n')
}
