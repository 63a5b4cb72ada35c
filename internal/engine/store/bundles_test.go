package store_test

import (
	"fmt"
	"slices"
	"testing"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// TestBundles changes a mailbox that takes many bundles: all of it, every
// third message, one here and there; bundles grow, are cut and vanish.
func TestBundles(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	inbox, other := h.box(a, mail.Inbox).ID, h.box(a, "Archive").ID
	const n = 1000
	for i := range n {
		h.deliver(text(fmt.Sprint(i), "s", "b"), h.inbox(a))
	}
	whole := mail.UIDSet{{First: 1, Last: 1<<32 - 1}}
	third := everyThird(n)
	// A large ModSeq and keywords with high numbers make a bundle grow as far as it can.
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		if err := h.FileChanges(tx, a); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM change`); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE tally SET modseq = $1, changes = $2 WHERE mailbox = 0`, int64(1)<<60, store.NoChanges(1<<60))
		return err
	}))
	var words mail.Keywords
	for i := range store.MaxBoxKeywords / mail.MaxKeywords {
		words = keywordSet(t, longKeywords(i*mail.MaxKeywords, mail.MaxKeywords)...)
		_, err := h.SetFlags(ctx, inbox, mail.UIDs(1), store.FlagChange{Mode: store.FlagsReplace, Keywords: words})
		h.must(err)
	}
	flag := func(set mail.UIDSet, mode store.FlagMode, want int) {
		t.Helper()
		got, err := h.SetFlags(ctx, inbox, set, store.FlagChange{Mode: mode, Flags: mail.Flagged, Keywords: words})
		h.must(err)
		if got.Len() != want {
			t.Errorf("%d messages, want %d", got.Len(), want)
		}
		h.check()
	}
	rows := h.count(`SELECT count(*) FROM membership`)
	flag(whole, store.FlagsAdd, n)
	if now := h.count(`SELECT count(*) FROM membership`); now <= rows {
		t.Errorf("%d bundles of %d that grew", now, rows)
	}
	flag(third, store.FlagsRemove, third.Len())
	flag(mail.UIDs(5, 500, 900, 2000), store.FlagsRemove, 3)
	gone, err := h.Move(ctx, inbox, third, other)
	h.must(err)
	if want := slices.Collect(third.All()); !slices.Equal(gone.Source, want) {
		t.Errorf("moved %v", gone.Source)
	}
	h.check()
	set, err := h.Vanished(ctx, inbox, 0)
	h.must(err)
	if set.String() != third.String() {
		t.Errorf("vanished %v", set)
	}
	copied, err := h.Copy(ctx, other, whole, inbox)
	h.must(err)
	if len(copied.Dest) != third.Len() || copied.Dest[0] != n+1 {
		t.Errorf("copied to %v", copied.Dest)
	}
	_, err = h.ExpungeAny(ctx, inbox, mail.UIDSet{{First: 1, Last: n}})
	h.must(err)
	h.check()
	if v := h.view(inbox); v.Len() != third.Len() || v.At(1).UID != n+1 || v.At(1).Flags != 0 {
		t.Errorf("%d messages are left", v.Len())
	}
	back, err := h.restoreSince(a, h.now().Add(-1))
	h.must(err)
	if back != n-third.Len() {
		t.Errorf("%d restored", back)
	}
	if got := h.read(inbox, h.view(inbox).At(third.Len()+1).UID); got != text("1", "s", "b") {
		t.Errorf("restored %q", got)
	}
}

func everyThird(n mail.UID) (set mail.UIDSet) {
	for u := mail.UID(1); u <= n; u += 3 {
		set.Add(u)
	}
	return set
}

// TestRowsOfOthers reads rows whose octets do not lie side by side, and leaves
// out those whose octets are lost.
func TestRowsOfOthers(t *testing.T) {
	h := newHouse(t)
	a, b := h.account(1), h.account(2)
	for i := range 40 {
		h.deliver(text(fmt.Sprint(i), "s", "b"), h.inbox([]mail.AccountID{a, b, a, a, b}[i%5]))
	}
	inbox := h.box(a, mail.Inbox).ID
	_, err := h.Copy(ctx, inbox, mail.UIDs(3, 2), inbox)
	h.must(err)
	uids := []mail.UID{2, 3, 4, 9, 24, 25, 26, 99}
	rows, more, err := h.Rows(ctx, inbox, uids, store.NeedContent|store.NeedThread|store.NeedForm|store.NeedPreview)
	h.must(err)
	if len(rows) != 7 || more != 0 {
		t.Fatalf("%d rows, %d more", len(rows), more)
	}
	for i, row := range rows {
		if row.UID != uids[i] || row.Preview != "b" || row.Thread == 0 || row.Content.Size() != row.Size {
			t.Errorf("row %+v", row)
		}
		row.Content.Close()
	}
	if h.read(inbox, 25) != h.read(inbox, 2) || h.read(inbox, 26) != h.read(inbox, 3) {
		t.Error("copies differ")
	}
	lose := func(by int) {
		h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(`UPDATE blob SET id = id + $1 WHERE id = $2`, by, 3-min(by, 0))
			return err
		}))
	}
	lose(1000)
	rows, more, err = h.Rows(ctx, inbox, []mail.UID{1, 2, 3, 4}, store.NeedPreview)
	h.must(err)
	if len(rows) != 3 || more != 0 || rows[1].UID != 3 || rows[1].Preview != "b" {
		t.Errorf("rows %+v", rows)
	}
	lose(-1000)
}
