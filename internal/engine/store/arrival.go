package store

import (
	"context"
	"math"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Arrival is an email of an account, by when it came.
type Arrival struct {
	Received time.Time // INTERNALDATE; its zone is not known here
	Email    mail.EmailID
}

// MaxArrivals is how many emails one call of Arrivals gives.
const MaxArrivals = 8192

// Arrivals lists the emails of an account by INTERNALDATE, then by EmailID: those
// behind one of them, or from the first if that is zero, at most limit; from the newest
// to the oldest if that is asked for. Emails of a mailbox that was just deleted are
// among them until Changes tells that they are destroyed. NotFound if there is no
// such account.
func (s *Store) Arrivals(ctx context.Context, account mail.AccountID, behind Arrival, newest bool, limit int) (list []Arrival, err error) {
	if limit <= 0 || limit > MaxArrivals {
		limit = MaxArrivals
	}
	from := point{}
	if behind != (Arrival{}) {
		from = point{behind.Received.Unix(), int64(behind.Email)}
	}
	var points []point
	err = s.db.Read(ctx, func(tx *sqldb.Tx) (err error) {
		points, err = arrivals(tx, account, from, newest, limit)
		return err
	})
	for _, p := range points {
		list = append(list, Arrival{time.Unix(p[0], 0).UTC(), mail.EmailID(p[1])})
	}
	return list, err
}

// arrivals is Arrivals: what the index has, after the latest changes, which it does
// not have yet.
func arrivals(tx *sqldb.Tx, account mail.AccountID, behind point, newest bool, limit int) ([]point, error) {
	latest, err := latestArrivals(tx, account)
	if err != nil {
		return nil, err
	}
	isBehind := func(p point) bool {
		if behind == (point{}) {
			return true
		}
		return comparePoints(p, behind) > 0 != newest && p != behind
	}
	changed := make(map[point]bool, len(latest))
	var points []point
	for _, op := range latest {
		if changed[op.point] = true; !op.out && isBehind(op.point) {
			points = append(points, op.point)
		}
	}
	query, start := ` AND (first, second, third) >= ($3, $4, $5) ORDER BY first, second, third LIMIT $6`, behind
	x := index{tx, account, byArrival}
	if newest {
		query = ` AND (first, second, third) <= ($3, $4, $5) ORDER BY first DESC, second DESC, third DESC LIMIT $6`
		if behind == (point{}) {
			start = point{math.MaxInt64, math.MaxInt64, math.MaxInt64}
		}
	} else {
		if behind == (point{}) {
			start = point{math.MinInt64}
		}
		row, _, err := x.before(start)
		if err != nil {
			return nil, err
		}
		start = row.key
	}
	added := len(points)
	rows, err := tx.Query(indexRowColumns+query, int64(account), int64(byArrival), start[0], start[1], start[2], limit+len(latest)+1)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for len(points) < added+limit && rows.Next() {
		row, err := x.scan(rows)
		if err != nil {
			return nil, err
		}
		if newest {
			slices.Reverse(row.points)
		}
		for _, p := range row.points {
			if isBehind(p) && !changed[p] {
				points = append(points, p)
			}
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(points, func(a, b point) int {
		if newest {
			return comparePoints(b, a)
		}
		return comparePoints(a, b)
	})
	return points[:min(limit, len(points))], nil
}

// latestArrivals are the changes of the index that it does not have yet: of each email
// the last.
func latestArrivals(tx *sqldb.Tx, account mail.AccountID) ([]indexOp, error) {
	latest, _, err := loadPending(tx, account)
	if err != nil {
		return nil, err
	}
	return waitingArrivals(tx, account, &latest)
}

// waitingArrivals is latestArrivals, given the latest changes.
func waitingArrivals(tx *sqldb.Tx, account mail.AccountID, p *pending) (ops []indexOp, err error) {
	add := func(_ mail.ModSeq, r *recordReader) error {
		for r.more() {
			if one := r.next(); one.Kind.dated() {
				ops = append(ops, indexOp{point{one.received, int64(one.Email)}, one.Kind == EmailDestroyed})
			}
		}
		return nil
	}
	if p.indexed < p.since {
		if err := eachChangeRow(tx, account, p.indexed, p.since, add); err != nil {
			return nil, err
		}
	}
	if err := eachRecord(account, p.since, p.records, 0, add); err != nil {
		return nil, err
	}
	slices.SortStableFunc(ops, func(a, b indexOp) int { return comparePoints(a.point, b.point) })
	kept := ops[:0]
	for i, op := range ops {
		if i+1 == len(ops) || ops[i+1].point != op.point {
			kept = append(kept, op)
		}
	}
	return kept, nil
}
