package smtpd

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"yubin/internal/world/netx"
)

// TestManyRefusals: of many refusals in one session the log and the journal tell
// the first ones one by one and the others in one line and one entry.
func TestManyRefusals(t *testing.T) {
	p := newPost(t, settings(t, "set limits refusals=5000 recipients=3000"))
	s := p.server.newSession(Client{}, false)
	say := func(line string) { s.command(context.Background(), []byte(line), false) }
	say("EHLO a")
	say("MAIL FROM:<a@remote.example>")
	const refusals = 1000
	for i := range refusals {
		say(fmt.Sprintf("RCPT TO:<nobody%d@example.org>", i))
	}
	s.logMore()
	p.mu.Lock()
	defer p.mu.Unlock()
	log := p.log.String()
	if n := strings.Count(log, "msg=rejection"); n != maxTold+1 || !strings.Contains(log, fmt.Sprintf("and %d more in this session", refusals-maxTold)) {
		t.Errorf("%d lines:\n%.2000s", n, log)
	}
	if n := len(p.entries); n != maxTold+1 {
		t.Errorf("%d entries", n)
	}
	t.Logf("%d refusals: %d octets of log", refusals, len(log))
}

// TestEarlyTalker: who sends before the greeting is refused with it, on MX and on
// submission, and who waits is not.
func TestEarlyTalker(t *testing.T) {
	for _, profile := range []string{"mx", "submission", "lmtp"} {
		for _, early := range []bool{true, false} {
			p := newPost(t, settings(t, "set profile "+profile))
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			ours, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if early {
				// On loopback what was written is there when Write returns.
				if _, err := c.Write([]byte("EHLO client.example\r\n")); err != nil {
					t.Fatal(err)
				}
			}
			served := make(chan struct{})
			go func() {
				defer close(served)
				nc := netx.NewConn(ours, 0, time.Minute)
				defer nc.Close()
				p.server.Serve(context.Background(), nc)
			}()
			if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			var first [4]byte
			if _, err := c.Read(first[:]); err != nil {
				t.Fatal(err)
			}
			want := "220 "
			if early && profile != "lmtp" {
				want = "554 "
			}
			if string(first[:]) != want {
				t.Errorf("%s, early %v: %q", profile, early, first)
			}
			_ = c.Close()
			<-served
			_ = l.Close()
		}
	}
}
