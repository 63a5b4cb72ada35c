package directory

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/engine/password"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// mailroom is an Accounts that keeps a row for each account, so that tests see
// whether it shared the directory's transaction.
type mailroom struct{ fail error }

func (m *mailroom) CreateAccount(tx *sqldb.Tx, id mail.AccountID) error {
	_, err := tx.Exec(`INSERT INTO mailroom (id) VALUES ($1)`, id)
	return errors.Join(err, m.fail)
}

func (m *mailroom) DeleteAccount(tx *sqldb.Tx, id mail.AccountID) error {
	_, err := tx.Exec(`DELETE FROM mailroom WHERE id = $1`, id)
	return errors.Join(err, m.fail)
}

// house is a Directory under test.
type house struct {
	*Directory
	t     testing.TB
	db    *sqldb.DB
	rooms *mailroom

	closed  bool
	damaged bool // the test broke the rows itself

	mu    sync.Mutex
	slept []time.Duration
}

// sleep notes how long the directory wanted to.
func (h *house) sleep(_ context.Context, d time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.slept = append(h.slept, d)
	return nil
}

// shutGate takes all memory for hashing, and returns what gives it back.
func (h *house) shutGate() (open func()) {
	h.must(h.gate.enter(h.t.Context(), attempt{known: true}, h.o.HashMemory, 0))
	return func() { h.gate.leave(h.o.HashMemory) }
}

var home = netip.MustParseAddr("192.0.2.7")

// open makes a directory with the domains example.org and xn--bcher-kva.example.
func open(t testing.TB, change func(*Options)) *house {
	t.Helper()
	return reopen(t, dbtest.Options(t), change)
}

func reopen(t testing.TB, where sqldb.Options, change func(*Options)) *house {
	t.Helper()
	db, err := sqldb.Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), "mailroom", []string{`CREATE TABLE mailroom (id {int} NOT NULL PRIMARY KEY)`}); err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, db: db, rooms: &mailroom{}}
	o := Options{NoFloor: true, DB: db, Accounts: h.rooms, Cost: password.Cost{Memory: 64, Time: 1, Threads: 1}, ScramIterations: 16, HashMemory: 256, Sleep: h.sleep}
	if change != nil {
		change(&o)
	}
	if h.Directory, err = Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	for _, name := range []mail.Domain{"example.org", "xn--bcher-kva.example"} {
		if _, err := h.AddDomain(t.Context(), name); err != nil && mail.KindOf(err) != mail.Exists {
			t.Fatal(err)
		}
	}
	return h
}

// problems is what Check reports.
func (h *house) problems() (found []string) {
	if err := h.Check(context.Background(), func(p string) { found = append(found, p) }); err != nil {
		h.t.Error(err)
	}
	return found
}

// close checks the rows, unless the test broke them, and closes the database.
func (h *house) close() {
	if h.closed {
		return
	}
	h.closed = true
	if !h.damaged {
		for _, p := range h.problems() {
			h.t.Error(p)
		}
	}
	if err := h.db.Close(); err != nil {
		h.t.Error(err)
	}
}

// addr reads an address; without a domain, one of example.org.
func addr(s string) mail.Address {
	if !strings.Contains(s, "@") {
		s += "@example.org"
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

func addrs(names ...string) (list []mail.Address) {
	for _, n := range names {
		list = append(list, addr(n))
	}
	return list
}

func (h *house) account(name string) mail.AccountID {
	h.t.Helper()
	a, err := h.AddAccount(h.t.Context(), NewAccount{Address: addr(name), Password: "pw of " + name})
	if err != nil {
		h.t.Fatal(err)
	}
	return a.ID
}

func (h *house) alias(name string, targets ...string) {
	h.t.Helper()
	if _, err := h.AddAlias(h.t.Context(), Alias{Address: addr(name), Targets: addrs(targets...)}); err != nil {
		h.t.Fatal(err)
	}
}

// catchAll sets that of a domain.
func (h *house) catchAll(domain mail.Domain, targets ...string) error {
	_, err := h.SetAlias(h.t.Context(), Alias{Address: CatchAll(domain), Targets: addrs(targets...)})
	return err
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// wantRoute checks where mail for name goes: the detail, then the accounts.
func (h *house) wantRoute(name, detail string, want ...mail.AccountID) {
	h.t.Helper()
	r, err := h.Resolve(h.t.Context(), addr(name))
	if err != nil || !slices.Equal(r.Accounts, want) || r.Detail != detail {
		h.t.Errorf("Resolve(%s) = %v %q, %v; want %v %q", name, r.Accounts, r.Detail, err, want, detail)
	}
}

func (h *house) wantNoRoute(name string, kind mail.Kind) {
	h.t.Helper()
	r, err := h.Resolve(h.t.Context(), addr(name))
	wantKind(h.t, err, kind)
	if len(r.Accounts) > 0 {
		h.t.Errorf("Resolve(%s) = %v", name, r.Accounts)
	}
}

func wantKind(t testing.TB, err error, want mail.Kind) {
	t.Helper()
	var e *mail.Error
	if !errors.As(err, &e) || e.Kind != want {
		t.Errorf("error %v, want kind %v", err, want)
	}
}
