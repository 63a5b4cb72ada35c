package server

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/server/admin"
)

// allow gives alice@near.example a quota.
func allow(t *testing.T, s *Server, octets int64) {
	t.Helper()
	_, err := admin.InProcess(s.Admin()).ChangeAccount(t.Context(), "alice@near.example", admin.AccountChange{Quota: &admin.QuotaChange{Octets: &octets}})
	if err != nil {
		t.Fatal(err)
	}
}

// TestQuota: an owner is warned in her language, is refused mail when she is
// full, and gets the reports of this server then too; a change of the quota acts
// at once.
func TestQuota(t *testing.T) {
	s, c := near(t, farZone, 1)
	out := listenerOf(s, c, "submission")
	allow(t, s, 3000)
	p := dial(t, out)
	p.say("", "220 ")
	p.say("EHLO client.test", "250 ")
	p.say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00alice@near.example\x00secret")), "235 ")
	post := func(size int, dot string) {
		t.Helper()
		p.say("MAIL FROM:<alice@near.example>", "250 ")
		p.say("RCPT TO:<alice@near.example>", "250 ")
		p.say("DATA", "354 ")
		p.say("Subject: x\r\n\r\n"+strings.Repeat(strings.Repeat("x", 70)+"\r\n", size/72)+".", dot)
	}
	post(2500, "250 ")
	text := holding(t, s, "alice@near.example", 2)
	m := message.Parse([]byte(text))
	if !strings.Contains(m.Subject, "メールボックス") || !strings.Contains(text, "Content-Language: ja") ||
		!strings.HasPrefix(text, "Return-Path: <>\r\nDelivered-To: alice@near.example\r\n") {
		t.Errorf("warning %q in\n%s", m.Subject, text)
	}
	// It took the rest of the room.
	p.say("MAIL FROM:<alice@near.example>", "250 ")
	p.say("RCPT TO:<alice@near.example>", "452 4.2.2 the mailbox is full")
	c.Limits.QuotaGrace = 0
	if _, err := s.Reload(c); err != nil {
		t.Fatal(err)
	}
	p.say("RCPT TO:<alice@near.example>", "552 5.2.2 the mailbox is full")
	c.Limits.QuotaGrace = time.Hour
	if _, err := s.Reload(c); err != nil {
		t.Fatal(err)
	}
	allow(t, s, 10_000)
	p.say("RCPT TO:<alice@near.example>", "250 ")
	p.say("RSET", "250 ")
	post(9000, "452 4.2.2 the mailbox is full")
	allow(t, s, 1000)
	// null.example takes no mail: the report comes to the full mailbox.
	p.say("MAIL FROM:<alice@near.example>", "250 ")
	p.say("RCPT TO:<bob@null.example>", "250 ")
	p.say("DATA", "354 ")
	p.say("Subject: Lunch\r\n\r\nAt noon?\r\n.", "250 ")
	if text := holding(t, s, "alice@near.example", 3); !strings.Contains(text, "report-type=delivery-status") {
		t.Errorf("no report but\n%s", text)
	}
	p.say("QUIT", "221 ")
	if err := s.store.mail.Check(t.Context(), func(problem string) { t.Error(problem) }); err != nil {
		t.Error(err)
	}
}

// TestQuotaOfOneRecipient: over LMTP and over SMTP only the one who is full does
// not get the message; an SMTP client hears of the others, and the queue tries
// on for the one.
func TestQuotaOfOneRecipient(t *testing.T) {
	s, c := near(t, farZone, 1)
	client := admin.InProcess(s.Admin())
	if _, err := client.AddAccount(t.Context(), admin.NewAccount{Address: "bob@near.example", Password: "secret", AllowWeakPassword: true}); err != nil {
		t.Fatal(err)
	}
	allow(t, s, 1000)
	letter := "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 30) + "."
	p := dial(t, listenerOf(s, c, "lmtp"))
	p.say("", "220 ")
	for _, line := range []string{"LHLO client.test", "MAIL FROM:<a@far.example>", "RCPT TO:<alice@near.example>", "RCPT TO:<bob@near.example>"} {
		p.say(line, "250 ")
	}
	p.say("DATA", "354 ")
	p.say(letter, "452 4.2.2 the mailbox is full")
	p.say("", "250 ")
	holding(t, s, "bob@near.example", 1)

	p = dial(t, listenerOf(s, c, "smtp"))
	p.say("", "220 ")
	for _, line := range []string{"EHLO client.test", "MAIL FROM:<a@far.example>", "RCPT TO:<alice@near.example>", "RCPT TO:<bob@near.example>"} {
		p.say(line, "250 ")
	}
	p.say("DATA", "354 ")
	p.say(letter, "250 ")
	holding(t, s, "bob@near.example", 2)
	counts, err := client.QueueCount(t.Context(), admin.QueueFilter{Recipient: "alice@near.example"})
	if err != nil || counts.Total != 1 {
		t.Errorf("the queue has %+v for alice, %v", counts, err)
	}
	a, err := client.Account(t.Context(), "alice@near.example")
	if err != nil || a.Usage.Messages != 0 || a.Usage.FullSince == nil {
		t.Errorf("alice has %+v, %v", a.Usage, err)
	}
}

// holding waits until the INBOX of an account has n messages and returns the last.
func holding(t *testing.T, s *Server, address string, n uint32) string {
	t.Helper()
	a, err := mail.ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	who, err := s.store.directory.Account(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	changed := make(chan struct{}, 1)
	defer s.store.hub.Subscribe(who.ID, func(store.Event) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	for {
		box, err := s.store.mail.MailboxByRole(ctx, who.ID, mail.RoleInbox)
		if err != nil {
			t.Fatal(err)
		}
		if box.Exists >= n {
			return newest(t, s, who.ID)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%s has %d messages, not %d", address, box.Exists, n)
		}
	}
}
