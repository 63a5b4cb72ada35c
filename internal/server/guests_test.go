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
			if err := tc.revoke(t.Context(), admin.InProcess(s.Admin())); err != nil {
				t.Fatal(err)
			}
			if name == "removed" {
				idling.say("", "* BYE ") // That its mailbox is gone may be told first.
			} else {
				idling.say("", "* BYE [UNAVAILABLE] "+tc.why)
			}
			pop.say("", "-ERR [SYS/TEMP] "+tc.why)
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
