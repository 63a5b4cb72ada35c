package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// tree gives account 1 a mailbox with n below it; all those are subscribed.
func (h *house) tree(top mail.MailboxName, n int) store.Mailbox {
	h.t.Helper()
	root, err := h.CreateMailbox(ctx, 1, top, "")
	h.must(err)
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		ids, err := tx.NewIDs("mailbox", n)
		h.must(err)
		for i, id := range ids {
			tx.Do(`INSERT INTO mailbox (id, account, parent, label, role) VALUES ($1, 1, $2, $3, '')`, id, root.ID, fmt.Sprint("m", i))
			tx.Do(`INSERT INTO tally (account, mailbox, modseq, uidvalidity, uidnext, recent, messages, unseen, deleted, size)
				VALUES (1, $1, 1, $2, 1, 1, 0, 0, 0, 0)`, id, int64(root.UIDValidity)+1+int64(i))
			tx.Do(`INSERT INTO subscription (account, name) VALUES (1, $1)`, fmt.Sprintf("%s/m%d", top, i))
		}
		if _, err := tx.Exec(`UPDATE naming SET mailboxes = mailboxes + $1, subscribed = subscribed + $1 WHERE account = 1`, n); err != nil {
			return err
		}
		_, err = tx.Exec(`UPDATE tally SET uidvalidity = $1 WHERE account = 1 AND mailbox = 0`, int64(root.UIDValidity)+int64(n))
		return err
	}))
	return root
}

// written counts the rows that fn inserts, changes and, on SQLite, deletes.
func (h *house) written(fn func()) int {
	h.t.Helper()
	count := func(since int) (n int) {
		h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
			if !dbtest.OnServer() {
				return tx.QueryRow(`SELECT total_changes()`).Scan(&n)
			}
			if since == 0 {
				return tx.QueryRow(`SELECT CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)`).Scan(&n)
			}
			n = since
			for _, table := range []string{"tally", "mailbox", "naming", "retired", "subscription", "change"} {
				var rows int
				err := tx.QueryRow(`SELECT count(*) FROM `+table+` WHERE CAST(CAST(xmin AS TEXT) AS BIGINT) > $1`, since).Scan(&rows)
				if err != nil {
					return err
				}
				n += rows
			}
			return nil
		}))
		return n
	}
	before := count(0)
	fn()
	return count(before) - before
}

// TestRenameOfATreeWritesAFewRows: however many mailboxes follow.
func TestRenameOfATreeWritesAFewRows(t *testing.T) {
	h := newHouse(t)
	h.account(1)
	h.tree("tr", store.MaxMailboxes-100)
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		if _, err := tx.Exec(`DELETE FROM subscription WHERE account = 1`); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE naming SET subscribed = 0 WHERE account = 1`)
		return err
	}))
	had := h.box(1, "tr/m7")
	if n := h.written(func() { h.must(h.RenameMailbox(ctx, 1, "tr", "in/other")) }); n > 8 || n == 0 {
		t.Errorf("a rename of %d mailboxes wrote %d rows", store.MaxMailboxes-100, n)
	}
	if m := h.box(1, "in/other/m7"); m.ID != had.ID || m.UIDValidity != had.UIDValidity {
		t.Errorf("%+v, want %+v", m, had)
	}
	// Another mailbox cannot come to a name of the tree with what that had.
	late, err := h.CreateMailbox(ctx, 1, "tr/m7", "")
	h.must(err)
	if late.UIDValidity <= had.UIDValidity {
		t.Errorf("UIDVALIDITY %d after %d", late.UIDValidity, had.UIDValidity)
	}
}

// between runs fn before each write that is given it; fn must not write.
type between struct {
	context.Context
	fn func()
}

func (b between) Err() error {
	b.fn()
	return nil
}

// TestRenameInSlicesIsOneChange: a tree that comes back to names it had gets new
// UIDVALIDITYs and subscriptions a few at a time, and all its names at once.
func TestRenameInSlicesIsOneChange(t *testing.T) {
	const n = 4 * store.RenameStep
	for name, rename := range map[string]func(*house, context.Context, mail.MailboxName, mail.MailboxName) error{
		"planned":    func(h *house, c context.Context, a, b mail.MailboxName) error { return h.RenameMailbox(c, 1, a, b) },
		"replanning": func(h *house, c context.Context, a, b mail.MailboxName) error { return h.RenameReplanning(c, 1, a, b) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newSlicedHouse(t)
			h.account(1)
			h.tree("tr", n)
			names := []mail.MailboxName{"tr", "tr2", "tr", "tr2"}
			for i, from := range names[:3] {
				to := names[i+1]
				last, slicesSeen := map[mail.MailboxName]mail.UIDValidity{}, 0
				err := rename(h, between{ctx, func() {
					list, err := h.Mailboxes(ctx, 1)
					h.must(err)
					changed := 0
					for _, m := range list {
						if m.Name != from && !strings.HasPrefix(string(m.Name), string(from)+"/") {
							if strings.HasPrefix(string(m.Name), "tr") {
								t.Fatalf("%s before the end", m.Name)
							}
							continue
						}
						if was, ok := last[m.Name]; ok && was != m.UIDValidity {
							changed++
						}
						last[m.Name] = m.UIDValidity
					}
					if len(last) != n+1 || changed > store.RenameStep {
						t.Errorf("%d mailboxes, %d changed in a slice", len(last), changed)
					}
					slicesSeen++
				}}, from, to)
				h.must(err)
				if slicesSeen < n/store.RenameStep {
					t.Errorf("%d slices to %s", slicesSeen, to)
				}
				top := h.box(1, to)
				if m := h.box(1, to+"/m3"); !m.Subscribed || i > 0 && m.UIDValidity <= top.UIDValidity-n-1 {
					t.Errorf("%+v", m)
				}
			}
		})
	}
}

// TestRenameKeepsUIDValidityThatNothingForbids: only who comes to a name that had
// as high a UIDVALIDITY gets a new one.
func TestRenameKeepsUIDValidityThatNothingForbids(t *testing.T) {
	h := newHouse(t)
	h.account(1)
	for _, name := range []mail.MailboxName{"a/x", "a/y", "b/deep/x"} {
		_, err := h.CreateMailbox(ctx, 1, name, "")
		h.must(err)
	}
	h.must(h.RenameMailbox(ctx, 1, "b/deep", "c/deep")) // b/deep, b/deep/x are left
	h.must(h.RenameMailbox(ctx, 1, "a/x", "a/deep"))
	x, y := h.box(1, "a/deep"), h.box(1, "a/y")
	h.must(h.DeleteMailbox(ctx, 1, "b"))
	h.must(h.RenameMailbox(ctx, 1, "a", "b"))
	if m := h.box(1, "b/deep"); m.ID != x.ID || m.UIDValidity <= x.UIDValidity {
		t.Errorf("b/deep had higher ones: %+v, was %+v", m, x)
	}
	if m := h.box(1, "b/y"); m.ID != y.ID || m.UIDValidity != y.UIDValidity {
		t.Errorf("b/y had none: %+v, was %+v", m, y)
	}
}

// TestRenameBesideChangesOfNames: others of the account make, delete and rename
// mailboxes of the tree meanwhile; no name shows a UIDVALIDITY with two mailboxes.
func TestRenameBesideChangesOfNames(t *testing.T) {
	h := newSlicedHouse(t)
	h.account(1)
	h.tree("t0", store.RenameStep+10)
	seen := map[string]mail.MailboxID{}
	look := func() {
		list, err := h.Mailboxes(ctx, 1)
		h.must(err)
		for _, m := range list {
			key := fmt.Sprint(m.Name, " ", m.UIDValidity)
			if id, ok := seen[key]; ok && id != m.ID {
				t.Errorf("%s is mailbox %d and was %d", key, m.ID, id)
			}
			seen[key] = m.ID
		}
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for i := range 2 {
		wg.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-stop:
					return
				default:
				}
				top := mail.MailboxName(fmt.Sprint("t", k%3))
				for _, err := range []error{
					h.RenameMailbox(ctx, 1, top+"/m1", top+"/m2"),
					h.DeleteMailbox(ctx, 1, top+"/m2"),
					h.RenameMailbox(ctx, 1, top+"/m3", mail.MailboxName(fmt.Sprint(top, "/m", 1+i))),
					func() error { _, err := h.CreateMailbox(ctx, 1, top+"/m3", ""); return err }(),
				} {
					if k := mail.KindOf(err); err != nil && !slices.Contains([]mail.Kind{mail.NotFound, mail.Exists, mail.Conflict}, k) {
						t.Error(err)
					}
				}
			}
		})
	}
	done := 0
	for k := range 40 {
		from, to := mail.MailboxName(fmt.Sprint("t", k%3)), mail.MailboxName(fmt.Sprint("t", (k+1)%3))
		// A mailbox that the others made may stand in the way.
		if err := h.RenameMailbox(ctx, 1, to, mail.MailboxName(fmt.Sprint("old/", k))); err != nil {
			wantKind(t, err, mail.NotFound)
		}
		look()
		if err := h.RenameMailbox(ctx, 1, from, to); err == nil {
			done++
		} else {
			wantKind(t, err, mail.Exists)
		}
		look()
	}
	close(stop)
	wg.Wait()
	look()
	if done == 0 {
		t.Error("the tree was never renamed")
	}
	t.Logf("%d of 40 renames found their name free", done)
}

// queued closes wait when Done is called as often as nth says: of a RenameMailbox,
// the second time is when it is planned and waits for the writer that somebody
// else has.
type queued struct {
	context.Context
	nth   int
	calls *int
	wait  chan struct{}
}

func (q queued) Done() <-chan struct{} {
	if *q.calls++; *q.calls == q.nth {
		close(q.wait)
	}
	return nil
}

// TestRenameOvertaken: a mailbox is made below one for whose renaming everything
// was planned already.
func TestRenameOvertaken(t *testing.T) {
	h := newHouse(t)
	h.account(1)
	for _, name := range []mail.MailboxName{"old", "a"} {
		_, err := h.CreateMailbox(ctx, 1, name, "")
		h.must(err)
	}
	var late store.Mailbox
	var err error
	if dbtest.OnServer() { // Its last look at the context is before the write that follows the plan.
		calls := 0
		h.must(h.RenameMailbox(between{ctx, func() { calls++ }}, 1, "a", "c"))
		h.must(h.RenameMailbox(ctx, 1, "c", "a"))
		h.must(h.RenameMailbox(between{ctx, func() {
			if calls--; calls == 0 {
				late, err = h.CreateMailbox(ctx, 1, "a/x", "")
			}
		}}, 1, "a", "b"))
	} else {
		renamed := make(chan error, 1)
		during := sync.OnceFunc(func() {
			q := queued{ctx, 2, new(int), make(chan struct{})}
			go func() { renamed <- h.RenameMailbox(q, 1, "a", "b") }()
			<-q.wait
		})
		late, err = h.CreateMailbox(between{ctx, during}, 1, "a/x", "")
		h.must(<-renamed)
	}
	h.must(err)
	if m := h.box(1, "b/x"); m.ID != late.ID || m.UIDValidity != late.UIDValidity {
		t.Errorf("b/x is %+v, want %+v", m, late)
	}
	h.must(h.RenameMailbox(ctx, 1, "old", "a/x"))
	if m := h.box(1, "a/x"); m.UIDValidity <= late.UIDValidity {
		t.Errorf("a/x had UIDVALIDITY %d and now has %d", late.UIDValidity, m.UIDValidity)
	}
}

// TestRenamesOfAnAccountQueue: who renames while another session does makes its
// plan when that is done, and finds the name it gave.
func TestRenamesOfAnAccountQueue(t *testing.T) {
	h := newHouse(t)
	h.account(1)
	for i := range 20 {
		name := func(s string) mail.MailboxName { return mail.MailboxName(fmt.Sprint(s, i)) }
		_, err := h.CreateMailbox(ctx, 1, name("a"), "")
		h.must(err)
		second := make(chan error, 1)
		calls := 0
		h.must(h.RenameMailbox(between{ctx, func() {
			if calls++; calls != 2 { // In its transaction.
				return
			}
			q := queued{ctx, 1, new(int), make(chan struct{})}
			go func() { second <- h.RenameMailbox(q, 1, name("b"), name("c")) }()
			<-q.wait
			for range 5 { // Time to find no b.
				_, err := h.Mailboxes(ctx, 1)
				h.must(err)
			}
		}}, 1, name("a"), name("b")))
		h.must(<-second)
		h.box(1, name("c"))
	}
}
