package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// behind changes rows behind the store's back.
func (h *house) behind(query string, args ...any) {
	h.t.Helper()
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	}))
}

// TestDamagedBundle: a mailbox with a bundle that cannot be read is not shown as if
// its messages were gone; all others are read, and swept when they are deleted.
func TestDamagedBundle(t *testing.T) {
	h := newHouse(t)
	one := h.account(1)
	for _, name := range []mail.MailboxName{"A", "B", "Z"} {
		m, err := h.CreateMailbox(ctx, one, name, "")
		h.must(err)
		h.deliver(text(string(name), "s", "b"), store.Filing{Account: one, Mailbox: m.ID, Received: h.now()})
	}
	z := h.box(one, "Z").ID
	h.behind(`CREATE TABLE kept AS SELECT * FROM membership WHERE place >> 32 = $1`, z)
	h.behind(`UPDATE membership SET entries = x'00ff' WHERE place >> 32 = $1`, z)
	_, err := h.View(ctx, z)
	wantKind(t, err, mail.Internal)
	if got := h.view(h.box(one, "A").ID).Len(); got != 1 {
		t.Errorf("A has %d messages", got)
	}
	var found []string
	h.must(h.Check(ctx, func(p string) { found = append(found, p) }))
	if !strings.Contains(strings.Join(found, "\n"), fmt.Sprintf("mailbox %d", z)) {
		t.Errorf("check says %q", found)
	}
	for _, name := range []mail.MailboxName{"A", "B", "Z"} {
		h.must(h.DeleteMailbox(ctx, one, name))
	}
	h.must(h.Sweep(ctx))
	if got := h.count(`SELECT count(*) FROM doomed`); got != 1 {
		t.Errorf("%d mailboxes are not swept, want the damaged one", got)
	}
	if got := h.count(`SELECT count(*) FROM expunged`); got != 2 {
		t.Errorf("%d messages are expunged", got)
	}
	h.behind(`UPDATE membership SET entries = (SELECT entries FROM kept WHERE kept.place = membership.place) WHERE place >> 32 = $1`, z)
	h.behind(`DROP TABLE kept`)
	h.must(h.Sweep(ctx))
	if got := h.count(`SELECT count(*) FROM doomed`); got != 0 {
		t.Errorf("%d mailboxes are not swept", got)
	}
}

// TestUnreadableRows: one row that cannot be read keeps no list and no sweep from
// the others.
func TestUnreadableRows(t *testing.T) {
	h := newHouse(t)
	one, two := h.account(1), h.account(2)
	for i, id := range []string{"a", "b", "c"} {
		filed := h.deliver(text(id, "s", "b"), h.inbox(one))
		_, err := h.ExpungeAny(ctx, filed[0].Mailbox, mail.UIDSet{{First: filed[0].UID, Last: filed[0].UID}})
		h.must(err)
		if i == 0 {
			h.behind(`UPDATE expunged SET flags = 'red' WHERE account = $1`, one)
		}
	}
	h.advance(store.DefaultUndeleteGrace + time.Hour)
	h.must(h.Sweep(ctx))
	if got := h.count(`SELECT count(*) FROM expunged`); got != 1 {
		t.Errorf("%d are left, want the damaged one", got)
	}
	h.behind(`UPDATE expunged SET flags = 0`)

	bad, err := h.CreateMailbox(ctx, one, "Bad", "")
	h.must(err)
	all, err := h.Mailboxes(ctx, one)
	h.must(err)
	h.behind(`UPDATE tally SET unseen = 'many' WHERE mailbox = $1`, bad.ID)
	list, err := h.Mailboxes(ctx, one)
	if err != nil || len(list) != len(all)-1 {
		t.Errorf("listed %d of %d, %v", len(list), len(all), err)
	}
	h.behind(`UPDATE tally SET unseen = 0 WHERE mailbox = $1`, bad.ID)

	h.behind(`UPDATE tally SET size = 'much' WHERE account = $1 AND mailbox = 0`, one)
	h.deliver(text("d", "s", "b"), h.inbox(two))
	used, err := h.Usages(ctx, []mail.AccountID{one, two})
	if err != nil || used[1].Messages != 1 {
		t.Errorf("used %+v, %v", used, err)
	}
	h.behind(`UPDATE tally SET size = 0 WHERE account = $1 AND mailbox = 0`, one)
}
