package history_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"yubin/internal/engine/history"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

const me, you mail.AccountID = 1, 2

// bureau is a History with a clock that tests move.
type bureau struct {
	*history.History
	t   testing.TB
	db  *sqldb.DB
	now time.Time
}

func newBureau(t testing.TB) *bureau {
	b := &bureau{t: t, db: dbtest.Open(t), now: time.Unix(1_800_000_000, 0)}
	b.open()
	t.Cleanup(func() {
		b.must(b.Check(context.Background(), func(p string) { t.Error(p) }))
	})
	return b
}

// open begins anew, as after a crash: with what is in the database alone.
func (b *bureau) open() {
	b.t.Helper()
	var err error
	b.History, err = history.Open(b.t.Context(), history.Options{DB: b.db, Now: func() time.Time { return b.now }})
	b.must(err)
}

func (b *bureau) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bureau) acted(account mail.AccountID, c history.Correspondent, acts ...history.Act) {
	b.t.Helper()
	var deeds []history.Deed
	for _, a := range acts {
		deeds = append(deeds, history.Deed{Of: c, Act: a})
	}
	b.must(b.db.Write(b.t.Context(), func(tx *sqldb.Tx) error {
		b.Acted(tx, account, deeds)
		return nil
	}))
}

func (b *bureau) ask(account mail.AccountID, c history.Correspondent) history.Known {
	b.t.Helper()
	k, err := b.Ask(b.t.Context(), account, c)
	b.must(err)
	return k
}

func (b *bureau) rows(account mail.AccountID) (n int) {
	b.t.Helper()
	b.must(b.db.Read(b.t.Context(), func(tx *sqldb.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM history WHERE account = $1`, int64(account)).Scan(&n)
	}))
	return n
}

func address(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

// proven is somebody whose domain is proven, claimed somebody who says so.
func proven(s string) history.Correspondent {
	a := address(s)
	return history.Correspondent{Address: a, Authenticated: a.Domain, Network: netip.MustParseAddr("192.0.2.7")}
}

func claimed(s string) history.Correspondent {
	return history.Correspondent{Address: address(s), Network: netip.MustParseAddr("2001:db8:1:2::3")}
}

func TestTrust(t *testing.T) {
	b := newBureau(t)
	trust := func(account mail.AccountID, c history.Correspondent, want history.Trust) {
		t.Helper()
		if got := b.ask(account, c).Trust(); got != want {
			t.Errorf("%s (proven %q) is %v to %d, want %v", c.Address, c.Authenticated, got, account, want)
		}
	}
	trust(me, claimed("new@example.net"), history.Stranger)
	trust(me, proven("new@example.net"), history.AuthenticatedStranger)
	b.Received(you, proven("bob@example.org"))
	trust(me, proven("bob@example.org"), history.KnownToSite)
	trust(me, proven("other@example.org"), history.KnownToSite)
	trust(me, claimed("bob@example.org"), history.Stranger)
	b.Received(me, proven("bob@example.org"))
	trust(me, proven("BOB@example.org"), history.KnownToAccount)
	b.WroteTo(me, address("bob@example.org"), address("small@example.com"))
	trust(me, proven("bob@example.org"), history.Welcome)
	trust(me, claimed("bob@example.org"), history.Stranger) // He always came with proof.
	trust(me, claimed("small@example.com"), history.Welcome)
	trust(you, claimed("small@example.com"), history.Stranger)
	b.acted(me, proven("seller@example.org"), history.Junked, history.Received)
	trust(me, proven("seller@example.org"), history.AuthenticatedStranger)
	b.acted(me, proven("seller@example.org"), history.Unjunked)
	trust(me, proven("seller@example.org"), history.KnownToAccount)
}

// TestForgedNamesSpoilNobody: what is done with forged mail is the forger's history.
func TestForgedNamesSpoilNobody(t *testing.T) {
	b := newBureau(t)
	b.acted(me, proven("bob@example.org"), history.Filed)
	for range 5 {
		b.acted(me, claimed("bob@example.org"), history.Junked)
	}
	if r := b.ask(me, proven("bob@example.org")).Of.Address; r.Junk != 0 || r.Filed != 1 || !r.Liked() {
		t.Errorf("bob has %+v", r)
	}
	k := b.ask(me, claimed("bob@example.org"))
	if r := k.Of.Address; r.Junk != 5 || !r.Disliked() || k.Of.Network.Junk != 5 || k.Site.Network.Junk != 5 || k.Site.Domain.Junk != 0 {
		t.Errorf("the forger has %+v", k)
	}
	neighbour := claimed("else@example.com")
	neighbour.Network = netip.MustParseAddr("2001:db8:1:ffff::1")
	if r := b.ask(me, neighbour).Of.Network; r.Junk != 5 {
		t.Errorf("the network has %+v", r)
	}
}

// TestAfterCrash: what was acted is exact, what passed by is there after a flush.
func TestAfterCrash(t *testing.T) {
	b := newBureau(t)
	c := proven("bob@example.org")
	b.ask(me, c)
	b.acted(me, c, history.Answered, history.Filed, history.DeletedUnread, history.Cleared)
	b.Received(me, c)
	b.Received(me, c)
	b.WroteTo(me, c.Address)
	first := b.now
	want := history.Record{WrittenTo: 1, Answered: 1, Filed: 1, DeletedUnread: 1, NotJunk: 1, Received: 2,
		First: first.UTC(), Last: first.UTC()}
	same := func(what string) {
		t.Helper()
		k := b.ask(me, c)
		if k.Of.Address != want || k.Site.Address != want {
			t.Errorf("%s: %+v, want %+v", what, k.Of.Address, want)
		}
		want := want
		if want.WrittenTo = 0; k.Of.Domain != want || k.Site.Network != want {
			t.Errorf("%s: of the domain %+v", what, k.Of.Domain)
		}
	}
	same("from memory")
	b.must(b.Flush(t.Context()))
	same("flushed")
	b.open()
	same("after a crash")
	b.now = b.now.Add(history.FreshFor)
	same("read anew")
	b.acted(me, c, history.Junked)
	b.Received(me, c)
	b.open()
	want.Junk, want.Last = 1, b.now.UTC()
	same("after a crash before a flush")
}

func TestFlushThatFails(t *testing.T) {
	b := newBureau(t)
	c := proven("bob@example.org")
	b.Received(me, c)
	why := &mail.Error{Kind: mail.Unavailable, Text: "held"}
	release := b.db.Hold(why)
	if err := b.Flush(t.Context()); err == nil {
		t.Error("it was written")
	}
	release()
	b.must(b.Flush(t.Context()))
	b.must(b.Flush(t.Context()))
	b.open()
	if r := b.ask(me, c).Of.Address; r.Received != 1 {
		t.Errorf("%+v", r)
	}
}

// TestBounds: an account remembers so many, the site no more than its own; whom it
// wrote to stays.
func TestBounds(t *testing.T) {
	b := newBureau(t)
	b.WroteTo(me, address("friend@example.com"))
	var deeds []history.Deed
	const many = history.MaxNames + 500
	for i := range many {
		deeds = append(deeds, history.Deed{Of: history.Correspondent{Address: address(fmt.Sprintf("a%d@example.org", i))}, Act: history.Filed})
	}
	for len(deeds) > 0 {
		b.now = b.now.Add(time.Minute)
		some := deeds[:min(500, len(deeds))]
		deeds = deeds[len(some):]
		b.must(b.db.Write(t.Context(), func(tx *sqldb.Tx) error { b.Acted(tx, me, some); return nil }))
		b.must(b.Flush(t.Context()))
	}
	if n := b.rows(me); n > history.MaxNames+history.MaxNames/16 || n < history.MaxNames {
		t.Errorf("%d rows", n)
	}
	b.open()
	if r := b.ask(me, claimed("friend@example.com")).Of.Address; r.WrittenTo != 1 {
		t.Errorf("the friend has %+v", r)
	}
	if r := b.ask(me, claimed("a0@example.org")).Of.Address; !r.IsZero() {
		t.Errorf("the oldest has %+v", r)
	}
	if r := b.ask(me, claimed(fmt.Sprintf("a%d@example.org", many-1))).Of.Address; r.Filed != 1 {
		t.Errorf("the latest has %+v", r)
	}
}

func TestDrop(t *testing.T) {
	b := newBureau(t)
	c := proven("bob@example.org")
	b.acted(me, c, history.Filed)
	b.acted(you, c, history.Filed)
	b.ask(me, c)
	b.Received(me, c)
	if list, err := b.Accounts(context.Background(), 0, 10); err != nil || len(list) != 2 || list[1] != you {
		t.Errorf("accounts %v, %v", list, err)
	}
	b.must(b.db.Write(t.Context(), func(tx *sqldb.Tx) error { b.Drop(tx, me); return nil }))
	b.must(b.Flush(t.Context()))
	if n := b.rows(me); n != 0 || b.rows(you) == 0 {
		t.Errorf("%d rows are left", n)
	}
	if k := b.ask(me, c); !k.Of.Address.IsZero() || k.Site.Address.Filed != 2 {
		t.Errorf("known %+v", k)
	}
}

// TestOddSenders: no name, or one that is too long, is nobody.
func TestOddSenders(t *testing.T) {
	b := newBureau(t)
	for _, c := range []history.Correspondent{{}, {Address: mail.Address{Local: string(make([]byte, 400)), Domain: "example.org"}},
		{Network: netip.MustParseAddr("::ffff:192.0.2.1")}, {Network: netip.MustParseAddr("fe80::1%eth0")}} {
		b.Received(me, c)
		b.acted(me, c, history.Junked)
		b.ask(me, c)
	}
	b.must(b.Flush(t.Context()))
	if k := b.ask(me, history.Correspondent{Network: netip.MustParseAddr("192.0.2.200")}); k.Site.Network.Received != 1 {
		t.Errorf("an address in IPv6 clothes: %+v", k.Site.Network)
	}
}

func BenchmarkAskKnown(b *testing.B) {
	h := newBureau(b)
	c := proven("bob@example.org")
	h.Received(me, c)
	for b.Loop() {
		h.ask(me, c)
	}
}

// TestCheck finds rows that say what cannot be.
func TestCheck(t *testing.T) {
	b := newBureau(t)
	write := func(q string) {
		b.must(b.db.Write(t.Context(), func(tx *sqldb.Tx) error { _, err := tx.Exec(q); return err }))
	}
	for _, bad := range []string{`0, ''`, `-1, 'a@b.test'`, `1, 'late@b.test'`, `1, 'less@b.test'`} {
		received, latest := 1, 20
		switch bad {
		case `1, 'late@b.test'`:
			latest = 5
		case `1, 'less@b.test'`:
			received = -1
		}
		write(fmt.Sprintf(`INSERT INTO history (account, name, written, answered, filed, unread, junk, notjunk, received, since, latest)
			VALUES (%s, 0, 0, 0, 0, 0, 0, %d, 10, %d)`, bad, received, latest))
		found := 0
		b.must(b.Check(t.Context(), func(string) { found++ }))
		if found != 1 {
			t.Errorf("%s: found %d", bad, found)
		}
		write(`DELETE FROM history`)
	}
}
