package queue

import (
	"testing"
	"time"

	"yubin/internal/mail"
)

// TestHeldBySomething: what is held from the beginning is not carried and does not expire; what
// holds it finds it again, and lets go what is its own and nothing else, no sooner than the
// sender wanted.
func TestHeldBySomething(t *testing.T) {
	inBubble(t, func(h *house) {
		h.lives(6 * time.Hour)
		h.answers(always(tempfail()))
		h.run()
		hold := Hold{By: HeldBySending, Note: "much more than usual"}
		mine := from("s@a.test")
		mine.Account = 7
		held := to("held@b.test")
		held[0].Hold = hold
		h.send("held", mine, append(held, to("free@b.test")...))
		later := mine
		later.HoldUntil = time.Now().Add(3 * time.Hour)
		h.send("later", later, to("later@b.test"))
		h.send("waits", mine, to("waits@c.test"))
		h.send("another's", from("r@a.test"), to("other@c.test"))
		h.pass(time.Second)
		h.answers(nil)
		h.want("carried", h.gotBy("held free@b.test"), 0)
		n, err := h.Hold(ctx, Filter{Item: 3}, "by hand", nil)
		h.must(err)
		h.want("held by hand", n, 1)
		n, err = h.HoldFor(ctx, Filter{Account: 7}, hold, nil)
		h.must(err)
		h.want("held of the account", n, 2) // "later", and "free", which was refused for now.
		h.pass(12 * time.Hour)
		h.want("held", []int{h.count(Filter{}).Held, h.count(Filter{HeldBy: HeldBySending}).Held, h.count(Filter{Account: 7}).Held}, []int{4, 3, 4})
		s, err := h.Show(ctx, 1)
		h.must(err)
		h.want("story", []any{s.Events[0].Kind, s.Events[0].Note, s.Deliveries[0].HeldBy}, []any{EventHold, "much more than usual", HeldBySending})

		n, err = h.Release(ctx, Filter{Account: 7, HeldBy: HeldBySending}, "", nil)
		h.must(err)
		h.want("released", n, 3)
		h.pass(time.Minute)
		h.want("held by hand still", []int{h.count(Filter{}).Held, h.count(Filter{HeldBy: HeldBySending}).Held}, []int{1, 0})
		h.want("carried", []int{h.gotBy("held held@b.test"), h.gotBy("later later@b.test")}, []int{1, 1})
	})
}

// TestHeldForItsSender: what its sender wants to be sent later is not sent sooner because something
// held it meanwhile and let it go.
func TestHeldForItsSender(t *testing.T) {
	inBubble(t, func(h *house) {
		h.run()
		it := from("s@a.test")
		it.HoldUntil = time.Now().Add(48 * time.Hour)
		h.send("later", it, to("later@b.test"))
		_, err := h.HoldFor(ctx, Filter{}, Hold{By: HeldBySending}, nil)
		h.must(err)
		n, err := h.Release(ctx, Filter{HeldBy: HeldBySending}, "", nil)
		h.must(err)
		h.want("released", n, 1)
		h.pass(47 * time.Hour)
		h.want("sent too soon", h.got(), 0)
		h.pass(2 * time.Hour)
		h.want("sent", h.got(), 1)
	})
}

// TestSettledOfAccount: whose mail it is that is settled is told.
func TestSettledOfAccount(t *testing.T) {
	inBubble(t, func(h *house) {
		h.run()
		h.answers(always(refused()))
		it := from("s@a.test")
		it.Account = 7
		h.send("one", it, to("x@b.test"))
		h.pass(time.Minute)
		var accounts []mail.AccountID
		h.mu.Lock()
		for _, o := range h.seen {
			if o.Kind == ObservedSettled && o.Outcome == mail.Failed {
				accounts = append(accounts, o.Account)
			}
		}
		h.mu.Unlock()
		h.want("failed", accounts, []mail.AccountID{7, 0}) // The report of it is nobody's.
	})
}
