package clients

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"yubin/internal/mail"
)

// here are the domains of a server.
type here map[mail.Domain]error

func (h here) IsLocal(_ context.Context, d mail.Domain) (bool, error) {
	err, ok := h[d]
	return ok && err == nil, err
}

func TestSettings(t *testing.T) {
	const host = "mail.example.org"
	c := New(here{"example.org": nil}, func() []Service {
		return []Service{
			{POP3, host, 110, StartTLS},
			{Submission, host, 587, StartTLS},
			{Submission, host, 2465, TLS},
			{Submission, host, 465, TLS},
			{IMAP, host, 143, StartTLS},
			{IMAP, host, 993, TLS},
		}
	})
	got, err := c.Settings(t.Context(), "example.org")
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{Domain: "example.org", Services: []Service{
		{IMAP, host, 993, TLS},
		{IMAP, host, 143, StartTLS},
		{POP3, host, 110, StartTLS},
		{Submission, host, 465, TLS},
		{Submission, host, 2465, TLS},
		{Submission, host, 587, StartTLS},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if best, ok := got.Best(Submission); !ok || best.Port != 465 {
		t.Errorf("the best way to send is %v, %v", best, ok)
	}
	if _, ok := (Settings{}).Best(IMAP); ok {
		t.Error("there is an IMAP server where there is none")
	}
	if generic, err := c.Settings(t.Context(), ""); err != nil || generic.Domain != "" || len(generic.Services) != 6 {
		t.Errorf("for any domain: %v, %v", generic, err)
	}
}

func TestSettingsOfOthers(t *testing.T) {
	down := errors.New("down")
	c := New(here{"slow.example": down}, func() []Service { return nil })
	if _, err := c.Settings(t.Context(), "example.net"); mail.KindOf(err) != mail.NotFound {
		t.Errorf("a domain that is not here: %v", err)
	}
	if _, err := c.Settings(t.Context(), "slow.example"); !errors.Is(err, down) {
		t.Errorf("a domain of which nothing is known: %v", err)
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		s        Service
		srv      string
		standard bool
	}{
		{Service{IMAP, "h", 993, TLS}, "_imaps._tcp", true},
		{Service{IMAP, "h", 143, StartTLS}, "_imap._tcp", true},
		{Service{POP3, "h", 995, TLS}, "_pop3s._tcp", true},
		{Service{POP3, "h", 995, StartTLS}, "_pop3._tcp", false},
		{Service{Submission, "h", 465, TLS}, "_submissions._tcp", true},
		{Service{Submission, "h", 2587, StartTLS}, "_submission._tcp", false},
	} {
		if got := tt.s.SRV(); got != tt.srv {
			t.Errorf("%v is %s, want %s", tt.s, got, tt.srv)
		}
		if got := tt.s.Standard(); got != tt.standard {
			t.Errorf("%v: standard is %v", tt.s, got)
		}
	}
}
