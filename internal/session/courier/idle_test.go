package courier

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/mail"
)

// again is a second message on the same session.
const again = one + "S: 250 2.0.0 again\n"

// carry sends one message and wants it delivered.
func carry(t *testing.T, c *Courier, hop mail.NextHop) mail.Result {
	t.Helper()
	r := c.Carry(t.Context(), hop, post("b"))[0]
	if r.Outcome != mail.Delivered {
		t.Errorf("%s", tell(r))
	}
	return r
}

func TestReuse(t *testing.T) {
	relay := mail.NextHop{Kind: mail.HopHosts, Hosts: []mail.HostPort{{Host: "relay.example"}}}
	other := relay
	other.TLS = mail.TLSNone
	tests := []struct {
		name    string
		limits  IdleLimits
		scripts []string
		run     func(t *testing.T, w *world, c *Courier)
		dialed  int
	}{
		{"within the time", IdleLimits{}, []string{hello + again + again + again + bye}, func(t *testing.T, w *world, c *Courier) {
			for range 3 {
				carry(t, c, relay)
				time.Sleep(14 * time.Second)
			}
		}, 1},
		{"not after it", IdleLimits{}, []string{hello + again + bye, hello + again + bye}, func(t *testing.T, w *world, c *Courier) {
			for range 2 {
				carry(t, c, relay)
				time.Sleep(30 * time.Second)
			}
		}, 2},
		{"only so many messages", IdleLimits{Messages: 2}, []string{hello + again + again + bye}, func(t *testing.T, w *world, c *Courier) {
			for range 4 {
				carry(t, c, relay)
			}
		}, 2},
		{"only so long", IdleLimits{Age: 20 * time.Second}, []string{hello + again + again + again + bye}, func(t *testing.T, w *world, c *Courier) {
			for range 3 {
				carry(t, c, relay)
				time.Sleep(10 * time.Second)
			}
			if c.idle.total != 0 {
				t.Errorf("%d sessions are idle", c.idle.total)
			}
		}, 1},
		{"not under another policy", IdleLimits{}, []string{hello + again + bye, hello + again + bye}, func(t *testing.T, w *world, c *Courier) {
			carry(t, c, relay)
			carry(t, c, other)
		}, 2},
		{"ended by the host meanwhile", IdleLimits{}, []string{hello + again + "close", hello + again + bye}, func(t *testing.T, w *world, c *Courier) {
			carry(t, c, relay)
			if r := carry(t, c, relay); len(r.Attempts) != 1 {
				t.Errorf("%s", tell(r))
			}
		}, 2},
		{"ended by the host with 421", IdleLimits{}, []string{hello + again + "C~ MAIL.*\nC~ RCPT.*\nC: DATA\nS: 421 4.4.2 idle\nclose", hello + again + bye}, func(t *testing.T, w *world, c *Courier) {
			carry(t, c, relay)
			if r := carry(t, c, relay); len(r.Attempts) != 1 {
				t.Errorf("%s", tell(r))
			}
		}, 2},
		{"after a refusal, with RSET", IdleLimits{}, []string{hello + strings.Replace(one, "S: 354 go\nC. 21\n", "S: 554 5.7.1 no\n", 1) + "C: RSET\nC~ MAIL.*\nC~ RCPT.*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC. 21\nS: 250 ok\n" + bye},
			func(t *testing.T, w *world, c *Courier) {
				if r := c.Carry(t.Context(), relay, post("b"))[0]; r.Outcome != mail.Failed {
					t.Error(tell(r))
				}
				carry(t, c, relay)
			}, 1},
		{"two at a time are two sessions, of which one is kept", IdleLimits{PerHost: 1}, []string{hello + one + "wait 1s\nS: 250 2.0.0 ok\n" + bye}, func(t *testing.T, w *world, c *Courier) {
			done := make(chan bool)
			for range 2 {
				go func() { carry(t, c, relay); done <- true }()
			}
			<-done
			<-done
			if c.idle.total != 1 {
				t.Errorf("%d sessions are idle", c.idle.total)
			}
		}, 2},
		{"none over the total", IdleLimits{Total: 1}, []string{hello + again + bye}, func(t *testing.T, w *world, c *Courier) {
			carry(t, c, relay)
			carry(t, c, other)
			if c.idle.total != 1 {
				t.Errorf("%d sessions are idle", c.idle.total)
			}
		}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.host("192.0.2.9", tt.scripts...)
				c := w.courier(tt.limits)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- c.Run(ctx) }()
				tt.run(t, w, c)
				cancel()
				<-ended
				if len(w.dialed) != tt.dialed {
					t.Errorf("dialed %v, want %d", w.dialed, tt.dialed)
				}
				if c.idle.total != 0 || len(c.idle.byKey) != 0 {
					t.Errorf("%d sessions are left in %d lists", c.idle.total, len(c.idle.byKey))
				}
			})
		})
	}
}

// TestIdleSessionIsPreferred to an address that is tried first otherwise.
func TestIdleSessionIsPreferred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("2001:db8::1", silent)
		w.host("192.0.2.1", hello+again+again+"hold")
		c := w.courier(IdleLimits{})
		carry(t, c, mx("two.example"))
		start := time.Now()
		carry(t, c, mx("two.example"))
		if len(w.dialed) != 2 || time.Since(start) != 0 {
			t.Errorf("dialed %v, %v", w.dialed, time.Since(start))
		}
	})
}

// TestNothingIsKeptAfterTheEnd of a session whose message was still on its way when
// all others were ended.
func TestNothingIsKeptAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("192.0.2.9", hello+again+bye)
		c := w.courier(IdleLimits{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Run(ctx); err != nil {
			t.Fatal(err)
		}
		carry(t, c, mail.NextHop{Kind: mail.HopHosts, Hosts: []mail.HostPort{{Host: "relay.example"}}})
		if c.idle.total != 0 {
			t.Errorf("%d sessions are left", c.idle.total)
		}
	})
}

// TestGoodbyeAtTheEnd does not wait for one host after the other.
func TestGoodbyeAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("192.0.2.9", hello+again+"hold")
		c := w.courier(IdleLimits{})
		relay := mail.NextHop{Kind: mail.HopHosts, Hosts: []mail.HostPort{{Host: "relay.example"}}}
		for _, p := range []mail.TLSPolicy{mail.TLSOpportunistic, mail.TLSNone} {
			relay.TLS = p
			carry(t, c, relay)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		_ = c.Run(ctx)
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
