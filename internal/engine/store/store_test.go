package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

func TestDeliver(t *testing.T) {
	h := newHouse(t)
	a, b := h.account(1), h.account(2)
	body := text("1", "Hello", strings.Repeat("line\r\n", 10))
	f := h.inbox(b)
	f.Prefix = []byte("Return-Path: <x@example.org>\r\n")
	f.Flags, f.Keywords = mail.Seen, "$Label"
	f.Received = time.Date(2025, 3, 4, 5, 6, 7, 0, time.FixedZone("", -3*3600-1800))
	filed := h.deliver(body, h.inbox(a), f)
	if filed[0].UID != 1 || filed[1].UID != 1 || filed[0].Email == filed[1].Email {
		t.Fatalf("filed %+v", filed)
	}
	if got := h.read(filed[0].Mailbox, 1); got != body {
		t.Errorf("first has %q", got)
	}
	if got := h.read(filed[1].Mailbox, 1); got != string(f.Prefix)+body {
		t.Errorf("second has %q", got)
	}
	if got := show(h.view(filed[1].Mailbox)); got != `1+$Label+\Seen` {
		t.Errorf("view is %q", got)
	}
	rows, _, err := h.Rows(ctx, filed[1].Mailbox, []mail.UID{1}, 0)
	h.must(err)
	if r := rows[0]; r.Received.Format(time.RFC3339) != "2025-03-04T05:06:07-03:30" || !r.Saved.Equal(h.now()) ||
		r.Size != int64(len(f.Prefix)+len(body)) || r.Email != filed[1].Email {
		t.Errorf("row %+v", r)
	}
}

func TestDeliverRefuses(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	deliver := func(f store.Filing) error {
		in := h.NewIncoming()
		defer in.Close()
		_, _ = in.Write([]byte(text("1", "s", "b")))
		_, err := h.Deliver(ctx, store.Posting{Message: in, Filings: []store.Filing{h.inbox(a), f}})
		return err
	}
	wantKind(t, deliver(h.inbox(99)), mail.NotFound)
	wantKind(t, deliver(store.Filing{Account: a, Mailbox: 99, Only: true}), mail.NotFound)
	wantKind(t, deliver(store.Filing{Account: a, Role: mail.RoleInbox, Prefix: []byte("no line end")}), mail.Internal)
	if n := h.count(`SELECT count(*) FROM blob`) + h.count(`SELECT count(*) FROM membership`); n != 0 {
		t.Errorf("%d rows are left of refused deliveries", n)
	}
}

// TestMailboxThatIsGoneMeansInbox: however it is named, unless it is to be made.
func TestMailboxThatIsGoneMeansInbox(t *testing.T) {
	h := newHouse(t)
	a, other := h.account(1), h.account(2)
	h.must(h.DeleteMailbox(ctx, a, "Junk"))
	filed := h.deliver(text("1", "s", "b"),
		store.Filing{Account: a, Role: mail.RoleJunk, Received: h.now()},
		store.Filing{Account: a, Mailbox: 99, Received: h.now()},
		store.Filing{Account: a, Mailbox: h.box(other, "Junk").ID, Received: h.now()},
		store.Filing{Account: a, Name: "Lists", Received: h.now()},
		store.Filing{Account: a, Name: "Lists/Go", Make: true, Received: h.now()},
		store.Filing{Account: a, Name: "Lists/Go", Make: true, Received: h.now()},
		store.Filing{Account: a, Name: "Lists", Received: h.now()})
	inbox, lists, golang := h.box(a, mail.Inbox).ID, h.box(a, "Lists").ID, h.box(a, "Lists/Go").ID
	for i, want := range []mail.MailboxID{inbox, inbox, inbox, inbox, golang, golang, lists} {
		if filed[i].Mailbox != want {
			t.Errorf("filing %d went to %v, want %v", i, filed[i].Mailbox, want)
		}
	}
}

func TestOneBlobForAll(t *testing.T) {
	for _, size := range []int{0, 1000, store.InlineMax, store.InlineMax + 1, 5 * store.InlineMax} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			h := newHouse(t)
			var to []store.Filing
			for i := range 20 {
				f := h.inbox(h.account(mail.AccountID(i + 1)))
				f.Prefix = fmt.Appendf(nil, "Delivered-To: a%d@example.org\r\n", i)
				to = append(to, f)
			}
			octets := strings.Repeat("x", size)
			h.deliver(octets, to...)
			filed := h.deliver(octets, to...)
			if n := h.count(`SELECT count(*) FROM blob WHERE refs = 40`); n != 1 {
				t.Errorf("%d blobs with 40 references", n)
			}
			if n := h.count(`SELECT count(*) FROM content`); n != boolInt(size <= store.InlineMax) {
				t.Errorf("%d contents", n)
			}
			if n := h.files(); n != boolInt(size > store.InlineMax) {
				t.Errorf("%d files", n)
			}
			if got := h.read(filed[7].Mailbox, 2); got != string(to[7].Prefix)+"\r\n"+octets { // It has no header.
				t.Errorf("read %d octets", len(got))
			}
			h.checkGoneAfterPurge(filed)
		})
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// files counts the blob files, finished or not.
func (h *house) files() (n int) {
	h.t.Helper()
	h.must(filepath.WalkDir(filepath.Join(h.dir, "blobs"), func(_ string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			n++
		}
		return err
	}))
	return n
}

// checkGoneAfterPurge expunges everything in the mailboxes: the octets stay for
// the grace and then go with the last email.
func (h *house) checkGoneAfterPurge(filed []store.Filed) {
	h.t.Helper()
	for _, f := range filed {
		_, err := h.ExpungeAny(ctx, f.Mailbox, mail.UIDSet{{First: 1, Last: 1 << 31}})
		h.must(err)
	}
	h.must(h.Sweep(ctx))
	if n := h.count(`SELECT count(*) FROM blob`); n != 1 {
		h.t.Errorf("%d blobs within the grace", n)
	}
	h.check()
	h.advance(store.DefaultRetention().Expunged + time.Second)
	h.must(h.Sweep(ctx))
	h.advance(time.Hour)
	h.must(h.Sweep(ctx))
	n := h.count(`SELECT (SELECT count(*) FROM blob) + (SELECT count(*) FROM content) + (SELECT count(*) FROM email) +
		(SELECT count(*) FROM expunged) + (SELECT count(*) FROM email_index WHERE kind = 2)`)
	if n != 0 || h.files() != 0 {
		h.t.Errorf("%d rows and %d files after the purge", n, h.files())
	}
}

func TestIncomingLeavesNothing(t *testing.T) {
	h := newHouse(t)
	for _, finish := range []bool{false, true} {
		in := h.NewIncoming()
		for range 5 {
			_, err := in.Write(make([]byte, 40<<10))
			h.must(err)
		}
		if finish {
			_, err := in.Finish()
			h.must(err)
		}
		if n := h.files(); n != 1 {
			t.Errorf("%d files while receiving", n)
		}
		in.Close()
		in.Close()
		if n := h.files(); n != 0 {
			t.Errorf("%d files after Close, finished %v", n, finish)
		}
	}
}

func TestIncomingContent(t *testing.T) {
	h := newHouse(t)
	for _, size := range []int{0, 10, store.InlineMax + 10} {
		in := h.NewIncoming()
		want := strings.Repeat("y", size)
		_, _ = in.Write([]byte(want))
		c, err := in.Content()
		h.must(err)
		var b strings.Builder
		if _, err := c.WriteTo(&b); err != nil || b.String() != want {
			t.Errorf("content of %d octets: %v", b.Len(), err)
		}
		c.Close()
		in.Close()
	}
}

func TestOrphansAreSwept(t *testing.T) {
	ahead := time.Duration(0)
	h := newHouse(t, func(o *store.Options) { o.Now = func() time.Time { return time.Now().Add(ahead) } })
	a := h.account(1)
	big := strings.Repeat("z", store.InlineMax+1)
	filed := h.deliver(big, h.inbox(a))
	f, err := h.blobs.Create()
	h.must(err)
	_, err = f.Keep()
	h.must(err)
	h.must(h.SweepOrphans(ctx))
	if n := h.files(); n != 2 {
		t.Errorf("%d files within the grace", n)
	}
	ahead = store.DefaultOrphanGrace + time.Minute
	h.must(h.SweepOrphans(ctx))
	if n := h.files(); n != 1 {
		t.Errorf("%d files are left", n)
	}
	if got := h.read(filed[0].Mailbox, 1); got != big {
		t.Errorf("the message has %d octets", len(got))
	}
}

func TestPartsAreShifted(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	f := h.inbox(a)
	f.Prefix = []byte("Received: here\r\n")
	body := text("1", "Hello", "the body")
	filed := h.deliver(body, f)
	rows, more, err := h.Rows(ctx, filed[0].Mailbox, []mail.UID{1}, store.NeedForm|store.NeedPreview|store.NeedThread|store.NeedContent)
	h.must(err)
	r := rows[0]
	defer r.Content.Close()
	root := r.Form.Root()
	got := make([]byte, root.End-root.Body)
	_, err = r.Content.ReadAt(got, root.Body)
	h.must(err)
	if string(got) != "the body\r\n" || root.Offset != 0 || more != 0 {
		t.Errorf("body is %q at %d", got, root.Body)
	}
	if e := r.Form.Envelope(); e.Subject.String() != "Hello" || r.Thread == 0 {
		t.Errorf("row %+v", r)
	}
	head := make([]byte, len(f.Prefix)+5)
	if _, err := r.Content.ReadAt(head, 0); err != nil || string(head) != string(f.Prefix)+body[:5] {
		t.Errorf("head is %q: %v", head, err)
	}
}

func TestRowsGiveAPrefix(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	inbox := h.box(a, mail.Inbox).ID
	var uids []mail.UID
	for i := range 40 {
		h.deliver(strings.Repeat(fmt.Sprint(i%10), 60<<10)+fmt.Sprint(i), h.inbox(a))
		uids = append(uids, mail.UID(i+1))
	}
	_, err := h.ExpungeAny(ctx, inbox, mail.UIDs(3, 4, 20, 40))
	h.must(err)
	uids = append(uids, 100, 5000)
	var got []mail.UID
	for calls := 0; len(uids) > 0; calls++ {
		rows, more, err := h.Rows(ctx, inbox, uids, store.NeedContent)
		h.must(err)
		if calls > 5 || more >= len(uids) {
			t.Fatalf("%d of %d left after %d calls", more, len(uids), calls)
		}
		for _, r := range rows {
			got = append(got, r.UID)
			r.Content.Close()
		}
		uids = uids[len(uids)-more:]
	}
	if len(got) != 36 || !slices.IsSorted(got) || slices.Contains(got, 20) {
		t.Errorf("rows %v", got)
	}
	rows, more, err := h.Rows(ctx, inbox, []mail.UID{1, 17, 39}, 0)
	h.must(err)
	if len(rows) != 3 || more != 0 || rows[1].UID != 17 {
		t.Errorf("%d rows, %d more", len(rows), more)
	}
}

func TestDamageIsNoticed(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	h.deliver("small", h.inbox(a))
	h.deliver(strings.Repeat("B", store.InlineMax+1), h.inbox(a))
	inbox := h.box(a, mail.Inbox).ID
	var file string
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`UPDATE content SET octets = $1`, []byte("smell"))
		if err != nil {
			return err
		}
		return tx.QueryRow(`SELECT file FROM blob WHERE file IS NOT NULL`).Scan(&file)
	}))
	path := filepath.Join(h.dir, "blobs", file[:2], file)
	h.must(os.WriteFile(path, []byte(strings.Repeat("C", store.InlineMax+1)), 0o600))
	_, _, err := h.Rows(ctx, inbox, []mail.UID{1}, store.NeedContent)
	wantKind(t, err, mail.Internal)
	rows, _, err := h.Rows(ctx, inbox, []mail.UID{2}, store.NeedContent)
	h.must(err)
	_, err = rows[0].Content.WriteTo(&strings.Builder{})
	wantKind(t, err, mail.Internal)
	rows[0].Content.Close()
	if n := h.problems(); n != 2 {
		t.Errorf("deep check found %d problems", n)
	}
	h.must(os.Remove(path))
	_, _, err = h.Rows(ctx, inbox, []mail.UID{2}, store.NeedContent)
	wantKind(t, err, mail.Internal)
	h.mend(path)
}

// problems counts what a deep check finds.
func (h *house) problems() (n int) {
	h.t.Helper()
	h.must(h.CheckDeep(ctx, func(p string) { n++; h.t.Log(p) }))
	return n
}

// mend repairs what TestDamageIsNoticed did.
func (h *house) mend(path string) {
	h.must(os.WriteFile(path, []byte(strings.Repeat("B", store.InlineMax+1)), 0o600))
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`UPDATE content SET octets = $1`, []byte("small"))
		return err
	}))
}

// TestCheckFinds breaks each invariant in turn: a check that never finds
// anything would be worth nothing.
func TestCheckFinds(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	box := h.box(a, mail.Inbox).ID
	h.deliver("one", h.inbox(a))
	h.deliver("two", h.inbox(a))
	h.deliver("three", h.inbox(a))
	_, err := h.Copy(ctx, box, mail.UIDs(1), h.box(a, "Sent").ID)
	h.must(err)
	_, err = h.ExpungeAny(ctx, box, mail.UIDs(3))
	h.must(err)
	for _, damage := range []string{
		`INSERT INTO former (mailbox, account, name, at) VALUES (77, 99, 'x', 1)`,
		`INSERT INTO former (mailbox, account, name, at) VALUES (1, 1, 'INBOX', 1)`,
		`INSERT INTO former (mailbox, account, name, at) VALUES (77, 1, 'a//b', 1)`,
		`UPDATE tally SET messages = messages + 1 WHERE mailbox = 0`,
		`UPDATE tally SET unseen = unseen + 1 WHERE mailbox > 0`,
		`UPDATE tally SET uidnext = 2, recent = 1 WHERE mailbox = 1`,
		`UPDATE tally SET modseq = 1 WHERE mailbox = 0`,
		`UPDATE tally SET modseq = 1 WHERE mailbox = 1`,
		`UPDATE tally SET uidvalidity = 1 WHERE mailbox > 0`,
		`UPDATE naming SET mailboxes = mailboxes + 1`,
		`UPDATE naming SET subscribed = subscribed - 1`,
		`UPDATE naming SET retired = retired + 1`,
		`UPDATE naming SET changed = CAST(1 AS {int}) << 40`,
		`DELETE FROM naming`,
		`UPDATE mailbox SET parent = 77 WHERE label = 'Sent'`,
		`UPDATE mailbox SET label = 'x' WHERE label = 'INBOX'`,
		`DELETE FROM mailbox WHERE label = 'Sent'`,
		`DELETE FROM email WHERE id = 2`,
		`DELETE FROM email WHERE id = 3`,
		`DELETE FROM email_index WHERE kind = 2`,
		`UPDATE email_index SET entries = CAST(substr(entries, 1, 4) || x'02' || substr(entries, 6) AS {blob}) WHERE kind = 2`,
		`UPDATE email SET uid = 9 WHERE id = 2`,
		`UPDATE tally SET changes = NULL WHERE mailbox = 0`,
		`UPDATE tally SET changes = CAST(substr(changes, 1, length(changes) - 1) || x'09' AS {blob}) WHERE mailbox = 0`,
		`DELETE FROM expunged`,
		`UPDATE blob SET refs = refs + 1`,
		`DELETE FROM content WHERE blob = 1`,
		`UPDATE content SET octets = CAST(octets || octets AS {blob}) WHERE blob = -1`,
		`INSERT INTO content (blob, octets) VALUES (99, 'x')`,
		`UPDATE blob SET form = 'x'`,
		`UPDATE blob SET file = 'ab' WHERE id = 2`,
		`INSERT INTO tombstone (mailbox, modseq, uid, last, at, entries) VALUES (1, 1, 1, 1, 1, x'01')`,
		`UPDATE membership SET entries = CAST(substr(entries, 1, 2) || x'01' || substr(entries, 4) AS {blob}) WHERE place >> 32 = 1`, // flags
		`UPDATE membership SET entries = CAST(substr(entries, 1, 6) || x'09' || substr(entries, 8) AS {blob}) WHERE place >> 32 = 1`, // size
		`UPDATE membership SET entries = CAST(entries || entries AS {blob}) WHERE place >> 32 = 1`,
		`UPDATE membership SET entries = CAST(substr(entries, 1, length(entries) - 1) AS {blob}) WHERE place >> 32 = 1`,
		`UPDATE membership SET entries = x'' WHERE place >> 32 = 1`,
		`UPDATE membership SET place = place + 1 WHERE place >> 32 = 1`,
		`UPDATE membership SET place = place + (CAST(77 AS {int}) << 32) WHERE place >> 32 = 1`,
	} {
		h.damage(a, damage)
	}
}

// damage runs a statement, checks that a check notices, and undoes it.
func (h *house) damage(a mail.AccountID, statement string) {
	tables := []string{"tally", "mailbox", "naming", "email", "email_index", "change", "expunged", "former", "blob", "content", "tombstone", "membership"}
	none := strings.Contains(statement, "= -1")
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		for _, table := range tables {
			if _, err := tx.Exec(`CREATE TABLE saved_` + table + ` AS SELECT * FROM ` + table); err != nil {
				return err
			}
		}
		_, err := tx.Exec(octets(statement))
		return err
	}))
	found := 0
	h.must(h.Check(ctx, func(string) { found++ }))
	if (found == 0) != none {
		h.t.Errorf("check found %d problems after %s", found, statement)
	}
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		for _, table := range tables {
			for _, q := range []string{`DELETE FROM ` + table, `INSERT INTO ` + table + ` SELECT * FROM saved_` + table, `DROP TABLE saved_` + table} {
				if _, err := tx.Exec(q); err != nil {
					return err
				}
			}
		}
		return nil
	}))
}

func TestThreads(t *testing.T) {
	h := newHouse(t)
	a, b := h.account(1), h.account(2)
	reply := func(id, to, subject string) string {
		return "In-Reply-To: <" + to + "@example.org>\r\n" + text(id, subject, "b")
	}
	thread := func(octets string, account mail.AccountID) mail.ThreadID {
		f := h.deliver(octets, h.inbox(account))[0]
		rows, _, err := h.Rows(ctx, f.Mailbox, []mail.UID{f.UID}, store.NeedThread)
		h.must(err)
		return rows[0].Thread
	}
	first := thread(text("1", "Plans", "b"), a)
	if got := thread(reply("2", "1", "Re: Plans"), a); got != first {
		t.Errorf("reply is in %v, not %v", got, first)
	}
	if got := thread(reply("3", "2", "Re: Plans"), a); got != first {
		t.Errorf("reply to the reply is in %v, not %v", got, first)
	}
	if got := thread(text("1", "Plans", "again"), a); got != first {
		t.Errorf("the same message-id is in %v, not %v", got, first)
	}
	if got := thread(reply("4", "1", "Something else"), a); got == first {
		t.Error("another subject joined the thread")
	}
	if got := thread(reply("2", "1", "Re: Plans"), b); got == first {
		t.Error("another account joined the thread")
	}
}

func TestCopyIsOneEmail(t *testing.T) {
	h := newHouse(t)
	a, b := h.account(1), h.account(2)
	inbox, sent := h.box(a, mail.Inbox).ID, h.box(a, "Sent").ID
	f := h.deliver(text("1", "s", "b"), h.inbox(a))[0]
	_, err := h.Copy(ctx, inbox, mail.UIDs(1), h.box(b, mail.Inbox).ID)
	wantKind(t, err, mail.Forbidden)
	_, err = h.Copy(ctx, inbox, mail.UIDs(1), 999)
	wantKind(t, err, mail.NotFound)
	c, err := h.Copy(ctx, inbox, mail.UIDs(1, 7), sent)
	h.must(err)
	rows, _, err := h.Rows(ctx, sent, c.Dest, 0)
	h.must(err)
	if len(rows) != 1 || rows[0].Email != f.Email {
		t.Errorf("copy is %+v", rows)
	}
	_, err = h.ExpungeAny(ctx, inbox, mail.UIDs(1))
	h.must(err)
	h.advance(30 * 24 * time.Hour)
	h.must(h.Sweep(ctx))
	if got := h.read(sent, 1); got != text("1", "s", "b") {
		t.Errorf("copy reads %q", got)
	}
	h.checkGoneAfterPurge([]store.Filed{{Mailbox: sent}})
}

func TestRestore(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	box, err := h.CreateMailbox(ctx, a, "Work/2025", "")
	h.must(err)
	h.deliver("one", store.Filing{Account: a, Mailbox: box.ID, Flags: mail.Seen, Keywords: "$Label", Received: h.now()})
	h.deliver("two", h.inbox(a))
	h.deliver("old", h.inbox(a))
	inbox := h.box(a, mail.Inbox).ID
	_, err = h.ExpungeAny(ctx, inbox, mail.UIDs(2))
	h.must(err)
	h.advance(time.Hour)
	since := h.now()
	_, err = h.SetFlags(ctx, inbox, mail.UIDs(1), store.FlagChange{Flags: mail.Deleted | mail.Answered})
	h.must(err)
	_, err = h.Expunge(ctx, inbox, nil)
	h.must(err)
	h.must(h.DeleteMailbox(ctx, a, "Work/2025"))
	n, err := h.restoreSince(a, since)
	h.must(err)
	if got := show(h.view(inbox)); n != 2 || got != `3+\Answered` {
		t.Errorf("restored %d: %s", n, got)
	}
	if got, err := h.Mailbox(ctx, a, store.RestoredName); err != nil || !got.Subscribed || show(h.view(got.ID)) != `1+$Label+\Seen` {
		t.Errorf("what was in a mailbox that is gone: %+v %v", got, err)
	}
	set, err := h.Vanished(ctx, inbox, 0)
	h.must(err)
	if set.String() != "1:2" {
		t.Errorf("vanished %v", set)
	}
}

func TestDeleteAccount(t *testing.T) {
	h := newHouse(t)
	a, b := h.account(1), h.account(2)
	for i := range 30 {
		h.deliver(text(fmt.Sprint(i), "s", "b"), h.inbox(a), h.inbox(b))
	}
	inbox := h.box(a, mail.Inbox).ID
	_, err := h.ExpungeAny(ctx, inbox, mail.UIDs(1, 2))
	h.must(err)
	_, err = h.Copy(ctx, inbox, mail.UIDs(3), h.box(a, "Sent").ID)
	h.must(err)
	h.must(h.DeleteMailbox(ctx, a, "Sent"))
	h.view(inbox)
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { return h.DeleteAccount(tx, a) }))
	_, err = h.View(ctx, inbox)
	wantKind(t, err, mail.NotFound)
	_, err = h.Mailboxes(ctx, a)
	wantKind(t, err, mail.NotFound)
	h.check()
	h.must(h.Sweep(ctx))
	for table, want := range map[string]int{"email": 30, "membership": 1, "threadref": 30, "tally": 7, "tombstone": 0, "doomed": 0, "expunged": 0, "former": 0} {
		if n := h.count(`SELECT count(*) FROM ` + table); n != want {
			t.Errorf("%d rows in %s, want %d", n, table, want)
		}
	}
}

func TestMailboxNames(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	_, err := h.CreateMailbox(ctx, a, "Zoo/b", "")
	h.must(err)
	_, err = h.CreateMailbox(ctx, a, "INBOX/sub", "")
	h.must(err)
	_, err = h.CreateMailbox(ctx, a, "Zoo!", "")
	h.must(err)
	_, err = h.CreateMailbox(ctx, a, "Other", mail.RoleSent)
	wantKind(t, err, mail.Conflict)
	_, err = h.CreateMailbox(ctx, a, "Other", "unknown")
	wantKind(t, err, mail.Invalid)
	h.must(h.Subscribe(ctx, a, "Zoo/b", true))
	h.must(h.Subscribe(ctx, a, "Nowhere", true))
	list, err := h.Mailboxes(ctx, a)
	h.must(err)
	var names []string
	for _, m := range list {
		names = append(names, string(m.Name))
		if one := h.box(a, m.Name); one != m {
			t.Errorf("alone %+v, in the list %+v", one, m)
		}
	}
	if got := strings.Join(names, " "); got != "INBOX INBOX/sub Archive Drafts Junk Sent Trash Zoo Zoo/b Zoo!" {
		t.Errorf("mailboxes %s", got)
	}
	m, err := h.MailboxByRole(ctx, a, mail.RoleSent)
	h.must(err)
	if m.Name != "Sent" || !m.Subscribed {
		t.Errorf("sent is %+v", m)
	}
	subs, err := h.Subscriptions(ctx, a)
	h.must(err)
	if len(subs) != 8 || !slices.Contains(subs, "Nowhere") {
		t.Errorf("subscriptions %v", subs)
	}
	_, err = h.MailboxByID(ctx, 2, m.ID)
	wantKind(t, err, mail.NotFound)
}

func TestRecent(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	inbox := h.box(a, mail.Inbox).ID
	h.deliver("one", h.inbox(a))
	h.deliver("two", h.inbox(a))
	want := func(first mail.UID, fn func(context.Context, mail.MailboxID) (mail.UID, error)) {
		t.Helper()
		if got, err := fn(ctx, inbox); err != nil || got != first {
			t.Errorf("recent from %d, want %d: %v", got, first, err)
		}
	}
	peek := func(context.Context, mail.MailboxID) (mail.UID, error) { return h.box(a, mail.Inbox).Recent, nil }
	want(1, peek)
	want(1, h.TakeRecent)
	want(3, h.TakeRecent)
	h.deliver("three", h.inbox(a))
	want(3, peek)
	want(3, h.TakeRecent)
	want(4, peek)
}

// TestRecentIsKept: a claim waits for nobody's commit, is in the row after the
// next change of the mailbox, and after Run at the latest.
func TestRecentIsKept(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	inbox := h.box(a, mail.Inbox).ID
	row := func() (first int) {
		err := h.db.Read(ctx, func(tx *sqldb.Tx) error {
			return tx.QueryRow(`SELECT recent FROM tally WHERE mailbox = $1`, inbox).Scan(&first)
		})
		if err != nil {
			t.Error(err)
		}
		return first
	}
	want := func(first int) {
		t.Helper()
		if got := row(); got != first {
			t.Errorf("the row says %d, want %d", got, first)
		}
	}
	take := func() {
		if _, err := h.TakeRecent(ctx, inbox); err != nil {
			t.Error(err)
		}
	}
	h.deliver("one", h.inbox(a))
	take()
	want(1)
	h.deliver("two", h.inbox(a))
	want(2)
	take()
	want(2)
	over, cancel := context.WithCancel(ctx)
	cancel()
	if err := h.Run(over); err != nil {
		t.Error(err)
	}
	want(3)
}

// TestManyFlags crosses the slices of SetFlags, Move and Expunge.
func TestManyFlags(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	inbox, sent := h.box(a, mail.Inbox).ID, h.box(a, "Sent").ID
	const many = 36_000
	f := h.inbox(a)
	for done := 0; done < many; done += 1000 {
		h.deliver(fmt.Sprint("m", done), slices.Repeat([]store.Filing{f}, 1000)...)
	}
	all := mail.UIDSet{{First: 1, Last: 1<<32 - 1}}
	got, err := h.SetFlags(ctx, inbox, all, store.FlagChange{Flags: mail.Seen, Keywords: "x"})
	h.must(err)
	before := h.view(inbox)
	if got.Len() != many || before.At(1).ModSeq == before.At(many).ModSeq {
		t.Errorf("%d messages", got.Len())
	}
	again, err := h.SetFlags(ctx, inbox, all, store.FlagChange{Flags: mail.Seen})
	h.must(err)
	if !slices.Equal(got, again) || h.view(inbox) != before {
		t.Error("a change of nothing changed something")
	}
	var odd mail.UIDSet
	for u := mail.UID(1); u <= many; u += 2 {
		odd.Add(u)
	}
	_, err = h.SetFlags(ctx, inbox, odd, store.FlagChange{Flags: mail.Deleted})
	h.must(err)
	gone, err := h.Expunge(ctx, inbox, nil)
	h.must(err)
	if len(gone) != many/2 || h.view(inbox).Len() != many/2 {
		t.Errorf("%d expunged, %d left", len(gone), h.view(inbox).Len())
	}
	c, err := h.Move(ctx, inbox, all, sent)
	h.must(err)
	if len(c.Dest) != many/2 || h.view(inbox).Len() != 0 || h.view(sent).Len() != many/2 || c.Source[1] != 4 {
		t.Errorf("moved %d", len(c.Dest))
	}
	if _, err := h.Move(ctx, sent, all, sent); err != nil || h.view(sent).Len() != many/2 {
		t.Errorf("moved onto itself: %d, %v", h.view(sent).Len(), err)
	}
}

func TestEvents(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	inbox := h.box(a, mail.Inbox)
	h.events = nil
	f := h.deliver("one", h.inbox(a))[0]
	_, err := h.SetFlags(ctx, inbox.ID, mail.UIDs(1), store.FlagChange{})
	h.must(err)
	h.must(h.Subscribe(ctx, a, "x", true))
	want := []store.Event{{Account: a, Mailbox: inbox.ID, ModSeq: f.ModSeq, Came: true}, {Account: a, ModSeq: f.ModSeq + 1}}
	if !slices.Equal(h.events, want) {
		t.Errorf("events %v, want %v", h.events, want)
	}
}

// TestManyAtOnce delivers from 64 goroutines while others load views, change
// flags and expunge.
func TestManyAtOnce(t *testing.T) {
	h := newHouse(t, func(o *store.Options) { o.ViewMemory = 96 << 10 })
	const accounts, each = 5, 20
	boxes := map[mail.AccountID]mail.MailboxID{}
	for i := range mail.AccountID(accounts) {
		h.account(i + 1)
		boxes[i+1] = h.box(i+1, mail.Inbox).ID
	}
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			for i := range each {
				h.deliver(text(fmt.Sprintf("%d.%d", g, i), "s", "b"), h.inbox(mail.AccountID(i%accounts+1)), h.inbox(mail.AccountID(g%accounts+1)))
			}
		})
	}
	for i := range 4 {
		wg.Go(func() { h.meddle(boxes[mail.AccountID(i+1)]) })
	}
	wg.Wait()
	total := 0
	for _, id := range boxes {
		total += h.view(id).Len()
		gone, err := h.Vanished(ctx, id, 0)
		h.must(err)
		total += gone.Len()
	}
	if total != 64*each*2 {
		t.Errorf("%d messages, want %d", total, 64*each*2)
	}
}

// meddle changes a mailbox for a while and checks that views only move forward.
func (h *house) meddle(id mail.MailboxID) {
	old := h.view(id)
	for n := range 40 {
		_, err := h.SetFlags(ctx, id, mail.UIDSet{{First: 1, Last: mail.UID(n * 2)}}, store.FlagChange{Mode: store.FlagMode(n % 2), Flags: mail.Flagged})
		h.must(err)
		if n%10 == 9 {
			_, err := h.ExpungeAny(ctx, id, mail.UIDs(mail.UID(n)))
			h.must(err)
		}
		now := h.view(id)
		if now.ModSeq() < old.ModSeq() || now.Len() != old.Len()-len(store.Diff(old, now).Vanished)+store.Diff(old, now).Added {
			h.t.Errorf("view went from %d at %d to %d at %d", old.Len(), old.ModSeq(), now.Len(), now.ModSeq())
		}
		old = now
	}
}

// setRoom gives the database room for a few messages, or for many.
func (h *house) setRoom(few bool) {
	h.t.Helper()
	switch pages := 1 << 20; {
	case dbtest.OnServer() && few:
		h.refuse("INSERT", "email", "(SELECT count(*) FROM email) > 20")
	case dbtest.OnServer():
		h.refuse("", "email")
	default:
		if few {
			pages = 80
		}
		h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
			return tx.QueryRow(fmt.Sprintf("PRAGMA max_page_count = %d", pages)).Scan(new(int))
		}))
	}
}

// TestFullDisk fills the database to its bound: deliveries fail as temporary,
// reading goes on, and with room again everything works.
func TestFullDisk(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	inbox := h.box(a, mail.Inbox).ID
	h.setRoom(true)
	var err error
	kept := 0
	for err == nil && kept < 1000 {
		in := h.NewIncoming()
		_, _ = in.Write([]byte(benchBody(int64(kept))))
		_, err = h.Deliver(ctx, store.Posting{Message: in, Filings: []store.Filing{h.inbox(a)}})
		in.Close()
		if err == nil {
			kept++
		}
	}
	wantKind(t, err, mail.Unavailable)
	if n := h.view(inbox).Len(); n != kept || kept == 0 {
		t.Errorf("%d messages, %d were accepted", n, kept)
	}
	h.check()
	h.setRoom(false)
	h.deliver(benchBody(7), h.inbox(a))
	if n := h.view(inbox).Len(); n != kept+1 {
		t.Errorf("%d messages after there is room", n)
	}
}

func TestReopen(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	h.deliver("one", h.inbox(a))
	inbox := h.box(a, mail.Inbox).ID
	before := show(h.view(inbox))
	if !dbtest.OnServer() { // Has as many who open it as like.
		_, err := sqldb.Open(ctx, h.on)
		wantKind(t, err, mail.Conflict)
	}
	h.must(h.db.Close())
	h.open()
	if got := show(h.view(inbox)); got != before || h.read(inbox, 1) != "one" {
		t.Errorf("view is %s, was %s", got, before)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := h.Expunge(canceled, inbox, nil); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
