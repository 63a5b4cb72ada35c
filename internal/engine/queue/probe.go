package queue

import (
	"cmp"
	"context"
	"slices"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/world/sqldb"
)

// walk goes along the sites that have mail that was put off because of them, in the
// order of their names and again and again, and finds those that nobody remembers:
// after a restart, or because sites are too many. A round takes as long as the
// slowest probes are apart, at least, and a step is of few sites, so that a million
// of them cost no more at a time than some.
type walk struct {
	after string    // the last site of the step before
	began time.Time // this round
	at    time.Time // the next step
}

// mayProbe reports whether there is room for mail that was put off.
func (q *Queue) mayProbe() bool {
	return !q.board.stopped && q.board.hasRoom() && q.board.rings[1][1].Len() < 4*probeStep
}

// probe looks for put off mail of sites whose time has come: of one that is well all
// of it, of another one message, whichever waited longest.
func (q *Queue) probe(ctx context.Context, now time.Time) error {
	names := q.wakened(now)
	more, err := q.walkOn(ctx, now)
	if err != nil {
		return err
	}
	if names = append(names, more...); len(names) == 0 {
		return nil
	}
	found, err := q.probes(ctx, names, now)
	var through int
	var off []key
	if err == nil {
		_, through, off, err = q.admit(found, now)
	}
	q.probed(names, found, through, err, now)
	if err != nil {
		return err
	}
	return q.putOff(ctx, off)
}

// probed keeps what was learned of sites whose mail was looked for: through says how
// many messages that were found came before the board.
func (q *Queue) probed(names []string, found []candidate, through int, err error, now time.Time) {
	has := map[string]bool{}
	for _, c := range found {
		has[c.site] = true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.board.missed = q.board.missed || through < len(found)
	for _, name := range names {
		s := q.board.sites[name]
		if s == nil {
			continue
		}
		s.parked = has[name] || err != nil
		if s.queued+s.busy == 0 && !s.probeAt.After(now) { // Not now.
			s.probeAt = now.Add(minProbe)
		}
		q.board.retire(s)
	}
}

// wakened are the sites that sleep no longer and do not answer. What was put off
// because of the others is made due.
func (q *Queue) wakened(now time.Time) (names []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.board
	for s := b.asleep.first(); s != nil && !s.probeAt.After(now) && len(names) < probeStep && q.mayProbe(); s = b.asleep.first() {
		switch {
		case q.pauses.covers(s.name, ""):
			s.probeAt = now.Add(maxProbe)
			b.retire(s)
		case s.answers:
			b.unpark(s, now)
		default:
			names = append(names, s.name)
			b.asleep.keep(s, false)
		}
	}
	return names
}

// walkOn is a step of the walk, if it is time for one. It returns the sites that
// nobody knows.
func (q *Queue) walkOn(ctx context.Context, now time.Time) (names []string, err error) {
	q.mu.Lock()
	at, ready := q.walk, q.mayProbe()
	q.mu.Unlock()
	if !ready || at.at.After(now) {
		return nil, nil
	}
	if at.after == "" {
		at.began = now
	}
	step, err := q.parkedSites(ctx, at.after)
	if err != nil {
		return nil, err
	}
	if at.at = now.Add(walkRest); len(step) == probeStep {
		at.after = step[probeStep-1]
	} else {
		at.after = ""
		if next := at.began.Add(maxProbe); next.After(at.at) {
			at.at = next
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.walk = at
	for _, name := range step {
		s := q.board.sites[name]
		switch {
		case q.pauses.covers(name, ""):
		case s == nil:
			names = append(names, name)
		case s.release.IsZero():
			s.parked = true
			q.board.retire(s)
		}
	}
	return names, nil
}

// parkedSites lists some sites with put off mail, those after one of them. Each is
// one look at the index, however much mail they have.
func (q *Queue) parkedSites(ctx context.Context, after string) (names []string, err error) {
	err = q.db.Read(ctx, func(tx *sqldb.Tx) error {
		names = nil
		rows, err := tx.Query(`WITH RECURSIVE next (site) AS (
			SELECT min(site) FROM queue_delivery WHERE parked > 0 AND site > $1
			UNION ALL SELECT (SELECT min(d.site) FROM queue_delivery d WHERE d.parked > 0 AND d.site > next.site) FROM next WHERE next.site IS NOT NULL)
			SELECT site FROM next WHERE site IS NOT NULL LIMIT $2`, after, probeStep)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			names = append(names, name)
		}
		return rows.Err()
	})
	return names, err
}

// probes makes one put off message of each site due.
func (q *Queue) probes(ctx context.Context, names []string, now time.Time) (found []candidate, err error) {
	q.reading()
	err = q.db.Read(ctx, func(tx *sqldb.Tx) error {
		found = nil
		rows := make([]*sqldb.Answer, len(names))
		for i, name := range names {
			rows[i] = tx.Ask(`SELECT item, n, lane FROM queue_delivery WHERE site = $1 AND parked > 0 AND state = $2
				ORDER BY parked LIMIT 1`, name, Waiting)
		}
		for i, name := range names {
			c := candidate{cursor: cursor{due: millis(now)}, site: name}
			if err := rows[i].Scan(&c.item, &c.n, &c.lane); err == nil {
				found = append(found, c)
			} else if err != sqldb.ErrNoRows {
				return err
			}
		}
		return nil
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	slices.SortFunc(found, func(a, b candidate) int { return cmp.Compare(a.item, b.item) }) // As they are locked.
	err = q.db.Write(ctx, func(tx *sqldb.Tx) error {
		for i, c := range found {
			if i == 0 || found[i-1].item != c.item {
				q.o.Spool.Lock(tx, spool.ItemID(c.item))
			}
			tx.Do(`UPDATE queue_delivery SET due = $1 WHERE item = $2 AND site = $3 AND parked > 0 AND state = $4 AND due > $1`,
				millis(now), c.item, c.site, Waiting)
		}
		return nil
	})
	return found, err
}
