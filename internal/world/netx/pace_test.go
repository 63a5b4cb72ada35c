package netx

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestIdled: commands that lead to nothing come at a bounded rate after a burst, by
// number and by octets; what is answered is sent before the wait, and the end of
// the session ends it.
func TestIdled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pair(t, time.Hour, 0)
		took := func(n int, line string) time.Duration {
			t.Helper()
			began := time.Now()
			for range n {
				go func() { _, _ = io.WriteString(client, line+"\r\n") }()
				if _, err := c.ReadLine(1 << 20); err != nil {
					t.Fatal(err)
				}
				c.Idled(t.Context())
			}
			return time.Since(began)
		}
		for i, s := range []struct {
			n      int
			octets int
			want   time.Duration
		}{
			{idleBurst, 4, 0},
			{100, 4, 100 * idleEvery},
			{10, 20 * idleOctets, 210 * idleEvery},
		} {
			if got := took(s.n, strings.Repeat("x", s.octets)); got < s.want || got > s.want+s.want/50 {
				t.Errorf("%d: took %v, want %v", i, got, s.want)
			}
		}
		time.Sleep(idleBurst * idleEvery)
		for range 100 { // What works costs nothing, whatever comes.
			go func() { _, _ = io.WriteString(client, strings.Repeat("x", 100<<10)+"\r\n") }()
			if _, err := c.ReadLine(1 << 20); err != nil {
				t.Fatal(err)
			}
			c.Worked()
		}
		if got := took(idleBurst, "NOOP"); got != 0 {
			t.Errorf("a new burst took %v", got)
		}
		over, end := context.WithCancel(t.Context())
		end()
		_, _ = c.WriteString("OK\r\n")
		began := time.Now()
		go c.Idled(over)
		got := make([]byte, 4)
		if _, err := io.ReadFull(client, got); err != nil || string(got) != "OK\r\n" || time.Since(began) != 0 {
			t.Errorf("%q, %v after %v", got, err, time.Since(began))
		}
		synctest.Wait()
	})
}
