package server

import (
	"strings"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/proto/dsn"
	"yubin/internal/server/admin"
	"yubin/internal/world/config"
)

// TestDeadForward: a forward that fails is told to who wrote it, if that is known, and
// else to the postmaster; whoever a stranger claims to be hears nothing. So it is for
// a catch-all, for an alias and by a domain's other name. What an account sends on that
// keeps it is told to its owner, and to nobody else.
func TestDeadForward(t *testing.T) {
	far, farConfig := far(t)
	s, c := near(t, farZone+"stranger.example. 60 IN MX 10 mx.far.example.\n", portOf(listenerOf(far, farConfig, "smtp")),
		func(c *config.Config) { c.Judge.Local = true }) // The client is a stranger.
	client := admin.InProcess(s.Admin())
	for _, step := range []func() error{
		func() error {
			_, err := client.AddAccount(t.Context(), admin.NewAccount{Address: "bob@near.example", Password: "secret", AllowWeakPassword: true})
			return err
		},
		func() error {
			_, err := client.ForwardAccount(t.Context(), "bob@near.example", admin.Forward{To: []string{"nobody@far.example"}, Keep: true})
			return err
		},
		func() error {
			_, err := client.AddAlias(t.Context(), admin.Alias{Address: "gone@near.example", Targets: []string{"nobody@far.example"}})
			return err
		},
		func() error {
			_, err := client.AddAlias(t.Context(), admin.Alias{Address: "@near.example", Targets: []string{"nobody@far.example"}})
			return err
		},
		func() error { _, err := client.AliasDomain(t.Context(), "old.example", "near.example"); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	out, in := listenerOf(s, c, "submission"), listenerOf(s, c, "smtp")
	bobs := uint32(0) // in his INBOX: what alice writes, and reports; what strangers write is junk
	for _, to := range []string{"bob@near.example", "gone@near.example", "whoever@near.example", "bob@old.example", "whoever@old.example"} {
		next := func(more uint32) func() string {
			if !strings.HasPrefix(to, "bob@") {
				return arrival(t, s, "alice@near.example")
			}
			bobs += more
			return func() string { return holding(t, s, "bob@near.example", bobs) }
		}
		told := next(2)
		submit(t, out, to, "by alice")
		wantReport(t, told(), to, "by alice")

		// A stranger, in the name of carol: the postmaster is told, who is alice.
		told = next(1)
		p := dial(t, in)
		p.say("", "220 ")
		p.say("EHLO stranger.example", "250 ")
		p.say("MAIL FROM:<carol@far.example>", "250 ")
		p.say("RCPT TO:<"+to+">", "250 ")
		p.say("DATA", "354 ")
		p.say("Subject: forged\r\n\r\nHello.\r\n.", "250 ")
		p.say("QUIT", "221 ")
		wantReport(t, told(), to, "forged")
	}
	carol, err := far.store.directory.Account(t.Context(), mail.Address{Local: "carol", Domain: "far.example"})
	if err != nil {
		t.Fatal(err)
	}
	if n := inboxOf(t, far, carol.ID).Exists; n != 0 {
		t.Errorf("carol, who wrote nothing, was told %d times", n)
	}
	if bob, err := client.Account(t.Context(), "bob@near.example"); err != nil || bob.Holds.Messages != 8 {
		t.Errorf("bob has %+v, not 4 copies and 4 reports, %v", bob.Holds, err)
	}
	if alice, err := client.Account(t.Context(), "alice@near.example"); err != nil || alice.Holds.Messages != 6 {
		t.Errorf("alice has %+v, not 6 reports, %v", alice.Holds, err)
	}
	checkAll(t, s)
}

// wantReport checks that a report is about mail for to.
func wantReport(t *testing.T, text, to, subject string) {
	t.Helper()
	report, ok := dsn.Parse([]byte(text))
	if !ok || len(report.Recipients) != 1 || report.Recipients[0].Status.String() != "5.1.1" ||
		!strings.Contains(text, "Original-Recipient: rfc822; "+to) || !strings.Contains(text, "Subject: "+subject) {
		t.Errorf("mail for %s, %s: the report is\n%s", to, subject, text)
	}
}
