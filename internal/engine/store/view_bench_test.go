package store_test

import (
	"fmt"
	"testing"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// bigMailbox has n messages, every third \Seen.
func bigMailbox(b *testing.B, n int) (*house, mail.MailboxID) {
	h := newHouse(b)
	inbox := h.box(h.account(1), mail.Inbox).ID
	for done := 0; done < n; {
		var list []store.Imported
		for ; len(list) < store.MaxImport && done < n; done++ {
			in := h.NewIncoming()
			_, err := in.Write([]byte(text(fmt.Sprint(done), "Minutes", fmt.Sprint(done))))
			h.must(err)
			list = append(list, store.Imported{Incoming: in, Flags: mail.Flags(done % 3 / 2), Received: h.now()})
		}
		_, err := h.DeliverNumbered(ctx, inbox, list, nil)
		h.must(err)
		for _, m := range list {
			m.Incoming.Close()
		}
	}
	return h, inbox
}

// BenchmarkOpenView loads the view of a mailbox with 100,000 messages.
func BenchmarkOpenView(b *testing.B) {
	h, id := bigMailbox(b, 100_000)
	h.must(h.db.Close())
	n, cpu := 0, time.Duration(0)
	for b.Loop() {
		n++
		b.StopTimer()
		h.open()
		b.StartTimer()
		begun := cpuTime()
		h.view(id)
		cpu += cpuTime() - begun
		b.StopTimer()
		h.must(h.db.Close())
		b.StartTimer()
	}
	b.ReportMetric(float64(cpu)/1e6/float64(n), "cpu-ms/op")
	h.open()
}

// BenchmarkImport100000 files as many messages.
func BenchmarkImport100000(b *testing.B) {
	n, cpu := 0, cpuTime()
	for b.Loop() {
		bigMailbox(b, 100_000)
		n++
	}
	b.ReportMetric(float64(cpuTime()-cpu)/1e6/float64(n), "cpu-ms/op")
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

// BenchmarkFlagAll flags 100,000 messages and takes the flag off again.
func BenchmarkFlagAll(b *testing.B) {
	h, id := bigMailbox(b, 100_000)
	h.view(id)
	for b.Loop() {
		for _, mode := range []store.FlagMode{store.FlagsAdd, store.FlagsRemove} {
			_, err := h.SetFlags(ctx, id, mail.UIDSet{{First: 1, Last: 100_000}}, store.FlagChange{Mode: mode, Flags: mail.Flagged})
			h.must(err)
		}
	}
}

// BenchmarkFlagOne flags one message of 100,000 after another.
func BenchmarkFlagOne(b *testing.B) {
	h, id := bigMailbox(b, 100_000)
	h.view(id)
	n := mail.UID(0)
	for b.Loop() {
		n += 7919
		_, err := h.SetFlags(ctx, id, mail.UIDs(n%100_000+1), store.FlagChange{Mode: store.FlagMode(n % 2), Flags: mail.Flagged})
		h.must(err)
	}
}

// BenchmarkCopy10000 copies 10,000 of 100,000 messages.
func BenchmarkCopy10000(b *testing.B) {
	h, id := bigMailbox(b, 100_000)
	to := h.box(1, "Archive").ID
	for b.Loop() {
		_, err := h.Copy(ctx, id, mail.UIDSet{{First: 1, Last: 10_000}}, to)
		h.must(err)
	}
}

// BenchmarkMove10000 moves 10,000 of 100,000 messages.
func BenchmarkMove10000(b *testing.B) {
	h, id := bigMailbox(b, 100_000)
	h.view(id)
	to := h.box(1, "Archive").ID
	first := mail.UID(1)
	n, cpu := 0, cpuTime()
	for b.Loop() {
		n++
		_, err := h.Move(ctx, id, mail.UIDSet{{First: first, Last: first + 9999}}, to)
		h.must(err)
		first += 10_000
	}
	b.ReportMetric(float64(cpuTime()-cpu)/1e6/float64(n), "cpu-ms/op")
}

// BenchmarkExpungeEveryTenth expunges 10,000 of 100,000 messages, and others each time.
func BenchmarkExpungeEveryTenth(b *testing.B) {
	h, id := bigMailbox(b, 100_000)
	h.view(id)
	first := mail.UID(0)
	for b.Loop() {
		first++
		var set mail.UIDSet
		for u := first; u <= 100_000; u += 10 {
			set.Add(u)
		}
		_, err := h.ExpungeAny(ctx, id, set)
		h.must(err)
	}
}

// BenchmarkRows reads sizes, dates and flags of 100,000 messages.
func BenchmarkRows(b *testing.B) {
	h, id := bigMailbox(b, 100_000)
	for _, need := range []store.Need{0, store.NeedForm} {
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
	n, cpu := 0, cpuTime()
	for b.Loop() {
		n++
		_, err := h.ExpungeAny(ctx, id, mail.UIDSet{{First: first, Last: first + 9999}})
		h.must(err)
		first += 10_000
	}
	b.ReportMetric(float64(cpuTime()-cpu)/1e6/float64(n), "cpu-ms/op")
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
