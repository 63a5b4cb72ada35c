package spool

import (
	"context"
	"crypto/rand"
	"io"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/blob"
	"yubin/internal/world/sqldb"
)

var ctx = context.Background()

type house struct {
	*Spool
	t     *testing.T
	db    *sqldb.DB
	store *store.Store
}

func newHouse(t *testing.T) *house {
	h := &house{t: t}
	dir := t.TempDir()
	var err error
	h.db = dbtest.Open(t)
	blobs, err := blob.Open(filepath.Join(dir, "blobs"), rand.Reader)
	h.must(err)
	h.store, err = store.Open(ctx, store.Options{DB: h.db, Blobs: blobs, Holders: []store.Holder{Held}})
	h.must(err)
	h.Spool, err = Open(ctx, Options{DB: h.db, Store: h.store})
	h.must(err)
	t.Cleanup(func() {
		h.check(nil)
	})
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("%v (%v)", err, mail.KindOf(err))
	}
}

// check compares what Check finds.
func (h *house) check(want []string) {
	h.t.Helper()
	var got []string
	report := func(p string) { got = append(got, p) }
	h.must(h.Check(ctx, report))
	h.must(h.store.CheckDeep(ctx, report))
	if len(got) != len(want) {
		h.t.Fatalf("check says %q, want %q", got, want)
	}
	for i := range got {
		if !strings.Contains(got[i], want[i]) {
			h.t.Errorf("check says %q, want %q", got[i], want[i])
		}
	}
}

// accept spools octets.
func (h *house) accept(octets string, it Item) (ItemID, error) {
	in := h.store.NewIncoming()
	defer in.Close()
	_, err := io.WriteString(in, octets)
	h.must(err)
	var id ItemID
	_, err = h.store.Deliver(ctx, store.Posting{Message: in,
		Decide: func(store.Refused) (int, error) { return 1, nil },
		Also: func(tx *sqldb.Tx, _ []store.Filed, held []store.BlobRef) (err error) {
			it.Blob, it.Size = held[0], int64(len(it.Prefix))+in.Size()
			id, err = h.Add(tx, it)
			return err
		}})
	return id, err
}

func (h *house) item(id ItemID) (it Item, err error) {
	err = h.db.Read(ctx, func(tx *sqldb.Tx) (err error) {
		it, err = h.Item(tx, id)
		return err
	})
	return it, err
}

func (h *house) write(fn func(tx *sqldb.Tx) error) { h.t.Helper(); h.must(h.db.Write(ctx, fn)) }

func plain() Item {
	at := time.Date(2026, 3, 4, 5, 6, 7, 8e6, time.UTC)
	return Item{Arrived: at, Expire: at.AddDate(0, 0, 5)}
}

func TestItemKeepsAll(t *testing.T) {
	h := newHouse(t)
	sender, err := mail.ParseAddress(`"odd one"@xn--r8jz45g.xn--zckzah`)
	h.must(err)
	it := plain()
	it.Outgoing = mail.Outgoing{ReversePath: mail.ReversePath(sender), Body: mail.Body8BitMIME, UTF8: true, RequireTLS: true, TLSOptional: true,
		Ret: mail.RetHeaders, EnvID: "QQ314159", Priority: -4,
		DeliverBy: mail.DeliverBy{At: it.Arrived.Add(time.Hour), Return: true, Trace: true}}
	it.Prefix = []byte("Received: from here\r\n")
	it.HoldUntil = it.Arrived.Add(time.Minute)
	it.Account, it.Language, it.Transaction, it.MessageID = 7, "ja", "c1.2", "<m@x.test>"
	senders := []string{"user..name@docomo.example", "local.@x.example", "bounces+" + strings.Repeat("7", 200) + "@x.example"}
	for i, body := range []string{"", strings.Repeat("x", 200_000), "a", "b", "c"} {
		if i > 1 {
			sender, err := mail.ParseAddress(senders[i-2])
			h.must(err)
			it.ReversePath = mail.ReversePath(sender)
		}
		octets := "Subject: s\r\n\r\n" + body
		id, err := h.accept(octets, it)
		h.must(err)
		got, err := h.item(id)
		h.must(err)
		want := it
		want.ID, want.Blob, want.Size = id, got.Blob, int64(len(it.Prefix)+len(octets))
		if !reflect.DeepEqual(got, want) || got.Blob == 0 {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		c, err := h.Content(ctx, got)
		h.must(err)
		var b strings.Builder
		_, err = c.WriteTo(&b)
		h.must(err)
		c.Close()
		if b.String() != string(it.Prefix)+octets {
			t.Errorf("content is %.60q, of %d", b.String(), b.Len())
		}
	}
}

func TestSettleAndForget(t *testing.T) {
	h := newHouse(t)
	var ids []ItemID
	for range 3 { // The same octets: one blob, three references.
		id, err := h.accept("Subject: s\r\n\r\n", plain())
		h.must(err)
		ids = append(ids, id)
	}
	at := plain().Arrived
	for i, id := range ids {
		if _, err := h.item(id); err != nil {
			t.Fatal(err)
		}
		h.write(func(tx *sqldb.Tx) error { return h.Settle(tx, id, 0, at.Add(time.Duration(i)*time.Hour)) })
		h.write(func(tx *sqldb.Tx) error { return h.Settle(tx, id, 0, at.AddDate(1, 0, 0)) }) // It stays as it is.
		h.check(nil)
	}
	it, err := h.item(ids[1])
	h.must(err)
	if it.Blob != 0 || !it.Settled.Equal(at.Add(time.Hour)) {
		t.Errorf("settled %+v", it)
	}
	if _, err := h.Content(ctx, it); mail.KindOf(err) != mail.NotFound {
		t.Errorf("content of a settled item: %v", err)
	}
	var gone []ItemID
	h.write(func(tx *sqldb.Tx) (err error) {
		gone, err = h.Forget(tx, at.Add(90*time.Minute), 10)
		return err
	})
	if !reflect.DeepEqual(gone, ids[:2]) {
		t.Errorf("forgotten %v", gone)
	}
	if _, err := h.item(ids[0]); mail.KindOf(err) != mail.NotFound {
		t.Errorf("a forgotten item: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	h := newHouse(t)
	for name, spoil := range map[string]func(*Item){
		"priority":    func(it *Item) { it.Priority = 10 },
		"no arrival":  func(it *Item) { it.Arrived = time.Time{} },
		"long prefix": func(it *Item) { it.Prefix = []byte(strings.Repeat("x", store.MaxPrefix) + "\r\n") },
		"open prefix": func(it *Item) { it.Prefix = []byte("Received: x") },
		"message-id":  func(it *Item) { it.MessageID = strings.Repeat("x", MaxMessageID+1) },
	} {
		it := plain()
		spoil(&it)
		if _, err := h.accept("Subject: s\r\n\r\n", it); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	err := h.db.Write(ctx, func(tx *sqldb.Tx) error {
		it := plain()
		it.Blob, it.Prefix, it.Size = 1, []byte("X: y\r\n"), 3
		_, err := h.Add(tx, it)
		return err
	})
	if mail.KindOf(err) != mail.Internal || err == nil {
		t.Errorf("a size without the prefix: %v", err)
	}
}

// TestCheckFinds: each rule is broken once.
func TestCheckFinds(t *testing.T) {
	for _, tc := range []struct {
		spoil, repair string
		want          []string
	}{
		{`UPDATE spool_item SET size = size + 1`, `UPDATE spool_item SET size = size - 1`, []string{"wrong size"}},
		{`UPDATE spool_item SET blob = 77`, `UPDATE spool_item SET blob = 1`, []string{"without its octets", "miscounted"}},
		{`UPDATE spool_item SET settled = 5`, `UPDATE spool_item SET settled = 0`, []string{"holds octets"}},
		{`UPDATE blob SET refs = 2`, `UPDATE blob SET refs = 1`, []string{"miscounted"}},
	} {
		h := newHouse(t)
		_, err := h.accept("Subject: s\r\n\r\n", plain())
		h.must(err)
		exec := func(q string) { h.write(func(tx *sqldb.Tx) error { _, err := tx.Exec(q); return err }) }
		exec(tc.spoil)
		h.check(tc.want)
		exec(tc.repair)
	}
}

func TestHoldBlob(t *testing.T) {
	h := newHouse(t)
	id, err := h.accept("Subject: s\r\n\r\n", plain())
	h.must(err)
	it, err := h.item(id)
	h.must(err)
	h.write(func(tx *sqldb.Tx) error { return h.store.HoldBlob(tx, it.Blob) })
	h.write(func(tx *sqldb.Tx) error { return h.Settle(tx, id, 0, it.Arrived) })
	c, err := h.store.OpenBlob(ctx, it.Blob, nil)
	h.must(err)
	c.Close()
	h.write(func(tx *sqldb.Tx) error { return h.store.ReleaseBlob(tx, it.Blob) })
	if _, err := h.store.OpenBlob(ctx, it.Blob, nil); mail.KindOf(err) != mail.NotFound {
		t.Errorf("released octets: %v", err)
	}
}
