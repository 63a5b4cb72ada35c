package retention_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/password"
	"yubin/internal/engine/retention"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/blob"
	"yubin/internal/world/sqldb"
)

const day = 24 * time.Hour

// house is a store, a directory and the retention of both, with a clock.
type house struct {
	*retention.Retention
	t     *testing.T
	db    *sqldb.DB
	mail  *store.Store
	dir   *directory.Directory
	o     retention.Options
	clock time.Time
	ids   map[string]mail.AccountID
}

// rooms are the mailboxes of accounts, and their rules, which go with them.
type rooms struct{ h *house }

func (r rooms) CreateAccount(tx *sqldb.Tx, id mail.AccountID) error {
	return r.h.mail.CreateAccount(tx, id)
}

func (r rooms) DeleteAccount(tx *sqldb.Tx, id mail.AccountID) error {
	r.h.Drop(tx, id)
	return r.h.mail.DeleteAccount(tx, id)
}

// newHouse has ann and bob at a.test and cat at b.test. At the end all must check clean.
func newHouse(t *testing.T) *house {
	h := &house{t: t, clock: time.Unix(1_800_000_000, 0), ids: map[string]mail.AccountID{}}
	now := func() time.Time { return h.clock }
	h.db = dbtest.Open(t)
	blobs, err := blob.Open(filepath.Join(t.TempDir(), "blobs"), rand.Reader)
	h.must(err)
	h.mail, err = store.Open(t.Context(), store.Options{DB: h.db, Blobs: blobs, Now: now})
	h.must(err)
	h.dir, err = directory.Open(t.Context(), directory.Options{DB: h.db, Accounts: rooms{h}, Now: now,
		Removed: func(tx *sqldb.Tx, name mail.Domain) { h.DropDomain(tx, name) },
		Cost:    password.Cost{Memory: 64, Time: 1, Threads: 1}, ScramIterations: 16})
	h.must(err)
	h.o = retention.Options{DB: h.db, Mail: h.mail, Accounts: h.dir, Now: now}
	h.Retention = h.another()
	for _, d := range []mail.Domain{"a.test", "b.test", "empty.test"} {
		_, err := h.dir.AddDomain(t.Context(), d)
		h.must(err)
	}
	for _, a := range []string{"ann@a.test", "bob@a.test", "cat@b.test"} {
		address, err := mail.ParseAddress(a)
		h.must(err)
		made, err := h.dir.AddAccount(t.Context(), directory.NewAccount{Address: address, Password: "correct horse battery"})
		h.must(err)
		h.ids[address.Local] = made.ID
	}
	t.Cleanup(func() {
		report := func(problem string) { t.Error(problem) }
		h.must(h.Check(context.Background(), report))
		h.must(h.mail.Check(context.Background(), report))
	})
	return h
}

// another is the retention of another process.
func (h *house) another() *retention.Retention {
	h.t.Helper()
	r, err := retention.Open(h.t.Context(), h.o)
	h.must(err)
	return r
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// fill puts a message into mailboxes of ann, bob and cat.
func (h *house) fill(roles ...mail.Role) {
	h.t.Helper()
	for name, id := range h.ids {
		for _, role := range roles {
			in := h.mail.NewIncoming()
			_, err := fmt.Fprintf(in, "Subject: %s %s\r\n\r\n", name, role)
			h.must(err)
			_, err = h.mail.Deliver(h.t.Context(), store.Posting{Message: in, Filings: []store.Filing{{Account: id, Role: role,
				Received: h.clock.Add(-1000 * day)}}}) // What counts is when it came here.
			h.must(err)
			in.Close()
		}
	}
}

func (h *house) set(of retention.Scope, role mail.Role, keep time.Duration) {
	h.t.Helper()
	h.must(h.Set(h.t.Context(), retention.Rule{Scope: of, Role: role, Keep: keep}))
}

func (h *house) sweep() time.Duration {
	h.t.Helper()
	wait, err := h.Sweep(h.t.Context())
	h.must(err)
	return wait
}

// holds says how many messages there are: "ann trash 1, ...", without those that have none.
func (h *house) holds() string {
	h.t.Helper()
	var list []string
	for name, id := range h.ids {
		boxes, err := h.mail.Mailboxes(h.t.Context(), id)
		if mail.KindOf(err) == mail.NotFound && err != nil {
			continue
		}
		h.must(err)
		for _, b := range boxes {
			if b.Exists > 0 {
				list = append(list, fmt.Sprintf("%s %s %d", name, b.Name, b.Exists))
			}
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func (h *house) wants(want string) {
	h.t.Helper()
	if got := h.holds(); got != want {
		h.t.Errorf("there is %q, want %q", got, want)
	}
}

// TestKept: nothing goes without a rule; the nearest rule counts; what went can be restored.
func TestKept(t *testing.T) {
	h := newHouse(t)
	site, a, bob := retention.Scope{}, retention.Scope{Domain: "a.test"}, retention.Scope{Account: h.ids["bob"]}
	h.fill(mail.RoleTrash, mail.RoleJunk, mail.RoleInbox)
	all := "ann INBOX 1, ann Junk 1, ann Trash 1, bob INBOX 1, bob Junk 1, bob Trash 1, cat INBOX 1, cat Junk 1, cat Trash 1"
	h.clock = h.clock.Add(100 * day)
	h.sweep()
	h.wants(all)

	h.clock = h.clock.Add(-100*day + 14*day)
	h.set(site, mail.RoleTrash, 30*day)
	h.set(site, mail.RoleJunk, 14*day)
	h.set(a, mail.RoleTrash, 7*day)
	h.set(bob, mail.RoleJunk, retention.Forever)
	p, err := h.Preview(t.Context(), retention.Rule{Scope: site, Role: mail.RoleTrash, Keep: 2 * day})
	if h.must(err); p != (retention.Preview{Accounts: 1, Messages: 1}) { // a.test has its own.
		t.Errorf("preview %+v", p)
	}
	p, err = h.Preview(t.Context(), retention.Rule{Scope: a, Role: mail.RoleInbox, Keep: 2 * day})
	if h.must(err); p != (retention.Preview{Accounts: 2, Messages: 2}) {
		t.Errorf("preview %+v", p)
	}
	h.sweep() // Junk is kept 14 days, and these are not over.
	h.wants("ann INBOX 1, ann Junk 1, bob INBOX 1, bob Junk 1, cat INBOX 1, cat Junk 1, cat Trash 1")
	h.clock = h.clock.Add(retention.Every - time.Second)
	if wait := h.sweep(); wait != time.Second {
		t.Errorf("it waits %s", wait)
	}
	h.clock = h.clock.Add(time.Second)
	h.sweep()
	h.wants("ann INBOX 1, bob INBOX 1, bob Junk 1, cat INBOX 1, cat Trash 1")
	h.clock = h.clock.Add(17 * day)
	h.sweep()
	h.wants("ann INBOX 1, bob INBOX 1, bob Junk 1, cat INBOX 1")

	lost, _, err := h.mail.Lost(t.Context(), h.ids["cat"], store.LostQuery{Mailbox: "Trash"})
	h.must(err)
	if n, err := h.mail.Restore(t.Context(), h.ids["cat"], lost, ""); n != 1 || err != nil {
		t.Errorf("%d restored, %v", n, err)
	}
	h.clock = h.clock.Add(day)
	h.sweep() // What is back is new there.
	h.wants("ann INBOX 1, bob INBOX 1, bob Junk 1, cat INBOX 1, cat Trash 1")

	// A rule that is taken away leaves it to the next.
	h.must(h.Unset(t.Context(), bob, mail.RoleJunk))
	h.sweep()
	h.wants("ann INBOX 1, bob INBOX 1, cat INBOX 1, cat Trash 1")
	if err := h.Unset(t.Context(), bob, mail.RoleJunk); mail.KindOf(err) != mail.NotFound {
		t.Error(err)
	}
}

// TestWhatIsNoRule: what is none is refused.
func TestWhatIsNoRule(t *testing.T) {
	h := newHouse(t)
	for _, r := range []retention.Rule{
		{Role: "", Keep: day}, {Role: "bin", Keep: day}, {Role: mail.RoleTrash, Keep: time.Hour}, {Role: mail.RoleTrash, Keep: -day},
		{Role: mail.RoleTrash, Keep: retention.MaxKeep + day}, {Role: mail.RoleTrash, Keep: day + time.Millisecond},
		{Scope: retention.Scope{Account: 1, Domain: "a.test"}, Role: mail.RoleTrash, Keep: day},
	} {
		if err := h.Set(t.Context(), r); mail.KindOf(err) != mail.Invalid || err == nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
	err := h.Set(t.Context(), retention.Rule{Scope: retention.Scope{Account: 99}, Role: mail.RoleTrash, Keep: day})
	if mail.KindOf(err) != mail.NotFound || err == nil {
		t.Error(err)
	}
}

// TestOneSweeper: two processes are not at it at once; when one dies, the other goes on
// where it was.
func TestOneSweeper(t *testing.T) {
	h := newHouse(t)
	h.fill(mail.RoleTrash)
	h.set(retention.Scope{}, mail.RoleTrash, day)
	h.clock = h.clock.Add(2 * day)
	before := h.holds()
	dying := &dyingAccounts{Directory: h.dir}
	h.o.Accounts = dying
	first := h.another()
	if _, err := first.Sweep(t.Context()); err != errDied {
		t.Fatal(err)
	}
	h.o.Accounts = h.dir
	second := h.another()
	if wait, err := second.Sweep(t.Context()); err != nil || wait != time.Minute || h.holds() != before {
		t.Errorf("%s, %v: %s", wait, err, h.holds())
	}
	if _, err := first.Sweep(t.Context()); err != errDied { // Its own lease does not keep it.
		t.Error(err)
	}
	h.clock = h.clock.Add(6 * time.Minute)
	if wait, err := second.Sweep(t.Context()); err != nil || wait != retention.Every-6*time.Minute {
		t.Errorf("%s, %v", wait, err)
	}
	h.wants("")
}

var errDied = fmt.Errorf("died")

// dyingAccounts have nobody listed: the process dies before.
type dyingAccounts struct{ *directory.Directory }

func (d *dyingAccounts) Homes(context.Context, mail.AccountID, int) ([]directory.Home, error) {
	return nil, errDied
}

// TestRulesGo: with their account and domain, and when they came too late for that; a row
// that is damaged is told of and has nothing expunged.
func TestRulesGo(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.set(retention.Scope{}, mail.RoleTrash, day)
	h.set(retention.Scope{Domain: "empty.test"}, mail.RoleTrash, day)
	h.set(retention.Scope{Account: h.ids["cat"]}, mail.RoleTrash, day)
	h.must(h.dir.RemoveDomain(ctx, "empty.test"))
	h.must(h.dir.RemoveAccount(ctx, mail.Address{Local: "cat", Domain: "b.test"}))
	delete(h.ids, "cat")
	rules := func() string {
		list, err := h.Rules(ctx)
		h.must(err)
		return fmt.Sprint(list)
	}
	only := fmt.Sprint([]retention.Rule{{Role: mail.RoleTrash, Keep: day}})
	if got := rules(); got != only {
		t.Errorf("rules %s", got)
	}
	problems := func() (list []string) {
		h.must(h.Check(ctx, func(p string) { list = append(list, p) }))
		return list
	}
	write := func(q string) {
		h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { _, err := tx.Exec(q); return err }))
	}
	h.set(retention.Scope{Domain: "empty.test"}, mail.RoleJunk, day)
	write(`INSERT INTO retention_rule (account, domain, role, keep) VALUES (99, '', 'junk', 86400)`)
	if got := problems(); len(got) != 2 {
		t.Errorf("found %q", got)
	}
	h.sweep()
	if got := rules(); got != only {
		t.Errorf("rules %s", got)
	}
	h.fill(mail.RoleTrash, mail.RoleJunk)
	h.clock = h.clock.Add(10 * day)
	write(`UPDATE retention_rule SET keep = -5`)
	if got := problems(); len(got) != 1 || !strings.Contains(got[0], "rule of retention") {
		t.Errorf("found %q", got)
	}
	h.sweep()
	h.wants("ann Junk 1, ann Trash 1, bob Junk 1, bob Trash 1")
	write(`UPDATE retention_rule SET keep = 86400`)
	h.clock = h.clock.Add(retention.Every)
	h.sweep()
	h.wants("ann Junk 1, bob Junk 1")
}
