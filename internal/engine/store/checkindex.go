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
			for i, p := range row.points {
				if i > 0 && row.points[i-1][0] == p[0] {
					continue
				}
				if err := c.placesOf(x, mail.EmailID(p[0])); err != nil {
					return last, false, err
				}
			}
			last = row.key
		}
		if tx.Enough() {
			return last, true, c.ctx.Err()
		}
	}
}

// placesOf holds what the index says of an email against the mailboxes.
func (c *checker) placesOf(x index, email mail.EmailID) error {
	points, err := x.find([]int64{int64(email)})
	if err != nil {
		return c.indexError(err)
	}
	first, err := firstPlace(x.tx, x.account, email)
	if err != nil {
		return c.indexError(err)
	}
	if p := (point{int64(email), int64(first.Mailbox), int64(first.UID)}); first != (Place{}) && !slices.Contains(points, p) {
		c.problem("place is missing in the index: email %d in mailbox %d, UID %d", email, first.Mailbox, first.UID)
	}
	for _, p := range points {
		there := false
		err := eachMember(x.tx, mail.MailboxID(p[1]), mail.UIDRange{First: mail.UID(p[2]), Last: mail.UID(p[2])}, func(m *member) error {
			there = there || m.UID == mail.UID(p[2]) && m.email == email
			return nil
		})
		if err != nil {
			return c.indexError(err)
		}
		if !there {
			c.problem("index has a place that is none: email %d in mailbox %d, UID %d", email, p[1], p[2])
		}
	}
	return nil
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
