package netx

import (
	"context"
	"time"
)

// How often a client that has logged in may send what leads to nothing: so many
// units at once, and then one in idleEvery. A command is one unit, and another for
// each idleOctets that it takes.
const (
	idleBurst  = 1000
	idleEvery  = 50 * time.Millisecond
	idleOctets = 1 << 10
)

// pace is when the commands of a client that led to nothing would all have come,
// had they come steadily.
type pace struct {
	due  int64 // nanoseconds of Unix time
	mark int64 // Conn.received when the last command was over
}

// Worked notes that a command led to something.
func (c *Conn) Worked() { c.pace.mark = c.received }

// Idled notes that a command led to nothing. A client that sends nothing else is
// held up, after all output was sent: each command waits for its turn, or the end
// of ctx. It costs its own session time and nobody else anything.
func (c *Conn) Idled(ctx context.Context) {
	units := 1 + (c.received-c.pace.mark)/idleOctets
	c.pace.mark = c.received
	now := time.Now().UnixNano()
	c.pace.due = max(c.pace.due, now) + units*int64(idleEvery)
	wait := time.Duration(c.pace.due-now) - idleBurst*idleEvery
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
