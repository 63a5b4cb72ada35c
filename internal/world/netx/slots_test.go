package netx

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/mail"
)

// visitors are connections from many places to one server.
type visitors struct {
	*host
	slots *Slots
}

// visit serves what says why it ends, and lets "login N" log in.
func visit(t *testing.T, l Limits) visitors {
	t.Helper()
	slots := NewSlots(l)
	return visitors{serve(t, Listener{
		Name: "test", Slots: slots, ReadTimeout: time.Hour,
		Refuse: func(r Refusal) string { return "refused: " + r.String() + "\r\n" },
	}, func(ctx context.Context, c *Conn) {
		for {
			line, err := c.ReadLine(100)
			if err != nil {
				_, _ = c.WriteString("bye: " + Farewell(ctx) + "\r\n")
				_ = c.Flush()
				return
			}
			var account int64
			if _, err := fmt.Sscanf(string(line), "login %d", &account); err == nil {
				if err := c.LoggedIn(account); err != nil {
					line = []byte(mail.KindOf(err).String())
				}
			}
			_, _ = c.Write(append(line, "\r\n"...))
			_ = c.Flush()
		}
	}), slots}
}

// come connects, and says whether somebody was let in.
func (v visitors) come(t *testing.T, from string) (*client, bool) {
	t.Helper()
	c := v.dial(t, from)
	_, _ = c.Write([]byte("hi\r\n"))
	return c, c.hear() == "hi"
}

func TestTheLargestNetworkGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := visit(t, Limits{Total: 16}) // 14 for strangers.
		var crowd []*client
		for i := range 10 {
			c, _ := v.come(t, fmt.Sprintf("192.0.2.%d:1", i))
			crowd = append(crowd, c)
			time.Sleep(100 * time.Millisecond) // The first ones wait longest.
		}
		for i := range 4 {
			v.come(t, fmt.Sprintf("[2001:db8:%d::1]:1", i))
		}
		time.Sleep(2 * time.Second)
		if _, in := v.come(t, "198.51.100.1:1"); !in {
			t.Fatal("a stranger from a small network was not let in")
		}
		if got := crowd[0].hear(); got != "bye: too many connections; try again later" {
			t.Errorf("who waited longest heard %q", got)
		}
		if _, in := v.come(t, "192.0.2.99:1"); !in {
			t.Error("nobody of the same network gave way")
		}
		if got := crowd[1].hear(); !strings.HasPrefix(got, "bye") {
			t.Errorf("who waited longest but one heard %q", got)
		}
		if st := v.Stats(); st.Open != 14 || st.Refused != 0 {
			t.Errorf("%+v", st)
		}
		synctest.Wait()
		h := v.slots
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.strangers != 14 || h.leaving != 0 || len(h.networks) != 6 {
			t.Errorf("%d strangers of %d networks, %d leaving", h.strangers, len(h.networks), h.leaving)
		}
	})
}

// TestSlotsAreGivenBack, whatever became of who had them.
func TestSlotsAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := visit(t, Limits{Total: 16, PerAccount: 10})
		for i := range 30 {
			c, in := v.come(t, fmt.Sprintf("192.0.%d.1:1", i))
			if !in {
				t.Fatalf("stranger %d is not let in", i)
			}
			if i%5 == 0 {
				c.say(t, "login 7")
			}
			synctest.Wait()
		}
		v.stop()
		<-v.served
		h := v.slots
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.strangers != 0 || h.known != 0 || h.leaving != 0 || len(h.networks) != 0 || len(h.from) != 0 || len(h.accounts) != 0 || h.largest() != nil {
			t.Errorf("in the end %d strangers of %d networks, %d logged in, %d leaving", h.strangers, len(h.networks), h.known, h.leaving)
		}
	})
}

// TestWhoIsAtWorkStays: of its own network nobody is shown out who just sent something.
func TestWhoIsAtWorkStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := visit(t, Limits{Total: 8}) // 7 for strangers.
		for i := range 7 {
			v.come(t, fmt.Sprintf("192.0.2.%d:1", i))
		}
		c := v.dial(t, "192.0.2.9:1")
		if got := c.hear(); got != "refused: too many connections" {
			t.Errorf("one more heard %q", got)
		}
		if st := v.Stats(); st.Open != 7 || st.Refused != 1 {
			t.Errorf("%+v", st)
		}
		v.stop()
		<-v.served
	})
}

func TestWhoLoggedInStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := visit(t, Limits{Total: 64, PerAccount: 10}) // 56 for who logged in.
		var known []*client
		for i := range 10 {
			c, _ := v.come(t, fmt.Sprintf("192.0.2.%d:1", i))
			if got := c.say(t, "login 7"); got != "login 7" {
				t.Fatalf("login %d: %q", i, got)
			}
			known = append(known, c)
		}
		c, _ := v.come(t, "192.0.2.20:1")
		if got := c.say(t, "login 7"); got != mail.RateLimited.String() {
			t.Errorf("one session more than an account may have: %q", got)
		}
		for i := range 46 {
			c, _ := v.come(t, fmt.Sprintf("192.0.2.%d:1", 30+i))
			if login := fmt.Sprint("login ", 10+i); c.say(t, login) != login {
				t.Fatalf("%s failed", login)
			}
		}
		if got := c.say(t, "login 9"); got != mail.Unavailable.String() {
			t.Errorf("a login on the slots of strangers: %q", got)
		}
		time.Sleep(10 * time.Second)
		for i := range 20 { // On the eight slots that are left.
			if _, in := v.come(t, fmt.Sprintf("198.51.%d.1:1", i)); !in {
				t.Fatalf("stranger %d was not let in", i)
			}
			synctest.Wait()
		}
		for i, c := range known {
			if got := c.say(t, "still"); got != "still" {
				t.Errorf("login %d was shown out: %q", i, got)
			}
		}
		_ = known[0].Close()
		synctest.Wait()
		c, _ = v.come(t, "192.0.2.21:1")
		if got := c.say(t, "login 99"); got != "login 99" {
			t.Errorf("after a session ended: %q", got)
		}
		v.stop()
		<-v.served
	})
}

// TestNoAccountTakesAll: it gets no more slots than it leaves to others.
func TestNoAccountTakesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := visit(t, Limits{Total: 64})
		for _, a := range []struct{ account, sessions int }{{7, 28}, {8, 14}, {9, 7}} {
			for i := range a.sessions + 1 {
				c, _ := v.come(t, fmt.Sprintf("192.0.2.%d:1", i))
				got, login := "", fmt.Sprint("login ", a.account)
				if got = c.say(t, login); (got == login) != (i < a.sessions) {
					t.Fatalf("session %d of account %d: %q", i, a.account, got)
				}
				if i == a.sessions {
					_ = c.Close()
				}
			}
			synctest.Wait()
		}
		v.stop()
		<-v.served
	})
}

// TestStrangersWaitLessLong when slots run short, those who wait already too.
func TestStrangersWaitLessLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := visit(t, Limits{Total: 80}) // 70 for strangers.
		login, _ := v.come(t, "192.0.2.1:1")
		login.say(t, "login 7")
		began := time.Now()
		early, _ := v.come(t, "192.0.3.1:1")
		for i := range 58 {
			v.come(t, fmt.Sprintf("198.51.100.%d:1", i))
		}
		if got := early.hear(); got != "bye: the server is shutting down" || time.Since(began) != scarcePatience {
			t.Errorf("a stranger heard %q after %v", got, time.Since(began))
		}
		if got := login.say(t, "still"); got != "still" {
			t.Errorf("who logged in heard %q", got)
		}
		synctest.Wait()
		late, _ := v.come(t, "192.0.3.1:2")
		time.Sleep(10 * time.Minute)
		if got := late.say(t, "still"); got != "still" {
			t.Errorf("with room again a stranger heard %q", got)
		}
		v.stop()
		<-v.served
	})
}

// TestSlotsAreShared by the listeners that are given the same.
func TestSlotsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slots := NewSlots(Limits{PerAddress: 1})
		one, other := serve(t, Listener{Slots: slots}, echo), serve(t, Listener{Slots: slots}, echo)
		if got := one.dial(t, "192.0.2.1:1").say(t, "hi"); got != "hi" {
			t.Errorf("the first heard %q", got)
		}
		if got := other.dial(t, "192.0.2.1:2").hear(); got != "EOF" {
			t.Errorf("the second heard %q", got)
		}
		one.stop()
		other.stop()
		<-one.served
		<-other.served
	})
}

func TestNetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.77": "192.0.2.0/24", "2001:db8:1:2::3": "2001:db8:1::/48", "fe80::1%eth0": "fe80::/48",
	} {
		if got := network(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("%s is of %s, want %s", addr, got, want)
		}
	}
	if network(netip.Addr{}).IsValid() {
		t.Error("no address has a network")
	}
}
