package mail

import (
	"strconv"

	"yubin/internal/scan"
)

// Enhanced is an enhanced status code (RFC 3463 §2). The zero value is none.
type Enhanced struct{ Class, Subject, Detail uint16 }

// IsZero reports whether e is no code.
func (e Enhanced) IsZero() bool { return e == Enhanced{} }

// Append appends "class.subject.detail"; nothing for none.
func (e Enhanced) Append(dst []byte) []byte {
	if e.IsZero() {
		return dst
	}
	dst = strconv.AppendUint(dst, uint64(e.Class), 10)
	dst = strconv.AppendUint(append(dst, '.'), uint64(e.Subject), 10)
	return strconv.AppendUint(append(dst, '.'), uint64(e.Detail), 10)
}

func (e Enhanced) String() string { return string(e.Append(nil)) }

// ParseEnhanced reads a code: class 2, 4 or 5, and two numbers up to 999
// without leading zeros (RFC 3464 §2.3.4).
func ParseEnhanced(text string) (Enhanced, bool) {
	e, rest, ok := CutEnhanced(text)
	return e, ok && rest == ""
}

// CutEnhanced reads a code at the start of text and returns what follows it.
func CutEnhanced(text string) (e Enhanced, rest string, ok bool) {
	c := scan.New([]byte(text))
	e.Class = enhancedNumber(c, 1)
	c.Expect('.')
	e.Subject = enhancedNumber(c, 3)
	c.Expect('.')
	e.Detail = enhancedNumber(c, 3)
	if c.Failed() || e.Class != 2 && e.Class != 4 && e.Class != 5 {
		return Enhanced{}, text, false
	}
	return e, text[c.Pos():], true
}

func enhancedNumber(c *scan.Cursor, digits int) uint16 {
	d := c.While1(scan.IsDigit, "a number")
	n, _ := scan.Uint(d)
	if len(d) > digits || len(d) > 1 && d[0] == '0' {
		c.Fail("a number of a status code")
		return 0
	}
	return uint16(n)
}
