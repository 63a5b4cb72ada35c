package metrics

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/engine/queue"
)

// sampled runs do with a sampler of q under a clock of its own.
func sampled(t *testing.T, q *fakeQueue, do func(m *Metrics)) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Options{Now: time.Now})
		m.Watch(Sources{Queue: q})
		ctx, cancel := context.WithCancel(t.Context())
		var g sync.WaitGroup
		g.Go(func() { m.Run(ctx) })
		do(m)
		cancel()
		g.Wait()
	})
}

// TestSampleSeldom: scrapes within half a minute share one count, and nobody
// counts while nobody asks.
func TestSampleSeldom(t *testing.T) {
	q := &fakeQueue{counts: queue.Counts{Waiting: 4, Held: 3, Active: 2, Owed: 1, Parked: 1}}
	sampled(t, q, func(m *Metrics) {
		q.counts.Oldest = time.Now().Add(-time.Hour)
		<-time.After(time.Hour)
		if n := q.counted.Load(); n != 0 {
			t.Errorf("%d counts that nobody asked for", n)
		}
		for range 10 {
			want(t, m, map[string]float64{
				`yubin_queue_deliveries{state="waiting"}`: 4,
				`yubin_queue_deliveries{state="held"}`:    3,
				`yubin_queue_deliveries{state="active"}`:  2,
				`yubin_queue_deliveries{state="owed"}`:    1,
				`yubin_queue_deliveries_parked`:           1,
			})
			<-time.After(2 * time.Second)
		}
		if age := values(t, m)["yubin_queue_oldest_seconds"]; age != 7220 {
			t.Errorf("the oldest is %v seconds old", age)
		}
		if n := q.counted.Load(); n != 1 {
			t.Errorf("%d counts for 11 scrapes in 20 seconds", n)
		}
		<-time.After(10 * time.Second)
		q.counts = queue.Counts{}
		want(t, m, map[string]float64{`yubin_queue_deliveries{state="waiting"}`: 0, `yubin_queue_oldest_seconds`: 0})
		if n := q.counted.Load(); n != 2 {
			t.Errorf("%d counts in 30 seconds", n)
		}
	})
}

// TestSampleSlow: a count that takes 4 seconds holds no scrape up for more than
// one, and the next comes after 200 seconds.
func TestSampleSlow(t *testing.T) {
	q := &fakeQueue{counts: queue.Counts{Waiting: 1_000_000}, took: 4 * time.Second}
	sampled(t, q, func(m *Metrics) {
		begun := time.Now()
		if _, ok := values(t, m)[`yubin_queue_deliveries{state="waiting"}`]; ok {
			t.Error("a count before it is there")
		}
		if took := time.Since(begun); took != sampleWait {
			t.Errorf("the scrape took %v", took)
		}
		for time.Since(begun) < 200*time.Second {
			<-time.After(5 * time.Second)
			want(t, m, map[string]float64{`yubin_queue_deliveries{state="waiting"}`: 1_000_000})
		}
		if n := q.counted.Load(); n != 2 {
			t.Errorf("%d counts in 200 seconds", n)
		}
		<-time.After(10 * time.Second) // The second ends.
	})
}

// TestSampleFails: the last good one stays, with its time.
func TestSampleFails(t *testing.T) {
	q := &fakeQueue{counts: queue.Counts{Waiting: 5}}
	sampled(t, q, func(m *Metrics) {
		first := values(t, m)["yubin_queue_sampled_timestamp_seconds"]
		q.err, q.counts = errors.New("busy"), queue.Counts{Waiting: 99}
		<-time.After(time.Minute)
		want(t, m, map[string]float64{
			`yubin_queue_deliveries{state="waiting"}`: 5,
			`yubin_queue_sampled_timestamp_seconds`:   first,
		})
		if n := q.counted.Load(); n != 2 {
			t.Errorf("%d counts", n)
		}
	})
}
