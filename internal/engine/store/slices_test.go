package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// manyMessages fills INBOX, with text that is small.
func (h *house) manyMessages(a mail.AccountID, n int) mail.MailboxID {
	h.t.Helper()
	f := h.inbox(a)
	for done := 0; done < n; done += store.MaxFilings {
		h.deliver(fmt.Sprint("m", done), slices.Repeat([]store.Filing{f}, min(store.MaxFilings, n-done))...)
	}
	return h.box(a, mail.Inbox).ID
}

// everything is a set for all messages.
func everything() mail.UIDSet { return mail.UIDSet{{First: 1, Last: 1<<32 - 1}} }

// intercept runs fn once, before the n-th slice; it must not write.
type intercept struct {
	context.Context
	left int
	fn   func() error
}

// Err is asked when a write is about to run.
func (c *intercept) Err() error {
	if c.left--; c.left == 0 {
		return c.fn()
	}
	return nil
}

// TestCopyInSlicesIsWhole: a copy that fails in the middle leaves nothing, and
// one that a crash cut short is taken back.
func TestCopyInSlicesIsWhole(t *testing.T) {
	const many = 2000
	h := newSlicedHouse(t)
	a := h.account(1)
	inbox, sent := h.manyMessages(a, many), h.box(a, "Sent").ID
	seen := 0
	stop := &intercept{ctx, 20, func() error {
		seen = h.view(sent).Len()
		return context.Canceled
	}}
	c, err := h.Copy(stop, inbox, everything(), sent)
	if err == nil || len(c.Source) != 0 || seen == 0 || seen == many {
		t.Fatalf("error %v, copied %d, %d were there", err, len(c.Source), seen)
	}
	if n := h.view(sent).Len(); n != 0 || h.count(`SELECT count(*) FROM copying`) != 0 {
		t.Errorf("%d messages are left of a copy that failed", n)
	}
	h.check()

	h.refuse("DELETE", "copying") // Nothing can be taken back.
	_, err = h.Copy(&intercept{ctx, 20, func() error { return context.Canceled }}, inbox, everything(), sent)
	if err == nil || h.count(`SELECT count(*) FROM copying`) == 0 {
		t.Fatalf("error %v", err)
	}
	h.deliver("between", store.Filing{Account: a, Mailbox: sent, Received: h.now()})
	h.refuse("", "copying")
	h.must(h.db.Close())
	h.open()
	h.must(h.Sweep(ctx))
	if n := h.view(sent).Len(); n != 1 || h.count(`SELECT count(*) FROM copying`) != 0 {
		t.Errorf("%d messages after the crash, want the one delivered meanwhile", n)
	}
	c, err = h.Copy(ctx, inbox, everything(), sent)
	h.must(err)
	if len(c.Source) != many || len(c.Dest) != many || h.count(`SELECT count(*) FROM copying`) != 0 {
		t.Errorf("copied %d to %d", len(c.Source), len(c.Dest))
	}
}

// TestSweepLeavesCopiesUnderWay: a sweep does not take back what is being copied.
func TestSweepLeavesCopiesUnderWay(t *testing.T) {
	const many = 1000
	h := newSlicedHouse(t)
	a := h.account(1)
	inbox, sent := h.manyMessages(a, many), h.box(a, "Sent").ID
	during := &intercept{ctx, 10, func() error { return h.SweepCopies(ctx) }}
	c, err := h.Copy(during, inbox, everything(), sent)
	h.must(err)
	if len(c.Source) != many || h.view(sent).Len() != many {
		t.Errorf("copied %d, %d are there", len(c.Source), h.view(sent).Len())
	}
}

// TestSlicesTakeWhatWasThere: a copy or move of a mailbox into itself ends.
func TestSlicesTakeWhatWasThere(t *testing.T) {
	const many = 500
	h := newSlicedHouse(t)
	inbox := h.manyMessages(h.account(1), many)
	c, err := h.Copy(ctx, inbox, everything(), inbox)
	h.must(err)
	if len(c.Source) != many || h.view(inbox).Len() != 2*many {
		t.Errorf("copied %d", len(c.Source))
	}
	c, err = h.Move(ctx, inbox, everything(), inbox)
	h.must(err)
	if len(c.Source) != 2*many || h.view(inbox).Len() != 2*many || h.view(inbox).At(1).UID != 2*many+1 {
		t.Errorf("moved %d", len(c.Source))
	}
}

// TestImportInSlices: each slice has a commit of its own, and what was filed
// before a failure is told.
func TestImportInSlices(t *testing.T) {
	h := newSlicedHouse(t)
	inbox := h.box(h.account(1), mail.Inbox).ID
	var told []string
	var uids []mail.UID
	for uid := range mail.UID(40) {
		uids = append(uids, uid+5)
	}
	filed, err := h.DeliverNumbered(ctx, inbox, h.importing(append(uids, 44, 99)...), func(_ *sqldb.Tx, from int, filed []store.Filed) error {
		told = append(told, fmt.Sprint(from, len(filed), filed[0].UID))
		return nil
	})
	wantKind(t, err, mail.Conflict)
	if len(filed) != 32 || fmt.Sprint(told) != "[0 32 5]" || h.view(inbox).Len() != 32 {
		t.Errorf("filed %v, told %v, there are %s", filed, told, show(h.view(inbox)))
	}
}

// TestEmailRuns: one statement reaches neighbours, in whatever order they stand
// and however often each is there.
func TestEmailRuns(t *testing.T) {
	for _, c := range []struct {
		emails []mail.EmailID
		runs   int
	}{
		{nil, 0},
		{[]mail.EmailID{1, 2, 3}, 1},
		{[]mail.EmailID{3, 1, 2}, 1},
		{[]mail.EmailID{1, 1, 1, 2, 2, 2}, 1},
		{[]mail.EmailID{1, 2, 3, 1, 2, 3}, 1},
		{[]mail.EmailID{1, 1, 2, 3, 3}, 1},
		{[]mail.EmailID{1, 2, 4, 5}, 2},
	} {
		runs, reached := store.EmailRuns(c.emails...)
		different := map[mail.EmailID]bool{}
		for _, id := range c.emails {
			different[id] = true
		}
		if runs != c.runs || reached != len(different) {
			t.Errorf("%v: %d runs of %d emails, want %d", c.emails, runs, reached, c.runs)
		}
	}
}

// TestSharedEmails: an email that stands in a mailbox many times is counted as
// many times, whatever one change takes of it.
func TestSharedEmails(t *testing.T) {
	const many = 300
	h := newSlicedHouse(t)
	a := h.account(1)
	inbox, sent := h.manyMessages(a, many), h.box(a, "Sent").ID
	h.deliver("alone", h.inbox(a))
	for range 2 {
		_, err := h.Copy(ctx, inbox, everything(), sent)
		h.must(err)
	}
	members := func(want int) {
		t.Helper()
		places, err := h.Places(ctx, a, []mail.EmailID{1, 2})
		h.must(err)
		if len(places[1]) != want && len(places[2]) != want {
			t.Errorf("emails have %d and %d places, none %d", len(places[1]), len(places[2]), want)
		}
	}
	members(3 * many)
	members(3)
	h.check()
	_, err := h.ExpungeAny(ctx, sent, mail.UIDSet{{First: 101, Last: many + 101}})
	h.must(err)
	members(2 * many)
	members(2)
	h.check()
	for _, id := range []mail.MailboxID{inbox, sent} {
		_, err = h.ExpungeAny(ctx, id, everything())
		h.must(err)
	}
	if c, x := h.count(`SELECT count(*) FROM email_index WHERE kind = 2`), h.count(`SELECT count(*) FROM expunged`); c != 0 || x != 2 {
		t.Errorf("the index has %d rows, %d emails are expunged", c, x)
	}
	h.check()
}

// TestCheckInSlices: no snapshot of a check is long, so that what happens while
// it runs is in the later ones; and whatever happens that is right, it finds
// nothing.
func TestCheckInSlices(t *testing.T) {
	h := newSlicedHouse(t)
	a := h.account(1)
	inbox, sent := h.manyMessages(a, 2000), h.box(a, "Sent").ID
	_, err := h.Copy(ctx, inbox, everything(), sent)
	h.must(err)
	_, err = h.ExpungeAny(ctx, inbox, everyThird(1500)) // Bundles get small.
	h.must(err)
	round := 0
	for at := 3; at < 200; at += 13 {
		during := &intercept{ctx, at, func() error {
			round++
			h.deliver(fmt.Sprint("news ", round), h.inbox(a))
			from := mail.UID(20 * round)
			_, err := h.Move(ctx, inbox, mail.UIDSet{{First: from, Last: from + 9}}, sent)
			h.must(err)
			_, err = h.ExpungeAny(ctx, sent, mail.UIDSet{{First: from, Last: from + 9}, {First: 1500, Last: 1500 + from}})
			h.must(err)
			_, err = h.Copy(ctx, sent, mail.UIDSet{{First: 1000, Last: 1000 + from}}, inbox)
			h.must(err)
			if round%2 == 0 {
				h.must(h.Tidy(ctx))
			}
			return nil
		}}
		h.must(h.Check(during, func(p string) { t.Errorf("change %d: %s", round, p) }))
	}
	if round < 10 {
		t.Errorf("%d changes while it ran", round)
	}

	last := h.count(`SELECT max(place) FROM membership WHERE place >> 32 = (SELECT id FROM mailbox WHERE role = 'inbox')`)
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`CREATE TABLE saved AS SELECT * FROM membership`)
		return err
	}))
	found := ""
	h.must(h.Check(&intercept{ctx, 60, func() error {
		return h.db.Write(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(octets(`UPDATE membership SET entries = x'' WHERE place = $1`), last)
			return err
		})
	}}, func(p string) { found += p }))
	if !strings.Contains(found, "memberships are unreadable") {
		t.Errorf("what was damaged while the check ran is not seen: %q", found)
	}
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`UPDATE membership SET entries = (SELECT s.entries FROM saved s WHERE s.place = membership.place)`)
		if err == nil {
			_, err = tx.Exec(`DROP TABLE saved`)
		}
		return err
	}))
}

// TestReferencesInSlices: the references to blobs are counted in short snapshots.
// What is right and happens meanwhile is no problem, what is wrong is one.
func TestReferencesInSlices(t *testing.T) {
	h := newSlicedHouse(t)
	a := h.account(1)
	inbox := h.manyMessages(a, 3000)
	reads := &intercept{ctx, 1 << 20, nil}
	h.must(h.CheckBlobs(reads, func(p string) { t.Error(p) }))
	if n := 1<<20 - reads.left; n < 6 {
		t.Errorf("3000 references were counted in %d reads", n)
	}
	round := 0
	for at := 1; at <= 9; at++ {
		h.must(h.CheckBlobs(&intercept{ctx, at, func() error {
			round++
			h.deliver("m0", h.inbox(a)) // The octets of others.
			h.deliver(fmt.Sprint("news ", round), h.inbox(a))
			from := mail.UID(20 * round)
			_, err := h.ExpungeAny(ctx, inbox, mail.UIDSet{{First: from, Last: from + 9}})
			h.must(err)
			h.advance(store.DefaultRetention().Expunged + time.Hour)
			h.must(h.Sweep(ctx))
			return nil
		}}, func(p string) { t.Errorf("change %d: %s", round, p) }))
	}
	if round < 6 {
		t.Errorf("%d changes while it ran", round)
	}
	found := ""
	h.must(h.CheckBlobs(&intercept{ctx, 4, func() error {
		h.behind(`UPDATE blob SET refs = refs + 1 WHERE id = 1`)
		return nil
	}}, func(p string) { found += p }))
	if !strings.HasPrefix(found, "references are miscounted: blob 1 has ") {
		t.Errorf("what was damaged while it ran is not seen: %q", found)
	}
	h.behind(`UPDATE blob SET refs = refs - 1 WHERE id = 1`)
}
