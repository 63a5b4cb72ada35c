package store_test

import (
	"fmt"
	"testing"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// TestRetiredNamesHaveAnEnd: an account that makes and deletes mailboxes for ever
// keeps a bounded number of rows, and no name sees a UIDVALIDITY again.
func TestRetiredNamesHaveAnEnd(t *testing.T) {
	h := newHouse(t)
	h.account(1)
	make1 := func(name mail.MailboxName) store.Mailbox {
		t.Helper()
		m, err := h.CreateMailbox(ctx, 1, name, "")
		h.must(err)
		return m
	}
	old := make1("old")
	gone := make1("gone")
	h.must(h.DeleteMailbox(ctx, 1, "gone"))
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		for i := range store.MaxRetired - 1 {
			tx.Do(`INSERT INTO retired (account, name, uidvalidity, below) VALUES (1, $1, 1, 0)`, fmt.Sprint("n", i))
		}
		_, err := tx.Exec(`UPDATE naming SET retired = retired + $1 WHERE account = 1`, store.MaxRetired-1)
		return err
	}))
	if n := h.count(`SELECT count(*) FROM retired`); n != store.MaxRetired {
		t.Fatalf("%d rows", n)
	}
	make1("last")
	h.must(h.DeleteMailbox(ctx, 1, "last"))
	if n := h.count(`SELECT count(*) FROM retired`); n != 1 {
		t.Errorf("%d rows after one more", n)
	}
	// The name that is forgotten must not see what "gone" had, nor lower.
	h.must(h.RenameMailbox(ctx, 1, "old", "gone"))
	if m := h.box(1, "gone"); m.UIDValidity <= gone.UIDValidity || m.ID != old.ID {
		t.Errorf("renamed with UIDVALIDITY %d, gone had %d", m.UIDValidity, gone.UIDValidity)
	}
	if adopted, err := h.AdoptNumbering(ctx, make1("new").ID, gone.UIDValidity, 1); err != nil || adopted {
		t.Errorf("adopted %v, %v", adopted, err)
	}
}
