package queue

import (
	"context"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// change is what an operator does to many deliveries. query changes one: $1 and
// $2 name it, $3 is now, $4 is arg if that is set. It says in what states.
type change struct {
	kind   EventKind
	note   string
	query  string
	arg    any
	settle bool // the delivery may be the last of its item
	revive bool // its site is to be asked anew
	check  func(Listed) error
	always bool // also what is being carried
}

// bulk changes what f chooses, in slices: each is found in a snapshot, so that
// a long search holds nobody up, and changed in one transaction if it is still
// so. It returns how many were changed, also with an error.
func (q *Queue) bulk(ctx context.Context, f Filter, c change, p Progress) (changed int, err error) {
	if len(c.note) > maxNote {
		return 0, mail.Errorf(mail.TooLarge, "a remark has over %d octets", maxNote)
	}
	defer q.passSoon()
	for after := (DeliveryID{}); ; {
		page, err := q.List(ctx, f, after, bulkSlice)
		if err != nil || len(page) == 0 {
			return changed, err
		}
		if changed == 0 && c.check != nil {
			if err := c.check(page[0]); err != nil {
				return 0, err
			}
		}
		n, err := q.changeSlice(ctx, page, c)
		if err != nil {
			return changed, err
		}
		changed += n
		if p != nil {
			p(changed)
		}
		after = page[len(page)-1].DeliveryID
		if len(page) < bulkSlice {
			return changed, nil
		}
	}
}

func (q *Queue) changeSlice(ctx context.Context, page []Listed, c change) (n int, err error) {
	now := q.o.Now()
	frozen := q.newFrozen()
	defer frozen.thaw()
	err = q.db.Write(ctx, func(tx *sqldb.Tx) error {
		n = 0
		for _, l := range page {
			free, err := frozen.freezeOne(tx, l.DeliveryID)
			if err != nil {
				return err
			}
			if !free && !c.always {
				continue
			}
			did, err := q.changeOne(tx, l, c, now)
			if err != nil {
				return err
			}
			if did {
				n++
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if c.revive {
		q.revive(page)
	}
	if c.kind == EventFail {
		q.reportBy(now)
	}
	return n, nil
}

func (q *Queue) changeOne(tx *sqldb.Tx, l Listed, c change, now time.Time) (bool, error) {
	args := []any{l.Item, l.N, millis(now)}
	if c.arg != nil {
		args = append(args, c.arg)
	}
	n, err := tx.Exec(c.query, args...)
	if err != nil || n == 0 {
		return false, err
	}
	if err := addEvent(tx, l.Delivery, now, c.kind, c.note, ""); err != nil {
		return false, err
	}
	if c.kind == EventFail && (l.Sender.IsNull() || !wantsFailure(l.Notify)) {
		_, err = tx.Exec(`DELETE FROM queue_delivery WHERE item = $1 AND n = $2`, l.Item, l.N)
	}
	if err == nil && c.settle {
		err = q.conclude(tx, l.Item, 0, now)
	}
	return true, err
}

// revive lets sites that are down be probed now.
func (q *Queue) revive(page []Listed) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.o.Now()
	for _, l := range page {
		if s := q.board.sites[l.Site]; s != nil && s.dead && s.probeAt.After(now) {
			s.probeAt = now
			q.board.consider(s, now)
		}
	}
	q.poke()
}
