package queue

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
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

// TestLastTwoAtOnce: the last two recipients of an item, settled by two at the same
// moment, settle it once, and its sender hears of both in one report.
func TestLastTwoAtOnce(t *testing.T) {
	bubble(t, true, func(h *house) {
		h.options = func(o *Options) { o.Limits.Site = Limit{Concurrency: 100} }
		h.Queue = h.queue("first", false)
		stop := h.runs(h.queue("second", false))
		h.during = func(mail.NextHop, mail.Transaction) { <-time.After(time.Second) } // All come to their end together.
		h.answer = byLocal
		const messages = 25
		for i := range messages {
			h.send(fmt.Sprint("m", i), from("s@a.test"), to("x@b.test", "x@c.test"))
			h.send(fmt.Sprint("n", i), from("s@a.test"), to("no@b.test", "no@c.test"))
		}
		h.run()
		h.pass(10 * time.Minute)
		h.want("left", h.count(Filter{}).Total(), 0)
		h.want("in custody", h.one(`SELECT count(*) FROM spool_item WHERE settled = 0`), 0)
		h.want("reports", h.one(`SELECT count(*) FROM queue_event WHERE kind = 'report'`), messages)
		for i := range messages {
			h.want("taken", h.gotBy(fmt.Sprintf("m%d x@b.test", i))+h.gotBy(fmt.Sprintf("m%d x@c.test", i)), 2)
		}
		stop()
	})
}

// TestSleeperWakes: who slept until others took it for dead gives up what it carried,
// and what it claims afterwards is its own again.
func TestSleeperWakes(t *testing.T) {
	bubble(t, true, func(h *house) {
		h.Queue = h.queue("sleeper", false)
		h.run()
		h.pass(time.Second)
		before := h.owner.Load()
		h.damage(`DELETE FROM queue_owner`) // As another does whom it seems dead.
		h.during = func(mail.NextHop, mail.Transaction) { <-time.After(2 * heartbeat) }
		h.send("one", from("s@a.test"), to("x@b.test"))
		h.pass(10 * time.Minute)
		h.want("another number", h.owner.Load() != before, true)
		h.want("taken", h.gotBy("one x@b.test") >= 1, true)
		h.want("left", h.count(Filter{}).Total(), 0)
		h.during = nil
		h.send("two", from("s@a.test"), to("x@b.test"))
		h.pass(time.Minute)
		h.want("taken afterwards", h.gotBy("two x@b.test"), 1)
	})
}

// TestOperatorsAtOnce: two who change the same messages at once, while two carry them,
// wait for each other and never for good; each message ends once.
func TestOperatorsAtOnce(t *testing.T) {
	bubble(t, true, func(h *house) {
		h.Queue = h.queue("first", false)
		second := h.queue("second", false)
		stop := h.runs(second)
		h.answer = byLocal
		for i := range 20 {
			h.send(fmt.Sprint("m", i), from("s@a.test"), to("x@b.test", "y@c.test", "no@d.test"))
		}
		h.run()
		var wg sync.WaitGroup
		for i, q := range []*Queue{h.Queue, second} {
			wg.Go(func() {
				for range 3 {
					_, err := q.Hold(ctx, Filter{}, fmt.Sprint("by ", i), nil)
					h.must(err)
					_, err = q.Retry(ctx, Filter{}, "", nil)
					h.must(err)
					_, err = q.Release(ctx, Filter{}, "", nil)
					h.must(err)
				}
			})
		}
		wg.Wait()
		h.pass(30 * time.Minute)
		h.want("left", h.count(Filter{}).Total(), 0)
		for i := range 20 {
			h.want("taken", h.gotBy(fmt.Sprintf("m%d x@b.test", i))+h.gotBy(fmt.Sprintf("m%d y@c.test", i)), 2)
		}
		h.want("told of", len(h.told()) >= 20, true)
		stop()
	})
}

// TestLastTwoInTheirOrder is TestLastTwoAtOnce statement by statement: the second
// begins when the first has done all but commit.
func TestLastTwoInTheirOrder(t *testing.T) {
	bubble(t, true, func(h *house) {
		second := h.queue("second", false)
		id := h.send("one", from("s@a.test"), to("x@b.test", "x@c.test"))
		story, err := h.Show(ctx, id)
		h.must(err)
		for i, q := range []*Queue{h.Queue, second} {
			h.must(q.begin(ctx, ctx))
			h.damage(`UPDATE queue_delivery SET state = $1, owner = $2 WHERE item = $3 AND n = $4`, Active, q.holder(), id, i+1)
		}
		settle := func(q *Queue, n int, done func()) {
			one := decision{settlement: settlement{d: story.Deliveries[n-1]}, fate: ended}
			h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error {
				q.lock(tx, story.Item)
				err := q.apply(tx, story.Item, []decision{one}, time.Now(), time.Now())
				if err == nil {
					err = q.conclude(tx, id, 0, time.Now())
				}
				done()
				return err
			}))
		}
		ended := make(chan bool)
		settle(h.Queue, 1, func() {
			go func() {
				settle(second, 2, func() {})
				close(ended)
			}()
			h.awaitBlocked(ended)
		})
		<-ended
		h.want("left", h.count(Filter{}).Total(), 0)
		h.want("in custody", h.one(`SELECT count(*) FROM spool_item WHERE settled = 0`), 0)
		for _, q := range []*Queue{h.Queue, second} {
			h.damage(`UPDATE queue_owner SET until = 0 WHERE id = $1`, q.holder())
		}
	})
}

// awaitBlocked waits, on a server, until a transaction waits for a lock, or ended is
// closed. A file has one writer anyway.
func (h *house) awaitBlocked(ended chan bool) {
	for blocked := !dbtest.OnServer(); !blocked; {
		select {
		case <-ended:
			return
		default:
			blocked = h.one(`SELECT count(*) FROM pg_stat_activity WHERE application_name = current_setting('application_name')
				AND wait_event_type = 'Lock'`) > 0
		}
	}
}
