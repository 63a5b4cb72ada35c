package scan

import "testing"

func TestCursorReadsThrough(t *testing.T) {
	c := New([]byte("Fetch 12:* (x)"))
	c.ExpectFold("FETCH")
	c.Expect(' ')
	n := c.Number(100)
	star := c.Try(':') && c.Try('*')
	c.Expect(' ')
	rest := string(c.Rest())
	c.Skip(3)
	c.End()
	if err := c.Err(); err != nil || n != 12 || !star || rest != "(x)" || !c.AtEnd() {
		t.Errorf("n=%d star=%v rest=%q err=%v", n, star, rest, err)
	}
}

func TestFirstFailureSticks(t *testing.T) {
	c := New([]byte("abc"))
	c.Expect('a')
	c.Expect('x')
	c.Expect('b')
	c.Number(9)
	if err := c.Err(); err == nil || err.Error() != "expected 'x' at column 2" {
		t.Errorf("err = %v", err)
	}
	if c.Peek() != 0 || c.Next() != 0 || c.Skip(1) != nil || c.Rest() != nil || c.TryFold("b") || !c.Failed() {
		t.Error("a failed cursor gives nothing")
	}
	if c.Pos() != 1 {
		t.Errorf("stopped at %d", c.Pos())
	}
}

func TestCursorAtTheEnd(t *testing.T) {
	for name, read := range map[string]func(*Cursor){
		"Next":   func(c *Cursor) { c.Next() },
		"Skip":   func(c *Cursor) { c.Skip(1) },
		"While1": func(c *Cursor) { c.While1(IsAlpha, "letter") },
		"Expect": func(c *Cursor) { c.Expect('a') },
		"Number": func(c *Cursor) { c.Number(1) },
	} {
		c := New(nil)
		if read(c); c.Err() == nil {
			t.Errorf("%s at the end does not fail", name)
		}
	}
	c := New([]byte("x"))
	if c.End(); c.Err() == nil {
		t.Error("End before the end does not fail")
	}
	if c.Reset([]byte("y")); c.Next() != 'y' || c.Err() != nil {
		t.Error("Reset should start anew")
	}
}

func TestNumberLimits(t *testing.T) {
	for in, ok := range map[string]bool{"0": true, "4294967295": true, "4294967296": false,
		"18446744073709551616": false, "184467440737095516150": false, "x": false, "": false} {
		c := New([]byte(in))
		if c.Number(1<<32 - 1); (c.Err() == nil) != ok {
			t.Errorf("%q: %v", in, c.Err())
		}
	}
	if n, ok := Uint([]byte("18446744073709551615")); !ok || n != 1<<64-1 {
		t.Errorf("largest number is %d, %v", n, ok)
	}
	if _, ok := Uint([]byte("1x")); ok {
		t.Error("1x is no number")
	}
}
