package queue

import (
	"context"
	"slices"
	"time"

	"yubin/internal/world/sqldb"
)

// pullIn makes due now what waits for longer than any schedule has it wait: it
// was put off while the clock was ahead. Mail that its sender holds waits.
func (q *Queue) pullIn(ctx context.Context, now time.Time) error {
	const misdated = `FROM queue_delivery d JOIN spool_item i ON i.id = d.item
		WHERE d.due > $1 AND d.state = $2 AND i.hold_until <= $3 LIMIT $4`
	last := millis(now.Add(q.o.Schedule.longest()))
	for more := true; more; {
		err := q.db.Read(ctx, func(tx *sqldb.Tx) error {
			err := tx.QueryRow(`SELECT 1 `+misdated, last, Waiting, millis(now), 1).Scan(new(int))
			if more = err == nil; err == sqldb.ErrNoRows {
				err = nil
			}
			return err
		})
		if err != nil || !more {
			return err
		}
		var n int64
		err = q.db.Write(ctx, func(tx *sqldb.Tx) (err error) {
			n, err = tx.Exec(`UPDATE queue_delivery SET due = $3 WHERE (item, n) IN (SELECT d.item, d.n `+misdated+` {free})`,
				last, Waiting, millis(now), bulkSlice)
			return err
		})
		if err != nil {
			return err
		}
		q.o.Log.Info("deliveries put off while the clock was ahead are due now", "deliveries", n)
	}
	return nil
}

// longest is the longest time that a delivery may wait.
func (s *Schedule) longest() time.Duration {
	wait := max(slices.Max(s.Retry), retryOurs)
	return wait + time.Duration(float64(wait)*jitter) + time.Minute
}
