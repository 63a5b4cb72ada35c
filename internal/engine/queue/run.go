package queue

import (
	"context"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// idleWait is how long the loop sleeps at most, and troubleWait how long after
// the database failed it.
const (
	idleWait    = passEvery
	troubleWait = time.Second
	houseEvery  = 10 * time.Minute // history is swept, sites are forgotten, reports are looked for
)

// Run carries mail until ctx ends. Then it begins nothing more, gives jobs under
// way Options.Grace to come to their end, and returns when all is settled.
func (q *Queue) Run(ctx context.Context) error {
	carrying, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if err := q.begin(ctx, carrying); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer q.end(cancel)
	var beat, house time.Time
	for ctx.Err() == nil {
		now := q.o.Now()
		err := q.beat(ctx, now, &beat)
		if err == nil {
			q.send()
			err = q.refill(ctx)
		}
		if err == nil {
			err = q.housekeeping(ctx, now, &house)
		}
		q.send()
		q.report(now)
		wait := q.wait(now)
		if err != nil && ctx.Err() == nil {
			q.o.Log.Warn("the queue cannot work; it goes on in a moment", "err", err)
			wait = troubleWait
		}
		q.sleep(ctx, wait)
	}
	return nil
}

func (q *Queue) sleep(ctx context.Context, wait time.Duration) {
	if wait <= 0 {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-q.kick:
	case <-t.C:
	}
}

// begin takes our lease and what the dead left.
func (q *Queue) begin(ctx, carrying context.Context) error {
	now := q.o.Now()
	var owner int64
	err := q.db.Write(ctx, func(tx *sqldb.Tx) (err error) {
		if q.o.Alone {
			if _, err := tx.Exec(`UPDATE queue_owner SET until = 0`); err != nil {
				return err
			}
		}
		owner, err = tx.Insert(`INSERT INTO queue_owner (name, until) VALUES ($1, $2)`, q.o.Name, millis(now.Add(leaseTime)))
		return err
	})
	if err != nil {
		return err
	}
	parked, err := q.anyParked(ctx)
	if err != nil {
		return err
	}
	q.mu.Lock()
	q.board.parked = parked
	q.owner.Store(owner)
	q.carrying = carrying
	q.scan, q.walk = scanner{}, walk{}
	q.reportAt = time.Time{}
	q.mu.Unlock()
	return nil
}

// end waits for the jobs, at last impatiently, and gives the lease back.
func (q *Queue) end(cancel context.CancelFunc) {
	done := make(chan struct{})
	go func() { q.jobs.Wait(); close(done) }()
	t := time.NewTimer(q.o.Grace)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
		cancel()
		<-done
	}
	err := q.db.Write(context.Background(), func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`UPDATE queue_owner SET until = 0 WHERE id = $1`, q.owner.Load())
		return err
	})
	if err != nil {
		q.o.Log.Warn("the lease of the queue could not be given back; it ends by itself", "err", err)
	}
	q.mu.Lock()
	q.board = newBoard(q.board.limits)
	q.applyPauses()
	q.mu.Unlock()
}

// beat renews our lease and takes over from the dead. Who is alone does so once:
// nobody can take a lease from it, or change a pause behind its back.
func (q *Queue) beat(ctx context.Context, now time.Time, next *time.Time) error {
	if next.After(now) {
		return nil
	}
	if q.o.Alone {
		err := q.takeover(ctx, now)
		if err == nil {
			*next = now.AddDate(100, 0, 0)
		}
		return err
	}
	err := q.renew(ctx, now)
	if err == nil {
		err = q.takeover(ctx, now)
	}
	if err == nil {
		err = q.loadPauses(ctx)
	}
	if err == nil {
		*next = now.Add(heartbeat)
	}
	return err
}

// renew makes our lease longer. Who slept until others took it for dead has nothing
// any more of what it carried, and begins anew under another number.
func (q *Queue) renew(ctx context.Context, now time.Time) error {
	owner := q.owner.Load()
	err := q.db.Write(ctx, func(tx *sqldb.Tx) error {
		owner = q.owner.Load()
		n, err := tx.Exec(`UPDATE queue_owner SET until = $2 WHERE id = $1`, owner, millis(now.Add(leaseTime)))
		if err == nil && n == 0 {
			owner, err = tx.Insert(`INSERT INTO queue_owner (name, until) VALUES ($1, $2)`, q.o.Name, millis(now.Add(leaseTime)))
		}
		return err
	})
	if err == nil && owner != q.owner.Load() {
		q.o.Log.Warn("the lease of the queue ended before it was renewed; what was being carried may be sent twice")
		q.owner.Store(owner)
	}
	return err
}

// takeover makes what dead lease holders carried wait again, in slices, and what one
// claimed after it was taken for dead. What became of it nobody knows: it is sent once
// more. Rows that somebody has locked wait for the next time.
func (q *Queue) takeover(ctx context.Context, now time.Time) error {
	for n := int64(1); n > 0; {
		err := q.db.Write(ctx, func(tx *sqldb.Tx) (err error) {
			n, err = tx.Exec(`UPDATE queue_delivery SET state = CASE state WHEN $1 THEN $2 ELSE state END, owner = 0
				WHERE (item, n) IN (SELECT item, n FROM queue_delivery WHERE owner > 0 AND owner NOT IN
				(SELECT id FROM queue_owner WHERE until >= $3 OR id = $4) LIMIT $5 {free})`,
				Active, Waiting, millis(now), q.owner.Load(), bulkSlice)
			if err == nil && n == 0 {
				tx.Do(`DELETE FROM queue_owner WHERE until < $1 AND id <> $2
					AND NOT EXISTS (SELECT 1 FROM queue_delivery WHERE owner = queue_owner.id)`, millis(now), q.owner.Load())
			}
			return err
		})
		if err != nil {
			return err
		}
		if n > 0 {
			q.o.Log.Info("deliveries of a process that is gone are taken over", "deliveries", n)
			for range n {
				q.o.Observe(Observation{Kind: ObservedTakeover})
			}
			q.passSoon()
		}
	}
	return nil
}

// housekeeping is what must be done now and then.
func (q *Queue) housekeeping(ctx context.Context, now time.Time, next *time.Time) error {
	if err := q.unpark(ctx, now); err != nil {
		return err
	}
	if err := q.probe(ctx, now); err != nil {
		return err
	}
	if next.After(now) {
		return nil
	}
	parked, err := q.anyParked(ctx)
	if err != nil {
		return err
	}
	*next = now.Add(houseEvery)
	q.mu.Lock()
	q.board.forget(now)
	q.board.parked = parked
	q.reportAt = time.Time{}
	q.mu.Unlock()
	return q.sweep(ctx, now)
}

// anyParked reports whether something is put off because of its site.
func (q *Queue) anyParked(ctx context.Context) (parked bool, err error) {
	err = q.db.Read(ctx, func(tx *sqldb.Tx) error {
		return tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM queue_delivery WHERE parked > 0)`).Scan(&parked)
	})
	return parked, err
}

// send begins all jobs that may begin, claiming some at a time.
func (q *Queue) send() {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.o.Now()
	for {
		var batch []*errand
		for len(batch) < claimBatch {
			e := q.board.pick(now)
			if e == nil {
				break
			}
			if q.frozen[e.key] > 0 { // Whoever changes it has it looked for again.
				q.board.done(e, finding{}, now, 0)
				continue
			}
			batch = append(batch, e)
		}
		if len(batch) == 0 {
			return
		}
		q.jobs.Go(func() { q.dispatch(q.carrying, batch) })
	}
}

// wait says how long there is nothing to do.
func (q *Queue) wait(now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	wait := idleWait
	soonest := func(t time.Time) { wait = min(wait, max(t.Sub(now), 0)) }
	if s := q.board.resting.first(); s != nil {
		soonest(s.readyAt())
	}
	if !q.scan.running || q.board.hasRoom() {
		soonest(q.scan.wake())
	}
	if q.mayProbe() {
		soonest(q.walk.at)
		if s := q.board.asleep.first(); s != nil {
			soonest(s.probeAt)
		}
	}
	if !q.o.Alone {
		wait = min(wait, heartbeat)
	}
	if !q.reporting {
		soonest(q.reportAt)
	}
	return wait
}

// answered lets the site of an errand have its next message.
func (q *Queue) answered(e *errand, f finding) {
	q.mu.Lock()
	q.board.answer(e, f, q.o.Now(), q.o.Rand())
	q.mu.Unlock()
	q.poke()
}

// finish ends the job of an errand.
func (q *Queue) finish(e *errand, f finding, again *errand) {
	q.mu.Lock()
	now := q.o.Now()
	q.board.done(e, f, now, q.o.Rand())
	if again != nil {
		q.board.addOrMiss(again.key, again.lane, again.sender, now)
	}
	off := q.board.learned(e.site, f, now)
	q.mu.Unlock()
	if len(off) > 0 {
		keys := make([]key, len(off))
		for i, o := range off {
			keys[i] = o.key
		}
		if err := q.putOff(context.Background(), keys); err != nil {
			q.o.Log.Warn("mail for a site that is down could not be put off", "site", e.site, "err", err)
		}
	}
	q.poke()
}

// findingOf says what results tell about the site.
func findingOf(ctx context.Context, results []mail.Result) (f finding) {
	for _, r := range results {
		for _, a := range r.Attempts {
			switch {
			case a.Outcome == mail.Delivered, a.Phase >= mail.PhaseMail && !endsSession(a):
				return finding{verdict: alive}
			case a.Outcome == mail.Deferred && a.Phase != mail.PhaseNone && ctx.Err() == nil:
				f = finding{down, a}
			}
		}
	}
	return f
}

// endsSession reports whether a host was not ready for any message (RFC 5321 §3.8):
// it said so before it heard of a recipient.
func endsSession(a mail.Attempt) bool { return a.Phase == mail.PhaseMail && a.Code == 421 && !a.Ours }
