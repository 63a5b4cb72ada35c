package report

import (
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/mail"
	"yubin/internal/proto/dsn"
)

// TestRequireTLS: RFC 8689 §5. A report about a message that demands TLS demands
// it too, and returns the header alone whatever RET said.
func TestRequireTLS(t *testing.T) {
	rep := about(told(queue.ActionFailed, refused))
	rep.Item.RequireTLS, rep.Item.Ret = true, mail.RetFull
	made, _, text := make1(t, &fixed{routed: route.Routed{Onward: []route.Onward{{Address: alice}}}}, rep)
	if !made.Item.RequireTLS || strings.Contains(text, "At noon?") || !strings.Contains(text, "Subject: Lunch") {
		t.Errorf("demands TLS: %v, in\n%s", made.Item.RequireTLS, text)
	}
}

// TestHeld: RFC 4865 §5.1.2.
func TestHeld(t *testing.T) {
	rep := about(told(queue.ActionFailed, refused))
	rep.Item.HoldUntil = now.Add(-time.Minute)
	_, got, text := make1(t, &fixed{routed: route.Routed{Accounts: []mail.AccountID{3}}}, rep)
	if !got.HeldUntil.Equal(rep.Item.HoldUntil) || !strings.Contains(text, "\r\nFuture-Release-Request: until;2026-11-22T09:29:00Z\r\n") ||
		!strings.Contains(text, "\r\nArrival-Date: ") {
		t.Errorf("held until %v in\n%s", got.HeldUntil, text)
	}
}

// TestExpanded: RFC 3461 §5.2.7.3.
func TestExpanded(t *testing.T) {
	attempt := mail.Attempt{At: now, Phase: mail.PhaseRoute, Enhanced: "2.1.5", Text: "passed on", Ours: true, Outcome: mail.Delivered}
	_, got, _ := make1(t, &fixed{routed: route.Routed{Accounts: []mail.AccountID{3}}}, about(told(queue.ActionExpanded, attempt)))
	if p := got.Recipients[0]; p.Action != dsn.Expanded || p.Status.String() != "2.1.5" {
		t.Errorf("got %+v", p)
	}
}
