package queue

import (
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
)

// filed makes recipients that the commit files itself, and expanded aliases.
func filed(list []Recipient) []Recipient {
	for i := range list {
		list[i].Filed, list[i].Notify = true, mail.NotifySuccess
	}
	return list
}

func expanded(list []Recipient) []Recipient {
	for i := range list {
		list[i].Expanded, list[i].Notify = true, mail.NotifySuccess
	}
	return list
}

// TestFiledIsReported: RFC 3461 §5.2.3. Nothing is carried, the sender hears at
// once, and nothing is left.
func TestFiledIsReported(t *testing.T) {
	inBubble(t, func(h *house) {
		h.run()
		id := h.send("m", from("s@x.test"), filed(to("a@here.test", "b@here.test")))
		h.pass(time.Second)
		h.want("told", h.told(), []string{"delivered a@here.test, delivered b@here.test"})
		h.want("taken", h.gotBy("m a@here.test"), 0)
		story, err := h.Show(ctx, id)
		h.must(err)
		h.want("left", len(story.Deliveries), 0)
		h.want("settled", story.Item.Settled.IsZero(), false)
		h.want("events", kinds(story), "attempt attempt report")
		h.want("the report is carried", h.got(), 1)
	})
}

func kinds(s Story) string {
	var all []string
	for _, e := range s.Events {
		all = append(all, string(e.Kind))
	}
	return strings.Join(all, " ")
}

// TestExpandedIsReported: RFC 3461 §5.2.7.3 (c). The alias is reported with what
// became of its addresses meanwhile, if anything did.
func TestExpandedIsReported(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answer = func(_ mail.NextHop, r mail.OutgoingRecipient) mail.Attempt {
			if r.Address.Domain == "bad.test" {
				return refused()
			}
			return delivered()
		}
		h.run()
		h.send("m", from("s@x.test"), append(expanded(to("list@here.test")), to("a@good.test", "b@bad.test")...))
		h.pass(DefaultGather + time.Second)
		h.want("told", h.told(), []string{"expanded list@here.test, failed b@bad.test"})
		h.want("taken", h.gotBy("m a@good.test"), 1)
	})
}

// TestFiledDoesNotWaitForOthers: somebody who waits for days keeps the report of
// the others for Schedule.Gather only.
func TestFiledDoesNotWaitForOthers(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answer = func(mail.NextHop, mail.OutgoingRecipient) mail.Attempt { return tempfail() }
		h.run()
		h.send("m", from("s@x.test"), append(filed(to("a@here.test")), to("b@slow.test")...))
		h.pass(DefaultGather - 2*time.Second)
		h.want("told early", len(h.told()), 0)
		h.pass(4 * time.Second)
		h.want("told", h.told(), []string{"delivered a@here.test"})
		h.want("waiting", h.count(Filter{}).Waiting > 0, true)
	})
}

// TestFiledAfterRestart: what a crash leaves of it is a row, and the next run
// reports it.
func TestFiledAfterRestart(t *testing.T) {
	inBubble(t, func(h *house) {
		h.send("m", from("s@x.test"), filed(to("a@here.test")))
		h.must(h.db.Close())
		h.open()
		h.run()
		h.pass(time.Second)
		h.want("told", h.told(), []string{"delivered a@here.test"})
	})
}

// TestFiledNeedsSender: there is nobody to report to.
func TestFiledNeedsSender(t *testing.T) {
	inBubble(t, func(h *house) {
		in := h.store.NewIncoming()
		defer in.Close()
		_, err := in.Write([]byte("Subject: m\r\n\r\n"))
		h.must(err)
		_, _, err = h.accept(in, nil, from(""), filed(to("a@here.test")))
		h.want("error", mail.KindOf(err), mail.Internal)
		h.want("kept", h.count(Filter{}).Owed, 0)
	})
}
