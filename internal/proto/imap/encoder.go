package imap

import (
	"io"
	"strconv"
	"strings"

	"yubin/internal/message"
)

// Writer is where responses go. Encoder never flushes it.
type Writer interface {
	io.Writer
	io.StringWriter
}

// keepScratch is how large a buffer an Encoder keeps between responses, and how
// much it gathers of a long one before it writes, in octets.
const keepScratch = 2 << 10

// Encoder writes responses. Each method writes one whole response, but for
// Fetch; between Gather and Scatter they may be written later. The first error of the Writer sticks; Err returns it and later calls
// do nothing. Texts, codes and tags must be free of CR and LF; in texts and
// codes they are replaced by spaces.
type Encoder struct {
	w      Writer
	b      []byte // what was not written yet
	gather int    // octets to gather before they are written; 0: a response is written when it ends
	utf8   bool
	err    error

	written uint // how often something was
}

// NewEncoder returns an encoder for a session before ENABLE.
func NewEncoder(w Writer) *Encoder { return &Encoder{w: w} }

// SetUTF8 says that ENABLE IMAP4rev2 or UTF8=ACCEPT was done: mailbox names go
// out in UTF-8 instead of modified UTF-7.
func (e *Encoder) SetUTF8(on bool) { e.utf8 = on }

// Err returns the first error of the Writer.
func (e *Encoder) Err() error { return e.err }

// Cond is the condition of a status response (RFC 9051 §7.1).
type Cond string

// The conditions.
const (
	OK      Cond = "OK"
	NO      Cond = "NO"
	BAD     Cond = "BAD"
	PREAUTH Cond = "PREAUTH"
	BYE     Cond = "BYE"
)

// Status writes a status response: tagged, or untagged if tag is "". Text must
// not be empty (RFC 3501 clients need some).
func (e *Encoder) Status(tag string, cond Cond, code Code, text string) {
	if tag == "" {
		tag = "*"
	}
	e.b = append(e.b, tag...)
	e.b = append(append(append(e.b, ' '), cond...), ' ')
	if code != "" {
		e.b = append(e.b, '[')
		e.b = appendLine(e.b, string(code))
		e.b = append(e.b, "] "...)
	}
	e.b = appendLine(e.b, text)
	e.crlf()
}

// Continue writes a command continuation request. For a SASL challenge text is
// base64, and may be empty.
func (e *Encoder) Continue(text string) {
	e.b = append(e.b, "+ "...)
	e.b = appendLine(e.b, text)
	e.crlf()
}

// Capability writes CAPABILITY.
func (e *Encoder) Capability(names ...string) { e.words("* CAPABILITY", names) }

// Enabled writes ENABLED (RFC 5161 §3.2).
func (e *Encoder) Enabled(names ...string) { e.words("* ENABLED", names) }

// Flags writes FLAGS, the flags that apply in the mailbox; names come with
// their backslash.
func (e *Encoder) Flags(names ...string) {
	e.b = append(e.b, "* FLAGS ("...)
	e.b = append(e.b, strings.Join(names, " ")...)
	e.b = append(e.b, ')')
	e.crlf()
}

func (e *Encoder) words(name string, words []string) {
	e.b = append(e.b, name...)
	for _, w := range words {
		e.b = append(append(e.b, ' '), w...)
	}
	e.crlf()
}

// Exists writes EXISTS.
func (e *Encoder) Exists(n uint32) { e.counted(n, " EXISTS") }

// Recent writes RECENT of RFC 3501; never after ENABLE IMAP4rev2.
func (e *Encoder) Recent(n uint32) { e.counted(n, " RECENT") }

// Expunge writes EXPUNGE.
func (e *Encoder) Expunge(seq uint32) { e.counted(seq, " EXPUNGE") }

func (e *Encoder) counted(n uint32, name string) {
	e.b = append(e.b, "* "...)
	e.b = strconv.AppendUint(e.b, uint64(n), 10)
	e.b = append(e.b, name...)
	e.crlf()
}

// Field is a name and a value of ID.
type Field struct{ Name, Value string }

// ID writes ID (RFC 2971 §3.2): NIL without fields; an empty value is NIL.
func (e *Encoder) ID(fields ...Field) {
	e.b = append(e.b, "* ID "...)
	if len(fields) == 0 {
		e.b = append(e.b, "NIL"...)
		e.crlf()
		return
	}
	for i, f := range fields {
		e.b = append(e.b, " ("[b2i(i == 0)])
		e.b = AppendString(e.b, []byte(f.Name))
		e.b = append(e.b, ' ')
		e.b = appendNString(e.b, []byte(f.Value))
	}
	e.b = append(e.b, ')')
	e.crlf()
}

// Gather makes the encoder write in large pieces, as many responses as fit into
// buf at a time, until Scatter. What literals hold is gathered too.
func (e *Encoder) Gather(buf []byte) {
	e.flush()
	e.b, e.gather = buf[:0], cap(buf)
}

// Scatter writes what was gathered and forgets the buffer given to Gather.
func (e *Encoder) Scatter() {
	e.gather = 0
	e.flush()
	e.b = nil
}

// Write passes octets of a literal through, after what was announced.
func (e *Encoder) Write(p []byte) (int, error) {
	if len(e.b)+len(p) <= e.gather && e.err == nil {
		e.b = append(e.b, p...)
		return len(p), nil
	}
	e.flush()
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.w.Write(p)
	e.err = err
	return n, err
}

// crlf ends a response and writes it, unless more is to be gathered.
func (e *Encoder) crlf() {
	e.b = append(e.b, '\r', '\n')
	if len(e.b) >= e.gather-keepScratch {
		e.flush()
	}
}

// flush writes what was gathered. A buffer grown large is not kept.
func (e *Encoder) flush() {
	e.written++
	if len(e.b) > 0 && e.err == nil {
		_, e.err = e.w.Write(e.b)
	}
	if cap(e.b) > max(e.gather, 2*keepScratch) {
		e.b = nil
	}
	e.b = e.b[:0]
}

// spill writes what was gathered of a long response if it is much.
func (e *Encoder) spill() {
	if len(e.b) >= max(e.gather-keepScratch, keepScratch) {
		e.flush()
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// appendLine appends s with its control characters as spaces.
func appendLine(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c == 0x7f {
			c = ' '
		}
		dst = append(dst, c)
	}
	return dst
}

// maxQuoted is how long a quoted string we write may be (RFC 2683 §3.4.2 asks
// for literals beyond about a thousand octets).
const maxQuoted = 1000

// AppendString appends b as a string: quoted if it is short and printable
// US-ASCII, else as a literal. So it is valid for both revisions. NUL, which no
// string may hold, is shown as in a message (message.WithoutNUL).
func AppendString(dst, b []byte) []byte {
	if isQuotable(b) {
		return appendQuoted(dst, b)
	}
	dst = strconv.AppendInt(append(dst, '{'), int64(len(b)), 10)
	return message.AppendWithoutNUL(append(dst, "}\r\n"...), b)
}

func isQuotable(b []byte) bool {
	if len(b) > maxQuoted {
		return false
	}
	for _, c := range b {
		if c < ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

func appendQuoted[T string | []byte](dst []byte, b T) []byte {
	dst = append(dst, '"')
	for i := range len(b) {
		if b[i] == '"' || b[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, b[i])
	}
	return append(dst, '"')
}

// appendNString appends b as nstring: NIL if it is empty.
func appendNString(dst, b []byte) []byte {
	if len(b) == 0 {
		return append(dst, "NIL"...)
	}
	return AppendString(dst, b)
}
