package smtpd

import (
	"context"
	"fmt"
	"testing"

	"yubin/internal/mail"
)

// Who is shown out while the message comes sends nothing, though all of it came; a
// shutdown takes what came. The rest is the same with DATA and BDAT.
func TestNothingIsAcceptedOfWhoIsShownOut(t *testing.T) {
	disabled := mail.Errorf(mail.Forbidden, "the account is disabled")
	full := mail.Errorf(mail.Unavailable, "no memory just now")
	for _, test := range []struct {
		name  string
		cause error
		want  string
		kept  int
	}{
		{"disabled", disabled, "421 4.7.0 the account is disabled", 0},
		{"no memory", full, "421 4.3.2 no memory just now", 0},
		{"shutdown", nil, "250 2.0.0 accepted as id2", 1},
	} {
		for _, header := range []string{"early", "late"} { // whether its end came before
			for _, begin := range []string{"DATA", "BDAT 40 LAST"} {
				p := newPost(t, settings(t, "set profile submission"))
				s := p.server.newSession(Client{}, true)
				ctx, end := context.WithCancelCause(t.Context())
				for _, line := range []string{"EHLO a", "AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHdvbmRlcg==", "MAIL FROM:<alice@example.org>",
					"RCPT TO:<bob@example.org>", begin} {
					if r := s.command(ctx, []byte(line), false); r.Code != 0 && !r.Positive() {
						t.Fatalf("%s: %v", line, r)
					}
				}
				text, rest := "From: alice@example.org\r\n\r\n", "Hello.\r\n"
				if header == "late" {
					text, rest = text[:20], text[20:]+rest
				}
				if err := s.receive(ctx, []byte(text)); err != nil {
					t.Fatal(err)
				}
				end(test.cause)
				if err := s.receive(ctx, []byte(rest)); err != nil {
					t.Fatal(err)
				}
				r := s.endMessage(ctx)[0]
				if got := fmt.Sprint(r.Code, " ", r.Enhanced, " ", r.Text); got != test.want || len(p.stored[bob]) != test.kept {
					t.Errorf("%s, %s, header %s: %q and %d messages, want %q and %d", test.name, begin, header, got, len(p.stored[bob]), test.want, test.kept)
				}
			}
		}
	}
}

// What fails because the session ended is told as that.
func TestCutShort(t *testing.T) {
	ctx, end := context.WithCancelCause(t.Context())
	failed, unknown := replyTo(context.Canceled), replyTo(mail.Errorf(mail.NotFound, "nobody"))
	if r := cutShort(ctx, failed); r.Code != 451 {
		t.Errorf("before the end: %v", r)
	}
	end(mail.Errorf(mail.Forbidden, "the account is disabled"))
	if r := cutShort(ctx, failed); r.Code != 421 || r.Text != "the account is disabled" {
		t.Errorf("what failed: %v", r)
	}
	if r := cutShort(ctx, unknown); r.Code != 550 {
		t.Errorf("what is refused: %v", r)
	}
}
