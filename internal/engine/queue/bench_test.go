package queue

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// backlog says where and when what load puts into the queue is due.
type backlog int

const (
	waiting backlog = iota // in an hour or so, at a thousand sites
	overdue                // now, at one site that is paused
	lost                   // now, each at a site of its own, of which no name server says where it is
)

func (b backlog) row(i int) (domain string, due time.Time) {
	switch b {
	case overdue:
		return "paused.test", time.Now().Add(-time.Minute)
	case lost:
		return fmt.Sprintf("lost%d.test", i), time.Now().Add(-time.Minute)
	}
	return fmt.Sprintf("site%d.test", i%1000), time.Now().Add(time.Hour + time.Duration(i%100000)*10*time.Millisecond)
}

// load fills the queue with rows that wait.
func (h *house) load(n int, b backlog) {
	h.t.Helper()
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`UPDATE blob SET refs = refs + $1 WHERE id = 1`, n)
		return err
	}))
	first := h.one(`SELECT coalesce(max(id), 0) FROM spool_item`) + 1000 // Above those that were drawn ahead.
	const slice = 10000
	for at := 0; at < n; at += slice {
		h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
			for i := at; i < min(at+slice, n); i++ {
				h.loadOne(tx, first+i, i, b)
			}
			return nil
		}))
	}
	h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { return tx.SetLastID("spool_item", int64(first+n)) }))
}

func (h *house) loadOne(tx *sqldb.Tx, id, i int, b backlog) {
	now := time.Now()
	domain, due := b.row(i)
	// All share the octets of one message; the store is not checked here.
	tx.Do(`INSERT INTO spool_item (id, blob, prefix, size, sender, envid, ret, body, flags, priority, arrived, hold_until,
		deliver_by, expire, account, language, trans, message_id, report, about, settled)
		SELECT $1, 1, NULL, size, $2, '', 0, 0, 0, 0, $3, 0, 0, $4, 0, '', '', '', 0, 0, 0 FROM blob WHERE id = 1`,
		id, fmt.Sprintf("s%d@a.test", i%500), millis(now), millis(now.Add(DefaultLifetime)))
	tx.Do(`INSERT INTO queue_delivery (item, n, recipient, orcpt, notify, site, via, lane, state, due, report_at,
		attempts, deferrals, parked, noticed, owner, last) VALUES ($1, 1, $2, '', 0, $3, '', 2, 1, $4, 0, 3, 3, 0, 0, 0, $5)`,
		id, fmt.Sprintf("x%d@%s", i, domain), "mx:"+domain, millis(due), formatRecord(tempfail(), false))
}

// outside is a house that is not in a bubble.
func outside(t testing.TB) *house {
	h := newHouse(t, false)
	h.observe = func(Observation) {}
	h.open()
	run, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { _ = h.db.Run(run) })
	t.Cleanup(func() {
		if h.stop != nil {
			h.stop()
		}
		cancel()
		wg.Wait()
		h.must(h.db.Close())
	})
	return h
}

// throughput spools n messages from eight callers and returns how many a second
// went through custody, claim, courier and settlement.
func (h *house) throughput(n int) float64 {
	h.t.Helper()
	var next, settled atomic.Int64
	done := make(chan struct{})
	h.observe = func(o Observation) {
		if o.Kind == ObservedSettled && settled.Add(1) == int64(n) {
			close(done)
		}
	}
	start := time.Now()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				h.send(fmt.Sprint(i), from("s@a.test"), to(fmt.Sprintf("x@quick%d.test", i%20)))
			}
		})
	}
	wg.Wait()
	<-done
	return float64(n) / time.Since(start).Seconds()
}

// memory is what the heap holds.
func memory() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// measure returns the throughput beside rows that wait, and the memory of it.
func measure(t testing.TB, rows int, b backlog, n int) (rate, mib float64) {
	h := outside(t)
	h.send("first", from("s@a.test"), to("x@b.test"))
	h.must(h.Pause(ctx, PauseSite, "mx:paused.test", ""))
	before := memory()
	h.load(rows, b)
	h.run()
	rate = h.throughput(n)
	h.stop()
	return rate, memory() - before
}

// TestManyWaiting: rows that wait cost neither speed nor memory.
func TestManyWaiting(t *testing.T) {
	rows, n := 100_000, 400
	var empty, full, mib float64
	for range 3 { // The best of some: the machine is not ours.
		rate, _ := measure(t, 0, waiting, n)
		empty = max(empty, rate)
		rate, mib = measure(t, rows, waiting, n)
		full = max(full, rate)
	}
	t.Logf("empty queue %.0f a second; beside %d waiting %.0f a second, %.1f MiB of heap more", empty, rows, full, mib)
	if mib > 24 {
		t.Errorf("%d waiting deliveries take %.1f MiB", rows, mib)
	}
	if full < empty/16 {
		t.Errorf("%.0f a second beside %d waiting deliveries, %.0f without", full, rows, empty)
	}
}

// besides returns how long a message for 500 new sites takes to be accepted, and
// one for a site that answers to be carried, beside rows at as many sites that
// are lost; the best of some, for the machine is not ours. known is how many
// sites are known in the end.
func besides(t testing.TB, rows int) (accepted, carried time.Duration, known int) {
	h := outside(t)
	h.during = func(hop mail.NextHop, _ mail.Transaction) {
		if strings.HasPrefix(string(hop.Domain), "lost") {
			<-time.After(time.Second)
		}
	}
	h.answer = func(hop mail.NextHop, _ mail.OutgoingRecipient) mail.Attempt {
		if strings.HasPrefix(string(hop.Domain), "lost") {
			return unreachable()
		}
		return delivered()
	}
	settled := make(chan struct{}, 1)
	h.observe = func(o Observation) {
		if o.Kind == ObservedSettled && o.Site == "mx:well.test" {
			settled <- struct{}{}
		}
	}
	h.send("first", from("s@a.test"), to("x@well.test"))
	h.load(rows, lost)
	h.run()
	<-settled
	best := func(least *time.Duration, did time.Duration) {
		if *least == 0 || did < *least {
			*least = did
		}
	}
	for i := range 10 {
		var list []Recipient
		for j := range 500 {
			list = append(list, to(fmt.Sprintf("x@lostnew%d-%d.test", i, j))...)
		}
		begun := time.Now()
		h.send("many", from("s@a.test"), list)
		best(&accepted, time.Since(begun))
		begun = time.Now()
		h.send("one", from("s@a.test"), to("x@well.test"))
		<-settled
		best(&carried, time.Since(begun))
	}
	known = len(h.Sites())
	h.stop()
	return accepted, carried, known
}

// TestManySitesDue: what is due at more sites than memory holds costs those
// nothing who bring mail or wait for theirs. With YUBIN_LONG it is a million.
func TestManySitesDue(t *testing.T) {
	// Time is measured, and there is other work on the machine: what took seconds when
	// every site was looked at must not take a tenth of one.
	rows, slower, least := 40_000, 4.0, 0.1
	if os.Getenv("YUBIN_LONG") != "" {
		rows, slower, least = 1_000_000, 1.5, 0.002
	}
	accepted0, carried0, _ := besides(t, 0)
	accepted, carried, known := besides(t, rows)
	t.Logf("beside %d sites: 500 recipients accepted in %v, in an empty queue in %v; one carried in %v, %v; %d sites known",
		rows, accepted, accepted0, carried, carried0, known)
	if known > MaxWindow+maxIdle+maxWanting {
		t.Errorf("%d sites are known", known)
	}
	if accepted.Seconds() > max(least, slower*accepted0.Seconds()) || carried.Seconds() > max(least, slower*carried0.Seconds()) {
		t.Error("the queue is slower when it is full")
	}
}

func BenchmarkQueue(b *testing.B) {
	for _, tc := range []struct {
		name    string
		rows    int
		backlog backlog
	}{{"empty", 0, waiting}, {"waiting=1000000", 1_000_000, waiting}, {"overdue=200000", 200_000, overdue}} {
		b.Run(tc.name, func(b *testing.B) {
			var rate, mib float64
			for range b.N {
				rate, mib = measure(b, tc.rows, tc.backlog, 2000)
			}
			b.ReportMetric(rate, "messages/s")
			b.ReportMetric(mib, "MiB")
			b.ReportMetric(0, "ns/op")
		})
	}
}
