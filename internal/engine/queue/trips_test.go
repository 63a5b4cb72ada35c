//go:build postgres

package queue

import (
	"fmt"
	"testing"
	"time"
)

// maxTrips are the questions to a server of a job: its rows and item; the claim, and
// COMMIT, of who is not alone; the octets; the settlement, who is left, the item, its
// octets, and COMMIT.
const maxTrips = 9

// TestTripsOfAJob: what is waited for to claim, carry and settle a message does not
// grow with its recipients.
func TestTripsOfAJob(t *testing.T) {
	inBubble(t, func(h *house) {
		h.must(h.begin(ctx, ctx))
		for i, n := range []int{1, 1, 50} {
			var all []Recipient
			for k := range n {
				all = append(all, to(fmt.Sprintf("x%d@b.test", k))...)
			}
			h.send(fmt.Sprint("m", i), from("s@a.test"), all)
			e := h.board.pick(time.Now())
			before := h.db.Traffic().RoundTrips
			h.dispatch(ctx, []*errand{e})
			h.jobs.Wait()
			trips := h.db.Traffic().RoundTrips - before
			t.Logf("%d recipients: %d round trips", n, trips)
			if i > 0 && trips > maxTrips { // The first prepares the statements, too.
				t.Errorf("%d recipients: %d round trips, want %d", n, trips, maxTrips)
			}
			h.want("left", h.count(Filter{}).Total(), 0)
		}
		h.damage(`UPDATE queue_owner SET until = 0`)
	})
}
