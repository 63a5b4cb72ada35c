package queue

import (
	"context"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Scope is what a pause is about.
type Scope string

// The scopes.
const (
	PauseAll   Scope = "all"   // nothing is sent; Name is ""
	PauseSite  Scope = "site"  // Name is a mail.NextHop.Site
	PauseRoute Scope = "route" // Name is a Hop.Route
)

// Pause says that mail is not to be sent. It is kept in the store.
type Pause struct {
	Scope Scope
	Name  string
	Since time.Time
	Why   string
}

// pauses are those in force.
type pauses struct {
	all    bool
	sites  map[string]bool
	routes map[string]bool
	list   []Pause
}

func (p *pauses) covers(site, route string) bool {
	return p.sites[site] || route != "" && p.routes[route]
}

func (q *Queue) paused(site, route string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pauses.covers(site, route)
}

// markPause says of what waits whether a pause keeps it from going out. It may ask the
// Router, so no transaction is open.
func (q *Queue) markPause(ctx context.Context, d *Delivery, sender mail.ReversePath) {
	if d.State != Waiting || d.Unreadable != "" {
		return
	}
	q.mu.Lock()
	d.Paused = q.pauses.all || q.pauses.sites[d.Site]
	byRoute := len(q.pauses.routes) > 0
	q.mu.Unlock()
	if d.Paused || !byRoute {
		return
	}
	hop, err := q.o.Router.NextHop(ctx, Question{Recipient: d.Address, Sender: sender, Via: d.Via})
	d.Paused = err == nil && q.paused(hop.Site(), hop.Route)
}

// markPauses is markPause of a whole story.
func (q *Queue) markPauses(ctx context.Context, s *Story) {
	for i := range s.Deliveries {
		q.markPause(ctx, &s.Deliveries[i], s.Item.ReversePath)
	}
}

// Pause stops sending to a site, by a route, or at all. Transactions under way
// come to their end. Mail that is paused for too long expires as usual.
func (q *Queue) Pause(ctx context.Context, scope Scope, name, why string) error {
	if err := checkPause(scope, name, why); err != nil {
		return err
	}
	err := q.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`INSERT INTO queue_pause (scope, name, since, why) VALUES ($1, $2, $3, $4)
			ON CONFLICT (scope, name) DO UPDATE SET why = $4`, scope, name, millis(q.o.Now()), why)
		return err
	})
	if err != nil {
		return err
	}
	return q.loadPauses(ctx)
}

func checkPause(scope Scope, name, why string) error {
	switch {
	case scope != PauseAll && scope != PauseSite && scope != PauseRoute:
		return mail.Errorf(mail.Invalid, "%q cannot be paused: it is all, site or route", scope)
	case (scope == PauseAll) != (name == ""):
		return mail.Errorf(mail.Invalid, "a pause of a site or a route needs its name, one of all has none")
	case len(name) > maxNote || len(why) > maxNote:
		return mail.Errorf(mail.TooLarge, "a name or remark has over %d octets", maxNote)
	}
	return nil
}

// Resume ends a pause. NotFound if there is none.
func (q *Queue) Resume(ctx context.Context, scope Scope, name string) error {
	err := q.db.Write(ctx, func(tx *sqldb.Tx) error {
		n, err := tx.Exec(`DELETE FROM queue_pause WHERE scope = $1 AND name = $2`, scope, name)
		if err == nil && n == 0 {
			err = mail.Errorf(mail.NotFound, "%s %s is not paused", scope, name)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := q.loadPauses(ctx); err != nil {
		return err
	}
	return q.releaseParked(ctx, scope, name)
}

// releaseParked has the mail that a pause put off looked for.
func (q *Queue) releaseParked(ctx context.Context, scope Scope, name string) error {
	if scope == PauseSite {
		q.mu.Lock()
		s := q.board.site(name)
		s.parked, s.probeAt = true, time.Time{}
		q.board.consider(s, q.o.Now())
		q.board.unpark(s, q.o.Now())
		q.mu.Unlock()
	}
	for more := scope == PauseRoute; more; { // Which sites it went to is not known: all are looked at again.
		var n int64
		err := q.db.Write(ctx, func(tx *sqldb.Tx) (err error) {
			n, err = tx.Exec(`UPDATE queue_delivery SET due = $1, parked = 0 WHERE (item, n) IN
				(SELECT item, n FROM queue_delivery WHERE parked > 0 AND state = $2 LIMIT $3 {free})`, millis(q.o.Now()), Waiting, bulkSlice)
			return err
		})
		if err != nil {
			return err
		}
		more = n == bulkSlice
	}
	q.passSoon()
	return nil
}

// Pauses lists the pauses in force.
func (q *Queue) Pauses() []Pause {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]Pause(nil), q.pauses.list...)
}

// loadPauses reads the pauses, which another node may have changed. One reads at a
// time, so that what was read last stays.
func (q *Queue) loadPauses(ctx context.Context) error {
	q.loading.Lock()
	defer q.loading.Unlock()
	p := pauses{sites: map[string]bool{}, routes: map[string]bool{}}
	err := q.db.Read(ctx, func(tx *sqldb.Tx) error {
		rows, err := tx.Query(`SELECT scope, name, since, why FROM queue_pause ORDER BY scope, name`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var one Pause
			var since int64
			if err := rows.Scan(&one.Scope, &one.Name, &since, &one.Why); err != nil {
				return err
			}
			one.Since = fromMillis(since)
			p.add(one)
		}
		return rows.Err()
	})
	if err != nil {
		return err
	}
	q.mu.Lock()
	q.pauses = p
	q.applyPauses()
	q.mu.Unlock()
	q.poke()
	return nil
}

func (p *pauses) add(one Pause) {
	p.list = append(p.list, one)
	switch one.Scope {
	case PauseAll:
		p.all = true
	case PauseSite:
		p.sites[one.Name] = true
	case PauseRoute:
		p.routes[one.Name] = true
	}
}

// applyPauses tells the board. The lock is held.
func (q *Queue) applyPauses() { q.board.stopped = q.pauses.all }
