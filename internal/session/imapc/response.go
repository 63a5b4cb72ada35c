package imapc

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// source is where responses come from.
type source interface {
	ReadLine(limit int) ([]byte, error)
	io.Reader
}

// response is one response being read: a line, literals and the lines behind
// them. The first failure sticks.
type response struct {
	src  source
	line string
	pos  int
	err  error

	asks   bool   // it is "+"
	number uint64 // of "* 12 FETCH"
	word   string // "OK", "FETCH", in capitals
	open   int64  // octets of a literal that nobody has read
}

// head reads the beginning, and reports whether the response has the tag.
func (r *response) head(tag string) bool {
	if strings.HasPrefix(r.line, "+") {
		r.asks, r.pos = true, len(r.line)
		return false
	}
	first := r.atom()
	r.space()
	if first == "*" {
		if n, ok := r.tryNumber(); ok {
			r.number = n
			r.space()
		}
	} else if first != tag {
		r.fail("a response to %s", tag)
	}
	r.word = strings.ToUpper(r.atom())
	return first == tag
}

func (r *response) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("no %s in %.80q", fmt.Sprintf(format, args...), r.line)
	}
}

func (r *response) atEnd() bool { return r.err != nil || r.pos >= len(r.line) }

func (r *response) peek() byte {
	if r.atEnd() {
		return 0
	}
	return r.line[r.pos]
}

func (r *response) try(s string) bool {
	if r.err == nil && strings.HasPrefix(r.line[r.pos:], s) {
		r.pos += len(s)
		return true
	}
	return false
}

func (r *response) expect(s string) {
	if !r.try(s) {
		r.fail("%q", s)
	}
}

// space skips blanks. Quirk: servers send two, or one at the end.
func (r *response) space() {
	for r.peek() == ' ' {
		r.pos++
	}
}

// rest is what is left of the line.
func (r *response) rest() string {
	if r.pos > len(r.line) {
		return ""
	}
	return strings.TrimSpace(r.line[r.pos:])
}

// atom reads up to a blank, parenthesis or quote; brackets hold together what is
// in them, as in BODY[HEADER.FIELDS (X)].
func (r *response) atom() string {
	start, depth := r.pos, 0
	for !r.atEnd() {
		c := r.line[r.pos]
		if c == '[' {
			depth++
		}
		if c == ']' && depth > 0 {
			depth--
		}
		if depth == 0 && strings.IndexByte(` ()"{`, c) >= 0 {
			break
		}
		r.pos++
	}
	if r.pos == start {
		r.fail("word")
		return ""
	}
	return r.line[start:r.pos]
}

func (r *response) tryNumber() (uint64, bool) {
	end := r.pos
	for end < len(r.line) && r.line[end] >= '0' && r.line[end] <= '9' {
		end++
	}
	n, err := strconv.ParseUint(r.line[r.pos:end], 10, 63)
	if err != nil || r.err != nil || end < len(r.line) && r.line[end] != ' ' && r.line[end] != ')' && r.line[end] != ']' {
		return 0, false
	}
	r.pos = end
	return n, true
}

func (r *response) getNumber() uint64 {
	n, ok := r.tryNumber()
	if !ok {
		r.fail("number")
	}
	return n
}

// str reads a string, an atom or NIL, which is "".
func (r *response) str() string {
	switch r.peek() {
	case '"':
		return r.quoted()
	case '{', '~':
		return r.literal()
	}
	if s := r.atom(); !strings.EqualFold(s, "NIL") {
		return s
	}
	return ""
}

func (r *response) quoted() string {
	var b strings.Builder
	for r.pos++; !r.atEnd(); r.pos++ {
		switch c := r.line[r.pos]; {
		case c == '"':
			r.pos++
			return b.String()
		case c == '\\' && r.pos+1 < len(r.line):
			r.pos++
			b.WriteByte(r.line[r.pos])
		default:
			b.WriteByte(c)
		}
	}
	r.fail("end of a quoted string")
	return ""
}

// announced reads "{123}", which ends the line, and leaves its octets to be read.
func (r *response) announced() int64 {
	r.try("~") // literal8, RFC 3516
	r.expect("{")
	end := strings.IndexByte(r.line[min(r.pos, len(r.line)):], '}')
	if r.err != nil || end < 0 || r.pos+end+1 != len(r.line) {
		r.fail("literal")
		return 0
	}
	n, err := strconv.ParseInt(r.line[r.pos:r.pos+end], 10, 63)
	if err != nil || n < 0 {
		r.fail("size of a literal")
		return 0
	}
	r.pos, r.open = len(r.line), n
	return n
}

// body is the octets of the literal that was announced. resume must follow.
func (r *response) body() io.Reader { return &literal{r} }

type literal struct{ r *response }

func (l *literal) Read(p []byte) (int, error) {
	if l.r.open == 0 {
		return 0, io.EOF
	}
	n, err := l.r.src.Read(p[:min(int64(len(p)), l.r.open)])
	l.r.open -= int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// resume reads what is left of a literal, and the line behind it.
func (r *response) resume() {
	if r.err != nil {
		return
	}
	if _, err := io.Copy(io.Discard, r.body()); err != nil {
		r.err = err
		return
	}
	line, err := r.src.ReadLine(MaxLine)
	if err != nil {
		r.err = err
		return
	}
	r.line, r.pos = string(line), 0
}

func (r *response) literal() string {
	if n := r.announced(); r.err != nil || n > MaxLiteral {
		r.fail("short literal")
		return ""
	}
	b, err := io.ReadAll(r.body())
	if err != nil {
		r.err = err
	}
	r.resume()
	return string(b)
}

// list calls item for each value of a list in parentheses.
func (r *response) list(item func()) {
	r.expect("(")
	for n := 0; r.err == nil; n++ {
		r.space()
		if r.try(")") {
			return
		}
		if n == MaxList {
			r.fail("end of a list")
			return
		}
		if item(); r.atEnd() {
			r.fail("end of a list")
		}
	}
}

// skip reads a value, whatever it is.
func (r *response) skip(depth int) {
	switch r.peek() {
	case '(':
		if depth == MaxDepth {
			r.fail("list that is not so deep")
			return
		}
		r.list(func() { r.skip(depth + 1) })
	case '"':
		r.quoted()
	case '{', '~':
		r.announced()
		r.resume()
	default:
		r.atom()
	}
}

// finish reads what nobody has read of the response. Where a response that could
// not be understood ends, nobody knows: that is an error.
func (r *response) finish() error {
	for r.err == nil && strings.HasSuffix(r.line, "}") {
		i := strings.LastIndexByte(r.line, '{')
		if i < r.pos {
			break
		}
		r.pos = i
		before := r.err
		if r.announced(); r.err != nil {
			r.err = before // Text that looks like a literal.
			return nil
		}
		r.resume()
	}
	return r.err
}
