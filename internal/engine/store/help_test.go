package store_test

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/blob"
	"yubin/internal/world/sqldb"
)

// house is a store with its database and a clock that tests move.
type house struct {
	*store.Store
	t     testing.TB
	db    *sqldb.DB
	on    sqldb.Options // of db
	blobs *blob.Dir
	dir   string
	slice time.Duration // sqldb.Options.Slice

	mu     sync.Mutex
	clock  time.Time
	events []store.Event

	late          *mathrand.Rand // announcements wait for hear; nil if they do not
	announcements []func()
}

// ctx is the context of all tests that do not cancel.
var ctx = context.Background()

// newHouse opens a store in a folder of its own; at the end of the test it must
// check clean.
func newHouse(t testing.TB, change ...func(*store.Options)) *house {
	t.Helper()
	return startHouse(&house{t: t, slice: time.Hour}, change)
}

// newSlicedHouse is newHouse where every slice is as small as can be.
func newSlicedHouse(t testing.TB, change ...func(*store.Options)) *house {
	t.Helper()
	return startHouse(&house{t: t, slice: time.Nanosecond}, change)
}

func startHouse(h *house, change []func(*store.Options)) *house {
	t := h.t
	t.Helper()
	h.dir, h.clock = t.TempDir(), time.Unix(1_700_000_000, 0)
	h.on = dbtest.Options(t)
	h.on.Slice = h.slice
	if _, bench := t.(*testing.B); bench {
		h.on.CheckLocks = false // It costs what is to be measured.
	}
	h.open(change...)
	t.Cleanup(func() {
		h.check()
		if err := h.db.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *house) open(change ...func(*store.Options)) {
	h.t.Helper()
	var err error
	if h.db, err = sqldb.Open(ctx, h.on); err != nil {
		h.t.Fatal(err)
	}
	if h.blobs, err = blob.Open(filepath.Join(h.dir, "blobs"), rand.Reader); err != nil {
		h.t.Fatal(err)
	}
	o := store.Options{DB: h.db, Blobs: h.blobs, Now: h.now, Publish: h.publish}
	for _, c := range change {
		c(&o)
	}
	if h.Store, err = store.Open(ctx, o); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.clock
}

func (h *house) advance(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock = h.clock.Add(d)
}

func (h *house) publish(e store.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

// check reports what Check finds.
func (h *house) check() {
	h.t.Helper()
	if err := h.CheckDeep(ctx, func(p string) { h.t.Error("check: " + p) }); err != nil {
		h.t.Error("check failed:", err)
	}
}

func (h *house) account(id mail.AccountID) mail.AccountID {
	h.t.Helper()
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { return h.CreateAccount(tx, id) }))
	return id
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("%v (%v)", err, mail.KindOf(err))
	}
}

// text makes a message.
func text(id, subject, body string) string {
	return fmt.Sprintf("From: a@example.org\r\nMessage-ID: <%s@example.org>\r\nSubject: %s\r\n\r\n%s\r\n", id, subject, body)
}

// deliver delivers octets.
func (h *house) deliver(octets string, to ...store.Filing) []store.Filed {
	h.t.Helper()
	in := h.NewIncoming()
	defer in.Close()
	_, err := in.Write([]byte(octets))
	h.must(err)
	filed, err := h.Deliver(ctx, store.Posting{Message: in, Filings: to})
	h.must(err)
	return filed
}

// restoreSince restores all that was expunged from an account since a moment.
func (h *house) restoreSince(account mail.AccountID, since time.Time) (n int, err error) {
	q := store.LostQuery{Since: since}
	for {
		list, next, err := h.Lost(ctx, account, q)
		if err != nil {
			return n, err
		}
		some, err := h.Restore(ctx, account, list, "")
		if n += some; err != nil || next == nil {
			return n, err
		}
		q.After = *next
	}
}

// inbox is a filing to an account's INBOX.
func (h *house) inbox(account mail.AccountID) store.Filing {
	return store.Filing{Account: account, Role: mail.RoleInbox, Received: h.now()}
}

func (h *house) box(account mail.AccountID, name mail.MailboxName) store.Mailbox {
	h.t.Helper()
	m, err := h.Mailbox(ctx, account, name)
	h.must(err)
	return m
}

// hear makes the announcements that wait, in any order, and tells of the mailbox
// what an event would.
func (h *house) hear(id mail.MailboxID) {
	h.t.Helper()
	if h.late == nil {
		return
	}
	h.mu.Lock()
	list := h.announcements
	h.announcements = nil
	h.mu.Unlock()
	h.late.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for _, announce := range list {
		announce()
	}
	modseq := mail.ModSeq(h.count(`SELECT coalesce(max(modseq), 0) FROM tally WHERE mailbox = $1`, id))
	h.Heard(store.Event{Mailbox: id, ModSeq: modseq + mail.ModSeq(h.late.IntN(50)/49)}) // Once in a while it is wrong.
}

func (h *house) view(id mail.MailboxID) *store.View {
	h.t.Helper()
	h.hear(id)
	v, err := h.View(ctx, id)
	h.must(err)
	return v
}

// show lists a view: "1 2+\Seen".
func show(v *store.View) string {
	var b strings.Builder
	for _, e := range v.All() {
		fmt.Fprintf(&b, "%d", e.UID)
		for _, f := range e.Flags.AppendNames(e.Keywords.Names()) {
			b.WriteString("+" + f)
		}
		b.WriteByte(' ')
	}
	return strings.TrimSpace(b.String())
}

// read returns the octets of a message.
func (h *house) read(id mail.MailboxID, uid mail.UID) string {
	h.t.Helper()
	rows, _, err := h.Rows(ctx, id, []mail.UID{uid}, store.NeedContent)
	h.must(err)
	if len(rows) != 1 {
		h.t.Fatalf("%d rows for UID %d", len(rows), uid)
	}
	defer rows[0].Content.Close()
	var b strings.Builder
	_, err = rows[0].Content.WriteTo(&b)
	h.must(err)
	return b.String()
}

// count reads one number from the database.
func (h *house) count(query string, args ...any) (n int) {
	h.t.Helper()
	h.must(h.db.Read(ctx, func(tx *sqldb.Tx) error { return tx.QueryRow(query, args...).Scan(&n) }))
	return n
}

func wantKind(t testing.TB, err error, kind mail.Kind) {
	t.Helper()
	if err == nil || mail.KindOf(err) != kind {
		t.Fatalf("error %v, want kind %v", err, kind)
	}
}

// refuse makes the database fail whoever inserts into a table, or deletes from it,
// as a full disk does: always, or while something is true. With no event nobody
// fails any more.
func (h *house) refuse(event, table string, while ...string) {
	h.t.Helper()
	when := strings.Join(append(while, "1 = 1"), " AND ")
	statements := []string{fmt.Sprintf(`CREATE TRIGGER refuse BEFORE %s ON %s WHEN %s BEGIN SELECT RAISE(ABORT, 'refused'); END`, event, table, when)}
	if dbtest.OnServer() {
		statements = []string{
			fmt.Sprintf(`CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $body$
				BEGIN IF %s THEN RAISE EXCEPTION USING ERRCODE = '53100'; END IF; RETURN coalesce(NEW, OLD); END $body$`, when),
			fmt.Sprintf(`CREATE TRIGGER refuse BEFORE %s ON %s FOR EACH ROW EXECUTE FUNCTION refuse()`, event, table),
		}
	}
	if event == "" {
		statements = []string{`DROP TRIGGER refuse`}
		if dbtest.OnServer() {
			statements[0] += ` ON ` + table
		}
	}
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		for _, q := range statements {
			if _, err := tx.Exec(q); err != nil {
				return err
			}
		}
		return nil
	}))
}
