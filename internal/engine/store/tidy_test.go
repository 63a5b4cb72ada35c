package store_test

import (
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
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
	h.advance(store.DefaultUndeleteGrace + time.Second)
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
