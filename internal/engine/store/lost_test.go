package store_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// lost lists what was lost in words: the first word of each message, where it was.
func (h *house) lost(a mail.AccountID, q store.LostQuery) string {
	h.t.Helper()
	list, next, err := h.Lost(ctx, a, q)
	h.must(err)
	if next != nil {
		h.t.Error("there is another page")
	}
	uids := make([]mail.UID, len(list))
	for i := range list {
		uids[i] = mail.UID(i + 1)
	}
	rows, more, err := h.LostRows(ctx, a, list, uids, store.NeedForm|store.NeedContent, store.MaxRowOctets)
	h.must(err)
	if more != 0 || len(rows) != len(list) {
		h.t.Errorf("%d rows of %d", len(rows), len(list))
	}
	var words []string
	for i, r := range rows {
		octets, err := io.ReadAll(io.NewSectionReader(r.Content, 0, r.Content.Size()))
		h.must(err)
		h.must(r.Content.Close())
		gone := ""
		if !list[i].There {
			gone = " (gone)"
		}
		if r.Email != list[i].Email || r.Size != list[i].Size || !r.Received.Equal(list[i].Received) {
			h.t.Errorf("row %+v of %+v", r, list[i])
		}
		words = append(words, fmt.Sprintf("%s: %s%s", strings.TrimSpace(string(octets)), list[i].Name, gone))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// TestLost: what was expunged is found by when, and by the mailbox it was in, also one
// that is gone or is called otherwise now; it goes back there, or to a mailbox of its own.
func TestLost(t *testing.T) {
	h := newHouse(t)
	a, b := h.account(1), h.account(2)
	plans, err := h.CreateMailbox(ctx, a, "Work/Plans", "")
	h.must(err)
	old, err := h.CreateMailbox(ctx, a, "Old", "")
	h.must(err)
	h.deliver("one", store.Filing{Account: a, Mailbox: plans.ID, Received: h.now()})
	h.deliver("two", h.inbox(a))
	h.deliver("three", h.inbox(a))
	h.deliver("four", store.Filing{Account: a, Mailbox: old.ID, Received: h.now()})
	h.deliver("other", h.inbox(b))
	inbox := h.box(a, mail.Inbox).ID
	remove := func(id mail.MailboxID, uid mail.UID) {
		t.Helper()
		h.advance(time.Hour)
		_, err := h.ExpungeAny(ctx, id, mail.UIDs(uid))
		h.must(err)
	}
	remove(inbox, 1)
	remove(inbox, 2)
	remove(h.box(b, mail.Inbox).ID, 1)
	remove(old.ID, 1)
	h.must(h.RenameMailbox(ctx, a, "Old", "New"))
	h.advance(time.Hour)
	h.must(h.DeleteMailbox(ctx, a, "Work/Plans"))
	for _, c := range []struct {
		q    store.LostQuery
		want string
	}{
		{store.LostQuery{}, "four: New, one: Work/Plans (gone), three: INBOX, two: INBOX"},
		{store.LostQuery{Mailbox: "Work/Plans"}, "one: Work/Plans (gone)"},
		{store.LostQuery{Mailbox: "Old"}, ""},
		{store.LostQuery{Since: h.now()}, "one: Work/Plans (gone)"},
		{store.LostQuery{Until: h.now().Add(-4 * time.Hour)}, "two: INBOX"},
		{store.LostQuery{Since: h.now().Add(-3 * time.Hour), Until: h.now().Add(-time.Hour), Mailbox: "New"}, "four: New"},
	} {
		if got := h.lost(a, c.q); got != c.want {
			t.Errorf("%+v: %q, want %q", c.q, got, c.want)
		}
	}
	if _, _, err := h.Lost(ctx, 99, store.LostQuery{}); mail.KindOf(err) != mail.NotFound {
		t.Error(err)
	}

	all, _, err := h.Lost(ctx, a, store.LostQuery{})
	h.must(err)
	if n, err := h.Restore(ctx, b, all, ""); n != 0 || err != nil {
		t.Errorf("another account got %d: %v", n, err)
	}
	if n, err := h.Restore(ctx, a, all[:1], "Found/Again"); n != 1 || err != nil {
		t.Errorf("%d restored: %v", n, err)
	}
	if n, err := h.Restore(ctx, a, all, ""); n != 3 || err != nil {
		t.Errorf("%d restored: %v", n, err)
	}
	for name, want := range map[mail.MailboxName]string{"Found/Again": "two", mail.Inbox: "three", "New": "four", store.RestoredName: "one"} {
		m := h.box(a, name)
		if v := h.view(m.ID); v.Len() != 1 || h.read(m.ID, v.At(1).UID) != want {
			t.Errorf("%s has %s", name, show(v))
		}
	}
	if got := h.lost(a, store.LostQuery{}); got != "" {
		t.Errorf("still lost: %s", got)
	}

	// The name is forgotten when nothing of it can be restored.
	h.must(h.Tidy(ctx))
	if n := h.count(`SELECT count(*) FROM former`); n != 1 {
		t.Errorf("%d names", n)
	}
	h.advance(store.DefaultRetention().Expunged)
	h.must(h.Tidy(ctx))
	if n := h.count(`SELECT count(*) FROM former`); n != 0 {
		t.Errorf("%d names", n)
	}
}

// TestRestoreUntilFull: what fits comes back, the rest can come later.
func TestRestoreUntilFull(t *testing.T) {
	h, quotas, _ := quotaHouse(t, mail.Quota{})
	const a = mail.AccountID(1)
	for range 5 {
		h.deliver(strings.Repeat("x", 100), h.inbox(a))
	}
	_, err := h.ExpungeAny(ctx, h.box(a, mail.Inbox).ID, mail.UIDs(1, 2, 3, 4, 5))
	h.must(err)
	quotas.set(1, mail.Quota{Octets: 250})
	n, err := h.restoreSince(a, time.Time{})
	wantKind(t, err, mail.OverQuota)
	if u, _ := h.Usage(ctx, a); n != 2 || u.Octets != 200 {
		t.Errorf("%d restored, %+v", n, u)
	}
	quotas.set(1, mail.Quota{})
	if n, err := h.restoreSince(a, time.Time{}); n != 3 || err != nil {
		t.Errorf("%d restored: %v", n, err)
	}
}

// TestLapse: what came into a mailbox before a moment goes, whatever its date, and can
// be restored; then it counts from anew.
func TestLapse(t *testing.T) {
	h := newSlicedHouse(t)
	a := h.account(1)
	inbox, trash := h.differentMessages(a, 9), h.box(a, "Trash").ID
	lapse := func(age time.Duration) (n int) {
		t.Helper()
		from, before := mail.UID(0), h.now().Add(-age)
		for {
			due, _, err := h.Due(ctx, trash, before, from)
			h.must(err)
			some, next, err := h.Lapse(ctx, trash, before, from)
			h.must(err)
			if due != some {
				t.Errorf("%d were due, %d went", due, some)
			}
			if n, from = n+some, next; next == 0 {
				return n
			}
		}
	}
	_, err := h.Move(ctx, inbox, mail.UIDs(1, 2, 3), trash)
	h.must(err)
	h.advance(10 * 24 * time.Hour)
	_, err = h.Move(ctx, inbox, mail.UIDs(4, 5), trash)
	h.must(err)
	_, err = h.Copy(ctx, inbox, mail.UIDs(6), trash)
	h.must(err)
	h.advance(20 * 24 * time.Hour)
	if n := lapse(30 * 24 * time.Hour); n != 0 {
		t.Errorf("%d went on the day", n)
	}
	h.advance(time.Second)
	v, _ := h.View(ctx, trash)
	if n := lapse(30 * 24 * time.Hour); n != 3 || show(h.view(trash)) != "4 5 6" {
		t.Errorf("%d went: %s", n, show(h.view(trash)))
	}
	changes, _ := h.allChanges(a, v.ModSeq(), 100)
	flags, err := h.LeftWith(ctx, changes)
	h.must(err)
	for _, f := range flags {
		if f&mail.Seen == 0 {
			t.Errorf("what lapsed left with %v, as if it had been deleted unread", f)
		}
	}
	if len(flags) != 3 {
		t.Errorf("%d left", len(flags))
	}
	if n, err := h.restoreSince(a, time.Time{}); n != 3 || err != nil || show(h.view(trash)) != "4 5 6 7 8 9" {
		t.Errorf("%d restored: %s, %v", n, show(h.view(trash)), err)
	}
	if n := lapse(20 * 24 * time.Hour); n != 3 || show(h.view(trash)) != "7 8 9" {
		t.Errorf("%d went: %s", n, show(h.view(trash)))
	}
	h.must(h.DeleteMailbox(ctx, a, "Trash"))
	_, _, err = h.Lapse(ctx, trash, h.now(), 0)
	wantKind(t, err, mail.NotFound)
}

// TestLapseMany: a mailbox of many goes through in steps, each of a bounded number.
func TestLapseMany(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	const n = 5000
	id := h.manyMessages(a, n)
	h.advance(time.Hour)
	steps, gone := 0, 0
	for from, on := mail.UID(0), true; on; steps++ {
		some, next, err := h.Lapse(ctx, id, h.now(), from)
		h.must(err)
		gone, from, on = gone+some, next, next != 0
	}
	if gone != n || steps < 2 || h.view(id).Len() != 0 {
		t.Errorf("%d of %d went in %d steps", gone, n, steps)
	}
}
