// Package turns shares the processors among accounts. What costs much of them,
// such as looking through the texts of a mailbox, is done in turns: only so many
// are given at a time, only some of them to one account, and who has had his for
// a while gives way to who waits. Accounts come one after the other, and within
// an account who waits longest. So fifty searches of one account take as long as
// fifty searches, and nobody else waits for them.
//
// It counts nothing but turns: what is done in one is the caller's, who must not
// wait for a client or a lock of the database while he has it.
package turns

import (
	"context"
	"slices"
	"sync"
	"time"

	"yubin/internal/mail"
)

// Slice is how long a turn is while others wait.
const Slice = 10 * time.Millisecond

// lookEvery is how often who waits asks its context whether to go on: some look
// only when they are asked.
const lookEvery = time.Second

// Table is who has a turn and who waits for one; safe for use by several
// goroutines.
type Table struct {
	all, each, alone int

	mu       sync.Mutex
	taken    int
	accounts map[mail.AccountID]*account // that have a turn or wait
	waiting  []*account                  // in the order of their turns
}

// account is one that has turns or waits for some.
type account struct {
	id      mail.AccountID
	taken   int
	waiting []chan struct{} // closed when the turn is given
}

// New returns a table of all turns at a time: each for one account while others
// have or want some, and alone for one of which that is not so.
func New(all, each, alone int) *Table {
	return &Table{all: all, each: each, alone: alone, accounts: make(map[mail.AccountID]*account)}
}

// Each is how many turns an account can have beside others.
func (t *Table) Each() int { return t.each }

// Taken returns how many turns an account has now.
func (t *Table) Taken(id mail.AccountID) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.accounts[id]; a != nil {
		return a.taken
	}
	return 0
}

// Turn is one that was given. It belongs to one goroutine.
type Turn struct {
	t     *Table
	id    mail.AccountID
	since time.Time
	ended bool
}

// Take waits for a turn of an account. The error is that of ctx.
func (t *Table) Take(ctx context.Context, id mail.AccountID) (*Turn, error) {
	if err := t.wait(ctx, id); err != nil {
		return nil, err
	}
	return &Turn{t: t, id: id, since: time.Now()}, nil
}

func (t *Table) wait(ctx context.Context, id mail.AccountID) error {
	given := t.ask(id)
	select {
	case <-given:
		return nil
	default:
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-given:
			return nil
		case <-ctx.Done():
		case <-look.C:
		}
		if err := ctx.Err(); err != nil {
			t.leave(id, given)
			return err
		}
	}
}

// ask queues for a turn, which is given when the channel is closed.
func (t *Table) ask(id mail.AccountID) chan struct{} {
	given := make(chan struct{})
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.accounts[id]
	if a == nil {
		a = &account{id: id}
		t.accounts[id] = a
	}
	if a.waiting = append(a.waiting, given); len(a.waiting) == 1 {
		t.waiting = append(t.waiting, a)
	}
	t.give()
	return given
}

// give gives what turns there are.
func (t *Table) give() {
	for i := 0; i < len(t.waiting) && t.taken < t.all; {
		a := t.waiting[i]
		if a.taken >= t.most() {
			i++ // No more than all of them are like this.
			continue
		}
		close(a.waiting[0])
		a.waiting = a.waiting[1:]
		a.taken++
		t.taken++
		t.waiting = slices.Delete(t.waiting, i, i+1)
		if len(a.waiting) > 0 {
			t.waiting = append(t.waiting, a)
		}
	}
}

// most is how many turns an account can have now.
func (t *Table) most() int {
	if len(t.accounts) > 1 {
		return t.each
	}
	return t.alone
}

// leave ends the wait for a turn, or the turn if it was given by now.
func (t *Table) leave(id mail.AccountID, given chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.accounts[id]
	i := slices.Index(a.waiting, given)
	if i < 0 {
		t.end(a)
		return
	}
	if a.waiting = slices.Delete(a.waiting, i, i+1); len(a.waiting) == 0 {
		t.waiting = slices.DeleteFunc(t.waiting, func(o *account) bool { return o == a })
	}
	t.forget(a)
	t.give() // The other may be alone now.
}

func (t *Table) end(a *account) {
	a.taken--
	t.taken--
	t.forget(a)
	t.give()
}

// forget drops an account that has nothing to do with turns any more.
func (t *Table) forget(a *account) {
	if a.taken == 0 && len(a.waiting) == 0 {
		delete(t.accounts, a.id)
	}
}

// Pass lets somebody else go first if the turn lasts long enough and somebody
// waits who could have it. The error is that of ctx; the turn has ended then.
func (u *Turn) Pass(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if time.Since(u.since) < Slice {
		return nil
	}
	if u.t.wanted(u.id) {
		u.End()
		if err := u.t.wait(ctx, u.id); err != nil {
			return err
		}
		u.ended = false
	}
	u.since = time.Now()
	return nil
}

// wanted reports whether somebody waits who would get the turn of id.
func (t *Table) wanted(id mail.AccountID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.waiting {
		if a.taken < t.each || a.id == id {
			return true
		}
	}
	return false
}

// End gives the turn back, unless it has ended.
func (u *Turn) End() {
	if u.ended {
		return
	}
	u.ended = true
	u.t.mu.Lock()
	defer u.t.mu.Unlock()
	u.t.end(u.t.accounts[u.id])
}
