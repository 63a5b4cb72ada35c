package server

import (
	"errors"
	"fmt"
	"os/user"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/config"
)

// people are the users of the machine of these tests.
func people(uid string) (*user.User, error) {
	if name, ok := map[string]string{"0": "root", "33": "www-data", "1000": "alice"}[uid]; ok {
		return &user.User{Uid: uid, Username: name}, nil
	}
	return nil, errors.New("nobody has this number")
}

func TestLocalUsers(t *testing.T) {
	s, stop := start(t, local(t))
	defer stop()
	l := newLocals(s.store, "mx.yubin.test", time.Now)
	l.lookup = people
	u := users{l, config.Sendmail{Trusted: []string{"root", "77"}, Users: map[string][]string{
		"www-data": {"bob@yubin.test", "shop@elsewhere.test", "*@shop.test"}, "2000": {"app@yubin.test"}}}}
	may := func(uid uint32, address string, want bool) {
		t.Helper()
		who, err := u.who(t.Context(), uid)
		if err != nil {
			t.Fatal(err)
		}
		a, err := mail.ParseAddress(address)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := u.MayUse(t.Context(), who, a); got != want || err != nil {
			t.Errorf("%s (%s) may write as %s: %v, %v", who.Login, who.Principal.Address, address, got, err)
		}
	}
	for uid, want := range map[uint32]string{0: "root root@yubin.test true 0", 33: "www-data bob@yubin.test false 1", 1000: "alice alice@yubin.test false 0",
		2000: "uid-2000 app@yubin.test false 0", 2001: "uid-2001 uid-2001@yubin.test false 0", 77: "uid-77 uid-77@yubin.test true 0"} {
		who, err := u.who(t.Context(), uid)
		account := 0
		if who.Principal.Account != 0 {
			account = 1
		}
		if got := fmt.Sprint(who.Login, " ", who.Principal.Address, " ", who.Trusted, " ", account); err != nil || got != want {
			t.Errorf("%d is %s, %v, want %s", uid, got, err, want)
		}
	}
	may(1000, "alice@yubin.test", true)
	may(1000, "Alice+cron@yubin.test", true)
	may(1000, "bob@yubin.test", false)
	may(1000, "alice@elsewhere.test", false)
	may(33, "bob@yubin.test", true)
	may(33, "bob+x@yubin.test", true)
	may(33, "shop@elsewhere.test", true)
	may(33, "any@shop.test", true)
	may(33, "www-data@yubin.test", false)
	may(2000, "app@yubin.test", true)

	// Who is a disabled account sends nothing.
	if err := s.store.directory.SetDisabled(t.Context(), mail.Address{Local: "bob", Domain: "yubin.test"}, true); err != nil {
		t.Fatal(err)
	}
	if _, err := u.who(t.Context(), 33); mail.KindOf(err) != mail.Forbidden {
		t.Errorf("who is a disabled account: %v", err)
	}
}

// The domain of names without one is the host's if it is ours, or one above it, or the first.
func TestLocalDomain(t *testing.T) {
	s, stop := start(t, local(t))
	defer stop()
	for _, c := range []struct {
		host, named, want mail.Domain
	}{
		{"yubin.test", "", "yubin.test"}, {"a.mx.yubin.test", "", "yubin.test"}, {"other.test", "", "yubin.test"}, {"localhost", "", "yubin.test"},
		{"yubin.test", "cron.test", "cron.test"},
	} {
		u := users{newLocals(s.store, c.host, time.Now), config.Sendmail{Domain: c.named}}
		if got, err := u.domain(t.Context()); got != c.want || err != nil {
			t.Errorf("on %s: %s, %v, want %s", c.host, got, err, c.want)
		}
	}
}

func TestLocalRate(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	l := newLocals(nil, "mx.test", func() time.Time { return now })
	take := func(uid uint32, want bool) {
		t.Helper()
		if err := l.take(uid, 2); (err == nil) != want {
			t.Errorf("user %d: %v", uid, err)
		}
	}
	take(1, true)
	take(1, true)
	take(1, false)
	take(2, true)
	now = now.Add(time.Hour)
	take(1, true)
	for uid := range uint32(maxRated) {
		l.sent[1000+uid] = &rated{since: now, n: 1}
	}
	take(3, false) // Nobody more can be counted.
	take(1, true)
	now = now.Add(time.Hour)
	take(3, true)
	if len(l.sent) > 1 {
		t.Errorf("%d users are counted whose hour is over", len(l.sent))
	}
}

func TestLocalConnections(t *testing.T) {
	l := newLocals(nil, "mx.test", time.Now)
	var leave []func()
	enter := func(uid uint32, trusted, want bool) {
		t.Helper()
		out, err := l.enter(uid, trusted)
		if (err == nil) != want {
			t.Fatalf("user %d with %d open, %d in all: %v", uid, l.open[uid], l.all, err)
		}
		if out != nil {
			leave = append(leave, out)
		}
	}
	for uid := range uint32(3) {
		for range localConnectionsPerUser {
			enter(1+uid, false, true)
		}
		enter(1+uid, false, false)
	}
	enter(9, false, false) // The last are for who is trusted.
	for range localConnectionsTrusted {
		enter(0, true, true)
	}
	enter(0, true, false)
	for _, out := range leave {
		out()
	}
	if len(l.open) != 0 || l.all != 0 {
		t.Errorf("%v, %d are open when all have left", l.open, l.all)
	}
	enter(9, false, true)
}
