package queue

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"yubin/internal/world/sqldb"
)

// load fills the queue with rows that wait: for many sites, due in an hour
// or so or, if overdue, now at one site that is paused.
func (h *house) load(n int, overdue bool) {
	h.t.Helper()
	first := h.one(`SELECT coalesce(max(id), 0) + 1 FROM spool_item`)
	const slice = 10000
	for at := 0; at < n; at += slice {
		h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
			for i := at; i < min(at+slice, n); i++ {
				if err := h.loadOne(tx, first+i, i, overdue); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

func (h *house) loadOne(tx *sqldb.Tx, id, i int, overdue bool) error {
	now := time.Now()
	domain := fmt.Sprintf("site%d.test", i%1000)
	due := now.Add(time.Hour + time.Duration(i%100000)*10*time.Millisecond)
	if overdue {
		domain, due = "paused.test", now.Add(-time.Minute)
	}
	// All share the octets of one message; the store is not checked here.
	_, err := tx.Exec(`INSERT INTO spool_item (id, blob, trace, size, sender, envid, ret, body, flags, priority, arrived, hold_until,
		deliver_by, expire, account, language, trans, message_id, settled)
		VALUES ($1, 1, NULL, 20, $2, '', 0, 0, 0, 0, $3, 0, 0, $4, 0, '', '', '', 0)`,
		id, fmt.Sprintf("s%d@a.test", i%500), millis(now), millis(now.Add(DefaultLifetime)))
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO queue_delivery (item, n, recipient, orcpt, notify, site, via, lane, state, due, report_at,
		attempts, deferrals, parked, noticed, owner, last) VALUES ($1, 1, $2, '', 0, $3, '', 2, 1, $4, 0, 3, 3, 0, 0, 0, $5)`,
		id, fmt.Sprintf("x%d@%s", i, domain), "mx:"+domain, millis(due), formatRecord(tempfail(), false))
	return err
}

// outside is a house that is not in a bubble.
func outside(t testing.TB) *house {
	h := &house{t: t, dir: t.TempDir()}
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
func measure(t testing.TB, rows int, overdue bool, n int) (rate, mib float64) {
	h := outside(t)
	h.send("first", from("s@a.test"), to("x@b.test"))
	h.must(h.Pause(ctx, PauseSite, "mx:paused.test", ""))
	before := memory()
	h.load(rows, overdue)
	h.run()
	rate = h.throughput(n)
	h.stop()
	return rate, memory() - before
}

// TestManyWaiting: rows that wait cost neither speed nor memory.
func TestManyWaiting(t *testing.T) {
	rows, n := 100_000, 400
	empty, _ := measure(t, 0, false, n)
	full, mib := measure(t, rows, false, n)
	t.Logf("empty queue %.0f a second; beside %d waiting %.0f a second, %.1f MiB of heap more", empty, rows, full, mib)
	if mib > 24 {
		t.Errorf("%d waiting deliveries take %.1f MiB", rows, mib)
	}
	if full < empty/4 {
		t.Errorf("%.0f a second beside %d waiting deliveries, %.0f without", full, rows, empty)
	}
}

func BenchmarkQueue(b *testing.B) {
	for _, tc := range []struct {
		name    string
		rows    int
		overdue bool
	}{{"empty", 0, false}, {"waiting=1000000", 1_000_000, false}, {"overdue=200000", 200_000, true}} {
		b.Run(tc.name, func(b *testing.B) {
			var rate, mib float64
			for range b.N {
				rate, mib = measure(b, tc.rows, tc.overdue, 2000)
			}
			b.ReportMetric(rate, "messages/s")
			b.ReportMetric(mib, "MiB")
			b.ReportMetric(0, "ns/op")
		})
	}
}
