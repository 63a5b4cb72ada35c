package pop3d

import (
	"io"
	"strings"
	"testing"
	"time"
)

// TestNoopFlood: a thousand commands that lead to nothing are answered at once, and
// then 20 in a second, whatever they are.
func TestNoopFlood(t *testing.T) {
	for _, line := range []string{"NOOP\r\n", "LIST 9\r\n"} {
		p := newPost(t)
		c := p.logIn()
		const n = 1010
		began := time.Now()
		go func() { _, _ = io.WriteString(c, strings.Repeat(line, n)) }()
		for range n {
			if _, err := c.r.ReadSlice('\n'); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 400*time.Millisecond {
			t.Errorf("%q: %d took %v", line, n, took)
		}
		_ = c.Close()
	}
}
