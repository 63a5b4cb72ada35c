package store_test

import (
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// TestTombstonesEnd: after the grace they go, and who asks what vanished before
// that hears of every UID that is not there.
func TestTombstonesEnd(t *testing.T) {
	const many = 3000
	h := newSlicedHouse(t)
	a := h.account(1)
	inbox := h.manyMessages(a, many)
	before := h.view(inbox).ModSeq()
	odd := everyThird(many)
	_, err := h.ExpungeAny(ctx, inbox, odd)
	h.must(err)
	h.must(h.Tidy(ctx))
	if n := h.count(`SELECT count(*) FROM tombstone`); n < odd.Len() {
		t.Errorf("%d tombstones within the grace", n)
	}
	h.advance(store.DefaultRetention().Expunged + time.Second)
	middle := h.view(inbox).ModSeq()
	_, err = h.ExpungeAny(ctx, inbox, mail.UIDs(many-1))
	h.must(err)
	h.must(h.Tidy(ctx))
	if n := h.count(`SELECT count(*) FROM tombstone`); n != 1 {
		t.Errorf("%d tombstones after the grace, want the young one", n)
	}
	late, err := h.Vanished(ctx, inbox, middle)
	h.must(err)
	early, err := h.Vanished(ctx, inbox, before)
	h.must(err)
	odd.Add(many - 1)
	if late.String() != "2999" || early.String() != odd.String() {
		t.Errorf("vanished %v, before %.100v", late, early)
	}
	h.check()
}

// TestBundlesAreJoined: what is left after an expunge of most stands in few rows.
func TestBundlesAreJoined(t *testing.T) {
	const many = 3000
	h := newSlicedHouse(t)
	inbox := h.manyMessages(h.account(1), many)
	var most mail.UIDSet
	for u := mail.UID(1); u <= many; u++ {
		if u%25 != 0 {
			most.Add(u)
		}
	}
	_, err := h.ExpungeAny(ctx, inbox, most)
	h.must(err)
	before, rows := show(h.view(inbox)), h.count(`SELECT count(*) FROM membership`)
	h.must(h.Tidy(ctx))
	if n := h.count(`SELECT count(*) FROM membership`); n > 6 || n >= rows {
		t.Errorf("%d rows of %d are left for 120 messages", n, rows)
	}
	h.check()
	h.must(h.db.Close())
	h.open()
	if got := show(h.view(inbox)); got != before {
		t.Errorf("there are %.200s", got)
	}
	h.deliver("more", h.inbox(1))
	_, err = h.SetFlags(ctx, inbox, everything(), store.FlagChange{Flags: mail.Seen})
	h.must(err)
	h.check()
}

// TestThreadsEnd: what leads to a thread goes when the thread has no email that
// could be restored, and not before.
func TestThreadsEnd(t *testing.T) {
	h := newSlicedHouse(t)
	a, b := h.account(1), h.account(2)
	reply := func(id, to string) string {
		return "In-Reply-To: <" + to + "@example.org>\r\n" + text(id, "Re: Plans", "b")
	}
	refs := func(want int) {
		t.Helper()
		h.must(h.Sweep(ctx))
		h.check() // Those that are left are explained,
		h.must(h.Tidy(ctx))
		h.check() // and those that stay have an email.
		if n := h.count(`SELECT count(*) FROM threadref`); n != want {
			t.Errorf("%d references, want %d", n, want)
		}
	}
	var list []store.Filed
	for _, octets := range []string{text("1", "Plans", "b"), reply("2", "1"), reply("3", "2"), text("4", "Other", "b")} {
		list = append(list, h.deliver(octets, h.inbox(a))...)
	}
	h.deliver(text("1", "Plans", "b"), h.inbox(b))
	h.deliver(reply("2", "1"), h.inbox(b))
	inbox := list[0].Mailbox
	expunge := func(uids ...mail.UID) {
		_, err := h.ExpungeAny(ctx, inbox, mail.UIDs(uids...))
		h.must(err)
	}
	thread := func(f store.Filed) mail.ThreadID {
		rows, _, err := h.Rows(ctx, f.Mailbox, []mail.UID{f.UID}, store.NeedThread)
		h.must(err)
		return rows[0].Thread
	}
	first := thread(list[0])
	refs(6)
	expunge(1, 2)
	refs(6)
	h.advance(store.DefaultRetention().Expunged + time.Second)
	refs(6) // The third keeps the thread.
	f := h.deliver(reply("5", "1"), h.inbox(a))[0]
	if thread(f) != first {
		t.Error("a reply to what was purged has left the thread")
	}
	refs(7)
	expunge(3, 5)
	refs(7)
	h.advance(store.DefaultRetention().Expunged + time.Second)
	refs(3)
	expunge(4)
	h.advance(store.DefaultRetention().Expunged + time.Second)
	refs(2)
	if n := h.count(`SELECT count(*) FROM thinned`); n != 0 {
		t.Errorf("%d accounts are to be looked through", n)
	}
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`INSERT INTO threadref (account, ref, thread) VALUES (2, 7, 99)`)
		return err
	}))
	var found []string
	h.must(h.Check(ctx, func(p string) { found = append(found, p) }))
	if len(found) != 1 || found[0] != "references to threads without an email: account 2 has 1" {
		t.Errorf("check finds %q", found)
	}
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { _, err := tx.Exec(`DELETE FROM threadref WHERE ref = 7`); return err }))
}
