package sqldb

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"yubin/internal/mail"
)

// How long after an attempt to connect that failed the next one comes.
const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 2 * time.Second
)

// pool keeps connections between transactions. Who takes one has a slot of the
// database, so there are never more than Options.Connections.
//
// While the server cannot be reached one attempt is made at a time, ever more
// rarely, whoever asks; the others wait for what comes of it. Who waited for
// Options.Patience, or finds that the server is away for that long, gets kind
// Unavailable.
type pool struct {
	db *postgres

	mu    sync.Mutex
	idle  []*link // used last at the end
	epoch int     // grows when a connection is lost: older ones are not trusted

	away    time.Time // since when it fails to connect; zero if it does not
	why     error     // the last failure
	next    time.Time // the next attempt
	backoff time.Duration
	trying  bool
	changed chan struct{} // closed when one of these changes
}

func (q *pool) init(db *postgres) {
	q.db = db
	q.changed = make(chan struct{})
}

// take returns a connection on which nothing is under way.
func (q *pool) take(ctx context.Context) (*link, error) {
	begun := time.Now()
	for {
		if l := q.kept(); l != nil {
			return l, nil
		}
		wait, changed, err := q.turn(begun)
		if err != nil {
			return nil, err
		}
		if wait == 0 {
			l, err := q.dial(ctx)
			if l != nil {
				return l, nil
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if !q.retries(err) {
				return nil, q.unreachable()
			}
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case <-q.db.done:
			err = errClosed
		case <-ctx.Done():
			err = ctx.Err()
		}
		timer.Stop()
		if err != nil {
			return nil, err
		}
	}
}

// kept returns the connection that was used last, if there is one to trust.
func (q *pool) kept() *link {
	for {
		q.mu.Lock()
		var l *link
		if n := len(q.idle); n > 0 {
			l = q.idle[n-1]
			q.idle = q.idle[:n-1]
		}
		epoch := q.epoch
		q.mu.Unlock()
		if l == nil {
			return nil
		}
		if l.epoch == epoch && l.rest() == nil {
			return l
		}
		l.close()
	}
}

// turn says who may try to connect now: wait is zero, and the attempt must be told
// by tried. Others wait, or get an error.
func (q *pool) turn(begun time.Time) (wait time.Duration, changed chan struct{}, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.away.IsZero() {
		return 0, nil, nil
	}
	select {
	case <-q.db.done: // What is under way when the database closes does not wait for a server.
		return 0, nil, errClosed
	default:
	}
	now := time.Now()
	patience := q.db.o.Patience
	rests := q.next.Sub(now)
	switch {
	case rests <= 0 && !q.trying:
		q.trying = true
		return 0, nil, nil
	case now.Sub(begun) >= patience, now.Sub(q.away) >= patience:
		return 0, nil, q.unreachableLocked()
	case rests <= 0:
		rests = patience // Somebody tries.
	}
	return min(rests, patience-now.Sub(begun)), q.changed, nil
}

// dial connects, and tells how that went. Without an error it may have no link:
// the caller's ctx ended.
func (q *pool) dial(ctx context.Context) (*link, error) {
	q.mu.Lock()
	epoch := q.epoch
	q.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, q.db.config.ConnectTimeout)
	defer cancel()
	c, err := pgconn.ConnectConfig(limited, q.db.config)
	var l *link
	if err == nil {
		l, err = newLink(q.db, c, epoch)
	} else {
		err = newNoLink(err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.trying = false
	defer q.tell()
	if err == nil {
		if !q.away.IsZero() {
			q.db.log.Info("the database can be reached again", "database", q.db.name(), "after", time.Since(q.away).Round(time.Millisecond))
		}
		q.away, q.why, q.backoff = time.Time{}, nil, 0
		return l, nil
	}
	if ctx.Err() != nil {
		return nil, nil
	}
	now := time.Now()
	if q.away.IsZero() {
		q.away = now
		q.db.log.Error("the database cannot be reached", "database", q.db.name(), "err", err)
	}
	q.why = err
	if now.Before(q.next) { // Several found it at once.
		return nil, err
	}
	q.backoff = min(max(2*q.backoff, firstBackoff), lastBackoff)
	q.next = now.Add(q.backoff/2 + rand.N(q.backoff))
	return nil, err
}

// tell wakes who waits for a change.
func (q *pool) tell() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// retries reports whether err can pass by itself: a wrong password does not.
func (q *pool) retries(err error) bool {
	var n *noLink
	return !errors.As(err, &n) || !strings.HasPrefix(n.code, "28") && !strings.HasPrefix(n.code, "3D")
}

func (q *pool) unreachable() *mail.Error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.unreachableLocked()
}

func (q *pool) unreachableLocked() *mail.Error {
	return &mail.Error{Kind: mail.Unavailable, Text: "the database cannot be reached", Err: q.why}
}

// give takes a connection back. A transaction that is still open on it is rolled back.
func (q *pool) give(l *link) {
	if l.lost == nil {
		l.leave()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.lost != nil {
		l.close()
		if l.epoch == q.epoch { // The others were opened before it was lost.
			q.epoch++
		}
		return
	}
	l.since = time.Now()
	if !q.away.IsZero() { // It is there after all, with fewer connections.
		q.away = l.since
		q.tell()
	}
	q.idle = append(q.idle, l)
	for len(q.idle) > 0 && time.Since(q.idle[0].since) > idleTime {
		q.idle[0].close()
		q.idle = q.idle[1:]
	}
}

func (q *pool) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, l := range q.idle {
		_ = l.rest()
		l.close()
	}
	q.idle = nil
}
