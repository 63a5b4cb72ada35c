package directory

import (
	"net/netip"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
)

// knows reports whether the account is known in the network of from.
func (h *house) knows(user, from string) bool {
	h.t.Helper()
	who, err := h.claim(h.t.Context(), user, imapFrom(netip.MustParseAddr(from)))
	h.must(err)
	return who.known
}

func TestNetworksSurviveARestart(t *testing.T) {
	where := dbtest.Options(t)
	h := reopen(t, where, nil)
	h.account("alice")
	h.account("bob")
	h.must(h.login("alice@example.org", "pw of alice"))
	h.close()
	h = reopen(t, where, nil)
	if !h.knows("alice@example.org", home.String()) {
		t.Error("the network is forgotten")
	}
	if h.knows("bob@example.org", home.String()) || h.knows("alice@example.org", "192.0.2.8") || h.knows("nobody@example.org", home.String()) {
		t.Error("somebody is known where he never was")
	}
	h.must(h.SetPassword(t.Context(), addr("alice"), "new", false))
	if h.knows("alice@example.org", home.String()) {
		t.Error("a network is known beyond the password it was known by")
	}
	h.must(h.login("alice@example.org", "new"))
	h.must(h.RemoveAccount(t.Context(), addr("alice"))) // Check finds rows that it left.
}

func TestNetworksAreBoundedAndAge(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := open(t, func(o *Options) { o.Now = func() time.Time { return now } })
	id := h.account("alice")
	login := func(from string) {
		t.Helper()
		_, err := h.Login(t.Context(), "alice@example.org", "pw of alice", imapFrom(netip.MustParseAddr(from)))
		h.must(err)
		now = now.Add(time.Hour)
	}
	first, last := netip.MustParseAddr("2001:db8:0:1::1"), netip.Addr{}
	login(first.String())
	for i := range MaxNetworks {
		a := first.As16()
		a[7] = byte(i + 2)
		last = netip.AddrFrom16(a)
		login(last.String())
	}
	if list, err := h.networksOf(t.Context(), id); err != nil || len(list) != MaxNetworks {
		t.Errorf("%d networks, %v", len(list), err)
	}
	if h.knows("alice@example.org", first.String()) || !h.knows("alice@example.org", last.String()) {
		t.Error("the oldest is not the one that was forgotten")
	}
	now = now.Add(NetworkAge / 2)
	login(last.String())
	now = now.Add(NetworkAge / 2)
	if !h.knows("alice@example.org", last.String()) || h.knows("alice@example.org", "2001:db8:0:9::1") {
		t.Error("a network does not age from its last login")
	}
	login("203.0.113.1")
	if list, err := h.networksOf(t.Context(), id); err != nil || len(list) != 2 {
		t.Errorf("%v, %v: those that are too old are not dropped", list, err)
	}
}

// A login of one day from a known network writes nothing.
func TestKnownNetworkIsNotWrittenAgain(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	for range 2 { // written, then read
		h.must(h.login("alice@example.org", "pw of alice"))
	}
	h.damaged = true
	h.must(h.db.Close())
	h.closed = true
	if _, err := h.Login(t.Context(), "alice@example.org", "pw of alice", imapFrom(home)); err != nil {
		t.Errorf("%v", err) // from memory
	}
}

// A login of before a change does not hold after it.
func TestConfirm(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	fresh := func(password string) mail.Principal {
		t.Helper()
		p, err := h.Login(t.Context(), "alice@example.org", password, imapFrom(home))
		h.must(err)
		h.must(h.Confirm(t.Context(), p))
		return p
	}
	p := fresh("pw of alice")
	scram, err := h.Scram(t.Context(), "alice@example.org", imapFrom(home))
	h.must(err)
	h.must(h.SetPassword(t.Context(), addr("alice"), "new", false))
	wantKind(t, h.Confirm(t.Context(), p), mail.Forbidden)
	old, err := scram.Finish(t.Context(), func() int { return 0 })
	h.must(err) // The proof was made with the password of then.
	wantKind(t, h.Confirm(t.Context(), old), mail.Forbidden)

	p = fresh("new")
	h.must(h.SetDisabled(t.Context(), addr("alice"), true))
	if err := h.Confirm(t.Context(), p); Reason(err) != "account disabled" {
		t.Errorf("disabled: %v", err)
	}
	h.must(h.SetDisabled(t.Context(), addr("alice"), false))
	wantKind(t, h.Confirm(t.Context(), p), mail.Forbidden)
	p = fresh("new")
	h.must(h.RemoveAccount(t.Context(), addr("alice")))
	wantKind(t, h.Confirm(t.Context(), p), mail.Forbidden)
	h.account("alice")
	wantKind(t, h.Confirm(t.Context(), p), mail.Forbidden)
}

func TestReason(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	for _, c := range [][3]string{{"alice@example.org", "x", "wrong password"}, {"bob@example.org", "x", "unknown user"}, {"\xff", "x", "unknown user"}} {
		if err := h.login(c[0], c[1]); Reason(err) != c[2] {
			t.Errorf("%q: %q, want %q", c[0], Reason(err), c[2])
		}
	}
	h.must(h.SetDisabled(t.Context(), addr("alice"), true))
	if err := h.login("alice@example.org", "pw of alice"); Reason(err) != "account disabled" {
		t.Errorf("%q", Reason(err))
	}
}
