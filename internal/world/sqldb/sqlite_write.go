package sqldb

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"yubin/internal/mail"
)

// write is one queued closure, or work that needs the writer to stand still.
type write struct {
	ctx   context.Context
	fn    func(*Tx) error
	alone func() // instead of fn
	later bool   // is a slice after the first: it stands in db.later and runs alone
	err   error
	hooks []func()
	lead  bool      // was told to lead
	wake  chan bool // true: lead; false: done
}

func (db *sqlite) write(ctx context.Context, fn func(*Tx) error, later bool) error {
	return db.submit(&write{ctx: ctx, fn: fn, later: later, wake: make(chan bool, 1)})
}

// exclusive runs fn while no transaction is open on the writer.
func (db *sqlite) exclusive(ctx context.Context, fn func()) error {
	return db.submit(&write{ctx: ctx, alone: fn, wake: make(chan bool, 1)})
}

func (db *sqlite) submit(w *write) error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return errClosed
	}
	q := db.line(w.later)
	*q = append(*q, w)
	leads := !db.leading
	if leads {
		db.leading, db.slicing = true, w.later
	}
	db.mu.Unlock()
	if leads {
		db.leadBatch()
		return w.err
	}
	return db.await(w)
}

// await waits for w to be done or told to lead.
func (db *sqlite) await(w *write) error {
	select {
	case lead := <-w.wake:
		if lead {
			db.leadBatch()
		}
		return w.err
	case <-w.ctx.Done():
	}
	if gone, leads := db.withdraw(w); gone {
		if leads {
			db.leadBatch()
		}
		return w.ctx.Err()
	}
	<-w.wake // It is being run; the lead is given only to what is in the queue.
	return w.err
}

// line is what waits: further slices, or all else.
func (db *sqlite) line(later bool) *[]*write {
	if later {
		return &db.later
	}
	return &db.queue
}

// withdraw takes w out of the queue, unless it is being run already.
func (db *sqlite) withdraw(w *write) (gone, leads bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	q := db.line(w.later)
	i := slices.Index(*q, w)
	if i < 0 {
		return false, false
	}
	*q = slices.Delete(*q, i, i+1)
	return true, w.lead
}

// leadBatch runs what waits, once, and hands the lead on.
func (db *sqlite) leadBatch() {
	batch := db.nextBatch()
	defer func() { // Even if a hook panics, nobody waits forever.
		for _, w := range batch {
			w.wake <- false // Has room for one; the leader's own is never read.
		}
		if len(batch) > 1 {
			runtime.Gosched() // Those just woken may have more: the next batch gets larger by half.
		}
		db.handOn()
	}()
	switch {
	case len(batch) == 0:
	case batch[0].alone != nil:
		batch[0].alone()
	default:
		db.runBatch(batch)
	}
}

// nextBatch takes the head of the queue: up to MaxBatch closures, or one that
// must run alone, or one slice.
func (db *sqlite) nextBatch() []*write {
	db.mu.Lock()
	defer db.mu.Unlock()
	q, n := db.line(db.slicing), 0
	for n < len(*q) && n < MaxBatch && (*q)[n].alone == nil && !db.slicing {
		n++
	}
	if n == 0 {
		n = min(1, len(*q))
	}
	batch := slices.Clone((*q)[:n])
	*q = slices.Delete(*q, 0, n)
	return batch
}

// handOn gives the lead to who waits: after a slice to others, if there are
// any; after others to a slice.
func (db *sqlite) handOn() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.slicing = len(db.later) > 0 && (!db.slicing || len(db.queue) == 0)
	q := *db.line(db.slicing)
	if len(q) == 0 {
		db.leading = false
		db.idle.Broadcast()
		return
	}
	next := q[0]
	next.lead = true
	next.wake <- true
}

// runBatch brings a batch to its end: each has its error, and what succeeded is durable.
func (db *sqlite) runBatch(batch []*write) {
	begun := time.Now()
	if err := db.failure(); err != nil {
		refuse(batch, err)
		db.tell(begun, batch, err)
		return
	}
	for _, guarded := range []bool{false, true} {
		again, err := db.attempt(batch, guarded)
		if again {
			continue
		}
		if err != nil {
			db.rollback()
			db.log.Error("write failed", "writes", len(batch), "err", err, "cause", cause(err))
			refuse(batch, err)
		}
		db.tell(begun, batch, err)
		break
	}
	if batch[0].later {
		db.adapt(time.Since(begun))
	}
	db.afterCommit(batch)
}

// refuse gives all of a batch the same error.
func refuse(batch []*write, err error) {
	for _, w := range batch {
		w.err = err
	}
}

// attempt runs the closures in one transaction. again means that one failed
// after it wrote and took the others with it; guarded keeps that from happening
// with a savepoint around each.
func (db *sqlite) attempt(batch []*write, guarded bool) (again bool, err error) {
	guarded = guarded && len(batch) > 1
	db.undone = guarded
	if err := db.writer.do("BEGIN IMMEDIATE"); err != nil {
		return false, err
	}
	db.tx.until = time.Now().Add(db.slice)
	if batch[0].later {
		db.tx.until = time.Now().Add(db.room)
	}
	for _, w := range batch {
		if w.err = w.ctx.Err(); w.err != nil {
			continue
		}
		if err := db.step(w, guarded); err != nil {
			return false, err
		}
		if w.err != nil && db.tx.wrote && !guarded {
			db.rollback()
			return len(batch) > 1, nil
		}
	}
	db.syncing = db.stopwatch()
	if !db.undone {
		db.writer.forgetDetour()
	}
	return false, db.writer.do("COMMIT")
}

// step runs one closure. Its own failure is in w.err; the error returned ends
// the whole transaction.
func (db *sqlite) step(w *write, guarded bool) error {
	if guarded {
		if err := db.writer.do("SAVEPOINT one"); err != nil {
			return err
		}
	}
	db.tx.begin(db.order)
	w.err = db.call(w.fn)
	db.tx.finish(w.err == nil)
	if w.err == nil {
		w.err = db.tx.broken
	}
	db.undone = db.undone || db.tx.broken != nil
	w.hooks = db.tx.hooks
	switch {
	case db.tx.spoilt != nil:
		return db.tx.spoilt
	case !guarded:
		return nil
	case w.err != nil:
		if err := db.writer.do("ROLLBACK TO one"); err != nil {
			return err
		}
	}
	return db.writer.do("RELEASE one")
}

// call runs fn and makes an error of a panic.
func (db *sqlite) call(fn func(*Tx) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			db.tx.wrote = true
			db.log.Error("panic in a transaction", "panic", p, "stack", string(debug.Stack()))
			err = &mail.Error{Kind: mail.Internal, Text: "internal failure", Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	return fn(&db.tx.Tx)
}

// rollback leaves the writer without a transaction. SQLite may have rolled back
// already, and says so with an error that means nothing here.
func (db *sqlite) rollback() { _ = db.writer.do("ROLLBACK") }

func (db *sqlite) afterCommit(batch []*write) {
	for _, w := range batch {
		if w.err == nil {
			for _, hook := range w.hooks {
				hook()
			}
		}
	}
	db.watchWAL()
}

// leastRoom is what a slice has on the slowest disk, as a part of Options.Slice.
const leastRoom = 20

// adapt gives the next slice less if one took too long with its commit, and
// slowly more if it did not. It is the leader's.
func (db *sqlite) adapt(took time.Duration) {
	if took > db.slice {
		db.room = max(db.room/2, db.slice/leastRoom)
	} else {
		db.room = min(db.room+db.slice/leastRoom, db.slice)
	}
}
