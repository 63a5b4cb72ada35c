package directory

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
)

func at(user byte, network string, known bool) attempt {
	return attempt{pair: pair{user: userKey{user}, network: netip.MustParsePrefix(network)}, known: known}
}

// Turns go round by network, then by account; a known network goes first.
func TestGateIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{free: 1}
		if err := g.enter(t.Context(), attempt{}, 1, 0); err != nil {
			t.Fatal(err)
		}
		var order []string
		wait := func(name string, a attempt) {
			go func() {
				if err := g.enter(t.Context(), a, 1, time.Hour); err != nil {
					t.Error(err)
				}
				order = append(order, name)
			}()
			synctest.Wait()
		}
		for i := range 3 {
			wait(fmt.Sprint("a", i), at(1, "192.0.2.1/32", false))
		}
		wait("a-other", at(2, "192.0.2.1/32", false))
		wait("b", at(1, "192.0.2.2/32", false))
		wait("c", at(9, "192.0.2.3/32", false))
		wait("owner", at(1, "203.0.113.1/32", true))
		for range 7 {
			g.leave(1)
			synctest.Wait()
		}
		if got := strings.Join(order, " "); got != "owner a0 b c a-other a1 a2" {
			t.Errorf("turns: %s", got)
		}
		g.leave(1)
		if g.free != 1 || len(g.lines[0])+len(g.lines[1]) != 0 {
			t.Errorf("%d free, lines %v", g.free, g.lines)
		}
	})
}

// Who waits too long hears that; nobody is overtaken by one who needs less; what
// was given up is free for others.
func TestGateDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{free: 2}
		if err := g.enter(t.Context(), attempt{}, 1, 0); err != nil {
			t.Fatal(err)
		}
		var large, small error
		var smallIn time.Duration
		start := time.Now()
		go func() { large = g.enter(t.Context(), at(1, "192.0.2.1/32", false), 2, GateWait) }()
		synctest.Wait()
		go func() {
			small = g.enter(t.Context(), at(2, "192.0.2.2/32", false), 1, 2*GateWait)
			smallIn = time.Since(start)
		}()
		time.Sleep(3 * GateWait)
		synctest.Wait()
		if mail.KindOf(large) != mail.Unavailable || large == nil || small != nil || smallIn != GateWait {
			t.Errorf("large: %v; small: %v after %v", large, small, smallIn)
		}
		g.leave(1)
		g.leave(1)
		if g.free != 2 {
			t.Errorf("%d free", g.free)
		}
	})
}

// 400 wrong passwords from one network, and from 20, do not keep a right one
// from its turn.
func TestWrongLoginsDoNotKeepARightOneWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T, h *house) {
		h.account("bob")
		leave := h.shutGate()
		for i := range 400 {
			go func() {
				from := netip.AddrFrom4([4]byte{198, 51, 100, byte(i % 20)})
				_, _ = h.Login(t.Context(), fmt.Sprintf("user%d@example.org", i), "wrong", imapFrom(from))
			}()
		}
		synctest.Wait()
		turns, done := 0, make(chan error)
		go func() { done <- h.login("bob@example.org", "pw of bob") }()
		synctest.Wait()
		h.gate.mu.Lock()
		for l := &h.gate.lines[1]; l.waits(obs.LoginNetwork(home)); turns++ {
			w := l.next()
			h.gate.free -= w.need // which it gives back
			close(w.in)
		}
		h.gate.mu.Unlock()
		if turns > 21 {
			t.Errorf("bob had turn %d", turns)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		leave()
		time.Sleep(time.Minute)
	})
}

// waits reports whether somebody of the network is in the line.
func (l *line) waits(network netip.Prefix) bool {
	for _, n := range *l {
		if n.network == network {
			return true
		}
	}
	return false
}
