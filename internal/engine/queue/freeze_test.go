package queue

import (
	"cmp"
	"fmt"
	"reflect"
	"testing"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/mail"
)

// TestCarriedIsActive: what is being carried is shown as active, although its
// row may say that it waits, and no operator changes it but by holding it.
func TestCarriedIsActive(t *testing.T) {
	inBubble(t, func(h *house) {
		h.during = func(mail.NextHop, mail.Transaction) {
			// Who is alone writes no claim.
			h.want("rows that wait", h.one(`SELECT count(*) FROM queue_delivery WHERE state = 1`), map[bool]int{false: 2, true: 0}[h.shared])
			c := h.count(Filter{})
			h.want("counts", []int{c.Waiting, c.Active}, []int{0, 2})
			h.want("active at", h.count(Filter{State: Active, Domain: "b.test"}).Active, 2)
			for state, n := range map[State]int{Waiting: 0, Active: 2, Held: 0} {
				list, err := h.List(ctx, Filter{State: state}, DeliveryID{}, 10)
				h.must(err)
				h.want("listed as "+state.String(), len(list), n)
			}
			story, err := h.Show(ctx, 1)
			h.must(err)
			h.want("shown", story.Deliveries[1].State, Active)
			for name, do := range map[string]func() (int, error){
				"fail":    func() (int, error) { return h.Fail(ctx, Filter{}, "", nil) },
				"drop":    func() (int, error) { return h.Drop(ctx, Filter{}, "", nil) },
				"reroute": func() (int, error) { return h.Reroute(ctx, Filter{}, "c.test", "", nil) },
			} {
				n, err := do()
				h.must(err)
				h.want(name, n, 0)
			}
		}
		h.run()
		h.send("one", from("s@a.test"), to("x@b.test", "y@b.test"))
		h.pass(time.Minute)
		h.want("taken", h.got(), 2)
		h.want("left", h.count(Filter{}).Total(), 0)
	})
}

// TestChangedBeforeCarried: what an operator did to mail that was just accepted
// counts, although its rows were known.
func TestChangedBeforeCarried(t *testing.T) {
	inBubble(t, func(h *house) {
		h.must(h.Pause(ctx, PauseAll, "", ""))
		h.run()
		for i := range 4 {
			h.send(fmt.Sprint("m", i), from("s@a.test"), to("x@b.test"))
		}
		_, err := h.Hold(ctx, Filter{Item: 1}, "", nil)
		h.must(err)
		_, err = h.Drop(ctx, Filter{Item: 2}, "", nil)
		h.must(err)
		_, err = h.Reroute(ctx, Filter{Item: 3}, "backup.test", "", nil)
		h.must(err)
		hops := map[string]int{}
		h.answers(func(hop mail.NextHop, _ mail.OutgoingRecipient) mail.Attempt {
			hops[hop.Site()]++
			return delivered()
		})
		h.must(h.Resume(ctx, PauseAll, ""))
		h.pass(time.Minute)
		h.want("by", hops, map[string]int{"mx:b.test": 1, "lmtp:backup.test:24": 1})
		h.want("held", h.count(Filter{}).Held, 1)
	})
}

// TestFrozen: what is frozen is not carried, and is after that. Only who
// is alone freezes: others see by the row itself that it changed.
func TestFrozen(t *testing.T) {
	bubble(t, false, func(h *house) {
		h.run()
		h.pass(time.Second)
		frozen := h.newFrozen()
		frozen.freeze(key{1, "mx:b.test"})
		h.send("one", from("s@a.test"), to("x@b.test"))
		h.pass(time.Hour)
		h.want("taken while frozen", h.got(), 0)
		frozen.thaw()
		h.passSoon()
		h.pass(time.Second)
		h.want("taken", h.got(), 1)
		h.want("left frozen", len(h.frozen), 0)
	})
}

// TestFreshIsAsRead: what is known of mail just accepted is what its rows say. Only
// who is alone knows: others read what they claim.
func TestFreshIsAsRead(t *testing.T) {
	bubble(t, false, func(h *house) {
		it := from("s@a.test")
		it.Prefix, it.Priority, it.Account, it.EnvID = []byte("Received: here\r\n"), 3, 7, "id"
		it.DeliverBy = mail.DeliverBy{At: time.Now().Add(time.Hour + time.Microsecond), Return: true}
		list := to("x@b.test", "y@c.test", "z@b.test", "Ünï@bücher.test")
		list[0].ORCPT, list[0].Notify, list[2].Via = "rfc822;X@b.test", mail.NotifyDelay, "backup.test"
		id := h.send("one", it, list)
		h.want("errands", len(h.board.errands), 3)
		for k, e := range h.board.errands {
			known, read := job{errand: e}, job{errand: e}
			e.fresh.take(&known)
			h.must(h.Queue.read(ctx, []*job{&read}, time.Now().Add(time.Second)))
			h.want("item", k.item, id)
			if !reflect.DeepEqual(known.item, read.item) || !reflect.DeepEqual(known.due, read.due) || known.more != read.more {
				t.Errorf("known\n%+v\nread\n%+v", known, read)
			}
			h.want("content", h.subject(known.open, known.item), h.subject(h.opener(ctx, read.item), read.item))
		}
		h.run()
		h.pass(time.Minute)
		h.want("octets kept", h.board.fresh, 0)
	})
}

// subject reads a message as a remote does.
func (h *house) subject(open mail.Opener, it spool.Item) string {
	return h.read(mail.Transaction{Outgoing: it.Outgoing, Content: open})
}

// TestFreshIsBounded: memory of what was accepted has an end; what has no room
// is read.
func TestFreshIsBounded(t *testing.T) {
	for _, limit := range []int{0, 1 << 20} {
		freshIsBounded(t, newBoard(Limits{Fresh: limit}), cmp.Or(limit, DefaultFresh))
	}
}

func freshIsBounded(t *testing.T, b *board, most int) {
	for i := range 300 {
		k := key{spool.ItemID(i + 1), "mx:b.test"}
		b.add(k, laneFresh, fmt.Sprint(i), time.Time{})
		b.remember(k, &kept{octets: make([]byte, maxFreshOctets)}, Delivery{})
	}
	if b.fresh > most || b.fresh < most-maxFreshOctets-freshRow {
		t.Errorf("%d octets", b.fresh)
	}
	for e := b.pick(time.Time{}); e != nil; e = b.pick(time.Time{}) {
		b.done(e, finding{verdict: alive}, time.Time{}, 0)
	}
	if b.fresh != 0 || len(b.errands) != 0 {
		t.Errorf("%d octets and %d errands are left", b.fresh, len(b.errands))
	}
}

// TestManySitesShareOctets: a message for a thousand sites is in memory once. Only
// who is alone keeps octets.
func TestManySitesShareOctets(t *testing.T) {
	bubble(t, false, func(h *house) {
		var list []Recipient
		for i := range MaxRecipients {
			list = append(list, to(fmt.Sprintf("x@b%d.test", i))...)
		}
		h.send("one", from("s@a.test"), list)
		h.want("octets kept", h.board.fresh < 1000+MaxRecipients*freshRow && h.board.fresh >= MaxRecipients*freshRow, true)
		h.run()
		h.pass(time.Minute)
		h.want("taken", h.got(), MaxRecipients)
		h.want("octets kept in the end", h.board.fresh, 0)
	})
}

// TestAnswerMakesRoom: a site has its next message when it has answered, not
// when that is settled; but only so many answers may wait to be settled.
func TestAnswerMakesRoom(t *testing.T) {
	d := newDesk(Limits{Site: Limit{Concurrency: 1}})
	for i := range maxSettling + 10 {
		d.put("b", laneFresh, fmt.Sprint(i))
	}
	var answered []*errand
	for e := d.pick(d.now); e != nil; e = d.pick(d.now) {
		if d.pick(d.now) != nil {
			t.Fatal("two at a time")
		}
		d.answer(e, finding{verdict: alive}, d.now, 0.5)
		answered = append(answered, e)
	}
	if len(answered) != maxSettling {
		t.Fatalf("%d were begun", len(answered))
	}
	if got := d.add(answered[0].key, laneFresh, "", d.now); got != known {
		t.Errorf("what is not settled comes in again: %v", got)
	}
	d.done(answered[0], finding{verdict: alive}, d.now, 0.5)
	if d.pick(d.now) == nil || d.pick(d.now) != nil {
		t.Error("one that is settled makes room for one")
	}
}

// TestNothingBegunThatCannotBeKept: while the database does not take an outcome,
// no other message is sent.
func TestNothingBegunThatCannotBeKept(t *testing.T) {
	inBubble(t, func(h *house) {
		h.run()
		h.full(true)
		h.send("one", from("s@a.test"), to("x@b.test"))
		h.pass(time.Second)
		h.send("two", from("s@a.test"), to("x@b.test"))
		h.send("three", from("s@a.test"), to("x@c.test"))
		h.pass(10 * time.Minute)
		h.want("taken", h.got(), 1)
		h.full(false)
		h.pass(time.Minute)
		h.want("taken", []int{h.got(), h.gotBy("one x@b.test"), h.count(Filter{}).Total()}, []int{3, 1, 0})
	})
}

// TestDoneIsNotFoundAgain: what was done since the database began to be read
// may be due in what was read, and is not taken in.
func TestDoneIsNotFoundAgain(t *testing.T) {
	inBubble(t, func(h *house) {
		h.send("one", from("s@a.test"), to("x@b.test"))
		found := []candidate{{cursor: cursor{item: 1, n: 1}, site: "mx:b.test", lane: laneFresh}}
		h.reading()
		h.board.done(h.board.pick(time.Now()), finding{verdict: alive}, time.Now(), 0)
		h.want("taken in", len(h.unknown(found)), 0)
		h.want("taken in by the next look", len(h.unknown(found)), 1)
	})
}
