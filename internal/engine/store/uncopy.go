package store

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// copies are the copies under way in this process, by number.
type copies struct {
	mu  sync.Mutex
	now map[int64]bool
}

// begin gives a number.
func (c *copies) begin() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == nil {
		c.now = make(map[int64]bool)
	}
	for {
		if n := rand.Int64(); n != 0 && !c.now[n] {
			c.now[n] = true
			return n
		}
	}
}

func (c *copies) end(number int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.now, number)
}

func (c *copies) underWay() []int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.now))
}

// undo takes back what a copy that failed has copied. If that fails too, Run
// goes on with it.
func (t *transfer) undo(ctx context.Context) {
	if err := t.s.uncopy(context.WithoutCancel(ctx), t.number); err != nil {
		t.s.log.Warn("what a failed copy left is removed later", "mailbox", int64(t.to), "err", err)
	}
}

// sweepCopies takes back what a crash left of copies.
func (s *Store) sweepCopies(ctx context.Context) error {
	alive := s.copies.underWay() // Before the rows are read: a copy has its number before its rows.
	var left []int64
	err := s.db.Read(ctx, func(tx *sqldb.Tx) error {
		rows, err := tx.Query(`SELECT DISTINCT copy FROM copying`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var number int64
			if err := rows.Scan(&number); err != nil {
				return err
			}
			if !slices.Contains(alive, number) {
				left = append(left, number)
			}
		}
		return rows.Err()
	})
	for _, number := range left {
		if err == nil {
			err = s.uncopy(ctx, number)
		}
		if s.aside.Takes(err) {
			err = nil // The others are taken back.
		}
	}
	return err
}

// uncopy removes what a copy has copied so far.
func (s *Store) uncopy(ctx context.Context, number int64) error {
	return s.repeat(ctx, func(tx *sqldb.Tx) (more bool, err error) {
		var id mail.MailboxID
		var r mail.UIDRange
		err = tx.QueryRow(`SELECT mailbox, uid, last FROM copying WHERE copy = $1 ORDER BY uid LIMIT 1`, number).Scan(&id, &r.First, &r.Last)
		if err == sqldb.ErrNoRows {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		_, next, err := s.expungeSlice(tx, id, mail.UIDSet{r}, everyMember, 0)
		if err != nil && mail.KindOf(err) != mail.NotFound || next != 0 {
			return true, err
		}
		_, err = tx.Exec(`DELETE FROM copying WHERE copy = $1 AND uid = $2`, number, int64(r.First))
		return true, err
	})
}
