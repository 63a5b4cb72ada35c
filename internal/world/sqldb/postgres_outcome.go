package sqldb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// How long it may take to find out whether a transaction was committed, and after
// which time the server is told to end it.
const (
	outcomeTime = 30 * time.Second
	outcomeWait = time.Second
)

// outcome asks the server whether a transaction was committed whose connection was
// lost in COMMIT. The caller has a place for one connection.
func (p *postgres) outcome(id int64, was *link) (committed, known bool) {
	ctx, cancel := context.WithTimeout(context.Background(), outcomeTime)
	defer cancel()
	begun := time.Now()
	for wait := 10 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, outcomeWait) {
		status, now, err := p.status(ctx, id, was.pid, time.Since(begun) > outcomeWait)
		switch {
		case errors.Is(err, errClosed), err == nil && status == "": // It closes, or has forgotten it.
			return false, false
		case status == "aborted":
			return false, true
		case status == "committed" && (now.began == 0 || was.life.began == 0):
			return false, false
		case status == "committed" && now.began == was.life.began:
			return true, true
		case status == "committed":
			return p.lives.kept(id, was.life)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	return false, false
}

// status is what the server says of a transaction. One that goes on is ended if that is
// wanted: its connection may be lost for us alone.
func (p *postgres) status(ctx context.Context, id int64, pid uint32, end bool) (status string, now life, err error) {
	l, err := p.pool.take(ctx)
	if err != nil {
		return "", life{}, err
	}
	defer p.pool.give(l)
	row, err := l.ask(`SELECT pg_xact_status(CAST(CAST($1 AS TEXT) AS xid8))`, fmt.Sprint(id))
	var r *refusal
	if errors.As(err, &r) && r.code == "22023" { // It has given no such id yet.
		return "aborted", l.life, nil
	}
	if err != nil || len(row) != 1 {
		return "", life{}, errors.Join(err, errors.New("no answer"))
	}
	if status = string(row[0].Octets); status == "in progress" && end {
		_, err = l.ask(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE pid = $1 AND backend_xid = xid(CAST(CAST($2 AS TEXT) AS xid8))`, int64(pid), fmt.Sprint(id))
	}
	return status, l.life, err
}

// life is the time of a server from one crash to the next. A crash makes it forget
// the ids of transactions of which nothing was on the disk, and it gives them again:
// then an id says what became of another transaction.
type life struct {
	began int64 // when it lost its statistics, as it does in a crash: microseconds; 0 if it does not say
	from  int64 // the first id given in it; 0 if that is not known any more
}

// asksLife reads the control file, if it may: the last checkpoint is the one at the
// end of the recovery if nothing was written while it was made.
func (l *link) asksLife() (life, error) {
	const began = `SELECT CAST(extract(epoch FROM stats_reset) * 1000000 AS BIGINT), `
	row, err := l.ask(began + `CASE WHEN c.redo_lsn = c.checkpoint_lsn THEN c.next_xid ELSE '' END FROM pg_stat_bgwriter, pg_control_checkpoint() c`)
	var r *refusal
	if errors.As(err, &r) && !r.fatal { // Some who run servers for others keep the function for themselves.
		row, err = l.ask(began + `'' FROM pg_stat_bgwriter`)
	}
	if err != nil || len(row) != 2 {
		return life{}, errors.Join(err, l.lost)
	}
	v := life{began: row[0].Int}
	var epoch, id int64
	if n, _ := fmt.Sscanf(string(row[1].Octets), "%d:%d", &epoch, &id); n == 2 {
		v.from = epoch<<32 | id
	}
	return v, nil
}

// lives are those that this process saw of its server, in their order. Where two
// crashes follow each other so quickly that it could not connect between them, one is
// missing.
type lives struct {
	mu   sync.Mutex
	seen []life
}

// maxLives is how many are remembered.
const maxLives = 100

func (s *lives) see(v life) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.seen {
		if s.seen[i].began == v.began {
			return // The first look at its beginning was the best.
		}
	}
	s.seen = append(s.seen, v)
	slices.SortFunc(s.seen, func(a, b life) int { return cmp.Compare(a.began, b.began) })
	if len(s.seen) > maxLives {
		s.seen = s.seen[1:]
	}
}

// kept says whether a transaction of a life is the one that the server, which has
// crashed since, calls committed: it gives an id again only if it is not below those
// that a later life began with.
func (s *lives) kept(id int64, of life) (committed, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known = false
	for _, v := range s.seen {
		switch {
		case v.began == of.began:
			committed, known = true, true
		case known && v.from == 0:
			return false, false
		case known && id >= v.from:
			committed = false
		}
	}
	return committed, known
}
