package intake_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/blob"
	"yubin/internal/world/sqldb"
)

var (
	ctx    = context.Background()
	noon   = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	ann    = mail.AccountID(1)
	bea    = mail.AccountID(2)
	cyn    = mail.AccountID(3)
	prefix = []byte("Received: here\r\n")
)

const text = "Subject: hello\r\nFrom: s@a.test\r\n\r\nbody\r\n"

func address(s string) mail.Address {
	if a, err := mail.ParseAddress(s); err == nil {
		return a
	}
	panic(s)
}

// to is a recipient with accounts here, and with addresses elsewhere.
func to(s string, accounts []mail.AccountID, onward ...string) intake.Recipient {
	r := intake.Recipient{Address: address(s)}
	for _, a := range accounts {
		r.Route.Accounts = append(r.Route.Accounts, a)
		r.Route.Names = append(r.Route.Names, mail.Address{Local: "abc"[a-1 : a], Domain: "here.test"})
	}
	for _, o := range onward {
		a := address(o)
		r.Route.Onward = append(r.Route.Onward, route.Onward{Address: a, Hop: mail.NextHop{Kind: mail.HopMX, Domain: a.Domain}})
	}
	return r
}

func from(s string) intake.Envelope {
	e := intake.Envelope{Item: spool.Item{Arrived: noon, Prefix: prefix}}
	if s != "" {
		e.ReversePath = mail.ReversePath(address(s))
	}
	return e
}

// house is a store with three accounts and a queue, which must check clean at the
// end.
type house struct {
	*intake.Intake
	t     *testing.T
	db    *sqldb.DB
	store *store.Store
	spool *spool.Spool
	queue *queue.Queue

	mu  sync.Mutex
	got map[string]string // what the courier carried, by recipient

	quotas map[mail.AccountID]mail.Quota
}

func newHouse(t *testing.T, wishes intake.Wishes) *house {
	t.Helper()
	return newHouseOn(t, wishes, dbtest.Open)
}

// newHouseInBubble is on SQLite: in a bubble no server answers.
func newHouseInBubble(t *testing.T) *house {
	return newHouseOn(t, nil, func(t testing.TB, _ ...func(*sqldb.Options)) *sqldb.DB {
		db, err := sqldb.Open(ctx, sqldb.Options{Path: filepath.Join(t.TempDir(), "yubin.db"), CheckLocks: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	})
}

func newHouseOn(t *testing.T, wishes intake.Wishes, open func(testing.TB, ...func(*sqldb.Options)) *sqldb.DB) *house {
	t.Helper()
	h := &house{t: t, got: map[string]string{}}
	dir := t.TempDir()
	var err error
	h.db = open(t)
	blobs, err := blob.Open(filepath.Join(dir, "blobs"), rand.Reader)
	h.must(err)
	h.store, err = store.Open(ctx, store.Options{DB: h.db, Blobs: blobs, Holders: []store.Holder{spool.Held}, Quotas: h})
	h.must(err)
	h.spool, err = spool.Open(ctx, spool.Options{DB: h.db, Store: h.store})
	h.must(err)
	h.queue, err = queue.Open(ctx, queue.Options{DB: h.db, Store: h.store, Spool: h.spool, Courier: h, Router: h,
		Now: time.Now, Rand: func() float64 { return 0.5 }, Name: "test", Alone: true})
	h.must(err)
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		for _, a := range []mail.AccountID{ann, bea, cyn} {
			if err := h.store.CreateAccount(tx, a); err != nil {
				return err
			}
		}
		return nil
	}))
	h.Intake = intake.New(intake.Options{Store: h.store, Queue: h.queue, Wishes: wishes})
	t.Cleanup(h.check)
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("%v (%v)", err, errors.Unwrap(err))
	}
}

func (h *house) check() {
	h.t.Helper()
	for _, check := range []func(context.Context, func(string)) error{h.store.CheckDeep, h.spool.Check, h.queue.Check} {
		h.must(check(ctx, func(problem string) { h.t.Error("check: " + problem) }))
	}
}

func (h *house) message(octets string) *intake.Message {
	m := h.Begin()
	h.t.Cleanup(m.Close)
	_, err := io.WriteString(m, octets)
	h.must(err)
	return m
}

func (h *house) plan(octets string, e intake.Envelope, to ...intake.Recipient) *intake.Plan {
	h.t.Helper()
	p, err := h.Plan(ctx, h.message(octets), e, to)
	h.must(err)
	return p
}

func (h *house) remove(a mail.AccountID) {
	h.t.Helper()
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { return h.store.DeleteAccount(tx, a) }))
}

// in lists the messages of a mailbox.
func (h *house) in(a mail.AccountID, name mail.MailboxName) (all []string) {
	h.t.Helper()
	m, err := h.store.Mailbox(ctx, a, name)
	h.must(err)
	v, err := h.store.View(ctx, m.ID)
	h.must(err)
	var uids []mail.UID
	for _, e := range v.All() {
		uids = append(uids, e.UID)
	}
	rows, _, err := h.store.Rows(ctx, m.ID, uids, store.NeedContent)
	h.must(err)
	for _, r := range rows {
		var b strings.Builder
		_, err := r.Content.WriteTo(&b)
		h.must(err)
		h.must(r.Content.Close())
		all = append(all, b.String())
	}
	return all
}

func (h *house) want(what string, got, want any) {
	h.t.Helper()
	switch got := got.(type) {
	case []string:
		if want, ok := want.([]string); !ok || !slices.Equal(got, want) {
			h.t.Errorf("%s: got %q, want %q", what, got, want)
		}
	default:
		if got != want {
			h.t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
}

// Quota is what a test says.
func (h *house) Quota(_ context.Context, a mail.AccountID) (mail.Quota, error) {
	return h.quotas[a], nil
}

// QuotaIn is the same.
func (h *house) QuotaIn(_ *sqldb.Tx, a mail.AccountID) (mail.Quota, error) { return h.quotas[a], nil }

// Carry takes all.
func (h *house) Carry(_ context.Context, _ mail.NextHop, t mail.Transaction) (results []mail.Result) {
	c, err := t.Content()
	h.must(err)
	defer c.Close()
	b, err := io.ReadAll(c)
	h.must(err)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range t.Recipients {
		h.got[r.Address.String()] += string(b)
		if int64(len(b)) != t.Size {
			h.t.Errorf("%d octets of %d for %s", len(b), t.Size, r.Address)
		}
		results = append(results, mail.Result{Outcome: mail.Delivered, Attempts: []mail.Attempt{{At: time.Now(), Phase: mail.PhaseAnswer, Outcome: mail.Delivered}}})
	}
	return results
}

// NextHop is the exchangers of the domain.
func (h *house) NextHop(_ context.Context, q queue.Question) (queue.Hop, error) {
	return queue.Hop{NextHop: mail.NextHop{Kind: mail.HopMX, Domain: q.Recipient.Domain}}, nil
}
