package store_test

import (
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/store"
)

// TestMessageOnItsWayIsNoOrphan: however old the clock makes its file look, a
// message that is being delivered keeps it, and one given up does not.
func TestMessageOnItsWayIsNoOrphan(t *testing.T) {
	ahead := 10 * store.DefaultOrphanGrace
	h := newHouse(t, func(o *store.Options) { o.Now = func() time.Time { return time.Now().Add(ahead) } })
	a := h.account(1)
	big := strings.Repeat("z", store.InlineMax+1)
	in := h.NewIncoming()
	_, err := in.Write([]byte(big))
	h.must(err)
	_, err = in.Finish()
	h.must(err)
	h.must(h.SweepOrphans(ctx))
	filed, err := h.Deliver(ctx, store.Posting{Message: in, Filings: []store.Filing{h.inbox(a)}})
	h.must(err)
	in.Close()
	h.must(h.SweepOrphans(ctx))
	if got := h.read(filed[0].Mailbox, 1); got != big {
		t.Errorf("the message has %d octets", len(got))
	}
}
