package queue

import (
	"context"
	"strings"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// reportBatch is how many owed reports are made in one round.
const reportBatch = 64

// errChanged says that rows are not as they were when a report about them was
// made: it must be made anew.
var errChanged = mail.Errorf(mail.Conflict, "the message changed while its report was made")

// tellOf says what a report tells of an owed delivery. One that ends with a
// deferral took too long.
func tellOf(d Delivery) Told {
	t := Told{Delivery: d, Action: ActionFailed}
	switch {
	case d.Last.Outcome == mail.Delivered && d.final:
		t.Action = ActionDelivered
	case d.Last.Outcome == mail.Delivered && d.Last.Phase == phaseExpanded:
		t.Action = ActionExpanded
	case d.Last.Outcome == mail.Delivered:
		t.Action = ActionRelayed
	case d.Last.Outcome == mail.Deferred:
		t.Expired = true
	}
	return t
}

// tell has a report made and sent or filed in one commit with change, which has the
// item locked. Few are made
// at a time, and none is ever whole in memory.
func (q *Queue) tell(ctx context.Context, it spool.Item, told []Told, change func(*sqldb.Tx) error) error {
	q.telling <- struct{}{}
	defer func() { <-q.telling }()
	ctx = context.WithoutCancel(ctx)
	now := q.o.Now()
	r := Report{Item: it, Open: q.opener(ctx, it), Recipients: told, RetryUntil: it.Expire}
	made, err := q.o.Reporter.Tell(ctx, r, func(tx *sqldb.Tx, m Made) error {
		q.lock(tx, it)
		addEvent(tx, Delivery{DeliveryID: DeliveryID{Item: it.ID}}, now, m.kind(), m.note(), "")
		if err := q.tellStory(tx, it, now, m.kind(), m.note()); err != nil {
			return err
		}
		return change(tx)
	})
	if err != nil {
		return err
	}
	if !made.nowhere() {
		q.o.Observe(Observation{Kind: ObservedReport})
	}
	if made.kind() == EventUntold {
		last := told[0].Last
		q.o.Observe(Observation{Kind: ObservedUntold, Class: last.Status()})
		q.o.Log.Error("a sender cannot be told what became of a message", "item", it.ID, "sender", it.ReversePath.String(),
			"recipient", told[0].Address, "status", last.Status(), "postmaster_told", !made.nowhere())
	}
	return nil
}

func (m Made) nowhere() bool { return !m.Filed && m.Item == 0 }

// kind is the event that a report is.
func (m Made) kind() EventKind {
	if m.nowhere() || m.Form == spool.LostReport {
		return EventUntold
	}
	return EventReport
}

// note says what became of a report, for people.
func (m Made) note() (note string) {
	switch m.Form {
	case spool.SmallReport:
		note = "once more, smaller, "
	case spool.LostReport:
		note = "the postmaster is told: "
	}
	switch {
	case m.nowhere():
		return ""
	case m.Item == 0:
		return note + "filed here"
	}
	return note + "spooled as message " + DeliveryID{Item: m.Item}.item()
}

// tellStory adds what became of a report to the story of the message that it is
// about, if that is remembered.
func (q *Queue) tellStory(tx *sqldb.Tx, report spool.Item, now time.Time, kind EventKind, note string) error {
	if report.Report == spool.NoReport {
		return nil
	}
	_, err := q.o.Spool.Item(tx, report.About)
	if mail.KindOf(err) == mail.NotFound || q.aside.Takes(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if kind == EventUntold {
		note = strings.TrimSuffix("message "+DeliveryID{Item: report.ID}.item()+" could not be delivered; "+note, "; ")
	}
	addEvent(tx, Delivery{DeliveryID: DeliveryID{Item: report.About}}, now, kind, note, "")
	return nil
}

// clearOwed removes the rows that told tells of, and settles the item if none is
// left. It fails with errChanged if they are not as told says.
func (q *Queue) clearOwed(tx *sqldb.Tx, id spool.ItemID, told []Told, now time.Time) error {
	for _, t := range told {
		n, err := tx.Exec(`DELETE FROM queue_delivery WHERE item = $1 AND n = $2 AND state = $3`, id, t.N, Owed)
		if err != nil {
			return err
		}
		if n != 1 {
			return errChanged
		}
	}
	return q.conclude(tx, id, 0, now)
}

// reportBy has owed reports looked for at a time.
func (q *Queue) reportBy(at time.Time) {
	q.mu.Lock()
	if at.Before(q.reportAt) {
		q.reportAt = at
	}
	q.mu.Unlock()
	q.poke()
}

// report begins a round of reports if it is time and none is under way.
func (q *Queue) report(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.reporting || q.reportAt.After(now) {
		return
	}
	q.reporting = true
	q.reportAt = now.Add(houseEvery)
	q.jobs.Go(func() {
		next, err := q.reportRound(q.carrying)
		q.mu.Lock()
		q.reporting = false
		q.mu.Unlock()
		if err != nil {
			q.o.Log.Warn("reports wait", "err", err)
		} else if !next.IsZero() {
			q.reportBy(next)
		}
	})
}

// reportRound makes the reports that are due and says when to look again.
func (q *Queue) reportRound(ctx context.Context) (next time.Time, err error) {
	now := q.o.Now()
	var due []spool.ItemID
	err = q.db.Read(context.Background(), func(tx *sqldb.Tx) error {
		if due, err = itemIDs(tx, `SELECT DISTINCT item FROM queue_delivery WHERE report_at > 0 AND report_at <= $1 LIMIT $2`,
			millis(now), reportBatch); err != nil {
			return err
		}
		var ms int64
		err := tx.QueryRow(`SELECT coalesce(min(report_at), 0) FROM queue_delivery WHERE report_at > 0 AND report_at > $1`, millis(now)).Scan(&ms)
		next = fromMillis(ms)
		return err
	})
	if err != nil {
		return next, err
	}
	for _, id := range due {
		if ctx.Err() != nil {
			return next, nil
		}
		if err := q.reportItem(ctx, id); err != nil {
			q.o.Log.Warn("a report cannot be made yet", "item", id, "err", err)
			if err := q.postpone(id, now.Add(retryOurs)); err != nil {
				return next, err
			}
		}
	}
	if len(due) == reportBatch {
		next = now
	}
	return next, nil
}

func itemIDs(tx *sqldb.Tx, query string, args ...any) (ids []spool.ItemID, err error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id spool.ItemID
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// reportItem tells the sender of an item of all that is owed.
func (q *Queue) reportItem(ctx context.Context, id spool.ItemID) error {
	var it spool.Item
	var told []Told
	var bad []Delivery
	err := q.db.Read(ctx, func(tx *sqldb.Tx) error {
		all, err := deliveries(tx, `WHERE d.item = $1 AND d.state = $2 ORDER BY d.n`, id, Owed)
		if err != nil {
			return err
		}
		var rows []Delivery
		rows, bad = q.readable(all)
		if it, err = q.o.Spool.Item(tx, id); q.aside.Takes(err) {
			rows, bad, err = nil, all, nil
		}
		told = nil
		for _, d := range rows {
			told = append(told, tellOf(d))
		}
		return err
	})
	now := q.o.Now()
	if err == nil && len(bad) > 0 {
		err = q.db.Write(ctx, func(tx *sqldb.Tx) error { return q.setAside(tx, bad, now) })
	}
	if err != nil || len(told) == 0 {
		return err
	}
	return q.tell(ctx, it, told, func(tx *sqldb.Tx) error { return q.clearOwed(tx, id, told, now) })
}

// postpone puts off the report of an item.
func (q *Queue) postpone(id spool.ItemID, at time.Time) error {
	err := q.db.Write(context.Background(), func(tx *sqldb.Tx) error {
		q.o.Spool.Lock(tx, id)
		tx.Do(`UPDATE queue_delivery SET report_at = $1 WHERE item = $2 AND state = $3`, millis(at), id, Owed)
		return nil
	})
	if err == nil {
		q.reportBy(at)
	}
	return err
}

// notice tells the sender of an item, once, that it is late for those who still
// wait. If it fails the next deferral tries again.
func (q *Queue) notice(ctx context.Context, it spool.Item) {
	if it.ReversePath.IsNull() {
		return
	}
	byTime := !it.DeliverBy.At.IsZero() && !it.DeliverBy.Return && !it.DeliverBy.At.After(q.o.Now())
	var told []Told
	err := q.db.Read(context.WithoutCancel(ctx), func(tx *sqldb.Tx) error {
		told = nil
		rows, err := ofItem(tx, it.ID)
		rows, _ = q.readable(rows)
		for _, d := range rows {
			if (d.State == Waiting || d.State == Active) && !d.Noticed && wantsDelay(d.Notify) && (d.Deferrals > 0 || byTime) {
				told = append(told, Told{Delivery: d, Action: ActionDelayed, Expired: byTime})
			}
		}
		return err
	})
	if err == nil && len(told) > 0 {
		err = q.tell(ctx, it, told, func(tx *sqldb.Tx) error { return markNoticed(tx, told) })
	}
	if err != nil {
		q.o.Log.Warn("a sender could not be told of a delay", "item", it.ID, "err", err)
	}
}

func markNoticed(tx *sqldb.Tx, told []Told) error {
	for _, t := range told {
		n, err := tx.Exec(`UPDATE queue_delivery SET noticed = 1 WHERE item = $1 AND n = $2 AND noticed = 0 AND state <> $3`, t.Item, t.N, Owed)
		if err != nil {
			return err
		}
		if n != 1 {
			return errChanged
		}
	}
	return nil
}
