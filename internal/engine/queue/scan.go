package queue

import (
	"context"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/world/sqldb"
)

// cursor is a place in the index of what is due.
type cursor struct {
	due  int64
	item spool.ItemID
	n    int
}

// scanner goes through the index of what is due, from its head to now, and puts
// before the board what it finds, so that the memory holds a bounded part of it.
// A whole pass is made now and then, for what had no room or lost its lease;
// between them only what became due meanwhile is looked at. It never goes on
// beyond what it found room for.
type scanner struct {
	at      cursor
	running bool          // at is within what is due
	whole   bool          // a pass from the head
	again   bool          // another is to follow at once
	missed  bool          // another is to follow soon
	worked  time.Duration // by this pass
	passAt  time.Time     // the next one begins
	rested  time.Time     // it does not begin before that without an operator
	next    time.Time     // something becomes due, or zero
	resume  time.Time     // a running pass goes on
}

// dueAt says that something becomes due.
func (s *scanner) dueAt(t time.Time) {
	if s.next.IsZero() || t.Before(s.next) {
		s.next = t
	}
}

// start begins what is to be begun by now.
func (s *scanner) start(now time.Time) {
	switch {
	case s.running && s.whole:
	case !s.passAt.After(now):
		*s = scanner{running: true, whole: true}
	case !s.running && !s.next.IsZero() && !s.next.After(now):
		s.running, s.next = true, time.Time{}
	}
}

// wake is when the scanner wants to work.
func (s *scanner) wake() time.Time {
	at := s.passAt
	if s.running {
		return s.resume
	}
	if !s.next.IsZero() && s.next.Before(at) {
		at = s.next
	}
	return at
}

// finish ends a pass that reached now; next is what becomes due first after it.
func (s *scanner) finish(now time.Time, next int64) {
	if s.whole {
		rest := max(passRest*s.worked, minRest)
		s.rested, s.passAt = now.Add(rest), now.Add(max(passEvery, rest))
		if s.missed {
			s.passAt = s.rested
		}
		if s.again {
			s.passAt = now
		}
	}
	s.running, s.whole, s.again, s.missed, s.worked = false, false, false, false, 0
	s.at = cursor{due: now.Add(-scanOverlap).UnixMilli()}
	if next > 0 {
		s.dueAt(fromMillis(next))
	}
}

// repeat has a whole pass follow soon: what it passed is not in memory.
func (s *scanner) repeat() {
	if s.running && s.whole {
		s.missed = true
	} else if s.passAt.After(s.rested) {
		s.passAt = s.rested
	}
}

// passSoon makes the next pass begin now.
func (q *Queue) passSoon() {
	q.mu.Lock()
	q.scan.again = q.scan.running && q.scan.whole
	q.scan.passAt = time.Time{}
	q.mu.Unlock()
	q.poke()
}

// expect says that something becomes due.
func (q *Queue) expect(due time.Time) {
	q.mu.Lock()
	before := q.scan.next
	q.scan.dueAt(due)
	sooner := before != q.scan.next
	q.mu.Unlock()
	if sooner {
		q.poke()
	}
}

// candidate is a due row.
type candidate struct {
	cursor
	site   string
	lane   lane
	sender string
	place  int // among what was found
}

// refill looks for what is due: first for sites that had no room, then further
// along the index.
func (q *Queue) refill(ctx context.Context) error {
	now := q.o.Now()
	for _, w := range q.hungry() {
		if err := q.feed(ctx, w, now); err != nil {
			return err
		}
	}
	q.mu.Lock()
	if q.board.missed && q.board.hasRoom() {
		q.board.missed = false
		q.scan.repeat()
	}
	q.scan.start(now)
	at, ready := q.scan.at, q.scan.running && !q.scan.resume.After(now) && q.board.hasRoom()
	begins := q.scan.whole && at == cursor{}
	q.mu.Unlock()
	if !ready {
		return nil
	}
	if begins {
		if err := q.pullIn(ctx, now); err != nil {
			return err
		}
	}
	found, next, err := q.look(ctx, at, now)
	if err != nil {
		return err
	}
	added, through, off, err := q.admit(found, now)
	if err != nil {
		return err
	}
	q.mu.Lock()
	q.scan.worked += q.o.Now().Sub(now)
	if through > 0 {
		q.scan.at = found[through-1].cursor
	}
	switch {
	case through < len(found):
	case len(found) < scanStep:
		q.scan.finish(now, next)
	default:
		q.scan.resume = now
		if added == 0 && len(off) == 0 {
			q.scan.resume = now.Add(scanPause)
		}
	}
	q.mu.Unlock()
	return q.putOff(ctx, off)
}

// look reads a step of the index, and what is due next if that reaches now.
func (q *Queue) look(ctx context.Context, at cursor, now time.Time) (found []candidate, next int64, err error) {
	q.reading()
	err = q.db.Read(ctx, func(tx *sqldb.Tx) error {
		found, err = candidates(tx, `SELECT due, item, n, site, lane FROM queue_delivery
			WHERE due > 0 AND due <= $1 AND (due, item, n) > ($2, $3, $4) ORDER BY due, item, n LIMIT $5`,
			millis(now), at.due, at.item, at.n, scanStep)
		if err != nil || len(found) == scanStep {
			return err
		}
		return tx.QueryRow(`SELECT coalesce(min(due), 0) FROM queue_delivery WHERE due > 0 AND due > $1`, millis(now)).Scan(&next)
	})
	return found, next, err
}

func candidates(tx *sqldb.Tx, query string, args ...any) (found []candidate, err error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c candidate
		if err := rows.Scan(&c.due, &c.item, &c.n, &c.site, &c.lane); err != nil {
			return nil, err // These are numbers and any text.
		}
		found = append(found, c)
	}
	return found, rows.Err()
}

// admit puts candidates before the board, until there is no room: through says
// how many it came through. off are those whose site is down.
func (q *Queue) admit(found []candidate, now time.Time) (added, through int, off []key, err error) {
	fresh := q.unknown(found)
	if err := q.readSenders(fresh); err != nil {
		return 0, 0, nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range fresh {
		switch k := (key{c.item, c.site}); q.board.add(k, c.lane, c.sender, now) {
		case admitted:
			added++
		case noRoom:
			return added, c.place, off, nil
		case shut:
			off = append(off, k)
		}
	}
	return added, len(found), off, nil
}

// reading has the board remember what is done from now on.
func (q *Queue) reading() {
	q.mu.Lock()
	q.board.gone = map[key]bool{}
	q.mu.Unlock()
}

// unknown returns, one for each key, what is not in memory yet.
func (q *Queue) unknown(found []candidate) (fresh []candidate) {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer func() { q.board.gone = nil }()
	seen := map[key]bool{}
	for i, c := range found {
		c.place = i
		k := key{c.item, c.site}
		if seen[k] || q.board.errands[k] != nil || q.board.gone[k] {
			continue // What is done may still be due in the snapshot.
		}
		seen[k] = true
		if s := q.board.sites[c.site]; s != nil && s.lanes[c.lane].len >= siteWindow && s.more[c.lane] {
			continue // It would find no room; feed comes for it.
		}
		fresh = append(fresh, c)
	}
	return fresh
}

// readSenders fills in the senders.
func (q *Queue) readSenders(list []candidate) error {
	if len(list) == 0 {
		return nil
	}
	return q.db.Read(context.Background(), func(tx *sqldb.Tx) error {
		for i := range list {
			var it spool.Item
			var sender string
			err := tx.QueryRow(`SELECT account, sender FROM spool_item WHERE id = $1`, list[i].item).Scan(&it.Account, &sender)
			if err != nil && err != sqldb.ErrNoRows {
				return err
			}
			list[i].sender = sender
			if it.Account != 0 {
				list[i].sender = senderKey(it)
			}
		}
		return nil
	})
}

// want is a lane of a site with room for rows that had none.
type want struct {
	site *site
	name string
	lane lane
	from cursor
}

func (q *Queue) hungry() (list []want) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.board.queued >= MaxWindow-siteWindow {
		return nil
	}
	for s := range q.board.wanting {
		for l := range s.more {
			if s.more[l] && s.lanes[l].len < siteWindow/8 {
				list = append(list, want{s, s.name, lane(l), s.from[l]})
			}
		}
	}
	return list
}

// feed reads on where a lane of a site has room again. When it is through, and
// nothing was left out on the way, the lane wants no more.
func (q *Queue) feed(ctx context.Context, w want, now time.Time) (err error) {
	q.mu.Lock()
	if w.from == (cursor{}) {
		w.site.more[w.lane] = false // Whoever finds no room from here on sets it again.
	}
	q.mu.Unlock()
	q.reading()
	var found []candidate
	err = q.db.Read(ctx, func(tx *sqldb.Tx) error {
		found, err = candidates(tx, `SELECT due, item, n, site, lane FROM queue_delivery
			WHERE site = $1 AND lane = $2 AND due > 0 AND due <= $3 AND (due, item, n) > ($4, $5, $6)
			ORDER BY due, item, n LIMIT $7`, w.name, w.lane, millis(now), w.from.due, w.from.item, w.from.n, feedStep)
		return err
	})
	if err != nil {
		q.mu.Lock()
		q.board.want(w.site, w.lane)
		q.mu.Unlock()
		return err
	}
	_, through, off, err := q.admit(found, now)
	if err != nil {
		through = 0
	}
	q.mu.Lock()
	switch {
	case through == feedStep:
		w.site.from[w.lane] = found[through-1].cursor
		q.board.want(w.site, w.lane)
	case through < len(found):
		q.board.want(w.site, w.lane)
	default:
		w.site.from[w.lane] = cursor{}
		if w.from != (cursor{}) {
			q.board.want(w.site, w.lane) // Once more from the head, for what was left out.
		} else if !w.site.hasMore() && w.site.release.IsZero() {
			q.board.searched(w.site)
		}
	}
	q.mu.Unlock()
	if err != nil {
		return err
	}
	return q.putOff(ctx, off)
}
