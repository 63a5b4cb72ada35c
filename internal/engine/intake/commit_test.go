package intake_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// TestMailboxGoes: between a plan and its commit a mailbox goes away; its mail is in
// INBOX. That of who will have it nowhere else is refused.
func TestMailboxGoes(t *testing.T) {
	h := newHouse(t, nil)
	box, err := h.store.CreateMailbox(ctx, ann, "Lists", "")
	h.must(err)
	h.Intake = intake.New(intake.Options{Store: h.store, Queue: h.queue, Wishes: wishes(func(context.Context, mail.AccountID) ([]intake.Wish, error) {
		return []intake.Wish{{Mailbox: box.ID}, {Name: "Lists"}, {Name: "New/One", Make: true}}, nil
	})})
	p := h.plan(text, from("s@a.test"), to("ann@here.test", []mail.AccountID{ann}))
	only := h.message(text)
	h.must(h.store.DeleteMailbox(ctx, ann, "Lists"))
	r, err := h.Commit(ctx, p)
	h.must(err)
	want := "Return-Path: <s@a.test>\r\nDelivered-To: ann@here.test\r\nReceived: here\r\n" + text
	h.want("INBOX", h.in(ann, mail.Inbox), []string{want, want})
	h.want("New/One", h.in(ann, "New/One"), []string{want})
	if len(r.Filed) != 3 || r.Filed[0].Email != r.Filed[2].Email || len(r.Plan.Refusals) > 0 {
		t.Errorf("receipt %+v", r)
	}
	_, err = h.File(ctx, only, store.Filing{Account: ann, Mailbox: box.ID, Only: true})
	h.want("only there", mail.KindOf(err), mail.NotFound)
}

// TestAccountGoes: an account that goes away between a plan and its commit is its
// recipient's refusal, and nobody else's.
func TestAccountGoes(t *testing.T) {
	h := newHouse(t, nil)
	all := []intake.Recipient{to("ann@here.test", []mail.AccountID{ann}), to("bea@here.test", []mail.AccountID{bea}), to("cyn@here.test", []mail.AccountID{cyn})}
	each := from("s@a.test")
	each.Each = true
	one, other, last := h.plan(text, each, all...), h.plan(text, from("s@a.test"), all...), h.plan(text, from("s@a.test"), all[1])
	h.remove(bea)
	h.remove(cyn)

	r, err := h.Commit(ctx, one)
	h.must(err)
	for i, kind := range []mail.Kind{mail.NotFound, mail.NotFound} {
		h.want("refused alone", mail.KindOf(r.Refusal(i+1)), kind)
	}
	if r.Refusal(0) != nil || len(r.Filed) != 1 || len(r.Items) != 0 {
		t.Errorf("receipt %+v", r)
	}

	// One answer for all: the queue has them.
	r, err = h.Commit(ctx, other)
	h.must(err)
	if len(r.Plan.Refusals) != 0 || len(r.Filed) != 1 || len(r.Items) != 1 {
		t.Errorf("receipt %+v", r)
	}
	counted, err := h.queue.Count(ctx, queue.Filter{})
	h.must(err)
	h.want("queued", counted.Waiting, 2)
	h.want("INBOX", len(h.in(ann, mail.Inbox)), 2)

	// Nobody is left: nothing is kept, and nothing is done beside it.
	ran := false
	r, err = h.Commit(ctx, last, func(*sqldb.Tx, intake.Receipt) error { ran = true; return nil })
	if mail.KindOf(err) != mail.NotFound || r.Refusal(0) == nil || ran {
		t.Errorf("%v, receipt %+v, also ran: %v", err, r, ran)
	}
}

// TestAccountIsFull: an account that fills up meanwhile is its recipient's refusal, and
// nobody else's. Mail of this server itself finds room.
func TestAccountIsFull(t *testing.T) {
	h := newHouse(t, nil)
	both := []intake.Recipient{to("bea@here.test", []mail.AccountID{bea}), to("ann@here.test", []mail.AccountID{ann})}
	each, ours := from("s@a.test"), from("")
	each.Each, ours.Each, ours.Ours = true, true, true
	one, other, report := h.plan(text, each, both...), h.plan(text, from("s@a.test"), both...), h.plan(text, ours, both...)
	h.quotas = map[mail.AccountID]mail.Quota{bea: {Octets: 10}}

	r, err := h.Commit(ctx, one)
	h.must(err)
	h.want("refused", mail.KindOf(r.Refusal(0)), mail.OverQuota)
	h.want("ann has it", len(h.in(ann, mail.Inbox)), 1)
	r, err = h.Commit(ctx, other)
	h.must(err)
	h.want("queued", len(r.Items), 1)
	h.want("for", r.Plan.Items[0].Recipients[0].Address, address("bea@here.test"))
	_, err = h.Commit(ctx, report)
	h.must(err)
	h.want("ours", len(h.in(bea, mail.Inbox)), 1)
	h.want("ann has all", len(h.in(ann, mail.Inbox)), 3)
}

// TestAllOrNothing: what fails beside the mail keeps the mail out.
func TestAllOrNothing(t *testing.T) {
	h := newHouse(t, nil)
	p := h.plan(text, from("s@a.test"), to("ann@here.test", []mail.AccountID{ann}, "x@far.test"))
	no := errors.New("no")
	if _, err := h.Commit(ctx, p, func(_ *sqldb.Tx, r intake.Receipt) error {
		if len(r.Filed) != 1 || len(r.Items) != 1 {
			t.Errorf("in the transaction: %+v", r)
		}
		return no
	}); !errors.Is(err, no) {
		t.Fatal(err)
	}
	counted, err := h.queue.Count(ctx, queue.Filter{})
	h.must(err)
	h.want("queued", counted.Total(), 0)
	h.want("INBOX", len(h.in(ann, mail.Inbox)), 0)
	_, err = h.Commit(ctx, p) // It can be tried again.
	h.must(err)
	h.want("INBOX", len(h.in(ann, mail.Inbox)), 1)
}

// TestItemsOfTheirOwn: several items of one commit, with envelopes, prefixes and
// octets of their own, are carried each as it is: from memory, and read again by who
// comes later.
func TestItemsOfTheirOwn(t *testing.T) {
	for _, restart := range []bool{false, true} {
		for _, size := range []int{10, 200_000} {
			synctest.Test(t, func(t *testing.T) {
				h := newHouseInBubble(t)
				body := text + strings.Repeat("0123456789abcde\r\n", size/16)
				reply := "Subject: on holiday\r\n\r\nnot here\r\n" + strings.Repeat("x", size)
				m := h.message(body)
				p := &intake.Plan{Message: m, Filings: []intake.Filing{{Filing: store.Filing{Account: ann, Role: mail.RoleInbox, Received: noon}}}}
				for _, it := range []struct{ from, to, prefix, own string }{
					{"s@a.test", "plain@far.test", "", ""},
					{"srs@here.test", "signed@far.test", "DKIM-Signature: one\r\n", ""},
					{"s@a.test", "sealed@far.test", "ARC-Seal: two\r\nReceived: here\r\n", ""},
					{"", "s@a.test", "", reply},
					{"", "t@a.test", "Auto-Submitted: auto-replied\r\n", reply},
				} {
					item := intake.Item{Item: spool.Item{Prefix: []byte(it.prefix), Arrived: time.Now()},
						Recipients: []queue.Recipient{{OutgoingRecipient: mail.OutgoingRecipient{Address: address(it.to)}}}}
					if it.from != "" {
						item.ReversePath = mail.ReversePath(address(it.from))
					}
					if it.own != "" {
						item.Message = h.message(it.own)
					}
					p.Items = append(p.Items, item)
				}
				r, err := h.Commit(ctx, p)
				h.must(err)
				h.want("items", len(r.Items), 5)
				h.check()
				if restart {
					h.queue, err = queue.Open(ctx, queue.Options{DB: h.db, Store: h.store, Spool: h.spool, Courier: h, Router: h,
						Now: time.Now, Rand: func() float64 { return 0.5 }, Name: "test", Alone: true})
					h.must(err)
				}
				run, stop := context.WithCancel(ctx)
				ended := make(chan error)
				go func() { ended <- h.queue.Run(run) }()
				<-time.After(time.Minute)
				stop()
				h.must(<-ended)
				for to, want := range map[string]string{
					"plain@far.test": body, "signed@far.test": "DKIM-Signature: one\r\n" + body,
					"sealed@far.test": "ARC-Seal: two\r\nReceived: here\r\n" + body, "s@a.test": reply,
					"t@a.test": "Auto-Submitted: auto-replied\r\n" + reply,
				} {
					if h.got[to] != want {
						t.Errorf("%s got %d octets, want %d", to, len(h.got[to]), len(want))
					}
				}
				h.want("here", h.in(ann, mail.Inbox), []string{body})
			})
		}
	}
}

// TestAddedItemsStay: what somebody added to a plan is spooled as it is when an
// account turns out to be gone, unless nobody has the message then.
func TestAddedItemsStay(t *testing.T) {
	h := newHouse(t, nil)
	dear, gone := to("ann@here.test", []mail.AccountID{ann}), to("bea@here.test", []mail.AccountID{bea})
	var plans []*intake.Plan
	for _, to := range [][]intake.Recipient{{dear, gone}, {gone}} {
		p := h.plan(text, from("s@a.test"), to...)
		for _, own := range []*intake.Message{h.message("Subject: away\r\n\r\nuntil May\r\n"), nil} {
			p.Items = append(p.Items, intake.Item{Item: spool.Item{Arrived: noon}, Message: own,
				Recipients: []queue.Recipient{{OutgoingRecipient: mail.OutgoingRecipient{Address: address("s@a.test")}}}})
		}
		plans = append(plans, p)
	}
	h.remove(bea)
	r, err := h.Commit(ctx, plans[0])
	h.must(err)
	var got []string
	for _, id := range r.Items {
		h.must(h.db.Read(ctx, func(tx *sqldb.Tx) error {
			it, err := h.spool.Item(tx, id)
			got = append(got, fmt.Sprint(it.Size))
			return err
		}))
	}
	h.want("sizes", got, []string{fmt.Sprint(len(text) + 16), "28", fmt.Sprint(len(text))})
	if r, err = h.Commit(ctx, plans[1]); mail.KindOf(err) != mail.NotFound || len(r.Items) != 0 {
		t.Errorf("%v, %d items", err, len(r.Items))
	}
}
