package queue

import (
	"bytes"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// reporter makes reports as spool.Report names their forms: whole, then small if
// the host said 552, then to account 7.
func reporter(r Report, w io.Writer) (letter, error) {
	form, to := spool.WholeReport, mail.Address(r.Item.ReversePath)
	if r.Item.ReversePath.IsNull() {
		to = r.Recipients[0].Address
		form = spool.LostReport
		if r.Item.Report == spool.WholeReport && r.Recipients[0].Last.Code == 552 {
			form = spool.SmallReport
		}
	}
	_, err := io.WriteString(w, "Subject: "+[]string{"", "whole", "small", "lost"}[form]+"\r\n\r\n"+words(r)+"\r\n")
	made := letter{Item: spool.Item{Report: form}}
	switch {
	case form != spool.LostReport:
		made.Recipients = []Recipient{{OutgoingRecipient: mail.OutgoingRecipient{Address: to, Notify: mail.NotifyNever}}}
	case to.Local == "away":
		made.Recipients = []Recipient{{OutgoingRecipient: mail.OutgoingRecipient{Address: address("postmaster@far.test"), Notify: mail.NotifyNever}}}
	case to.Local != "nowhere":
		made.Filings = []store.Filing{{Account: 7, Role: mail.RoleInbox, Received: time.Now(), Ours: true}}
	}
	return made, err
}

var digits = regexp.MustCompile(`\d+`)

// events of an item that tell what became of reports, its number left out.
func (h *house) tellings(id spool.ItemID) (list []string) {
	h.t.Helper()
	s, err := h.Show(ctx, id)
	h.must(err)
	for _, e := range s.Events {
		if e.Kind == EventReport || e.Kind == EventUntold {
			list = append(list, strings.TrimSpace(string(e.Kind)+" "+digits.ReplaceAllString(e.Note, "N")))
		}
	}
	return list
}

// TestReportGoesOn: a report that cannot be delivered takes each form once, then
// is the postmaster's, and then the log's. Each step is one commit: nothing is
// lost, and nothing comes twice.
func TestReportGoesOn(t *testing.T) {
	inBubble(t, func(h *house) {
		var log bytes.Buffer
		h.options = func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) }
		h.Queue = h.queue("node", true)
		h.made = reporter
		h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { return h.store.CreateAccount(tx, 7) }))
		refusals := map[string]mail.Attempt{}
		h.answers(func(_ mail.NextHop, to mail.OutgoingRecipient) mail.Attempt {
			if a, ok := refusals[to.Address.Local]; ok {
				return a
			}
			return delivered()
		})
		large := mail.Attempt{Outcome: mail.Failed, Phase: mail.PhaseAnswer, Code: 552, Enhanced: "5.3.4", Text: "too large", Host: "mx.test"}
		refusals["no"], refusals["large"], refusals["nobody"], refusals["nowhere"], refusals["away"], refusals["postmaster"] =
			refused(), large, refused(), refused(), refused(), refused()
		h.run()
		const (
			first = "report spooled as message N"
			again = "report once more, smaller, spooled as message N"
			filed = "the postmaster is told: filed here"
			lost  = "untold message N could not be delivered"
		)
		for _, c := range []struct {
			sender string
			items  [][]string // what is told of the message, its report, the next
			filed  int
			errors int
		}{
			{"fine@a.test", [][]string{{first}, nil}, 0, 0},
			{"large@a.test", [][]string{{first, again, lost + "; " + filed}, {again}, {"untold " + filed}}, 1, 1},
			{"nobody@a.test", [][]string{{first, lost + "; " + filed}, {"untold " + filed}}, 1, 1},
			{"nowhere@a.test", [][]string{{first, lost}, {"untold"}}, 0, 1},
			{"away@a.test", [][]string{{first, lost + "; the postmaster is told: spooled as message N", lost},
				{"untold the postmaster is told: spooled as message N"}, {"untold"}}, 0, 2},
		} {
			before := h.one(`SELECT count(*) FROM email`)
			log.Reset()
			id := h.send("one", from(c.sender), to("no@b.test"))
			h.pass(time.Minute)
			for i, want := range c.items {
				h.want(c.sender, h.tellings(id+spool.ItemID(i)), want)
			}
			if _, err := h.Show(ctx, id+spool.ItemID(len(c.items))); mail.KindOf(err) != mail.NotFound {
				t.Errorf("%s: one more message: %v", c.sender, err)
			}
			h.want(c.sender+" filed", h.one(`SELECT count(*) FROM email`)-before, c.filed)
			h.want(c.sender+" errors", strings.Count(log.String(), "level=ERROR"), c.errors)
			h.want(c.sender+" left", h.count(Filter{}).Total(), 0)
		}
	})
}

// TestReportIsOwed: a report that was refused stays in custody until its next
// form is durable, over a restart too.
func TestReportIsOwed(t *testing.T) {
	inBubble(t, func(h *house) {
		broken := true
		h.made = func(r Report, w io.Writer) (letter, error) {
			if r.Item.ReversePath.IsNull() && broken {
				return letter{}, mail.Errorf(mail.Unavailable, "the disk is gone")
			}
			return reporter(r, w)
		}
		h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { return h.store.CreateAccount(tx, 7) }))
		h.answers(always(refused()))
		h.run()
		id := h.send("one", from("s@a.test"), to("no@b.test"))
		h.pass(time.Minute)
		h.want("owed", h.count(Filter{}).Owed, 1)
		h.check()
		h.stop()
		h.Queue = h.queue("node", true)
		h.mu.Lock()
		broken = false
		h.mu.Unlock()
		h.run()
		h.pass(15 * time.Minute)
		h.want("events", h.tellings(id+1), []string{"untold the postmaster is told: filed here"})
		h.want("filed", h.one(`SELECT count(*) FROM email`), 1)
		h.want("left", h.count(Filter{}).Total(), 0)
	})
}

// TestForeignReport: a report of another system that we only carry is not ours
// to tell of.
func TestForeignReport(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answers(always(refused()))
		h.run()
		id := h.send("one", from(""), to("no@b.test"))
		h.pass(time.Minute)
		h.want("events", h.tellings(id), []string{"untold"})
		h.want("reports", h.told(), []string{})
		h.want("left", h.count(Filter{}).Total(), 0)
	})
}
