package greylist_test

import (
	"net/netip"
	"testing"
	"time"

	"yubin/internal/engine/greylist"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
)

// TestComesAgain: who comes again in time passes, from its network, for that account.
func TestComesAgain(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	l, err := greylist.Open(t.Context(), greylist.Options{DB: dbtest.Open(t), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	sender := mail.ReversePath{Local: "a", Domain: "b.test"}
	want := func(what string, client string, account mail.AccountID, want time.Duration) {
		t.Helper()
		got, err := l.Admit(t.Context(), netip.MustParseAddr(client), sender, account)
		if err != nil || got != want {
			t.Errorf("%s: has to wait %s, want %s, %v", what, got, want, err)
		}
	}
	want("first", "192.0.2.1", 1, greylist.Wait)
	now = now.Add(time.Minute)
	want("too soon", "192.0.2.1", 1, greylist.Wait-time.Minute)
	want("another account", "192.0.2.1", 2, greylist.Wait)
	now = now.Add(greylist.Wait)
	want("another network", "198.51.100.1", 1, greylist.Wait)
	want("again, from a neighbour", "192.0.2.77", 1, 0)
	now = now.Add(greylist.Keep)
	want("it is known", "192.0.2.1", 1, 0)
	want("that came too late", "198.51.100.1", 1, greylist.Wait)
	now = now.Add(greylist.Keep + time.Hour)
	want("long forgotten", "192.0.2.1", 1, greylist.Wait)
}
