package netx

import (
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// trickle sends one octet of text each 50 seconds. The function returned closes
// the connection and waits for the end of it.
func trickle(w io.WriteCloser, text string) (stop func()) {
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range text {
			<-time.After(50 * time.Second)
			if _, err := io.WriteString(w, text[i:i+1]); err != nil {
				return
			}
		}
	})
	return func() {
		_ = w.Close()
		wg.Wait()
	}
}

// TestTrickledLine: a line has one read timeout in all, from its first octets.
func TestTrickledLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pair(t, time.Minute, 0)
		defer trickle(client, "NO\r\nand so on\r\n")()
		began := time.Now()
		_, err := c.ReadLine(100)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the line ended with %v", err)
		}
		if took := time.Since(began); took != 110*time.Second { // 50 s to the first octet.
			t.Errorf("it took %v", took)
		}
	})
}

// TestLineLimitEndsWithTheLine: what follows a line has its own time.
func TestLineLimitEndsWithTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pair(t, time.Minute, 0)
		_, _ = io.WriteString(client, "A")
		time.AfterFunc(30*time.Second, func() { _, _ = io.WriteString(client, "B\r\n") })
		if line, err := c.ReadLine(100); err != nil || string(line) != "AB" {
			t.Fatalf("%q, %v", line, err)
		}
		defer trickle(client, "1234")()
		var four [4]byte
		if _, err := io.ReadFull(c, four[:]); err != nil || string(four[:]) != "1234" {
			t.Errorf("%q, %v", four, err)
		}
	})
}

func TestLimitReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pair(t, time.Minute, 0)
		c.LimitReads(3 * time.Minute)
		defer trickle(client, "123456789")()
		began := time.Now()
		n, err := io.Copy(io.Discard, c)
		if n != 3 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 3*time.Minute {
			t.Errorf("%d octets in %v, %v", n, time.Since(began), err)
		}
	})
}

func TestLimitReadsLifted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pair(t, time.Minute, 0)
		c.LimitReads(3 * time.Minute)
		defer trickle(client, "123456789")()
		c.LimitReads(0)
		var nine [9]byte
		if n, err := io.ReadFull(c, nine[:]); err != nil {
			t.Errorf("%d octets, %v", n, err)
		}
	})
}
