package pop3d

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// fill puts n messages of 4 KiB into anna's INBOX.
func (p *post) fill(n int) {
	p.t.Helper()
	ctx := context.Background()
	for i := 0; i < n; i++ {
		in := p.store.NewIncoming()
		_, err := io.WriteString(in, fmt.Sprintf("Subject: %d\r\n\r\n", i)+strings.Repeat(strings.Repeat("x", 70)+"\r\n", 56))
		if err != nil {
			p.t.Fatal(err)
		}
		to := make([]store.Filing, 0, 500)
		for ; len(to) < cap(to) && i+len(to) < n; to = append(to, store.Filing{Account: anna, Role: mail.RoleInbox}) {
		}
		if _, err := p.store.Deliver(ctx, store.Posting{Message: in, Filings: to}); err != nil {
			p.t.Fatal(err)
		}
		in.Close()
		i += len(to) - 1
	}
}

// BenchmarkRetrieveAll fetches a maildrop of 2,000 messages one after the
// other, waiting for each, as most clients do.
func BenchmarkRetrieveAll(b *testing.B) {
	const count = 2000
	p := newPost(b)
	p.fill(count)
	c := p.logIn()
	for b.Loop() {
		for n := 1; n <= count; n++ {
			if got := c.say(fmt.Sprintf("RETR %d", n)); !strings.HasPrefix(got, "+OK") {
				b.Fatal(got)
			}
			for line := ""; line != ".\r\n"; {
				raw, err := c.r.ReadSlice('\n')
				if err != nil {
					b.Fatal(err)
				}
				line = string(raw)
			}
		}
	}
	b.ReportMetric(float64(b.N)*count/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkPoll logs in to a maildrop of 20,000 messages, asks for STAT and
// UIDL, and leaves.
func BenchmarkPoll(b *testing.B) {
	p := newPost(b)
	p.fill(20_000)
	for b.Loop() {
		c := p.logIn()
		if got := c.say("STAT"); !strings.HasPrefix(got, "+OK 20000") {
			b.Fatal(got)
		}
		if c.say("UIDL"); len(c.body()) < 20_000 {
			b.Fatal("a short UIDL")
		}
		if got := c.say("QUIT"); got != "+OK bye" {
			b.Fatal(got)
		}
		_ = c.Close()
	}
}
