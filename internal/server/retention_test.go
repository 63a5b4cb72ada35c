package server

import (
	"sync/atomic"
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
)

// TestRetention: a server that runs empties mailboxes soon after a rule was set, tells
// beforehand how much goes, and gives it back; the rule goes with its domain, and what the
// domain wanted of junk.
func TestRetention(t *testing.T) {
	var ahead atomic.Int64
	d := deps()
	d.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	s, stop := startWith(t, local(t), d)
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	ctx, client := t.Context(), admin.InProcess(s.Admin())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := client.AddDomain(ctx, "keep.test")
	must(err)
	_, err = client.AddAccount(ctx, admin.NewAccount{Address: "ann@keep.test", Password: "correct horse battery"})
	must(err)
	ann, err := s.store.directory.Account(ctx, mail.Address{Local: "ann", Domain: "keep.test"})
	must(err)
	in := s.store.mail.NewIncoming()
	_, err = in.Write([]byte("Subject: old\r\n\r\nold\r\n"))
	must(err)
	_, err = s.store.mail.Deliver(ctx, store.Posting{Message: in, Filings: []store.Filing{{Account: ann.ID, Role: mail.RoleTrash, Received: d.Now()}}})
	must(err)
	in.Close()
	ahead.Store(int64(40 * 24 * time.Hour))

	rule := admin.RetentionRule{Scope: admin.Scope{Domain: "keep.test"}, Role: "trash", Keep: 30 * 86400}
	p, err := client.PreviewRetention(ctx, rule)
	if must(err); p.Accounts != 1 || p.Messages != 1 || p.Restorable != 7*86400 {
		t.Errorf("preview %+v", p)
	}
	trash := func() uint32 {
		m, err := s.store.mail.MailboxByRole(ctx, ann.ID, mail.RoleTrash)
		must(err)
		return m.Exists
	}
	if trash() != 1 {
		t.Error("a preview expunged")
	}
	changed := make(chan struct{}, 1)
	cancel := s.store.hub.Subscribe(ann.ID, func(store.Event) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	_, err = client.SetRetention(ctx, rule)
	must(err)
	for late := time.After(time.Minute); trash() != 0; {
		select {
		case <-changed:
		case <-late:
			t.Fatal("nothing goes")
		}
	}
	cancel()
	var found []admin.LostMessage
	none := func(int) {}
	ask := admin.RestoreMail{Search: "OLD", DryRun: true}
	_, err = client.RestoreMail(ctx, "ann@keep.test", ask, func(m admin.LostMessage) { found = append(found, m) }, none)
	if must(err); len(found) != 1 || found[0].Subject != "old" || found[0].Mailbox != "Trash" {
		t.Errorf("found %+v", found)
	}
	ask.DryRun = false
	back, err := client.RestoreMail(ctx, "ann@keep.test", ask, func(admin.LostMessage) {}, none)
	if must(err); back.Messages != 1 || trash() != 1 {
		t.Errorf("put back %+v", back)
	}

	six := 6.0
	_, err = client.SetJunkLevels(ctx, admin.JunkLevels{Scope: rule.Scope, Junk: &six})
	must(err)
	must(client.RemoveAccount(ctx, "ann@keep.test"))
	must(client.RemoveDomain(ctx, "keep.test"))
	if rules, err := client.RetentionRules(ctx); len(rules) != 0 || err != nil {
		t.Errorf("%+v %v", rules, err)
	}
	_, err = client.AddDomain(ctx, "keep.test")
	must(err)
	if j, err := client.JunkPreferences(ctx, rule.Scope); j.Junk != 0 || err != nil {
		t.Errorf("a new domain wants what the old one did: %+v %v", j, err)
	}
}
