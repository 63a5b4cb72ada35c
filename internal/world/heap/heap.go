// Package heap suits Go's garbage collector to a mail server, whose load comes
// in waves and whose live memory is small.
//
// The collector runs when the heap has doubled since it last ran. A server
// that delivers thousands of messages a second and has a few MiB that stay would
// collect dozens of times a second; so the heap may always grow by Slack
// besides. And when the wave is over, what it left stays with the process for
// minutes; so it is given back as soon as hardly anything is allocated.
//
// A memory limit holds as ever: GOMEMLIMIT, or that of a Plan. All this
// concerns the whole process, so a program runs one Keeper at most, and none if
// GOGC is set, which says that somebody knows better.
//
// Plan divides the memory that there is; Budget is the part of it that sessions
// share.
package heap

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// DefaultSlack is what the heap may grow by, in octets, however little is live.
const DefaultSlack = 32 << 20

const (
	every        = 2 * time.Second // looks
	quiet        = 1 << 20         // octets allocated between two looks: nothing happens
	worthwhile   = 4 << 20         // octets allocated since memory was last given back
	leastPercent = 100             // Go's own
	mostPercent  = 1600
)

// Keeper tends the heap of the process.
type Keeper struct {
	slack   int64
	percent int // as last set

	before uint64 // allocated in all at the last look
	given  uint64 // allocated in all when memory was last given back

	read       func() state
	setPercent func(int)
	giveBack   func()
}

// state is how the heap stands, in octets.
type state struct {
	live      int64  // after the last collection
	allocated uint64 // since the start of the process
}

// NewKeeper returns one that lets the heap grow by slack.
func NewKeeper(slack int64) *Keeper {
	return &Keeper{slack: slack, percent: leastPercent, read: readHeap, setPercent: func(n int) { debug.SetGCPercent(n) }, giveBack: debug.FreeOSMemory}
}

// Run tends the heap until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		k.look()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look adjusts the collector, and gives memory back if nothing happens.
func (k *Keeper) look() {
	now := k.read()
	k.adjust(now.live)
	resting := now.allocated-k.before < quiet
	k.before = now.allocated
	if resting && now.allocated-k.given >= worthwhile {
		k.giveBack()
		k.given = now.allocated
	}
}

// adjust sets the percentage by which the heap may grow. It stops the world for
// a moment, so small changes are passed over.
func (k *Keeper) adjust(live int64) {
	n := int(min(mostPercent, leastPercent+100*k.slack/max(live, 1)))
	if diff := n - k.percent; diff*8 < k.percent && -diff*8 < k.percent {
		return
	}
	k.percent = n
	k.setPercent(n)
}

func readHeap() state {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return state{live: int64(s[0].Value.Uint64()), allocated: s[1].Value.Uint64()}
}
