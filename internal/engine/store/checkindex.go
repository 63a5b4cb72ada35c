package store

import (
	"errors"
	"math"
	"slices"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// indexes checks the indexes of an account's emails. That every message is in them,
// the check of its mailbox sees; here it is that nothing else is.
func (c *checker) indexes(account mail.AccountID) error {
	for last, more := (point{math.MinInt64}), true; more; {
		err := c.s.db.Read(c.ctx, func(tx *sqldb.Tx) (err error) {
			last, more, err = c.places(tx, account, last)
			return err
		})
		if err != nil {
			return err
		}
	}
	return c.s.db.Read(c.ctx, func(tx *sqldb.Tx) error { return c.arrivals(tx, account) })
}

// places checks the next rows behind a key of where emails are.
func (c *checker) places(tx *sqldb.Tx, account mail.AccountID, last point) (_ point, more bool, err error) {
	x := index{tx, account, byEmail}
	for {
		rows, err := x.after(last, indexRows)
		if err != nil || len(rows) == 0 {
			return last, false, c.indexError(err)
		}
		for _, row := range rows {
			if comparePoints(row.key, row.points[0]) > 0 || !slices.IsSortedFunc(row.points, comparePoints) {
				c.problem("index of places is not in order: account %d, email %d", account, row.key[0])
			}
			if err := c.placesOf(x, row.points); err != nil {
				return last, false, err
			}
			last = row.key
		}
		if tx.Enough() {
			return last, true, c.ctx.Err()
		}
	}
}

// placesOf holds all that the index says of the emails of some points against the
// mailboxes.
func (c *checker) placesOf(x index, some []point) error {
	var emails []int64
	for _, p := range some {
		emails = append(emails, p[0])
	}
	emails = slices.Compact(emails)
	listed, err := x.find(emails)
	if err != nil {
		return c.indexError(err)
	}
	asked := make([]*sqldb.Answer, len(emails))
	for i, id := range emails {
		asked[i] = x.tx.Ask(`SELECT mailbox, uid FROM email WHERE id = $1 AND account = $2`, id, int64(x.account))
	}
	var came []point // where the emails came first
	for i, id := range emails {
		p := point{id}
		if err := asked[i].Scan(&p[1], &p[2]); err == nil {
			came = append(came, p)
		} else if err != sqldb.ErrNoRows {
			return c.indexError(err)
		}
	}
	there, err := membersAt(x.tx, slices.Concat(listed, came))
	if err != nil {
		return c.indexError(err)
	}
	for _, p := range came {
		if there[p] && !slices.Contains(listed, p) {
			c.problem("place is missing in the index: email %d in mailbox %d, UID %d", p[0], p[1], p[2])
		}
	}
	for _, p := range listed {
		if !there[p] {
			c.problem("index has a place that is none: email %d in mailbox %d, UID %d", p[0], p[1], p[2])
		}
	}
	return nil
}

// nearUIDs is how far apart UIDs are that are read in one range.
const nearUIDs = 256

// membersAt says which of some places have their emails. It sorts the list.
func membersAt(tx *sqldb.Tx, places []point) (there map[point]bool, err error) {
	there = make(map[point]bool, len(places))
	for _, p := range places {
		there[p] = false
	}
	slices.SortFunc(places, func(a, b point) int { return slices.Compare(a[1:], b[1:]) })
	for len(places) > 0 {
		first, n := places[0], 1
		for n < len(places) && places[n][1] == first[1] && places[n][2]-places[n-1][2] <= nearUIDs {
			n++
		}
		box := mail.MailboxID(first[1])
		r := mail.UIDRange{First: mail.UID(first[2]), Last: mail.UID(places[n-1][2])}
		if err := eachMember(tx, box, r, func(m *member) error {
			p := point{int64(m.email), first[1], int64(m.UID)}
			if _, asked := there[p]; asked {
				there[p] = true
			}
			return nil
		}); err != nil {
			return nil, err
		}
		places = places[n:]
	}
	return there, nil
}

// indexError reports a row that cannot be read; other errors are errors.
func (c *checker) indexError(err error) error {
	if errors.Is(err, ErrCannotCalculate) {
		c.problem("changes are missing for which the index of arrivals waits")
		return nil
	}
	if c.unreadable(err) {
		return nil
	}
	return err
}

// arrivals counts the emails in the index of arrivals, which must be as many as the
// account's mailboxes have, those with several places counted once.
func (c *checker) arrivals(tx *sqldb.Tx, account mail.AccountID) error {
	var messages int64
	err := tx.QueryRow(`SELECT messages FROM tally WHERE account = $1 AND mailbox = 0 AND NOT EXISTS (SELECT 1 FROM doomed WHERE account = $1)`,
		int64(account)).Scan(&messages)
	if err == sqldb.ErrNoRows {
		return nil // It is gone, or messages of a deleted mailbox follow it still.
	}
	if err != nil {
		return err
	}
	count := func(kind indexKind, visit func(p point)) error {
		for last := (point{math.MinInt64}); ; {
			rows, err := index{tx, account, kind}.after(last, indexRows)
			if err != nil || len(rows) == 0 {
				return c.indexError(err)
			}
			for _, row := range rows {
				for _, p := range row.points {
					visit(p)
				}
				last = row.key
			}
		}
	}
	email := int64(0)
	if err := count(byEmail, func(p point) {
		if p[0] == email {
			messages--
		}
		email = p[0]
	}); err != nil {
		return err
	}
	latest, err := latestArrivals(tx, account)
	if err != nil {
		return c.indexError(err)
	}
	waits := make(map[point]bool, len(latest))
	listed := int64(0)
	for _, op := range latest {
		if waits[op.point] = true; !op.out {
			listed++
		}
	}
	var before point
	if err := count(byArrival, func(p point) {
		if comparePoints(before, p) >= 0 && before != (point{}) {
			c.problem("index of arrivals is not in order: account %d, email %d", account, p[1])
		}
		if before = p; !waits[p] {
			listed++
		}
	}); err != nil {
		return err
	}
	if listed != messages {
		c.problem("arrivals are miscounted: account %d has %d emails, the index %d", account, messages, listed)
	}
	return nil
}

// indexed checks that the members of a bundle are in the indexes.
func (m *memberCheck) indexed(list []member, elsewhere []point) error {
	lacks, err := index{m.tx, m.account, byEmail}.lacks(elsewhere)
	if err != nil {
		return m.indexError(err)
	}
	for _, p := range lacks {
		m.problem("place is missing in the index: email %d in mailbox %d, UID %d", p[0], p[1], p[2])
	}
	came := make([]point, 0, len(list))
	for i := range list {
		came = append(came, point{list[i].received, int64(list[i].email)})
	}
	if lacks, err = (index{m.tx, m.account, byArrival}).lacks(came); err != nil || len(lacks) == 0 {
		return m.indexError(err)
	}
	latest, err := latestArrivals(m.tx, m.account)
	if err != nil {
		return m.indexError(err)
	}
	for _, p := range lacks {
		if !slices.Contains(latest, indexOp{p, false}) {
			m.problem("arrival is missing in the index: email %d", p[1])
		}
	}
	return nil
}
