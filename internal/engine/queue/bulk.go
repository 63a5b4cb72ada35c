package queue

import (
	"context"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// change is what an operator does to many deliveries. query changes one: $1 and
// $2 name it, $3 is now, $4 is arg if that is set, $5 the site if there is a new one. It
// says in what states.
type change struct {
	kind   EventKind
	note   string
	query  string
	arg    any
	settle bool                         // the delivery may be the last of its item
	revive bool                         // its site is to be asked anew
	site   func(Listed) (string, error) // where it goes from now on; nil: where it went
	always bool                         // also what is being carried
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
	sites := make([]string, len(page))
	for i, l := range page {
		if c.site == nil || l.Unreadable != "" {
			sites[i] = l.Site
		} else if sites[i], err = c.site(l); err != nil {
			return 0, err
		}
	}
	frozen := q.newFrozen()
	defer frozen.thaw()
	err = q.db.Write(ctx, func(tx *sqldb.Tx) (err error) {
		n, err = q.changeRows(tx, page, sites, c, frozen, now)
		return err
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

// changeRows changes a page, which is in the order of the items: as they are locked. sites
// are where they go from now on.
func (q *Queue) changeRows(tx *sqldb.Tx, page []Listed, sites []string, c change, frozen *frozen, now time.Time) (n int, err error) {
	for i, l := range page {
		if i == 0 || page[i-1].Item != l.Item {
			q.o.Spool.Lock(tx, l.Item)
		}
	}
	free, err := frozen.freezeAll(tx, page)
	if err != nil {
		return 0, err
	}
	changed := make([]*sqldb.Answer, len(page))
	for i, l := range page {
		args := []any{l.Item, l.N, millis(now)}
		if c.arg != nil {
			args = append(args, c.arg)
		}
		if c.site != nil {
			args = append(args, sites[i])
			frozen.freeze(key{l.Item, sites[i]}) // What is known of its rows there is no longer all of them.
		}
		if free[i] || c.always {
			changed[i] = tx.Ask(c.query+` RETURNING n`, args...)
		}
	}
	var last spool.ItemID
	var ended []spool.ItemID
	for i, l := range page {
		if changed[i] == nil {
			continue
		}
		if err := changed[i].Scan(new(int)); err == sqldb.ErrNoRows {
			continue
		} else if err != nil {
			return 0, err
		}
		n++
		addEvent(tx, l.Delivery, now, c.kind, c.note, "")
		if c.kind == EventFail && (l.Sender.IsNull() || !wantsFailure(l.Notify)) {
			tx.Do(`DELETE FROM queue_delivery WHERE item = $1 AND n = $2`, l.Item, l.N)
		}
		if c.settle && l.Item != last {
			ended, last = append(ended, l.Item), l.Item
		}
	}
	for _, id := range ended {
		if err := q.conclude(tx, id, 0, now); err != nil {
			return 0, err
		}
	}
	return n, nil
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
