package store_test

import (
	"fmt"
	"slices"
	"testing"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// bigMailbox has n messages.
func bigMailbox(b *testing.B, n int) (*house, mail.MailboxID) {
	h := newHouse(b)
	a := h.account(1)
	f := h.inbox(a)
	for done := 0; done < n; done += 1000 {
		h.deliver(fmt.Sprint("m", done), slices.Repeat([]store.Filing{f}, 1000)...)
	}
	return h, h.box(a, mail.Inbox).ID
}

// BenchmarkOpenView loads the view of a mailbox with 100,000 messages.
func BenchmarkOpenView(b *testing.B) {
	h, id := bigMailbox(b, 100_000)
	h.must(h.db.Close())
	for b.Loop() {
		b.StopTimer()
		h.open()
		b.StartTimer()
		h.view(id)
		b.StopTimer()
		h.must(h.db.Close())
		b.StartTimer()
	}
	h.open()
}

// BenchmarkFlag10000 flags 10,000 of 100,000 messages.
func BenchmarkFlag10000(b *testing.B) {
	h, id := bigMailbox(b, 100_000)
	h.view(id)
	n := 0
	for b.Loop() {
		n++
		_, err := h.SetFlags(ctx, id, mail.UIDSet{{First: 1000, Last: 10_999}}, store.FlagChange{Mode: store.FlagMode(n % 2), Flags: mail.Seen})
		h.must(err)
	}
}

// BenchmarkRows reads sizes, dates and flags of 100,000 messages.
func BenchmarkRows(b *testing.B) {
	h, id := bigMailbox(b, 100_000)
	for _, need := range []store.Need{0, store.NeedEnvelope} {
		b.Run(fmt.Sprint("need=", need), func(b *testing.B) {
			var uids []mail.UID
			for _, e := range h.view(id).All() {
				uids = append(uids, e.UID)
			}
			for b.Loop() {
				for left := uids; len(left) > 0; {
					_, more, err := h.Rows(ctx, id, left, need)
					h.must(err)
					left = left[len(left)-more:]
				}
			}
		})
	}
}

// BenchmarkExpunge10000 expunges 10,000 of 100,000 messages.
func BenchmarkExpunge10000(b *testing.B) {
	h, id := bigMailbox(b, 100_000)
	h.view(id)
	first := mail.UID(1)
	for b.Loop() {
		_, err := h.ExpungeAny(ctx, id, mail.UIDSet{{First: first, Last: first + 9999}})
		h.must(err)
		first += 10_000
	}
}

// BenchmarkArrival adds one message to a mailbox of 100,000 that is being viewed.
func BenchmarkArrival(b *testing.B) {
	h, id := bigMailbox(b, 100_000)
	v := h.view(id)
	for b.Loop() {
		h.deliver("x", h.inbox(1))
		now := h.view(id)
		if store.Diff(v, now).Added != 1 {
			b.Fatal("no arrival")
		}
		v = now
	}
}
