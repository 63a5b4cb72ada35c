package queue

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// settlement is a claimed delivery and what became of it. Without attempts it
// was not tried.
type settlement struct {
	d      Delivery
	result mail.Result
	final  bool // into a mailbox
	site   bool // the site was down: it says nothing about the message
	over   bool // its time is over, without an attempt
}

// fate is where a settlement leads.
type fate uint8

const (
	again fate = iota // it waits
	ended             // it is settled and nobody needs to be told
	owed              // it is settled and the sender is to be told
)

// decision is a settlement with its consequences.
type decision struct {
	settlement
	fate   fate
	last   mail.Attempt
	due    time.Time // of again
	untold bool      // a failure that nobody will hear of
}

func (q *Queue) decide(it spool.Item, s settlement, now time.Time) decision {
	d := decision{settlement: s, last: s.d.Last, fate: again, due: now.Add(retryOurs)}
	switch {
	case s.over:
		d.last.Outcome = mail.Deferred
	case len(s.result.Attempts) == 0:
		return d
	default:
		d.last = s.result.Attempts[len(s.result.Attempts)-1]
		d.last.Outcome = s.result.Outcome
	}
	null := it.ReversePath.IsNull()
	told := wantsFailure(s.d.Notify)
	if null {
		told = it.Report.GoesOn() // It goes to its reader in another form, or to the postmaster.
	}
	switch {
	case s.result.Outcome == mail.Delivered:
		d.fate = ended
		if !null && wantsSuccess(it, s.d, d.last, s.final) {
			d.fate = owed
		}
	case s.result.Outcome == mail.Deferred && !s.over && !expired(it, now):
		d.due = q.next(it, s.d.Deferrals+1, now)
	case !told:
		d.fate, d.untold = ended, null && it.Cause != spool.KeptForward
	default:
		d.fate = owed
	}
	return d
}

// settle makes the outcomes of one item durable, with the report that they make
// due if nobody of the item is left to wait for. It does not give up while the
// process lives: what is not settled would be sent again.
func (q *Queue) settle(ctx context.Context, it spool.Item, list []settlement) {
	now := q.o.Now()
	decisions := make([]decision, len(list))
	for i, s := range list {
		decisions[i] = q.decide(it, s, now)
	}
	for tries := 1; ; tries++ {
		err := q.settleOnce(ctx, it, decisions, now)
		if err == nil {
			break
		}
		q.o.Log.Warn("the outcome of a delivery cannot be kept", "item", it.ID, "tries", tries, "err", err)
		if ctx.Err() != nil {
			return // We are told to end: who comes after us takes over and sends it again.
		}
		if tries == 1 {
			q.unkept(1) // Nothing more is begun whose outcome could not be kept either.
			defer q.unkept(-1)
		}
		q.sleepJob(ctx, troubleWait)
	}
	q.settled(ctx, it, decisions, now)
}

// settled tells of outcomes that are durable, and the sender if those who still wait
// do so for long.
func (q *Queue) settled(ctx context.Context, it spool.Item, decisions []decision, now time.Time) {
	q.observe(it, decisions)
	mayNotice := func(d decision) bool { return d.fate != again || mayBeNoticed(d.d) }
	if q.late(it, now) && slices.ContainsFunc(decisions, mayNotice) {
		q.notice(ctx, it)
	}
}

func (q *Queue) unkept(n int) {
	q.mu.Lock()
	q.board.unkept += n
	q.mu.Unlock()
	q.poke()
}

func (q *Queue) settleOnce(ctx context.Context, it spool.Item, list []decision, now time.Time) error {
	told, all, err := q.concluded(it.ID, list)
	if err != nil {
		return err
	}
	if all && len(told) > 0 {
		err := q.tell(ctx, it, told, func(tx *sqldb.Tx) error {
			if err := q.apply(tx, it, list, now, now); err != nil {
				return err
			}
			return q.clearOwed(tx, it.ID, told, now)
		})
		if err == nil {
			return nil
		}
		q.o.Log.Info("a report waits", "item", it.ID, "err", err)
	}
	reportAt := now.Add(q.o.Schedule.Gather)
	err = q.db.Write(context.Background(), func(tx *sqldb.Tx) error {
		q.lock(tx, it)
		if err := q.apply(tx, it, list, now, reportAt); err != nil {
			return err
		}
		return q.conclude(tx, it.ID, it.Blob, now)
	})
	if err == nil && len(told) > 0 {
		q.reportBy(reportAt)
	}
	return err
}

// concluded returns who of an item the sender is to be told of once list is
// settled, and whether nobody else is left then.
func (q *Queue) concluded(id spool.ItemID, list []decision) (told []Told, all bool, err error) {
	ours := map[int]bool{}
	all = true
	for _, d := range list {
		ours[d.d.N] = true
		switch d.fate {
		case again:
			all = false
		case owed:
			o := d.d
			o.Last, o.final, o.Attempts = d.last, d.final, o.Attempts+d.tried()
			told = append(told, tellOf(o))
		}
	}
	if len(told) == 0 || !all {
		return told, false, nil
	}
	err = q.db.Read(context.Background(), func(tx *sqldb.Tx) error {
		rest, err := ofItem(tx, id)
		rest, _ = q.readable(rest)
		for _, d := range rest {
			switch {
			case ours[d.N]:
			case d.State == Owed:
				told = append(told, tellOf(d))
			default:
				all = false
			}
		}
		return err
	})
	return told, all, err
}

// lock keeps others from changing the deliveries of an item until the transaction
// ends: so the last of them that is settled is the last for everybody, and events have
// an order. Of a report the message that it is about is locked too, as its story may
// grow; it came first.
func (q *Queue) lock(tx *sqldb.Tx, it spool.Item) {
	if it.Report != spool.NoReport {
		q.o.Spool.Lock(tx, it.About)
	}
	q.o.Spool.Lock(tx, it.ID)
}

// apply changes the rows of an item, which is locked, as was decided.
func (q *Queue) apply(tx *sqldb.Tx, it spool.Item, list []decision, now, reportAt time.Time) error {
	changed := make([]*sqldb.Answer, len(list))
	for i, d := range list {
		changed[i] = q.applyOne(tx, d, now, reportAt)
	}
	for i, d := range list {
		ours := true
		if err := changed[i].Scan(new(int)); err == sqldb.ErrNoRows {
			ours = false
		} else if err != nil {
			return err
		}
		for _, a := range d.result.Attempts {
			note := ""
			if !ours {
				note = "after the lease was lost"
			}
			addEvent(tx, d.d, now, EventAttempt, note, formatRecord(a, d.final))
		}
		if d.fate != again && d.result.Outcome != mail.Delivered && d.last.Outcome == mail.Deferred {
			addEvent(tx, d.d, now, EventExpired, "", "")
		}
		if d.untold {
			addEvent(tx, d.d, now, EventUntold, "", "")
			if err := q.tellStory(tx, it, now, EventUntold, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// applyOne changes one row, which the answer names if it is still ours. What was
// delivered is settled whoever has it by now: a definite answer counts.
func (q *Queue) applyOne(tx *sqldb.Tx, d decision, now, reportAt time.Time) *sqldb.Answer {
	id := d.d.DeliveryID
	tried := d.tried()
	switch {
	case d.fate == again:
		l := laneOf(0, d.d.Deferrals+tried)
		parked := int64(0)
		if d.site && tried > 0 {
			parked = millis(now)
		}
		return tx.Ask(`UPDATE queue_delivery SET state = CASE state WHEN $1 THEN $1 ELSE $2 END,
			due = CASE state WHEN $1 THEN 0 ELSE $3 END, attempts = attempts + $4, deferrals = deferrals + $4,
			lane = CASE lane WHEN $5 THEN $6 ELSE lane END, parked = CASE state WHEN $1 THEN 0 ELSE $11 END, owner = 0, last = $7
			WHERE item = $8 AND n = $9 AND owner = $10 RETURNING n`,
			Held, Waiting, millis(d.due), tried, laneFresh, l, formatLast(d), id.Item, id.N, q.holder(), parked)
	case d.fate == owed:
		return tx.Ask(`UPDATE queue_delivery SET state = $1, due = 0, report_at = $2, attempts = attempts + $3, parked = 0,
			owner = 0, last = $4 WHERE item = $5 AND n = $6 AND (owner = $7 OR $8 = 1 AND state <> $1) RETURNING n`,
			Owed, millis(reportAt), tried, formatLast(d), id.Item, id.N, q.holder(), d.result.Outcome == mail.Delivered)
	case d.result.Outcome == mail.Delivered:
		return tx.Ask(`DELETE FROM queue_delivery WHERE item = $1 AND n = $2 AND state <> $3 RETURNING n`, id.Item, id.N, Owed)
	}
	return tx.Ask(`DELETE FROM queue_delivery WHERE item = $1 AND n = $2 AND owner = $3 RETURNING n`, id.Item, id.N, q.holder())
}

// holder is who stands in the rows that we carry: nobody if we are alone.
func (q *Queue) holder() int64 {
	if q.o.Alone {
		return 0
	}
	return q.owner.Load()
}

// tried is 1 if an attempt was made.
func (s settlement) tried() int { return min(len(s.result.Attempts), 1) }

func formatLast(d decision) string {
	if d.last.At.IsZero() {
		return ""
	}
	return formatRecord(d.last, d.final)
}

// conclude settles an item, which is locked, if no row of it is left. Its blob is zero
// if it is not known.
func (q *Queue) conclude(tx *sqldb.Tx, id spool.ItemID, blob store.BlobRef, now time.Time) error {
	var carried, left bool
	err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM queue_delivery WHERE item = $1 AND state <> $2),
		EXISTS (SELECT 1 FROM queue_delivery WHERE item = $1)`, id, Owed).Scan(&carried, &left)
	switch {
	case err != nil || carried:
		return err
	case left:
		return q.hasten(tx, id, now)
	}
	return q.o.Spool.Settle(tx, id, blob, now)
}

// hasten makes the report of an item due if there is nothing left to wait for.
func (q *Queue) hasten(tx *sqldb.Tx, id spool.ItemID, now time.Time) error {
	n, err := tx.Exec(`UPDATE queue_delivery SET report_at = $2 WHERE item = $1 AND state = $3 AND report_at > $2
		AND NOT EXISTS (SELECT 1 FROM queue_delivery WHERE item = $1 AND state <> $3)`, id, millis(now), Owed)
	if err == nil && n > 0 {
		tx.OnCommit(func() { q.reportBy(now) })
	}
	return err
}

// observe tells the scheduler and the metrics what was settled.
func (q *Queue) observe(it spool.Item, list []decision) {
	for _, d := range list {
		for _, a := range d.result.Attempts {
			q.o.Observe(Observation{Kind: ObservedAttempt, Site: d.d.Site, Outcome: a.Outcome, Class: a.Status(), Took: a.Took})
		}
		if d.fate == again {
			q.expect(d.due)
		} else {
			o := d.result.Outcome
			if o != mail.Delivered {
				o = mail.Failed
			}
			q.o.Observe(Observation{Kind: ObservedSettled, Site: d.d.Site, Outcome: o, Class: d.last.Status(), Account: it.Account})
		}
		if d.untold {
			q.o.Observe(Observation{Kind: ObservedUntold, Site: d.d.Site, Class: d.last.Status()})
			level := slog.LevelWarn
			if it.Report != spool.NoReport {
				level = slog.LevelError
			}
			q.o.Log.Log(context.Background(), level, "mail without a sender could not be delivered, and nobody is told", "item", it.ID,
				"recipient", d.d.Address, "status", d.last.Status())
		}
	}
}
