package backup_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"yubin/internal/engine/backup"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// returned puts mail back and says what became of it.
func (h *house) returned(path string, a mail.AccountID, w backup.Wanted) ([]backup.PutBack, error) {
	h.t.Helper()
	d := openDepot(h.t, path, nil)
	defer d.Close()
	s, err := backup.Find(d, "")
	must(h.t, err)
	if w.Address.IsZero() {
		w.Address = address("alice")
	}
	r, err := backup.Return(ctx, d, s, h.store, h.intake(), a, w, h.options(nil))
	if err == nil && len(r.LeftOut) > 0 {
		h.t.Errorf("left out: %q", r.LeftOut)
	}
	return r.Mailboxes, err
}

// messages are those of a mailbox in order, without UIDs and \Deleted.
func (h *house) messages(a mail.AccountID, name mail.MailboxName) (list []seen) {
	h.t.Helper()
	box := h.read(a)[name]
	for uid := mail.UID(1); uid < box.next; uid++ {
		if s, ok := box.messages[uid]; ok {
			s.flags &^= mail.Deleted
			list = append(list, s)
		}
	}
	return list
}

func (h *house) expungeAll(a mail.AccountID, name mail.MailboxName) {
	h.t.Helper()
	box, err := h.store.Mailbox(ctx, a, name)
	must(h.t, err)
	_, err = h.store.ExpungeAny(ctx, box.ID, mail.UIDSet{{First: 1, Last: 1 << 30}})
	must(h.t, err)
}

// TestPutBackAccount: all mailboxes of an account come back under one name, in
// order, with flags, keywords and dates; doing it again doubles nothing, also
// where a message is there twice.
func TestPutBackAccount(t *testing.T) {
	h := newHouse(t)
	a := h.account("alice")
	h.fill(a, 40, 2)
	twice := text("twice", 900)
	for range 2 {
		h.deliver(twice, h.inbox(a))
	}
	h.deliver([]byte("there is no header, so the trace ends with an empty line\r\n"), h.inbox(a))
	_, err := h.store.CreateMailbox(ctx, a, "Work/Plans", "")
	must(t, err)
	plans, err := h.store.Mailbox(ctx, a, "Work/Plans")
	must(t, err)
	h.deliver(text("plan", 500), store.Filing{Account: a, Mailbox: plans.ID, Flags: mail.Seen | mail.Deleted, Received: h.now()})
	inbox, work := h.messages(a, "INBOX"), h.messages(a, "Work/Plans")
	path := filepath.Join(t.TempDir(), "backup")
	s := h.backup(path, nil)
	h.expungeAll(a, "INBOX")
	below := mail.MailboxName("Restored " + s.Time.Format("2006-01-02") + "/")
	for round, want := range []string{"INBOX 45 0, Work/Plans 1 0", "INBOX 0 45, Work/Plans 0 1"} {
		list, err := h.returned(path, a, backup.Wanted{})
		must(t, err)
		var told []string
		for _, m := range list {
			if m.Into != string(below)+m.From || m.Failed > 0 {
				t.Errorf("round %d: %+v", round, m)
			}
			told = append(told, fmt.Sprintf("%s %d %d", m.From, m.Restored, m.There))
		}
		if got := strings.Join(told, ", "); got != want {
			t.Errorf("round %d: %s, want %s", round, got, want)
		}
		for name, was := range map[mail.MailboxName][]seen{"INBOX": inbox, "Work/Plans": work} {
			if d := cmp.Diff(was, h.messages(a, below+name), seenOptions); d != "" {
				t.Errorf("round %d: %s differs:\n%.1000s", round, name, d)
			}
		}
	}
	names, err := h.store.Subscriptions(ctx, a)
	must(t, err)
	if !strings.Contains(fmt.Sprint(names), string(below)+"Work/Plans") {
		t.Errorf("clients do not see the mailbox: %q", names)
	}
}

// TestPutBackOne: one message, by Message-ID or UID, into a mailbox of choice;
// what is there already stays as it is.
func TestPutBackOne(t *testing.T) {
	h := newHouse(t)
	a := h.account("alice")
	other := h.account("bob")
	h.fill(a, 5, 1)
	was := h.messages(a, "INBOX")
	path := filepath.Join(t.TempDir(), "backup")
	h.backup(path, nil)
	h.expungeAll(a, "INBOX")
	id := fmt.Sprintf("m%d.%d@example.org", a, 3)
	for n, w := range []backup.Wanted{
		{MessageID: "<" + id + ">", Into: "INBOX", Mailbox: "INBOX"},
		{MessageID: id, Into: "INBOX", Mailbox: "INBOX"},
		{UID: 4, Mailbox: "INBOX", Into: "INBOX"},
	} {
		list, err := h.returned(path, a, w)
		must(t, err)
		first := 0
		if n == 0 {
			first = 1
		}
		if len(list) != 1 || list[0].Restored != first || list[0].There != 1-first {
			t.Errorf("%+v: %+v", w, list)
		}
		if d := cmp.Diff(was[3:4], h.messages(a, "INBOX"), seenOptions); d != "" {
			t.Errorf("%+v: it differs:\n%.1000s", w, d)
		}
	}
	// Into the account of another, all below a name.
	list, err := h.returned(path, other, backup.Wanted{MessageID: id, Into: "From alice"})
	must(t, err)
	if len(list) != 1 || list[0].Into != "From alice/INBOX" || list[0].Restored != 1 {
		t.Errorf("put back: %+v", list)
	}
	for _, c := range []struct {
		w    backup.Wanted
		kind mail.Kind
		text string
	}{
		{backup.Wanted{MessageID: "nobody@example.org"}, mail.NotFound, "no such message"},
		{backup.Wanted{UID: 77, Mailbox: "INBOX"}, mail.NotFound, "no such message"},
		{backup.Wanted{UID: 1}, mail.Invalid, "needs the mailbox"},
		{backup.Wanted{UID: 1, Mailbox: "INBOX", MessageID: id}, mail.Invalid, "not both"},
		{backup.Wanted{Mailbox: "Gone"}, mail.NotFound, "no mailbox Gone"},
		{backup.Wanted{Address: address("carol")}, mail.NotFound, "no account carol@example.org"},
	} {
		_, err := h.returned(path, a, c.w)
		wantKind(t, err, c.kind, c.text)
	}
}

// TestPutBackRest: what the snapshot has of an account and cannot be read is told,
// row by row, and the rest is put back: damaged mailboxes, names that are none,
// messages whose octets are gone, an account that has lost its own row's sense.
func TestPutBackRest(t *testing.T) {
	h := newHouse(t)
	a := h.account("alice")
	box := map[mail.MailboxName]mail.MailboxID{}
	for _, name := range []mail.MailboxName{"Good", "Torn", "Uncounted", "Unnamed"} {
		m, err := h.store.CreateMailbox(ctx, a, name, "")
		must(t, err)
		box[name] = m.ID
		for i := range 3 {
			h.deliver(text(fmt.Sprint(name, i), 500), store.Filing{Account: a, Mailbox: m.ID, Received: h.now()})
		}
	}
	must(t, h.store.Subscribe(ctx, a, "Odd", true))
	h.damaged = true
	must(t, h.db.Write(ctx, func(tx *sqldb.Tx) error {
		for _, q := range []string{
			`UPDATE membership SET entries = x'00ff' WHERE place >> 32 = ` + fmt.Sprint(int64(box["Torn"])),
			`UPDATE tally SET uidnext = -1 WHERE mailbox = ` + fmt.Sprint(int64(box["Uncounted"])),
			`UPDATE mailbox SET label = 'a' || char(1) WHERE id = ` + fmt.Sprint(int64(box["Unnamed"])),
			`UPDATE subscription SET name = 'Odd//' WHERE name = 'Odd'`,
			`DELETE FROM blob WHERE id = (SELECT max(blob) FROM email WHERE id <= 3)`,
			`UPDATE directory_account SET local = 'a' || char(1)`,
		} {
			if _, err := tx.Exec(q); err != nil {
				return fmt.Errorf("%s: %w", q, err)
			}
		}
		return nil
	}))
	path := filepath.Join(t.TempDir(), "backup")
	h.backup(path, nil)
	d := openDepot(t, path, nil)
	defer d.Close()
	s, err := backup.Find(d, "")
	must(t, err)
	to := newHouse(t)
	r, err := backup.Return(ctx, d, s, to.store, to.intake(), to.account("bob"), backup.Wanted{Address: address("alice"), Into: "Back"}, h.options(nil))
	must(t, err)
	var told []string
	for _, m := range r.Mailboxes {
		told = append(told, fmt.Sprintf("%s %d %d %d", m.From, m.Restored, m.Failed, len(m.Problems)))
	}
	if got := strings.Join(told, ", "); got != "Good 2 1 1, Torn 0 3 1" {
		t.Errorf("put back %s: %+v", got, r)
	}
	all := strings.Join(r.LeftOut, "\n")
	for _, row := range []string{"account alice@example.org", fmt.Sprintf("mailbox %d of account %d", box["Uncounted"], a),
		fmt.Sprintf("mailbox %d of account %d", box["Unnamed"], a), fmt.Sprintf("subscription %q of account %d", "Odd//", a)} {
		if !strings.Contains(all, row+" cannot be read: ") {
			t.Errorf("nothing was told of %s:\n%s", row, all)
		}
	}
	if len(r.LeftOut) != 4 {
		t.Errorf("told:\n%s", all)
	}
}
