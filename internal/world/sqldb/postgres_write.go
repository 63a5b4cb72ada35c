package sqldb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"yubin/internal/mail"
)

// enter waits for a place among those who have connections, at most as long as
// one statement may take: then the database is busy. class is nil or a narrower
// door before it.
func (p *postgres) enter(ctx context.Context, class chan struct{}) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	doors := []chan struct{}{p.slots}
	if class != nil {
		doors = []chan struct{}{class, p.slots}
	}
	leave = func() {
		for _, door := range doors {
			<-door
		}
	}
	for i, door := range doors {
		if err := p.pass(ctx, door); err != nil {
			doors = doors[:i]
			leave()
			return nil, err
		}
	}
	select {
	case <-p.done: // Close waits for the places, and this one was free by chance.
		leave()
		return nil, errClosed
	default:
		return leave, nil
	}
}

// pass waits until there is room behind a door.
func (p *postgres) pass(ctx context.Context, door chan struct{}) error {
	select {
	case door <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(p.o.Timeout)
	defer timer.Stop()
	select {
	case door <- struct{}{}:
		return nil
	case <-p.done:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return mail.Errorf(mail.Unavailable, "the database is busy")
	}
}

func (p *postgres) write(ctx context.Context, fn func(*Tx) error, later bool) error {
	var class chan struct{}
	if later {
		class = p.slices
	}
	leave, err := p.enter(ctx, class)
	if err != nil {
		return err
	}
	defer leave()
	c := Commit{Writes: 1, Slice: later}
	begun := time.Now()
	hooks, err := p.runs(ctx, fn, &c)
	c.Took, c.Failed = time.Since(begun), err != nil
	if p.o.Observe != nil {
		p.o.Observe(c)
	}
	if err != nil {
		return err
	}
	for _, hook := range hooks {
		hook()
	}
	return nil
}

// Slices of who is far from the server.
const (
	near       = 500 * time.Microsecond // from here on a server is far
	sliceTrips = 40                     // there and back that a slice has beside Options.Slice; about ten begin and end it
)

// slice is how long a slice may take. What it waits for on the way to a server that is far costs nobody but its own account.
func (p *postgres) slice() time.Duration {
	if d := time.Duration(p.distance.Load()); d >= near {
		return p.o.Slice + sliceTrips*d
	}
	return p.o.Slice
}

// travelled is told how long the server took to answer.
func (p *postgres) travelled(took time.Duration) {
	for {
		least := p.distance.Load()
		if least != 0 && least <= int64(took) || p.distance.CompareAndSwap(least, int64(took)) {
			return
		}
	}
}

// runs runs a closure until it succeeds or fails by itself: again when others
// stood in its way, and once more when its connection was lost before its commit,
// or in it but without it.
func (p *postgres) runs(ctx context.Context, fn func(*Tx) error, c *Commit) (hooks []func(), err error) {
	cut := false
	for run := 1; ; run++ {
		l, err := p.pool.take(ctx)
		if err != nil {
			return nil, err
		}
		t := p.newTx(l, true)
		t.until = time.Now().Add(p.slice())
		var id int64
		err = p.call(&t.Tx, fn)
		t.closeAll()
		if err == nil {
			begun := time.Now()
			id, err = t.finish()
			c.Sync = time.Since(begun)
		}
		p.pool.give(l)
		switch {
		case err == nil && !t.runs && !t.gone:
			return t.hooks, nil
		case t.gone && id != 0:
			committed, known := p.outcome(id, l)
			if committed {
				return t.hooks, nil
			}
			if !known {
				p.log.Error("whether a transaction was committed could not be found out: what it did may be there although it was refused", "transaction", id, "err", err, "cause", cause(err))
				return nil, err
			}
			fallthrough
		case t.gone:
			if cut {
				return nil, p.told(err, t)
			}
			cut = true
		case t.runs:
			if run >= maxRuns {
				return nil, p.told(err, t)
			}
			time.Sleep(rand.N(min(time.Millisecond<<run, 200*time.Millisecond)))
		default:
			return nil, p.told(err, t)
		}
		p.again.Add(1)
	}
}

// told is the error of a transaction: the closure's, but what the database said if
// the closure passed over it. Failures of the database are logged.
func (p *postgres) told(err error, t *postgresTx) error {
	if t.broken != nil && (t.gone || t.runs || err == nil) {
		err = t.broken
	}
	if k := mail.KindOf(err); t.broken != nil && (k == mail.Unavailable || k == mail.Internal) {
		p.log.Error("write failed", "err", err, "cause", cause(err))
	}
	return err
}

// call runs fn and makes an error of a panic.
func (p *postgres) call(t *Tx, fn func(*Tx) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			p.log.Error("panic in a transaction", "panic", v, "stack", string(debug.Stack()))
			err = &mail.Error{Kind: mail.Internal, Text: "internal failure", Err: fmt.Errorf("panic: %v", v)}
		}
	}()
	return fn(t)
}

func (p *postgres) read(ctx context.Context, fn func(*Tx) error, long bool) error {
	leave, err := p.enter(ctx, p.reads)
	if err != nil {
		return err
	}
	defer leave()
	for run := 1; ; run++ {
		again, err := p.readOnce(ctx, fn, long)
		if !again || run == 2 {
			return err
		}
		p.again.Add(1)
	}
}

// readOnce says again if the connection was lost before it answered anything.
func (p *postgres) readOnce(ctx context.Context, fn func(*Tx) error, long bool) (again bool, err error) {
	l, err := p.pool.take(ctx)
	if err != nil {
		return false, err
	}
	defer p.pool.give(l)
	t := p.newTx(l, false)
	t.until = time.Now().Add(p.slice())
	if long {
		t.lasts = func() error {
			select {
			case <-p.done:
				return errClosed
			default:
				return ctx.Err()
			}
		}
		t.Do(`SET LOCAL idle_in_transaction_session_timeout = 0`)
	}
	defer t.closeAll()
	err = fn(&t.Tx)
	return t.gone && !l.answered, err
}
