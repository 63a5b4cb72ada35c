package queue

import (
	"context"

	"yubin/internal/engine/spool"
	"yubin/internal/world/sqldb"
)

// Check verifies the invariants of the deliveries, online, and reports what does
// not hold. The error is one of reading.
func (q *Queue) Check(ctx context.Context, report func(problem string)) error {
	for last, more := spool.ItemID(0), true; more; {
		err := q.db.Read(ctx, func(tx *sqldb.Tx) error {
			var first spool.ItemID
			err := tx.QueryRow(`SELECT min(item) FROM (SELECT min(id) AS item FROM spool_item WHERE id > $1
				UNION ALL SELECT min(item) FROM queue_delivery WHERE item > $1
				UNION ALL SELECT min(item) FROM queue_event WHERE item > $1) AS next`, last).Scan(&first)
			if more = first != 0; err != nil || !more {
				return err
			}
			last = first + checkSlice - 1
			for _, r := range rules() {
				if err := checkRule(tx, r.what, r.query, first, last, report); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return q.checkReadable(ctx, report)
}

// checkSlice is how many items, or rows, one snapshot looks at.
const checkSlice = 1000

// checkReadable reads every row.
func (q *Queue) checkReadable(ctx context.Context, report func(string)) error {
	var last DeliveryID
	for n := checkSlice; n == checkSlice; {
		var list []Delivery
		err := q.db.Read(ctx, func(tx *sqldb.Tx) (err error) {
			list, err = deliveries(tx, `WHERE (d.item, d.n) > ($1, $2) ORDER BY d.item, d.n LIMIT $3`, last.Item, last.N, checkSlice)
			return err
		})
		if err != nil {
			return err
		}
		for _, d := range list {
			if d.Unreadable != "" {
				report(d.asUnreadable().Error() + `; "yubin queue drop ` + d.DeliveryID.String() + `" removes it`)
			}
			last = d.DeliveryID
		}
		n = len(list)
	}
	return nil
}

func checkRule(tx *sqldb.Tx, what, query string, first, last spool.ItemID, report func(string)) error {
	rows, err := tx.Query(query, first, last)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var found string
		if err := rows.Scan(&found); err != nil {
			return err
		}
		report(what + ": " + found)
	}
	return rows.Err()
}

// rules are queries that give a row, one text column, for each thing that is wrong.
func rules() []struct{ what, query string } {
	return []struct{ what, query string }{
		{"delivery of a message that is not in custody", `SELECT 'delivery ' || d.item || '.' || d.n FROM queue_delivery d
			LEFT JOIN spool_item i ON i.id = d.item WHERE d.item BETWEEN $1 AND $2 AND (i.id IS NULL OR i.settled > 0)`},
		{"message in custody that nobody waits for", `SELECT 'message ' || i.id FROM spool_item i
			WHERE i.id BETWEEN $1 AND $2 AND i.settled = 0 AND NOT EXISTS (SELECT 1 FROM queue_delivery d WHERE d.item = i.id)`},
		{"delivery in no state", `SELECT 'delivery ' || item || '.' || n FROM queue_delivery WHERE item BETWEEN $1 AND $2 AND state NOT IN (1, 2, 3, 4)`},
		{"delivery without its time, or with another's", `SELECT 'delivery ' || item || '.' || n FROM queue_delivery
			WHERE item BETWEEN $1 AND $2 AND ((state IN (1, 3)) <> (due > 0) OR (state = 4) <> (report_at > 0))`},
		{"delivery whose holder is not right", `SELECT 'delivery ' || d.item || '.' || d.n FROM queue_delivery d
			WHERE d.item BETWEEN $1 AND $2 AND (d.owner = 0 AND d.state = 3 OR d.owner > 0 AND (d.state NOT IN (2, 3)
			OR NOT EXISTS (SELECT 1 FROM queue_owner o WHERE o.id = d.owner)))`},
		{"delivery that is parked and does not wait", `SELECT 'delivery ' || item || '.' || n FROM queue_delivery
			WHERE item BETWEEN $1 AND $2 AND parked > 0 AND state NOT IN (1, 3)`},
		{"owed report about mail without a sender", `SELECT 'delivery ' || d.item || '.' || d.n FROM queue_delivery d
			JOIN spool_item i ON i.id = d.item WHERE d.item BETWEEN $1 AND $2 AND d.state = 4 AND i.sender = '' AND i.report NOT IN (1, 2)`},
		{"delivery in a wrong lane", `SELECT 'delivery ' || d.item || '.' || d.n FROM queue_delivery d JOIN spool_item i ON i.id = d.item
			WHERE d.item BETWEEN $1 AND $2 AND d.lane <> CASE WHEN i.priority > 0 THEN 0 WHEN i.priority < 0 THEN 3 WHEN d.deferrals > 0 THEN 2 ELSE 1 END`},
		{"event of a message that is forgotten", `SELECT 'message ' || e.item FROM queue_event e
			LEFT JOIN spool_item i ON i.id = e.item WHERE e.item BETWEEN $1 AND $2 AND i.id IS NULL GROUP BY e.item`},
	}
}
