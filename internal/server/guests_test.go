package server

import (
	"context"
	"testing"

	"yubin/internal/server/admin"
)

// TestRevokedSessions: who is disabled or gets another password is shown out of
// all open sessions at once, whatever they wait for.
func TestRevokedSessions(t *testing.T) {
	for name, tc := range map[string]struct {
		revoke func(context.Context, *admin.Client) error
		why    string
	}{
		"disabled": {func(ctx context.Context, c *admin.Client) error {
			off := false
			_, err := c.ChangeAccount(ctx, "bob@yubin.test", admin.AccountChange{Enabled: &off})
			return err
		}, "the account is disabled"},
		"password": {func(ctx context.Context, c *admin.Client) error {
			other := "another secret"
			_, err := c.ChangeAccount(ctx, "bob@yubin.test", admin.AccountChange{Password: &other})
			return err
		}, "the password was changed; log in again"},
		"removed": {func(ctx context.Context, c *admin.Client) error {
			return c.RemoveAccount(ctx, "bob@yubin.test")
		}, "the account was removed"},
	} {
		t.Run(name, func(t *testing.T) {
			c := local(t)
			s, stop := start(t, c)
			idling, stranger := dial(t, listenerOf(s, c, "imap")), dial(t, listenerOf(s, c, "smtp"))
			idling.say("", "* OK")
			idling.say("a LOGIN bob@yubin.test secret", "a OK")
			idling.say("b SELECT INBOX", "b OK")
			idling.say("c IDLE", "+ ")
			pop := dial(t, listenerOf(s, c, "pop3"))
			pop.say("", "+OK")
			pop.say("USER bob@yubin.test", "+OK")
			pop.say("PASS secret", "+OK")
			stranger.say("", "220 ")
			sending := map[string]*peer{}
			for _, how := range []string{"DATA", "BDAT 1000 LAST", "half a line"} {
				p := protocols[2].open(t, s, c)
				p.say("AUTH PLAIN "+b64("\x00bob@yubin.test\x00secret"), "235 ")
				p.say("MAIL FROM:<bob@yubin.test>", "250 ")
				p.say("RCPT TO:<x@example.org>", "250 ")
				sending[how] = p
			}
			sending["DATA"].say("DATA", "354 ")
			sending["DATA"].send("From: bob@yubin.test\r\n\r\nHello\r\n")
			sending["BDAT 1000 LAST"].send("BDAT 1000 LAST\r\nFrom: bob@yubin.test\r\n\r\nHello\r\n")
			sending["half a line"].send("RCP")
			appending := dial(t, listenerOf(s, c, "imap"))
			appending.say("", "* OK")
			appending.say("a LOGIN bob@yubin.test secret", "a OK")
			appending.say("b APPEND INBOX {1000}", "+ ")
			appending.send("Subject: half\r\n")
			if err := tc.revoke(t.Context(), admin.InProcess(s.Admin())); err != nil {
				t.Fatal(err)
			}
			if name == "removed" {
				idling.say("", "* BYE ") // That its mailbox is gone may be told first.
			} else {
				idling.say("", "* BYE [UNAVAILABLE] "+tc.why)
			}
			pop.say("", "-ERR [SYS/TEMP] "+tc.why)
			appending.say("", "* BYE [UNAVAILABLE] "+tc.why)
			for how, p := range sending {
				if got := p.say("", "421 "); got != "421 4.7.0 "+tc.why+"\r\n" {
					t.Errorf("%s: %q", how, got)
				}
			}
			stranger.say("NOOP", "250 ")
			if err := stop(); err != nil {
				t.Error(err)
			}
			if n := len(s.store.guests.here); n != 0 {
				t.Errorf("%d accounts are still thought to be here", n)
			}
		})
	}
}
