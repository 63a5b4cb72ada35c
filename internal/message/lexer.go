package message

import (
	"bytes"
	"strings"
)

// lexer reads the unfolded value of a MIME field (RFC 2045 §5.1): tokens,
// quoted strings and comments. Where the grammar is broken it steps over an
// octet and goes on.
type lexer struct {
	b        []byte
	pos      int
	boundary []byte // the parameter of that name as raw octets, if params saw it
}

func newLexer(b []byte) *lexer { return &lexer{b: b} }

func (s *lexer) atEnd() bool { return s.pos >= len(s.b) }

func (s *lexer) peek() byte {
	if s.atEnd() {
		return 0
	}
	return s.b[s.pos]
}

func (s *lexer) try(c byte) bool {
	if s.atEnd() || s.b[s.pos] != c {
		return false
	}
	s.pos++
	return true
}

// skip reads space and comments.
func (s *lexer) skip() {
	for !s.atEnd() {
		switch c := s.b[s.pos]; {
		case isWSP(c):
			s.pos++
		case c == '(':
			s.pos += commentLen(s.b[s.pos:])
		default:
			return
		}
	}
}

// commentLen returns the length of the comment that b starts with; all of b if
// nothing closes it.
func commentLen(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(b)
}

// token reads a token of RFC 2045 §5.1, in which octets above 127 may stand.
func (s *lexer) token() []byte {
	start := s.pos
	for !s.atEnd() && isToken(s.b[s.pos]) {
		s.pos++
	}
	return s.b[start:s.pos]
}

func isToken(c byte) bool {
	return c > ' ' && c != 0x7f && strings.IndexByte(`()<>@,;:\"/[]?=`, c) < 0
}

// quoted reads a quoted string that starts here; to the end if nothing closes it.
func (s *lexer) quoted() []byte {
	s.pos++
	start := s.pos
	for i := start; i < len(s.b); i++ {
		switch s.b[i] {
		case '"':
			s.pos = i + 1
			return unescape(s.b[start:i])
		case '\\':
			i++
		}
	}
	s.pos = len(s.b)
	return unescape(bytes.TrimRight(s.b[start:], " \t"))
}

// unescape takes the backslashes off quoted pairs (RFC 5322 §3.2.1).
func unescape(b []byte) []byte {
	i := bytes.IndexByte(b, '\\')
	if i < 0 {
		return b
	}
	out := append(make([]byte, 0, len(b)), b[:i]...)
	for ; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) {
			i++
		}
		out = append(out, b[i])
	}
	return out
}

// value reads the value of a parameter. Quirk: what should be quoted often is
// not, so an unquoted one goes on to the next semicolon, or to what looks like
// a parameter after a forgotten one.
func (s *lexer) value() []byte {
	if s.peek() == '"' {
		return s.quoted()
	}
	start, end := s.pos, s.pos
	for !s.atEnd() && s.b[s.pos] != ';' {
		if !isWSP(s.b[s.pos]) {
			s.pos++
			end = s.pos
			continue
		}
		if s.space(); s.peek() == '(' || s.startsParam() {
			break
		}
	}
	return s.b[start:end]
}

func (s *lexer) space() {
	for !s.atEnd() && isWSP(s.b[s.pos]) {
		s.pos++
	}
}

// startsParam reports whether a token and an equals sign follow.
func (s *lexer) startsParam() bool {
	at := s.pos
	n := len(s.token())
	ok := n > 0 && s.peek() == '='
	s.pos = at
	return ok
}

// params reads the parameters up to the end (RFC 2045 §5.1, RFC 2231).
func (s *lexer) params() ([]Param, given) {
	var pieces []piece
	for !s.atEnd() && len(pieces) < MaxParams {
		s.skip()
		name := s.token()
		if len(name) == 0 {
			s.pos++
			continue
		}
		if s.skip(); s.try('=') {
			s.skip()
			pieces = append(pieces, newPiece(name, s.value()))
		}
	}
	if len(pieces) == 0 {
		return nil, nil
	}
	out := make([]Param, 0, len(pieces))
	for i := range pieces {
		if name := pieces[i].name; name != "" && !has(out, name) {
			raw, charset, extended := join(pieces, name)
			if name == "boundary" {
				s.boundary = raw
			}
			out = append(out, Param{name, paramText(raw, charset, extended)})
		}
	}
	return out, givenParams(pieces, out)
}

func has(ps []Param, name string) bool {
	for i := range ps {
		if ps[i].Name == name {
			return true
		}
	}
	return false
}
