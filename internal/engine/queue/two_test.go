package queue

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"yubin/internal/mail"
)

// runs starts a queue and returns what ends it.
func (h *house) runs(q *Queue) (stop func()) {
	run, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := q.Run(run); err != nil {
			h.t.Error(err)
		}
	})
	return func() { cancel(); wg.Wait() }
}

// TestTwoQueues: two that run on one database share its work, each message goes out
// once, and what one was told counts for the other within a heartbeat.
func TestTwoQueues(t *testing.T) {
	bubble(t, true, func(h *house) {
		h.options = func(o *Options) { o.Limits.Site = Limit{Concurrency: 2} }
		h.Queue = h.queue("first", false)
		second := h.queue("second", false)
		var atOnce, most int
		h.during = func(mail.NextHop, mail.Transaction) {
			h.mu.Lock()
			atOnce++
			most = max(most, atOnce)
			h.mu.Unlock()
			<-time.After(time.Second)
			h.mu.Lock()
			atOnce--
			h.mu.Unlock()
		}
		h.answer = byLocal
		h.run()
		stop := h.runs(second)
		for i := range 60 {
			h.send(fmt.Sprint("m", i), from("s@a.test"), to("x@b.test", "no@b.test"))
		}
		h.pass(10 * time.Minute)
		h.want("left", h.count(Filter{}).Total(), 0)
		for i := range 60 {
			h.want("taken", h.gotBy(fmt.Sprintf("m%d x@b.test", i)), 1)
		}
		h.want("reports", len(h.told()), 60)
		h.want("both carry", most > 2, true)

		h.must(h.Pause(ctx, PauseAll, "", ""))
		h.pass(2 * heartbeat)
		h.send("late", from("s@a.test"), to("x@b.test"))
		h.pass(time.Hour)
		h.want("taken in a pause", h.gotBy("late x@b.test"), 0)
		h.must(second.Resume(ctx, PauseAll, ""))
		h.pass(2 * heartbeat)
		h.want("taken after it", h.gotBy("late x@b.test"), 1)
		stop()
	})
}

// TestWorkMoves: when one of two queues stops, the other carries what it had begun
// and could not end, what it only knew of, and the reports that it owed.
func TestWorkMoves(t *testing.T) {
	bubble(t, true, func(h *house) {
		h.options = func(o *Options) { o.Grace = time.Minute; o.Limits.Total = 2 }
		h.Queue = h.queue("first", false)
		stuck := true
		h.during = func(mail.NextHop, mail.Transaction) {
			h.mu.Lock()
			wait := stuck
			h.mu.Unlock()
			if wait {
				<-time.After(2 * time.Minute)
			}
		}
		h.answer = byLocal
		h.run()
		for i := range 10 {
			h.send(fmt.Sprint("m", i), from("s@a.test"), to(fmt.Sprintf("x@b%d.test", i)))
		}
		h.send("bad", from("s@a.test"), to("no@b.test"))
		h.pass(time.Second)
		h.want("begun", h.count(Filter{}).Active, 2)
		second := h.queue("second", false)
		h.stop()
		h.mu.Lock()
		stuck = false
		h.mu.Unlock()
		h.want("given back", h.count(Filter{}).Active, 0)
		stop := h.runs(second)
		h.pass(2 * heartbeat)
		h.want("taken of what the first only knew", h.got() >= 8, true)
		h.pass(5 * time.Minute) // What it had begun was put off.
		for i := range 10 {
			h.want("taken", h.gotBy(fmt.Sprintf("m%d x@b%d.test", i, i)), 1)
		}
		h.want("reports", h.told(), []string{"failed no@b.test"})
		h.want("left", h.count(Filter{}).Total(), 0)
		h.want("leases", h.one(`SELECT count(*) FROM queue_owner WHERE name = 'first'`), 0)
		stop()
	})
}
