package netx

import (
	"context"
	"sync"
	"time"
)

// How often a client that has logged in may send what leads to nothing: so many
// units at once, and then one in idleEvery. A command is one unit, and another for
// each idleOctets that it takes. All sessions of an account together may as often
// as accountShare of them.
const (
	idleBurst    = 1000
	idleEvery    = 50 * time.Millisecond
	idleOctets   = 1 << 10
	accountShare = 4
)

// pace is when the commands of a client that led to nothing would all have come,
// had they come steadily. Safe for concurrent use.
type pace struct {
	mu  sync.Mutex
	due int64 // nanoseconds of Unix time
}

// take adds units, of which each is due after the one before, and returns how long
// who sent the last of them has to wait: not as long as it is only a burst.
func (p *pace) take(now, units int64, each time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due = max(p.due, now) + units*int64(each)
	return time.Duration(p.due-now) - idleBurst*idleEvery
}

// Worked notes that a command led to something.
func (c *Conn) Worked() { c.paced = c.received }

// Idled notes that a command led to nothing. A client that sends nothing else is
// held up, after all output was sent: each command waits for its turn, or the end
// of ctx. It costs its own session time, or others of its account, and nobody else
// anything.
func (c *Conn) Idled(ctx context.Context) {
	units := 1 + (c.received-c.paced)/idleOctets
	c.paced = c.received
	now := time.Now().UnixNano()
	wait := c.pace.take(now, units, idleEvery)
	if a := c.seat.of; a != nil {
		wait = max(wait, a.pace.take(now, units, idleEvery/accountShare))
	}
	if wait <= 0 || c.Flush() != nil {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
