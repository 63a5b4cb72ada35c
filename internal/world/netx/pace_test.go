package netx

import (
	"context"
	"io"
	"strings"
	"sync"
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

// TestIdledTogether: all sessions of an account have a bound too, however many they
// are; another account's do not count.
func TestIdledTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slots := NewSlots(Limits{})
		session := func(account int64) *Conn {
			c, _ := pair(t, time.Hour, 0)
			if why := slots.add(c); why != accepted {
				t.Fatal(why)
			}
			t.Cleanup(func() { slots.remove(c) })
			if err := c.LoggedIn(account); err != nil {
				t.Fatal(err)
			}
			return c
		}
		const sessions, each = 10, idleBurst + 100
		began := time.Now()
		var all sync.WaitGroup
		for range sessions {
			c := session(1)
			all.Go(func() {
				for range each {
					c.Idled(t.Context())
				}
			})
		}
		all.Go(func() {
			c := session(2)
			for range idleBurst {
				c.Idled(t.Context())
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("another account's commands took %v", took)
			}
		})
		all.Wait()
		want := (sessions*each - accountShare*idleBurst) * idleEvery / accountShare
		if took := time.Since(began); took < want || took > want+want/50 {
			t.Errorf("%d sessions took %v, want %v", sessions, took, want)
		}
	})
}
