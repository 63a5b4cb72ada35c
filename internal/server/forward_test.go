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
// what an account sends on, for a catch-all, for an alias and by a domain's other name.
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
	for _, to := range []string{"bob@near.example", "gone@near.example", "whoever@near.example", "bob@old.example", "whoever@old.example"} {
		told := arrival(t, s, "alice@near.example")
		submit(t, out, to, "by alice")
		wantReport(t, told(), to, "by alice")

		// A stranger, in the name of carol: the postmaster is told, who is alice.
		told = arrival(t, s, "alice@near.example")
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
	if bob, err := client.Account(t.Context(), "bob@near.example"); err != nil || bob.Holds.Messages != 4 {
		t.Errorf("bob kept %+v of 4 copies, %v", bob.Holds, err)
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
