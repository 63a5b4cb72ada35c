package queue

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
)

// TestDeadSite: one message probes it; the others are not tried, keep their
// schedule, and are all sent when the site is well again.
func TestDeadSite(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answer = always(unreachable())
		for i := range 100 {
			h.send("one", from("s@a.test"), to(fmt.Sprintf("x%d@b.test", i)))
		}
		h.run()
		h.pass(3 * time.Hour)
		if n := len(h.log()); n < 10 || n > 25 {
			t.Errorf("%d attempts in three hours", n)
		}
		c := h.count(Filter{})
		if c.Waiting != 100 || c.Parked < 95 {
			t.Errorf("counts %+v", c)
		}
		list, err := h.List(ctx, Filter{}, DeliveryID{}, 100)
		h.must(err)
		for _, l := range list {
			if l.Deferrals == 0 || !strings.Contains(l.Last.Text, "refused") {
				t.Fatalf("listed %+v", l)
			}
		}
		h.answers(nil)
		h.pass(maxProbe + maxProbe/2)
		if n := h.got(); n < 95 {
			t.Errorf("%d taken when the site is well", n)
		}
		h.pass(5 * time.Hour) // The probes themselves keep their schedule.
		h.want("taken", h.got(), 100)
		h.want("reports", h.told(), []string{})
	})
}

// TestDeadSiteExpires: mail that was never tried is late, and then returned.
func TestDeadSiteExpires(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answer = func(hop mail.NextHop, _ mail.OutgoingRecipient) mail.Attempt {
			if hop.Domain == "a.test" {
				return delivered()
			}
			return unreachable()
		}
		h.run()
		for i := range 10 {
			h.send("one", from("s@a.test"), to(fmt.Sprintf("x%d@b.test", i)))
		}
		h.pass(DefaultLifetime + time.Hour)
		late, over := 0, 0
		for _, w := range h.told() {
			if strings.HasPrefix(w, "delayed") {
				late++
			} else if strings.HasSuffix(w, "expired") {
				over++
			}
		}
		h.want("notices and reports", []int{late, over}, []int{10, 10})
		h.want("left", h.count(Filter{}).Total(), 0)
	})
}

// TestSlowSiteHarmsNobody: a site with much mail that hardly moves keeps neither
// new nor old mail for others from going.
func TestSlowSiteHarmsNobody(t *testing.T) {
	inBubble(t, func(h *house) {
		h.options = func(o *Options) { o.Limits.Site = Limit{PerSecond: 0.1} }
		h.Queue = h.queue("node", !h.shared)
		for i := range 600 {
			h.send("slow", from("s@a.test"), to(fmt.Sprintf("x%d@slow.test", i)))
		}
		h.run()
		h.pass(time.Minute)
		h.send("quick", from("s@a.test"), to("y@quick.test"))
		h.send("other", from("other@a.test"), to("y@slow.test"))
		h.pass(30 * time.Second)
		h.want("quick", h.gotBy("quick y@quick.test"), 1)
		h.want("other sender", h.gotBy("other y@slow.test"), 1)
		h.pass(6100 * time.Second)
		h.want("all", h.got(), 602)
	})
}

func TestPauseAll(t *testing.T) {
	inBubble(t, func(h *house) {
		h.run()
		h.must(h.Pause(ctx, PauseAll, "", "the line is cut"))
		h.send("one", from("s@a.test"), to("x@b.test"))
		h.pass(time.Hour)
		h.want("taken", h.got(), 0)
		h.want("pauses", len(h.Pauses()), 1)
		h.stop()
		h.Queue = h.queue("node", !h.shared) // It is kept.
		h.run()
		h.pass(time.Hour)
		h.want("taken", h.got(), 0)
		h.must(h.Resume(ctx, PauseAll, ""))
		h.pass(time.Second)
		h.want("taken", h.got(), 1)
		h.want("kind", mail.KindOf(h.Resume(ctx, PauseAll, "")), mail.NotFound)
		h.want("kind", mail.KindOf(h.Pause(ctx, PauseSite, "", "")), mail.Invalid)
		h.want("kind", mail.KindOf(h.Pause(ctx, "moon", "x", "")), mail.Invalid)
	})
}

func TestPauseSiteAndRoute(t *testing.T) {
	for _, scope := range []Scope{PauseSite, PauseRoute} {
		inBubble(t, func(h *house) {
			name := "mx:b.test"
			if scope == PauseRoute {
				name = "slow line"
				h.via = map[string]string{"b.test": name}
			}
			h.run()
			h.must(h.Pause(ctx, scope, name, ""))
			for i := range 40 {
				h.send("one", from("s@a.test"), to(fmt.Sprintf("x%d@b.test", i), fmt.Sprintf("x%d@c.test", i)))
			}
			h.pass(2 * time.Hour)
			h.want("taken", h.got(), 40)
			h.want("parked", h.count(Filter{}).Parked, 40)
			h.must(h.Resume(ctx, scope, name))
			h.pass(time.Second)
			h.want("taken", h.got(), 80)
		})
	}
}

// TestPausedMailExpires: a pause does not stop time.
func TestPausedMailExpires(t *testing.T) {
	inBubble(t, func(h *house) {
		h.options = func(o *Options) { o.Schedule.Lifetime = 3 * time.Hour }
		h.Queue = h.queue("node", !h.shared)
		h.run()
		h.must(h.Pause(ctx, PauseSite, "mx:b.test", ""))
		h.send("one", from("s@a.test"), to("x@b.test"))
		h.pass(4 * time.Hour)
		h.want("reports", h.told(), []string{"failed x@b.test expired"})
	})
}
