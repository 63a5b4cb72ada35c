package e2e

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"yubin/internal/testkit/mailclient"
	"yubin/internal/testkit/smtpsink"
)

// receipt is one time that a far host had all of a message for a recipient.
type receipt struct {
	at   time.Time
	told bool // the answer 250 was written
}

// farHost takes all mail and remembers, by recipient and message, how often.
type farHost struct {
	t        testing.TB
	listener net.Listener
	sink     smtpsink.Host
	talks    sync.WaitGroup

	mu       sync.Mutex
	receipts map[string][]*receipt // by recipient and id
	reports  []string              // recipients of mail from <>
}

// startFarHost listens on a free port until the test ends.
func startFarHost(t testing.TB) *farHost {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &farHost{t: t, listener: l, receipts: map[string][]*receipt{}}
	f.sink.Offers = []string{"PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "DSN"}
	f.sink.Heard, f.sink.Answered = f.heard, f.answered
	f.talks.Go(f.accept)
	t.Cleanup(func() {
		_ = l.Close()
		f.talks.Wait()
	})
	return f
}

func (f *farHost) accept() {
	for {
		c, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.talks.Go(func() { f.sink.Serve(c) })
	}
}

// address is "[127.0.0.1]:port", as a route has it.
func (f *farHost) address() string {
	return fmt.Sprintf("[127.0.0.1]:%d", f.listener.Addr().(*net.TCPAddr).Port)
}

func (f *farHost) heard(l *smtpsink.Letter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l.From == "" {
		f.reports = append(f.reports, l.To...)
	}
	for _, to := range l.To {
		f.receipts[to+" "+l.ID] = append(f.receipts[to+" "+l.ID], &receipt{at: time.Now()})
	}
}

func (f *farHost) answered(l *smtpsink.Letter, to string, code int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.receipts[to+" "+l.ID]
	list[len(list)-1].told = err == nil && code == 250
}

// of returns the receipts of one message for one recipient.
func (f *farHost) of(key string) []*receipt {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.receipts[key])
}

func (f *farHost) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.receipts)
}

// relay sends one message over c.
func relay(c *mailclient.Conn, from string, to []string, body []byte) error {
	if err := c.Command("250", "MAIL FROM:<%s>", from); err != nil {
		return err
	}
	for _, address := range to {
		if err := c.Command("250", "RCPT TO:<%s>", address); err != nil {
			return err
		}
	}
	if err := c.Command("354", "DATA"); err != nil {
		return err
	}
	if _, err := c.W.Write(body); err != nil {
		return err
	}
	return c.Command("250", ".")
}
