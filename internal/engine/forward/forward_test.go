package forward_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/forward"
	"yubin/internal/mail"
	"yubin/internal/mailauth/srs"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/secrets"
	"yubin/internal/world/sqldb"
)

type ours struct{}

func (ours) IsLocal(_ context.Context, d mail.Domain) (bool, error) { return d == "here.test", nil }

// house has a Forwarder over a database, which others can share.
type house struct {
	*forward.Forwarder
	t    *testing.T
	db   *sqldb.DB
	path string // of the key
	now  time.Time
}

func newHouse(t *testing.T) *house {
	h := &house{t: t, db: dbtest.Open(t), path: filepath.Join(t.TempDir(), secrets.FileName), now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)}
	h.Forwarder = h.open(h.path)
	return h
}

func (h *house) open(key string) *forward.Forwarder {
	f, err := forward.Open(h.t.Context(), forward.Options{DB: h.db, Secrets: secrets.Open(secrets.Options{Paths: []string{key}}),
		Domains: ours{}, Random: rand.Reader, Now: func() time.Time { return h.now }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		h.t.Fatal(err)
	}
	return f
}

func address(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

func (h *house) path0(sender string, proven bool) mail.Address {
	return mail.Address(h.ReversePath(h.t.Context(), mail.ReversePath(address(sender)), proven, "here.test"))
}

// TestHome: a report finds its way to who was proven, and to the postmaster where
// nobody was; another process that shares the database knows it too.
func TestHome(t *testing.T) {
	h := newHouse(t)
	long := strings.Repeat("a", 60) + "@" + strings.Repeat("b.", 30) + "test"
	for _, sender := range []string{"ann@else.test", long, "SRS0=aaaa=bb=first.test=ann@second.test"} {
		for _, proven := range []bool{true, false} {
			path := h.path0(sender, proven)
			if path.Domain != "here.test" || !forward.Looks(path) || len(path.Local) > 64 {
				t.Fatalf("%s became %s", sender, path)
			}
			for _, f := range []*forward.Forwarder{h.Forwarder, h.open(h.path)} {
				got, err := f.Return(t.Context(), path)
				switch {
				case err != nil:
					t.Errorf("%s (proven %t): %v", path, proven, err)
				case !proven && got.String() != "postmaster@here.test":
					t.Errorf("%s of who was not proven leads to %s", path, got)
				case proven && strings.HasPrefix(sender, "SRS0") && got.Domain != "second.test",
					proven && !strings.HasPrefix(sender, "SRS0") && got.String() != sender:
					t.Errorf("%s leads to %s, not %s", path, got, sender)
				}
			}
		}
	}
}

// TestNothingElse: what was not made here, or long ago, leads nowhere, and some keep
// their own.
func TestNothingElse(t *testing.T) {
	h := newHouse(t)
	if _, err := h.Return(t.Context(), address("SRS0=aaaa=bb=else.test=ann@here.test")); err == nil {
		t.Error("an address that nobody made leads somewhere")
	}
	path := h.path0("ann@else.test", true)
	forged := path
	forged.Local = strings.Replace(forged.Local, "ann", "bob", 1)
	if _, err := h.Return(t.Context(), forged); !errors.Is(err, srs.ErrForged) {
		t.Errorf("forged: %v", err)
	}
	h.now = h.now.Add(srs.DefaultExpiry + 48*time.Hour)
	if _, err := h.Return(t.Context(), path); !errors.Is(err, srs.ErrExpired) {
		t.Errorf("old: %v", err)
	}
	if got := h.path0("bea@here.test", true); got != address("bea@here.test") {
		t.Errorf("one of ours became %s", got)
	}
	for _, sender := range []string{"bea@here.test", h.path0("ann@else.test", true).String()} {
		if got, err := h.Return(t.Context(), h.path0(sender, false)); err != nil || got != address("postmaster@here.test") {
			t.Errorf("a report about what was forged as %s goes to %s, %v", sender, got, err)
		}
	}
	if got := h.ReversePath(t.Context(), mail.ReversePath{}, true, "here.test"); !got.IsNull() {
		t.Errorf("nobody became %s", got)
	}
}

// TestWithoutSecrets: with another key mail goes on as it is, and reports wait.
func TestWithoutSecrets(t *testing.T) {
	h := newHouse(t)
	path := h.path0("ann@else.test", true)
	other := filepath.Join(t.TempDir(), secrets.FileName)
	if _, err := secrets.Open(secrets.Options{Paths: []string{other}}).Seal("x", "y", []byte("z")); err != nil {
		t.Fatal(err)
	}
	f := h.open(other)
	if got := f.ReversePath(t.Context(), mail.ReversePath(address("ann@else.test")), true, "here.test"); mail.Address(got) != address("ann@else.test") {
		t.Errorf("it became %s", got)
	}
	if _, err := f.Return(t.Context(), path); mail.KindOf(err) != mail.Unavailable {
		t.Errorf("a report: %v", err)
	}
}
