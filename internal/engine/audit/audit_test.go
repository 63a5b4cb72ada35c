package audit_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/audit"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
)

func open(t *testing.T, now *time.Time) *audit.Audit {
	t.Helper()
	a, err := audit.Open(t.Context(), audit.Options{DB: dbtest.Open(t), Now: func() time.Time { return *now }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func wanted(t *testing.T, a *audit.Audit, f audit.Filter, want ...string) []audit.Line {
	t.Helper()
	list, err := a.List(t.Context(), f)
	var got []string
	for _, l := range list {
		got = append(got, l.Subject)
	}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v: %v, %v; want %v", f, got, err, want)
	}
	return list
}

func TestLines(t *testing.T) {
	start := time.Date(2026, 12, 1, 9, 0, 0, 123456000, time.UTC)
	now := start
	a := open(t, &now)
	for i, l := range []audit.Line{
		{UID: 0, Who: "root", Via: "socket", What: "accounts add", Subject: "alice@example.org", After: `{"enabled":true}`},
		{UID: 1000, Who: "carol", Via: "process", What: "accounts change", Subject: "bob\x00\x1b[2J@example.org", Before: strings.Repeat("x", audit.MaxText+1)},
		{UID: -1, What: "domains remove", Subject: strings.Repeat("é", audit.MaxWord)},
	} {
		now = start.Add(time.Duration(i) * time.Hour)
		if err := a.Add(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	const bob = `bob\u0000\u001b[2J@example.org`
	long := strings.Repeat("é", audit.MaxWord/2)
	list := wanted(t, a, audit.Filter{}, long, bob, "alice@example.org")
	if l := list[2]; !l.At.Equal(start) || l.UID != 0 || l.Who != "root" || l.Via != "socket" || l.What != "accounts add" || l.After != `{"enabled":true}` || l.Before != "" {
		t.Errorf("%+v", l)
	}
	if list[1].Before != audit.TooLong || list[0].UID != -1 {
		t.Errorf("%+v", list)
	}
	wanted(t, a, audit.Filter{Limit: 2}, long, bob)
	wanted(t, a, audit.Filter{Below: list[1].ID}, "alice@example.org")
	wanted(t, a, audit.Filter{Since: start.Add(time.Minute)}, long, bob)
	wanted(t, a, audit.Filter{Who: "root"}, "alice@example.org")
	wanted(t, a, audit.Filter{Who: "1000"}, bob)
	wanted(t, a, audit.Filter{Who: "nobody"})
	wanted(t, a, audit.Filter{What: "ACCOUNTS"}, bob, "alice@example.org")
	wanted(t, a, audit.Filter{What: "alice@", Limit: 1}, "alice@example.org")
	if _, err := a.List(t.Context(), audit.Filter{Limit: audit.MaxPage + 1}); mail.KindOf(err) != mail.Invalid {
		t.Errorf("%v", err)
	}

	// What is old goes, and nothing else.
	now = start.Add(audit.DefaultKeep + 30*time.Minute)
	if err := a.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	wanted(t, a, audit.Filter{}, long, bob)
	a.SetKeep(time.Hour)
	if err := a.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	wanted(t, a, audit.Filter{})
}
