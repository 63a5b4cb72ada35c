package imapd

import (
	"io"
	"strings"
	"testing"
	"time"
)

// TestNoopFlood: a thousand commands that lead to nothing are answered at once, and
// then 20 in a second, whatever they are.
func TestNoopFlood(t *testing.T) {
	h := newHouse(t)
	for _, line := range []string{"a NOOP\r\n", "a EXAMINE none\r\n"} {
		c := h.dial(t)
		_, _ = io.WriteString(c, "a LOGIN alice@example.org secret\r\n")
		expect(t, c, "a OK")
		began := time.Now()
		const n = 1010
		go func() { _, _ = io.WriteString(c, strings.Repeat(line, n)+"z LOGOUT\r\n") }()
		expect(t, c, "z OK")
		if took := time.Since(began); took < 400*time.Millisecond {
			t.Errorf("%q: %d took %v", line, n, took)
		}
	}
}

// TestOctetsBeforeLogin: who has not logged in cannot send without end.
func TestOctetsBeforeLogin(t *testing.T) {
	h := newHouse(t)
	c := h.dial(t)
	id := "a ID (" + strings.Repeat(`"name" "`+strings.Repeat("x", 1000)+`" `, 29) + "\"last\" NIL)\r\n"
	go func() { _, _ = io.WriteString(c, strings.Repeat(id, 40)) }()
	got := expect(t, c, "* BYE too much before a login")
	if n := strings.Count(got, "a OK"); n < 3 || n > 9 {
		t.Errorf("%d commands were answered", n)
	}
}
