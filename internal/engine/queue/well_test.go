package queue

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
)

// downAt takes mail for a.test, where the senders are, and nothing else.
func downAt() func(mail.NextHop, mail.OutgoingRecipient) mail.Attempt {
	return func(_ mail.NextHop, r mail.OutgoingRecipient) mail.Attempt {
		if r.Address.Domain == "a.test" {
			return delivered()
		}
		return unreachable()
	}
}

// TestSingleMessageIsTheProbe: one message for a site that is down for a day is
// tried every quarter of an hour, and goes out when the site is well, whatever its
// own schedule says.
func TestSingleMessageIsTheProbe(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answers(downAt())
		h.run()
		h.send("one", from("s@a.test"), notify(mail.NotifyNever, to("x@b.test")))
		h.pass(24 * time.Hour)
		if n := len(h.log()); n < 80 || n > 130 {
			t.Errorf("%d attempts in a day", n)
		}
		h.answers(nil)
		h.pass(maxProbe + maxProbe/4)
		h.want("taken", h.gotBy("one x@b.test"), 1)
	})
}

// TestSingleMessageAfterRestart: nobody remembers the site, and the message has a
// wait of hours.
func TestSingleMessageAfterRestart(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answers(downAt())
		h.run()
		h.send("one", from("s@a.test"), to("x@b.test"))
		h.pass(24 * time.Hour)
		h.stop()
		h.Queue = h.queue("node", !h.shared)
		h.run()
		h.pass(time.Second)
		tried := len(h.log())
		h.pass(2 * time.Hour) // It is still down.
		if n := len(h.log()) - tried; n < 7 {
			t.Errorf("%d attempts in two hours after a restart", n)
		}
		h.answers(nil)
		h.pass(maxProbe + maxProbe/4)
		h.want("taken", h.gotBy("one x@b.test"), 1)
	})
}

// TestWellAgain: what was tried while the site was down goes out with what was not;
// a recipient that is greylisted keeps its own time.
func TestWellAgain(t *testing.T) {
	inBubble(t, func(h *house) {
		grey := func(_ mail.NextHop, r mail.OutgoingRecipient) mail.Attempt {
			if strings.HasPrefix(r.Address.Local, "grey") {
				return tempfail()
			}
			return delivered()
		}
		taken := func() (n int) {
			for i := range 60 {
				n += h.gotBy(fmt.Sprintf("one x%d@b.test", i))
			}
			return n
		}
		h.answers(grey)
		h.run()
		h.send("grey", from("s@a.test"), to("grey@b.test"))
		h.pass(8 * time.Hour)
		h.answers(downAt())
		for i := range 60 {
			h.send("one", from("s@a.test"), to(fmt.Sprintf("x%d@b.test", i)))
			h.pass(5 * time.Minute)
		}
		h.answers(grey)
		h.pass(maxProbe + maxProbe/4)
		h.want("taken", taken(), 60)
		before := len(h.log())
		h.pass(20 * time.Minute)
		if n := len(h.log()) - before; n > 1 {
			t.Errorf("what is greylisted is tried %d times in 20 minutes after half a day", n)
		}
	})
}

// TestAnyMayBeTheProbe: the message that is in memory as the probe goes away, and
// another takes its place long before its own time.
func TestAnyMayBeTheProbe(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answers(downAt())
		h.run()
		for i := range 3 {
			h.send("one", from("s@a.test"), to(fmt.Sprintf("x%d@b.test", i)))
		}
		h.pass(12 * time.Hour)
		for i := range 2 {
			_, err := h.Drop(ctx, Filter{Recipient: address(fmt.Sprintf("x%d@b.test", i))}, "", nil)
			h.must(err)
		}
		h.answers(nil)
		h.pass(maxProbe + maxProbe/4)
		h.want("taken", h.gotBy("one x2@b.test"), 1)
	})
}

// TestOneThatTheSiteFailsWith: a message with which every session ends does no harm to
// others, and is itself not tried more often than a site that is down is.
func TestOneThatTheSiteFailsWith(t *testing.T) {
	inBubble(t, func(h *house) {
		bad := 0
		h.answers(func(_ mail.NextHop, r mail.OutgoingRecipient) mail.Attempt {
			if r.Address.Local != "bad" {
				return delivered()
			}
			bad++
			return mail.Attempt{Outcome: mail.Deferred, Phase: mail.PhaseMail, Code: 421, Text: "closing", Host: "mx.test"}
		})
		h.run()
		h.send("bad", from("s@a.test"), to("bad@b.test"))
		const many = 4 * 60
		for i := range many {
			h.send("good", from("s@a.test"), to(fmt.Sprintf("x%d@b.test", i)))
			h.pass(time.Minute)
		}
		h.want("taken", h.got() >= many, true)
		if bad > 40 {
			t.Errorf("it was tried %d times in four hours", bad)
		}
	})
}

// TestNoHerd: of many messages for a site that is well again no more begin at a
// time than its concurrency has grown to.
func TestNoHerd(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answers(downAt())
		h.run()
		for i := range 300 {
			h.send("one", from(fmt.Sprintf("s%d@a.test", i%7)), to(fmt.Sprintf("x%d@b.test", i)))
		}
		h.pass(20 * time.Minute)
		begun := map[time.Time]int{}
		h.mu.Lock()
		h.answer = nil
		h.during = func(mail.NextHop, mail.Transaction) {
			h.mu.Lock()
			begun[time.Now()]++
			h.mu.Unlock()
			<-time.After(time.Second)
		}
		h.mu.Unlock()
		h.pass(maxProbe + maxProbe/4)
		h.want("taken", h.got() >= 300, true)
		for at, n := range begun {
			if n > DefaultConcurrency {
				t.Errorf("%d begin at %v", n, at)
			}
		}
	})
}

// TestPausedRouteIsNotProbed: looking for mail that a pause keeps does not go on and on.
func TestPausedRouteIsNotProbed(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answers(downAt())
		h.via = map[string]string{"b.test": "line"}
		h.run()
		h.send("one", from("s@a.test"), to("x@b.test"))
		h.pass(time.Hour)
		h.must(h.Pause(ctx, PauseRoute, "line", ""))
		h.pass(time.Minute)
		tried := len(h.log())
		h.pass(3 * time.Hour)
		h.want("attempts", len(h.log())-tried, 0)
		h.answers(nil)
		h.must(h.Resume(ctx, PauseRoute, "line"))
		h.pass(maxProbe)
		h.want("taken", h.gotBy("one x@b.test"), 1)
	})
}

// TestWalk: sites with put off mail that nobody remembers are found, a step at a time.
func TestWalk(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answers(downAt())
		h.run()
		const sites = probeStep + 5
		for i := range sites {
			h.send("one", from("s@a.test"), to(fmt.Sprintf("x@b%d.test", i), fmt.Sprintf("y@b%d.test", i)))
		}
		h.pass(time.Hour)
		h.stop()
		h.answers(nil)
		h.Queue = h.queue("node", !h.shared)
		h.run()
		h.pass(sites/probeStep*walkRest + time.Second)
		h.want("taken", h.got() >= 2*sites, true)
		h.want("parked", h.count(Filter{}).Parked, 0)
	})
}

// TestSitePage: how many wait for each site, how it is and why, also when nobody
// remembers it, page by page.
func TestSitePage(t *testing.T) {
	bubble(t, false, func(h *house) {
		show := func(state SiteState, limit int) string {
			t.Helper()
			var list []string
			for after, more := "", true; more; more = after != "" {
				page, next, err := h.SitePage(ctx, state, after, limit)
				h.must(err)
				for _, s := range page {
					list = append(list, fmt.Sprintf("%s %s %d %q", s.Site, s.State, s.Waiting, s.Words))
				}
				after = next
			}
			return strings.Join(list, ", ")
		}
		h.answers(func(_ mail.NextHop, r mail.OutgoingRecipient) mail.Attempt {
			switch r.Address.Domain {
			case "down.test", "bad.test":
				return unreachable()
			case "grey.test":
				return tempfail()
			}
			return delivered()
		})
		h.run()
		for i := range 7 {
			h.send("one", from("s@a.test"), to(fmt.Sprintf("x%d@down.test", i)))
		}
		h.send("one", from("s@a.test"), to("x@bad.test", "x@grey.test", "x@well.test", "x@off.test"))
		h.pass(time.Second)
		h.must(h.Pause(ctx, PauseSite, "mx:off.test", "they asked"))
		want := `mx:bad.test failing 1 "refused", mx:down.test down 7 "refused", mx:grey.test up 1 "", mx:off.test paused 0 "they asked", mx:well.test up 0 ""`
		h.want("sites", show("", MaxList), want)
		h.want("by twos", show("", 2), want)
		h.want("down", show(SiteDown, 1), `mx:down.test down 7 "refused"`)
		if n := h.count(Filter{Parked: true}).Total(); n == 0 || n > 8 { // One is in memory as the probe.
			t.Errorf("%d are parked", n)
		}
		named, err := h.SitesNamed(ctx, "down.test")
		h.must(err)
		h.want("named", named, []string{"mx:down.test"})
		page, _, err := h.SitePage(ctx, SiteDown, "", 10)
		h.must(err)
		if s := page[0]; s.Next.Before(time.Now()) || s.Since.IsZero() || s.Since.After(time.Now()) {
			t.Errorf("site %+v", s)
		}
		h.stop()
		h.Queue = h.queue("node", true)
		h.want("after a restart", show("", 3), `mx:bad.test down 1 "refused", mx:down.test down 7 "refused", mx:grey.test unknown 1 ""`)
	})
}
