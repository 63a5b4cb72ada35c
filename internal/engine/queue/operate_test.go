package queue

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/mail"
)

// waiting makes mail that waits after one failed attempt: n for b.test from s,
// n for c.test from r.
func (h *house) waiting(n int) {
	h.answers(always(tempfail()))
	h.run()
	for i := range n {
		h.send(fmt.Sprint("b", i), from("s@a.test"), to(fmt.Sprintf("x%d@b.test", i)))
		h.send(fmt.Sprint("c", i), from("r@a.test"), to(fmt.Sprintf("x%d@c.test", i)))
	}
	h.pass(10 * time.Second)
}

func TestFilters(t *testing.T) {
	inBubble(t, func(h *house) {
		h.waiting(5)
		h.send("null", from(""), to("郵便@例え.テスト"))
		h.pass(time.Second)
		for i, tc := range []struct {
			f    Filter
			want int
		}{
			{Filter{}, 11},
			{Filter{Sender: address("S@a.test")}, 5},
			{Filter{NullSender: true}, 1},
			{Filter{Recipient: address("X1@b.test")}, 1},
			{Filter{Domain: "c.test"}, 5},
			{Filter{Domain: "_.test"}, 0},
			{Filter{Domain: "xn--r8jz45g.xn--zckzah"}, 1},
			{Filter{Site: "mx:b.test"}, 5},
			{Filter{State: Waiting}, 11},
			{Filter{State: Held}, 0},
			{Filter{Item: 3}, 1},
			{Filter{Item: 3, N: 2}, 0},
			{Filter{OlderThan: 5 * time.Second}, 10},
			{Filter{YoungerThan: 5 * time.Second}, 1},
			{Filter{OlderThan: 5 * time.Second, Domain: "c.test", Sender: address("s@a.test")}, 0},
		} {
			h.want(fmt.Sprint("filter ", i), h.count(tc.f).Total(), tc.want)
		}
		var all []DeliveryID
		for after := (DeliveryID{}); ; {
			page, err := h.List(ctx, Filter{}, after, 4)
			h.must(err)
			if len(page) == 0 {
				break
			}
			for _, l := range page {
				all = append(all, l.DeliveryID)
			}
			after = all[len(all)-1]
		}
		h.want("listed", len(all), 11)
	})
}

func TestHoldReleaseRetry(t *testing.T) {
	inBubble(t, func(h *house) {
		h.lives(6 * time.Hour)
		h.waiting(3)
		var steps []int
		n, err := h.Hold(ctx, Filter{Domain: "b.test"}, "looks odd", func(n int) { steps = append(steps, n) })
		h.must(err)
		h.want("held", []any{n, steps, h.count(Filter{}).Held}, []any{3, []int{3}, 3})
		h.answers(nil)
		n, err = h.Retry(ctx, Filter{}, "", nil)
		h.must(err)
		h.want("retried", n, 3)
		h.pass(time.Second)
		h.want("taken", h.got(), 3)
		h.pass(12 * time.Hour)
		h.want("held mail does not expire", h.count(Filter{}).Held, 3)
		n, err = h.Release(ctx, Filter{Item: 1}, "fine", nil)
		h.must(err)
		h.want("released", n, 1)
		h.pass(time.Second)
		h.want("taken", h.got(), 4)
		s, err := h.Show(ctx, 1)
		h.must(err)
		var kinds []EventKind
		for _, e := range s.Events {
			kinds = append(kinds, e.Kind)
		}
		h.want("story", kinds, []EventKind{EventAttempt, EventHold, EventRelease, EventAttempt})
		h.want("note", s.Events[1].Note, "looks odd")
	})
}

// TestHoldWhileActive: what is being carried is held if it is not settled now.
func TestHoldWhileActive(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answer = byLocal
		h.during = func(mail.NextHop, mail.Transaction) {
			if _, err := h.Hold(ctx, Filter{}, "", nil); err != nil {
				t.Error(err)
			}
		}
		h.run()
		h.send("one", from("s@a.test"), to("later@b.test", "ok@b.test", "no@b.test"))
		h.pass(time.Hour)
		c := h.count(Filter{})
		h.want("counts", []int{c.Held, c.Waiting, c.Active, h.got()}, []int{1, 0, 0, 2}) // Taken are ok and the report about no.
	})
}

func TestReroute(t *testing.T) {
	inBubble(t, func(h *house) {
		h.waiting(2)
		_, err := h.Reroute(ctx, Filter{}, "nowhere", "", nil)
		h.want("kind", mail.KindOf(err), mail.NotFound)
		var hops []string
		h.answers(func(hop mail.NextHop, _ mail.OutgoingRecipient) mail.Attempt {
			hops = append(hops, hop.Site())
			return delivered()
		})
		n, err := h.Reroute(ctx, Filter{Domain: "b.test"}, "backup.test", "", nil)
		h.must(err)
		h.want("rerouted", n, 2)
		h.pass(time.Second)
		h.want("by", hops, []string{"lmtp:backup.test:24", "lmtp:backup.test:24"})
	})
}

// TestRerouteWhilePaused: what is rerouted stands at its new site before anybody carries
// it, and goes that way when the pause ends.
func TestRerouteWhilePaused(t *testing.T) {
	inBubble(t, func(h *house) {
		h.must(h.Pause(ctx, PauseAll, "", ""))
		h.run()
		id := h.send("one", from("s@a.test"), to("x@b.test", "y@b.test"))
		h.send("two", from("s@a.test"), to("z@b.test"))
		h.pass(time.Second)
		n, err := h.Reroute(ctx, Filter{Item: id, N: 1}, "backup.test", "", nil)
		h.must(err)
		h.want("rerouted", n, 1)
		sites := func() (list []string) {
			page, err := h.List(ctx, Filter{}, DeliveryID{}, 10)
			h.must(err)
			for _, l := range page {
				list = append(list, l.Address.Local+" "+l.Site)
			}
			return list
		}
		h.want("sites", sites(), []string{"x lmtp:backup.test:24", "y mx:b.test", "z mx:b.test"})
		h.want("there", h.count(Filter{Site: "lmtp:backup.test:24"}).Waiting, 1)
		_, err = h.Reroute(ctx, Filter{Recipient: address("y@b.test")}, "backup.test", "", nil)
		h.must(err)
		_, err = h.Reroute(ctx, Filter{Recipient: address("x@b.test")}, "", "", nil)
		h.must(err)
		h.want("sites", sites(), []string{"x mx:b.test", "y lmtp:backup.test:24", "z mx:b.test"})
		var hops []string
		h.answers(func(hop mail.NextHop, r mail.OutgoingRecipient) mail.Attempt {
			hops = append(hops, r.Address.Local+" "+hop.Site())
			return delivered()
		})
		h.must(h.Resume(ctx, PauseAll, ""))
		h.pass(5 * time.Second)
		slices.Sort(hops)
		h.want("by", hops, []string{"x mx:b.test", "y lmtp:backup.test:24", "z mx:b.test"})
	})
}

// TestUntriedSaysWhy: of what was put off because its site is down, the site's words are told.
func TestUntriedSaysWhy(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answers(always(mail.Attempt{Phase: mail.PhaseConnect, Enhanced: "4.4.1", Text: "connection refused", Ours: true, Outcome: mail.Deferred}))
		h.run()
		for i := range 8 {
			h.send(fmt.Sprint(i), from("s@a.test"), to(fmt.Sprintf("x%d@b.test", i)))
		}
		h.pass(time.Minute)
		page, err := h.List(ctx, Filter{}, DeliveryID{}, 10)
		h.must(err)
		untried := 0
		for _, l := range page {
			why, ok := Untried(l.Last)
			if ok {
				untried++
				h.want("why", why, "connection refused")
			}
		}
		h.want("some were not tried", untried > 0, true)
		if _, ok := Untried(tempfail()); ok {
			h.t.Error("what was tried is not")
		}
	})
}

// TestListsTellOfPauses: what waits for an operator says so, whatever was paused.
func TestListsTellOfPauses(t *testing.T) {
	inBubble(t, func(h *house) {
		h.via = map[string]string{"c.test": "slow"}
		h.waiting(1)
		paused := func() (list []string) {
			page, err := h.List(ctx, Filter{}, DeliveryID{}, 10)
			h.must(err)
			for _, l := range page {
				s, err := h.Show(ctx, l.Item)
				h.must(err)
				h.want("as its story says", s.Deliveries[0].Paused, l.Paused)
				if l.Paused {
					list = append(list, string(l.Address.Domain))
				}
			}
			return list
		}
		for _, c := range []struct {
			scope Scope
			name  string
			want  []string
		}{{PauseAll, "", []string{"b.test", "c.test"}}, {PauseSite, "mx:b.test", []string{"b.test"}}, {PauseRoute, "slow", []string{"c.test"}}} {
			h.must(h.Pause(ctx, c.scope, c.name, ""))
			h.want(string(c.scope), paused(), c.want)
			h.must(h.Resume(ctx, c.scope, c.name))
			h.want("resumed", len(paused()), 0)
		}
	})
}

func TestFailAndDrop(t *testing.T) {
	inBubble(t, func(h *house) {
		h.waiting(3)
		h.answers(nil)
		n, err := h.Fail(ctx, Filter{Domain: "b.test"}, "We do not carry that.", nil)
		h.must(err)
		h.want("failed", n, 3)
		n, err = h.Drop(ctx, Filter{Domain: "c.test"}, "spam", nil)
		h.must(err)
		h.want("dropped", n, 3)
		h.pass(time.Second)
		h.want("reports", len(h.told()), 3)
		h.want("words", h.reports[0].Recipients[0].Last.Text, "We do not carry that.")
		h.want("left", h.count(Filter{}).Total(), 0)
		h.want("octets", h.one(`SELECT count(*) FROM blob`), 0)
		h.want("taken", h.got(), 3) // The reports.
	})
}

// TestBulkInSlices: more than one slice, with progress.
func TestBulkInSlices(t *testing.T) {
	inBubble(t, func(h *house) {
		var list []string
		for i := range 700 {
			list = append(list, fmt.Sprintf("x%d@b.test", i))
		}
		h.must(h.Pause(ctx, PauseAll, "", ""))
		h.send("one", from("s@a.test"), to(list...))
		h.send("two", from("s@a.test"), to(list...))
		var steps []int
		_, err := h.Drop(ctx, Filter{}, "", func(n int) { steps = append(steps, n) })
		h.must(err)
		h.want("steps", steps, []int{500, 1000, 1400})
		h.want("left", h.count(Filter{}).Total(), 0)
	})
}

func TestTrace(t *testing.T) {
	inBubble(t, func(h *house) {
		h.run()
		for i := range 3 {
			h.send(fmt.Sprint(i), from("s@a.test"), to("x@b.test", "y@c.test"))
			h.pass(time.Second)
		}
		for what, want := range map[string]string{"s@a.test": "[3 2 1]", "y@c.test": "[3 2 1]", "<1@test>": "[2]", "1@test": "[2]", "z@z.test": "[]"} {
			found, err := h.Trace(ctx, what, time.Time{}, 0, 10)
			h.must(err)
			ids := []int64{}
			for _, s := range found {
				ids = append(ids, int64(s.Item.ID))
			}
			h.want(what, ids, want)
		}
		found, err := h.Trace(ctx, "s@a.test", time.Time{}, 3, 1)
		h.must(err)
		h.want("page", found[0].Item.ID, 2)
	})
}

// TestTraceSince: what came before is not looked at; who is settled is found.
func TestTraceSince(t *testing.T) {
	inBubble(t, func(h *house) {
		h.run()
		traced := func(since time.Time) []spool.ItemID {
			found, err := h.Trace(ctx, "X@b.test", since, 0, 10)
			h.must(err)
			ids := []spool.ItemID{}
			for _, s := range found {
				ids = append(ids, s.Item.ID)
			}
			return ids
		}
		h.want("nothing is there", traced(time.Now()), "[]")
		start := time.Now()
		for i := range 9 {
			h.send(fmt.Sprint(i), from("s@a.test"), to("x@b.test"))
			h.pass(5 * time.Hour)
		}
		h.want("left", h.count(Filter{}).Total(), 0)
		h.want("all", traced(time.Time{}), "[9 8 7 6 5 4 3 2 1]")
		h.want("since the beginning", traced(start), "[9 8 7 6 5 4 3 2 1]")
		h.want("since half", traced(start.Add(22*time.Hour)), "[9 8 7 6]")
		h.want("since now", traced(time.Now()), "[]")
	})
}

// TestCrowdedSite: a site with many deliveries is listed in the same order.
func TestCrowdedSite(t *testing.T) {
	h := outside(t)
	h.send("first", from("s@a.test"), to("x@b.test"))
	h.load(crowd-1, overdue)
	for _, n := range []int{crowd - 1, crowd + 9} {
		seen := 0
		last := DeliveryID{}
		for {
			page, err := h.List(ctx, Filter{Site: "mx:paused.test"}, last, MaxList)
			h.must(err)
			if len(page) == 0 {
				break
			}
			for _, l := range page {
				if l.Item <= last.Item {
					t.Fatalf("%v after %v", l.DeliveryID, last)
				}
				last = l.DeliveryID
			}
			seen += len(page)
		}
		h.want("listed", seen, n)
		h.want("counted", h.count(Filter{Site: "mx:paused.test"}).Waiting, n)
		h.load(10, overdue)
	}
}
