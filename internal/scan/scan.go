// Package scan is a byte cursor for hand-written parsers. The first failure
// sticks: every later call does nothing and returns zero values, so a parser
// reads straight through and asks Err once at the end.
package scan

import "fmt"

// Error says what was expected and where.
type Error struct {
	Column int    // octets before the failure, from 0
	Want   string // what the grammar asks for there
}

func (e *Error) Error() string { return fmt.Sprintf("expected %s at column %d", e.Want, e.Column+1) }

// Cursor reads a byte slice from left to right. It keeps and returns slices of
// it, never copies.
type Cursor struct {
	s   []byte
	pos int
	err *Error
}

// New returns a cursor at the start of s.
func New(s []byte) *Cursor { return &Cursor{s: s} }

// Reset makes c a cursor at the start of s.
func (c *Cursor) Reset(s []byte) { *c = Cursor{s: s} }

// Err returns the first failure, or nil.
func (c *Cursor) Err() error {
	if c.err == nil {
		return nil
	}
	return c.err
}

// Failed reports whether there was a failure.
func (c *Cursor) Failed() bool { return c.err != nil }

// Fail records that want was expected here, unless an earlier failure stands.
func (c *Cursor) Fail(want string) {
	if c.err == nil {
		c.err = &Error{Column: c.pos, Want: want}
	}
}

// Pos returns how many octets were read.
func (c *Cursor) Pos() int { return c.pos }

// Rest returns what was not read yet; nothing after a failure.
func (c *Cursor) Rest() []byte {
	if c.err != nil {
		return nil
	}
	return c.s[c.pos:]
}

// AtEnd reports whether all was read or a failure stands.
func (c *Cursor) AtEnd() bool { return c.err != nil || c.pos == len(c.s) }

// Peek returns the next octet without reading it; 0 at the end.
func (c *Cursor) Peek() byte {
	if c.AtEnd() {
		return 0
	}
	return c.s[c.pos]
}

// Next reads one octet; fails at the end.
func (c *Cursor) Next() byte {
	if c.AtEnd() {
		c.Fail("more input")
		return 0
	}
	c.pos++
	return c.s[c.pos-1]
}

// Skip reads n octets; fails if there are fewer.
func (c *Cursor) Skip(n int) []byte {
	if c.err != nil || n < 0 || n > len(c.s)-c.pos {
		c.Fail("more input")
		return nil
	}
	c.pos += n
	return c.s[c.pos-n : c.pos]
}

// Try reads b if it is next, and says whether it was.
func (c *Cursor) Try(b byte) bool {
	if c.AtEnd() || c.s[c.pos] != b {
		return false
	}
	c.pos++
	return true
}

// Expect reads b or fails.
func (c *Cursor) Expect(b byte) {
	if !c.Try(b) {
		c.Fail(fmt.Sprintf("%q", b))
	}
}

// TryFold reads word, given in any case, if it is next without regard to ASCII case.
func (c *Cursor) TryFold(word string) bool {
	if c.err != nil || len(c.s)-c.pos < len(word) || !equalFold(c.s[c.pos:c.pos+len(word)], word) {
		return false
	}
	c.pos += len(word)
	return true
}

// ExpectFold reads word without regard to ASCII case, or fails.
func (c *Cursor) ExpectFold(word string) {
	if !c.TryFold(word) {
		c.Fail(word)
	}
}

// While reads octets as long as class accepts them; it may read none.
func (c *Cursor) While(class func(byte) bool) []byte {
	if c.err != nil {
		return nil
	}
	start := c.pos
	for c.pos < len(c.s) && class(c.s[c.pos]) {
		c.pos++
	}
	return c.s[start:c.pos]
}

// While1 is While, but fails with want if it reads none.
func (c *Cursor) While1(class func(byte) bool, want string) []byte {
	b := c.While(class)
	if len(b) == 0 {
		c.Fail(want)
	}
	return b
}

// Number reads a decimal number of at most limit; fails on none, on more than
// 20 digits and beyond limit.
func (c *Cursor) Number(limit uint64) uint64 {
	at := c.pos
	digits := c.While1(IsDigit, "number")
	n, ok := Uint(digits)
	if c.err == nil && (!ok || n > limit) {
		c.pos = at
		c.Fail(fmt.Sprintf("number of at most %d", limit))
	}
	if c.err != nil {
		return 0
	}
	return n
}

// End fails unless all was read.
func (c *Cursor) End() {
	if c.err == nil && c.pos != len(c.s) {
		c.Fail("end of line")
	}
}

// Uint reads digits as a decimal number; false if there are none, if there is
// anything else, or if it overflows.
func Uint(digits []byte) (uint64, bool) {
	if len(digits) == 0 || len(digits) > 20 {
		return 0, false
	}
	var n uint64
	for _, d := range digits {
		if !IsDigit(d) || n > (1<<64-1-uint64(d-'0'))/10 {
			return 0, false
		}
		n = n*10 + uint64(d-'0')
	}
	return n, true
}

// IsDigit is DIGIT of RFC 5234.
func IsDigit(b byte) bool { return b >= '0' && b <= '9' }

// IsAlpha is ALPHA of RFC 5234.
func IsAlpha(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

// Lower lowers an ASCII letter.
func Lower(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b + 0x20
	}
	return b
}

func equalFold(b []byte, s string) bool {
	for i := range b {
		if Lower(b[i]) != Lower(s[i]) {
			return false
		}
	}
	return true
}
