package preferences_test

import (
	"fmt"
	"testing"
	"time"

	"yubin/internal/engine/preferences"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
)

func open(t *testing.T) *preferences.Preferences {
	p, err := preferences.Open(t.Context(), preferences.Options{DB: dbtest.Open(t), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestNearestCounts: an account goes before its domain, and that before the site; an
// address before a domain, and that before one above it.
func TestNearestCounts(t *testing.T) {
	p, ctx := open(t), t.Context()
	const account = mail.AccountID(7)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ask := func(sender string) string {
		t.Helper()
		s, err := mail.ParseAddress(sender)
		must(err)
		a, err := p.Ask(ctx, account, "here.test", s)
		must(err)
		return fmt.Sprintf("%g %g %t %t %s %s", a.Junk, a.Refuse, a.Listed, a.Allow, a.Pattern, a.Scope)
	}
	want := func(sender, want string) {
		t.Helper()
		if got := ask(sender); got != want {
			t.Errorf("%s: %q, want %q", sender, got, want)
		}
	}
	want("a@b.test", "0 0 false false  ")
	must(p.SetLevels(ctx, preferences.Site, preferences.Levels{Junk: 6, Refuse: 20}))
	must(p.SetLevels(ctx, preferences.OfDomain("here.test"), preferences.Levels{Junk: 4.5}))
	must(p.List(ctx, preferences.Site, preferences.Sender{Pattern: "@B.test", Allow: false}))
	want("a@b.test", "4.5 20 true false b.test site")
	want("a@mail.b.test", "4.5 20 true false b.test site")
	must(p.List(ctx, preferences.Site, preferences.Sender{Pattern: "A@b.test", Allow: true}))
	want("a@B.test", "4.5 20 true true a@b.test site")
	must(p.List(ctx, preferences.OfAccount(account), preferences.Sender{Pattern: "mail.b.test", Allow: true}))
	want("a@mail.b.test", "4.5 20 true true mail.b.test account 7")
	want("a@ab.test", "4.5 20 false false  ")
	must(p.SetLevels(ctx, preferences.OfAccount(account), preferences.Levels{Refuse: 8}))
	want("a@ab.test", "4.5 8 false false  ")
	must(p.Unlist(ctx, preferences.Site, "a@b.test"))
	want("a@b.test", "4.5 8 true false b.test site")
	must(p.SetLevels(ctx, preferences.OfAccount(account), preferences.Levels{}))
	want("a@ab.test", "4.5 20 false false  ")
	said, err := p.Said(ctx, preferences.OfAccount(account))
	if err != nil || len(said.Senders) != 1 || said.Senders[0] != (preferences.Sender{Pattern: "mail.b.test", Allow: true}) {
		t.Errorf("the account says %v, %v", said, err)
	}
}

// TestWhatIsNot: what is no sender or threshold is refused, and so is one too many.
func TestWhatIsNot(t *testing.T) {
	p, ctx := open(t), t.Context()
	for _, pattern := range []string{"", "a@", "@", "a b", "[192.0.2.1]", "a@b@c"} {
		if err := p.List(ctx, preferences.Site, preferences.Sender{Pattern: pattern}); mail.KindOf(err) != mail.Invalid {
			t.Errorf("%q: %v", pattern, err)
		}
	}
	if err := p.SetLevels(ctx, preferences.Site, preferences.Levels{Junk: -1}); mail.KindOf(err) != mail.Invalid {
		t.Error(err)
	}
	if err := p.Unlist(ctx, preferences.Site, "a@b.test"); mail.KindOf(err) != mail.NotFound {
		t.Error(err)
	}
	for i := range preferences.MaxSenders {
		if err := p.List(ctx, preferences.Site, preferences.Sender{Pattern: fmt.Sprintf("d%d.test", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.List(ctx, preferences.Site, preferences.Sender{Pattern: "more.test"}); mail.KindOf(err) != mail.TooLarge {
		t.Error(err)
	}
	if err := p.List(ctx, preferences.Site, preferences.Sender{Pattern: "d1.test", Allow: true}); err != nil {
		t.Errorf("one that is there is changed: %v", err)
	}
}
