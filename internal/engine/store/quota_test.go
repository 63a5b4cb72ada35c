package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// allowances are the quotas that a test gives.
type allowances struct {
	mu sync.Mutex
	of map[mail.AccountID]mail.Quota
}

func (a *allowances) set(account mail.AccountID, q mail.Quota) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.of[account] = q
}

func (a *allowances) Quota(_ context.Context, account mail.AccountID) (mail.Quota, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.of[account], nil
}

func (a *allowances) QuotaIn(_ *sqldb.Tx, account mail.AccountID) (mail.Quota, error) {
	return a.Quota(ctx, account)
}

// quotaHouse is a house where account 1 may hold q; poked counts what Warn was
// told.
func quotaHouse(t *testing.T, q mail.Quota) (h *house, a *allowances, poked *int) {
	t.Helper()
	a, poked = &allowances{of: map[mail.AccountID]mail.Quota{1: q}}, new(int)
	h = newHouse(t, func(o *store.Options) { o.Quotas, o.Warn = a, func() { *poked++ } })
	h.account(1)
	return h, a, poked
}

// try delivers n octets.
func (h *house) try(n int, to ...store.Filing) ([]store.Filed, error) {
	h.t.Helper()
	in := h.NewIncoming()
	defer in.Close()
	_, err := in.Write([]byte(strings.Repeat("x", n)))
	h.must(err)
	return h.Deliver(ctx, store.Posting{Message: in, Filings: to})
}

// holds checks what account 1 holds.
func (h *house) holds(octets, messages int64) store.Usage {
	h.t.Helper()
	u, err := h.Usage(ctx, 1)
	h.must(err)
	if u.Octets != octets || u.Messages != messages {
		h.t.Errorf("holds %d octets, %d messages; want %d, %d", u.Octets, u.Messages, octets, messages)
	}
	return u
}

// TestQuotaEveryWayIn: whatever makes an account hold more is refused where
// that is too much, and leaves nothing; what makes it hold less or moves is not.
func TestQuotaEveryWayIn(t *testing.T) {
	h, quotas, _ := quotaHouse(t, mail.Quota{Octets: 1000})
	first, err := h.try(600, h.inbox(1))
	h.must(err)
	from, one := first[0].Mailbox, mail.UIDs(first[0].UID)
	archive := h.box(1, "Archive").ID

	_, err = h.try(401, h.inbox(1))
	wantKind(t, err, mail.OverQuota)
	_, err = h.Copy(ctx, from, one, archive)
	wantKind(t, err, mail.OverQuota)
	in := h.NewIncoming()
	defer in.Close()
	_, err = in.Write(make([]byte, 500))
	h.must(err)
	_, err = h.DeliverNumbered(ctx, from, []store.Imported{{Incoming: in, Received: h.now()}}, nil)
	wantKind(t, err, mail.OverQuota)
	h.holds(600, 1)
	if v := h.view(archive); v.Len() != 0 {
		t.Errorf("a refused copy left %s", show(v))
	}

	moved, err := h.Move(ctx, from, one, archive)
	h.must(err)
	if len(moved.Dest) != 1 {
		t.Fatalf("moved %+v", moved)
	}
	_, err = h.ExpungeAny(ctx, archive, mail.UIDs(moved.Dest...))
	h.must(err)
	h.holds(0, 0)
	_, err = h.try(900, h.inbox(1))
	h.must(err)
	_, err = h.restoreSince(1, h.now().Add(-time.Hour))
	wantKind(t, err, mail.OverQuota)
	h.holds(900, 1)

	quotas.set(1, mail.Quota{Octets: 1500})
	n, err := h.restoreSince(1, h.now().Add(-time.Hour))
	if h.must(err); n != 1 {
		t.Errorf("restored %d", n)
	}
	h.holds(1500, 2)

	// Above a quota that was lowered, flags, moves and expunges go on.
	quotas.set(1, mail.Quota{Messages: 1})
	_, err = h.try(1, h.inbox(1))
	wantKind(t, err, mail.OverQuota)
	all := mail.UIDSet{{First: 1, Last: 1 << 31}}
	_, err = h.Move(ctx, from, all, archive)
	h.must(err)
	_, err = h.Move(ctx, archive, all, archive)
	h.must(err)
	h.must(h.DeleteMailbox(ctx, 1, "Archive"))
	h.holds(0, 0)
}

// TestQuotaOurs: mail of this server itself arrives in a full account.
func TestQuotaOurs(t *testing.T) {
	h, _, _ := quotaHouse(t, mail.Quota{Octets: 100, Messages: 1})
	_, err := h.try(100, h.inbox(1))
	h.must(err)
	report := h.inbox(1)
	report.Ours = true
	_, err = h.try(5000, report)
	h.must(err)
	h.holds(5100, 2)
	_, err = h.try(1, h.inbox(1))
	wantKind(t, err, mail.OverQuota)
}

// TestQuotaRoom: what is asked at RCPT follows each change, and a refusal is for
// good once the account was full for the grace. Room for a moment starts anew.
func TestQuotaRoom(t *testing.T) {
	h, quotas, _ := quotaHouse(t, mail.Quota{Octets: 1000})
	h.must(h.Room(ctx, 1, 1000))
	wantKind(t, h.Room(ctx, 1, 1001), mail.OverQuota)
	quotas.set(2, mail.Quota{Octets: 1})
	wantKind(t, h.Room(ctx, 2, 0), mail.NotFound)
	filed, err := h.try(1000, h.inbox(1))
	h.must(err)
	full := func(long bool) {
		t.Helper()
		err := h.Room(ctx, 1, 0)
		wantKind(t, err, mail.OverQuota)
		if errors.Is(err, store.ErrLongFull) != long {
			t.Errorf("%v: full for long is %v", err, !long)
		}
		if _, err = h.try(1, h.inbox(1)); errors.Is(err, store.ErrLongFull) != long {
			t.Errorf("at the dot %v: full for long is %v", err, !long)
		}
	}
	full(false)
	h.advance(store.DefaultQuotaGrace)
	full(false)
	h.advance(2 * time.Second)
	full(true)
	h.SetQuotaGrace(30 * 24 * time.Hour)
	full(false)
	h.SetQuotaGrace(store.DefaultQuotaGrace)

	_, err = h.ExpungeAny(ctx, filed[0].Mailbox, mail.UIDs(filed[0].UID))
	h.must(err)
	h.must(h.Room(ctx, 1, 1000))
	if u := h.holds(0, 0); !u.FullSince.IsZero() {
		t.Errorf("full since %v", u.FullSince)
	}
	_, err = h.try(1000, h.inbox(1))
	h.must(err)
	full(false)
	quotas.set(1, mail.Quota{Octets: 1001})
	h.must(h.Room(ctx, 1, 0))
	quotas.set(1, mail.Quota{})
	h.must(h.Room(ctx, 1, 1<<40))
}

// TestQuotaFullAtTheDot: messages that are refused at the dot only start the
// grace too.
func TestQuotaFullAtTheDot(t *testing.T) {
	h, _, _ := quotaHouse(t, mail.Quota{Octets: 1000})
	_, err := h.try(900, h.inbox(1))
	h.must(err)
	_, err = h.try(200, h.inbox(1))
	wantKind(t, err, mail.OverQuota)
	h.advance(store.DefaultQuotaGrace + 2*time.Second)
	if _, err = h.try(200, h.inbox(1)); !errors.Is(err, store.ErrLongFull) {
		t.Errorf("after the grace: %v", err)
	}
}

// TestQuotaWarnings: one at 80 and one at 95 percent, none while the account
// stays about there, and again after it was well below.
func TestQuotaWarnings(t *testing.T) {
	h, _, poked := quotaHouse(t, mail.Quota{Messages: 100})
	h.account(2)
	box := h.box(1, mail.Inbox).ID
	fill := func(to int) {
		t.Helper()
		u, err := h.Usage(ctx, 1)
		h.must(err)
		for n := int(u.Messages); n < to; n++ {
			_, err := h.try(10, h.inbox(1))
			h.must(err)
		}
		var uids []mail.UID
		for i, e := range h.view(box).All() {
			if int(i) <= int(u.Messages)-to {
				uids = append(uids, e.UID)
			}
		}
		if len(uids) > 0 {
			_, err := h.ExpungeAny(ctx, box, mail.UIDs(uids...))
			h.must(err)
		}
	}
	wants := 0
	at := func(messages int, warned int64) {
		t.Helper()
		fill(messages)
		list, err := h.Warnings(ctx, 0)
		h.must(err)
		got := int64(0)
		for _, w := range list {
			got = w.Percent
			if w.Account != 1 || w.Usage.Messages != int64(messages) || w.Usage.Quota.Messages != 100 {
				t.Errorf("warning %+v", w)
			}
		}
		if got != warned {
			t.Errorf("with %d messages warned at %d, want %d", messages, got, warned)
		}
		if warned != 0 {
			wants++
			h.must(h.DropWarning(ctx, 1))
		}
		if *poked != wants {
			t.Errorf("poked %d times, want %d", *poked, wants)
		}
	}
	at(79, 0)
	at(80, 80)
	at(76, 0)
	at(81, 0)
	at(95, 95)
	at(91, 0)
	at(96, 0)
	at(89, 0) // the first one stands still
	at(95, 95)
	at(74, 0)
	at(80, 80)
	at(0, 0)
	wants++ // 80 on the way to 95: they become one
	at(95, 95)

	// The warning itself, to a full account, once.
	fill(74)
	fill(80)
	warning := h.inbox(1)
	warning.Ours = true
	pay := func() error {
		in := h.NewIncoming()
		defer in.Close()
		_, err := in.Write([]byte("0123456789"))
		h.must(err)
		_, err = h.Deliver(ctx, store.Posting{Message: in, Filings: []store.Filing{warning},
			Also: func(tx *sqldb.Tx, _ []store.Filed, _ []store.BlobRef) error { return h.PayWarning(tx, 1) }})
		return err
	}
	h.must(pay())
	wantKind(t, pay(), mail.Conflict)
	h.holds(810, 81)
	report := h.inbox(1)
	report.Ours = true
	for range 20 {
		_, err := h.try(10, report)
		h.must(err)
	}
	if list, err := h.Warnings(ctx, 0); err != nil || len(list) != 0 {
		t.Errorf("reports are warned of: %+v, %v", list, err)
	}
}

// TestQuotaGoesWithTheAccount: nothing is owed to who is gone.
func TestQuotaGoesWithTheAccount(t *testing.T) {
	h, _, _ := quotaHouse(t, mail.Quota{Octets: 100})
	_, err := h.try(100, h.inbox(1))
	h.must(err)
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { return h.DeleteAccount(tx, 1) }))
	if list, err := h.Warnings(ctx, 0); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	wantKind(t, h.Room(ctx, 1, 0), mail.NotFound)
}

// TestAccountBounds: mailboxes and subscriptions of an account have an end.
func TestAccountBounds(t *testing.T) {
	h := newHouse(t)
	h.account(1)
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		had := len(h.mailboxes(tx, 1))
		ids, err := tx.NewIDs("mailbox", store.MaxMailboxes-had)
		h.must(err)
		for i, id := range ids {
			tx.Do(`INSERT INTO mailbox (id, account, parent, label, role) VALUES ($1, 1, 0, $2, '')`, id, fmt.Sprint("m", had+i))
			tx.Do(`INSERT INTO tally (account, mailbox, modseq, uidvalidity, uidnext, recent, messages, unseen, deleted, size)
				VALUES (1, $1, 1, $2, 1, 1, 0, 0, 0, 0)`, id, had+i)
		}
		for i := range store.MaxSubscribed {
			tx.Do(`INSERT INTO subscription (account, name) VALUES (1, $1) ON CONFLICT DO NOTHING`, fmt.Sprint("m", i))
		}
		if _, err := tx.Exec(`DELETE FROM subscription WHERE account = 1 AND name NOT LIKE 'm%'`); err != nil {
			return err
		}
		_, err = tx.Exec(`UPDATE naming SET mailboxes = $1, subscribed = $2 WHERE account = 1`, store.MaxMailboxes, store.MaxSubscribed)
		return err
	}))
	_, err := h.CreateMailbox(ctx, 1, "one-more", "")
	wantKind(t, err, mail.TooLarge)
	wantKind(t, h.Subscribe(ctx, 1, "one-more", true), mail.TooLarge)
	h.must(h.Subscribe(ctx, 1, "m7", true)) // It is one of them.
	h.must(h.Subscribe(ctx, 1, "m7", false))
	h.must(h.Subscribe(ctx, 1, "one-more", true))
}

// mailboxes lists the ids of an account's mailboxes.
func (h *house) mailboxes(tx *sqldb.Tx, account mail.AccountID) (ids []mail.MailboxID) {
	h.t.Helper()
	rows, err := tx.Query(`SELECT id FROM mailbox WHERE account = $1`, account)
	h.must(err)
	defer rows.Close()
	for rows.Next() {
		var id mail.MailboxID
		h.must(rows.Scan(&id))
		ids = append(ids, id)
	}
	h.must(rows.Err())
	return ids
}
