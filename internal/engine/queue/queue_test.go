package queue

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/engine/route"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// TestCarry: from custody to the end of it; the story is what remains.
func TestCarry(t *testing.T) {
	inBubble(t, func(h *house) {
		h.run()
		id := h.send("one", from("s@a.test"), to("x@b.test", "y@b.test", "z@c.test"))
		h.pass(time.Second)
		h.want("taken", h.got(), 3)
		h.want("left", h.count(Filter{}).Total(), 0)
		s, err := h.Show(ctx, id)
		h.must(err)
		if s.Item.Settled.IsZero() || s.Item.Blob != 0 || len(s.Events) != 3 {
			t.Errorf("story is %+v", s)
		}
		if e := s.Events[0]; e.Kind != EventAttempt || e.Attempt.Code != 250 || e.Attempt.Host != "mx.test" || e.Recipient.IsZero() {
			t.Errorf("event is %+v", e)
		}
		h.want("blobs", h.one(`SELECT count(*) FROM blob`), 0)
		h.want("reports", h.told(), []string{})
	})
}

// one reads a number.
func (h *house) one(query string, args ...any) (n int) {
	h.t.Helper()
	h.must(h.db.Read(ctx, func(tx *sqldb.Tx) error { return tx.QueryRow(query, args...).Scan(&n) }))
	return n
}

// TestGroup: the recipients of an item at one site share a transaction, at most
// a hundred.
func TestGroup(t *testing.T) {
	inBubble(t, func(h *house) {
		var sizes []int
		h.during = func(_ mail.NextHop, t mail.Transaction) {
			h.mu.Lock()
			defer h.mu.Unlock()
			sizes = append(sizes, len(t.Recipients))
		}
		var list []string
		for i := range 230 {
			list = append(list, strings.Repeat("x", i%50+1)+"."+string(rune('a'+i/50))+"@b.test")
		}
		h.send("one", from("s@a.test"), to(append(list, "z@c.test")...))
		h.run()
		h.pass(time.Second)
		slices.Sort(sizes)
		h.want("transactions", sizes, []int{1, 30, 100, 100})
		h.want("taken", h.got(), 231)
	})
}

// TestAcceptIsOneCommit: a local copy and the spooled one share their octets.
func TestAcceptIsOneCommit(t *testing.T) {
	inBubble(t, func(h *house) {
		h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { return h.store.CreateAccount(tx, 7) }))
		big := strings.Repeat("0123456789abcdef\r\n", 8000) // A file.
		for _, body := range []string{"small\r\n", big} {
			in := h.store.NewIncoming()
			_, err := in.Write([]byte("Subject: both\r\n\r\n" + body))
			h.must(err)
			it := from("s@a.test")
			it.Prefix = []byte("Received: here\r\n")
			filed, id, err := h.accept(in, []store.Filing{{Account: 7, Role: mail.RoleInbox, Received: time.Now()}}, it, to("x@b.test"))
			in.Close()
			h.must(err)
			if len(filed) != 1 || id == 0 {
				t.Fatalf("filed %v as %d", filed, id)
			}
		}
		h.want("references", h.one(`SELECT sum(refs) FROM blob`), 4)
		h.check()
		h.run()
		h.pass(time.Second)
		h.want("references", h.one(`SELECT sum(refs) FROM blob`), 2)
		h.want("taken", h.gotBy("both x@b.test"), 2)
	})
}

// TestTraceBeforeWhatHasNoHeader: what goes on reads like what came, fresh and
// read again.
func TestTraceBeforeWhatHasNoHeader(t *testing.T) {
	inBubble(t, func(h *house) {
		want := map[string]string{
			"Subject: x\r\n\r\ntext\r\n":             "Received: here\r\nSubject: x\r\n\r\ntext\r\n",
			"Disk is full\r\n\r\nbye\r\n":            "Received: here\r\n\r\nDisk is full\r\n\r\nbye\r\n",
			" folded\r\nSubject: x\r\n\r\ntext\r\n":  "Received: here\r\nX-Stray-Line:  folded\r\nSubject: x\r\n\r\ntext\r\n",
			"From a@b\r\nSubject: x\r\n\r\ntext\r\n": "Received: here\r\nX-Mailbox-Line: From a@b\r\nSubject: x\r\n\r\ntext\r\n",
		}
		for octets, want := range want {
			in := h.store.NewIncoming()
			_, err := in.Write([]byte(octets))
			h.must(err)
			it := from("s@a.test")
			it.Prefix = []byte("Received: here\r\n")
			_, id, err := h.accept(in, nil, it, to("x@b.test"))
			h.must(err)
			in.Close()
			h.must(h.db.Read(ctx, func(tx *sqldb.Tx) error {
				it, err = h.o.Spool.Item(tx, id)
				return err
			}))
			c, err := h.o.Spool.Content(ctx, it)
			h.must(err)
			var got strings.Builder
			_, err = c.WriteTo(&got)
			h.must(err)
			h.want("what goes on", got.String(), want)
			h.want("size", it.Size, int64(len(want)))
		}
		h.check()
	})
}

// TestAcceptAllOrNothing: what cannot be spooled is not filed either.
func TestAcceptAllOrNothing(t *testing.T) {
	inBubble(t, func(h *house) {
		h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { return h.store.CreateAccount(tx, 7) }))
		in := h.store.NewIncoming()
		defer in.Close()
		it := from("s@a.test")
		it.Priority = 10
		_, _, err := h.accept(in, []store.Filing{{Account: 7, Role: mail.RoleInbox, Received: time.Now()}}, it, to("x@b.test"))
		h.want("kind", mail.KindOf(err), mail.Invalid)
		h.want("rows", h.one(`SELECT count(*) FROM blob`)+h.one(`SELECT count(*) FROM email`), 0)
		_, _, err = h.accept(in, nil, from("s@a.test"), make([]Recipient, MaxRecipients+1))
		h.want("kind", mail.KindOf(err), mail.TooLarge)
	})
}

// TestRetrySchedule: quick first, then longer, a notice after four hours, one
// report at the end.
func TestRetrySchedule(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answer = byLocal
		var attempts []time.Duration
		start := time.Now()
		h.during = func(_ mail.NextHop, t mail.Transaction) {
			if !t.ReversePath.IsNull() {
				attempts = append(attempts, time.Since(start))
			}
		}
		h.run()
		h.send("one", from("s@a.test"), to("later@b.test"))
		h.pass(4*time.Hour - time.Second)
		h.want("reports", h.told(), []string{})
		h.pass(3 * time.Hour)
		h.want("reports", h.told(), []string{"delayed later@b.test"})
		h.pass(112 * time.Hour)
		h.want("left", h.count(Filter{State: Waiting}).Total(), 1)
		h.pass(2 * time.Hour)
		h.want("reports", h.told(), []string{"delayed later@b.test", "failed later@b.test expired"})
		h.want("left", h.count(Filter{}).Total(), 0)
		table := defaultRetry()
		for i := 1; i < len(attempts)-1; i++ {
			wait, want := attempts[i]-attempts[i-1], table[min(i, len(table))-1]
			if float64(wait) < float64(want)*(1-jitter)-1e9 || float64(wait) > float64(want)*(1+jitter)+1e9 {
				t.Errorf("wait %d is %v, not about %v", i, wait, want)
			}
		}
		h.want("last attempt", attempts[len(attempts)-1].Round(time.Second), DefaultLifetime)
		if n := len(attempts); n < 35 || n > 55 {
			t.Errorf("%d attempts in five days", n)
		}
	})
}

// TestOneReport: failures of one message that are settled at about the same time
// are one report; a later one is another.
func TestOneReport(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answer = byLocal
		h.run()
		h.send("one", from("s@a.test"), to("no@b.test", "no@c.test", "no@d.test", "ok@e.test", "later@f.test"))
		h.pass(time.Second)
		h.want("reports", h.told(), []string{})
		h.want("owed", h.count(Filter{}).Owed, 3)
		h.pass(DefaultGather + time.Second)
		h.want("reports", h.told(), []string{"failed no@b.test, failed no@c.test, failed no@d.test"})
		h.want("left", h.count(Filter{}).Total(), 1)
		h.answers(always(refused()))
		h.pass(2 * time.Minute)
		h.want("reports", h.told()[1:], []string{"failed later@f.test"})
		h.want("left", h.count(Filter{}).Total(), 0) // The reports could not be delivered either, and nobody heard of that.
		if n := h.observations(ObservedUntold); n != 1 {
			t.Errorf("%d deliveries are untold", n)
		}
	})
}

// TestNothingToWaitFor: when the last of a message is delivered, those who were
// refused before are reported at once.
func TestNothingToWaitFor(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answer = byLocal
		h.during = func(hop mail.NextHop, _ mail.Transaction) {
			if hop.Domain == "slow.test" {
				time.Sleep(2 * time.Second)
			}
		}
		h.run()
		h.send("one", from("s@a.test"), to("no@b.test", "no@c.test", "ok@slow.test"))
		h.pass(time.Second)
		h.want("reports", h.told(), []string{})
		h.pass(2 * time.Second)
		h.want("reports", h.told(), []string{"failed no@b.test, failed no@c.test"})
		h.want("left", h.count(Filter{}).Total(), 0)
	})
}

func (h *house) observations(k ObservationKind) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.seen {
		if o.Kind == k {
			n++
		}
	}
	return n
}

// TestSingleFailureIsOneCommit: the report of a message that nobody else waits
// for is spooled in the commit that settles it: it is never seen owed.
func TestSingleFailureIsOneCommit(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answer = byLocal
		h.made = func(r Report, w io.Writer) (letter, error) {
			h.reports = append(h.reports, r)
			if n := h.one(`SELECT count(*) FROM queue_delivery WHERE state = 4`); n != 0 {
				t.Errorf("%d rows are owed", n)
			}
			return spooledReport(r, w)
		}
		h.run()
		h.send("one", from("s@a.test"), to("no@b.test", "no.more@b.test"))
		h.pass(time.Second)
		h.want("reports", h.told(), []string{"failed no.more@b.test, failed no@b.test"})
		h.want("sent", h.gotBy("report failed no.more@b.test, failed no@b.test s@a.test"), 1)
	})
}

// TestNotify is RFC 3461 §5.2, RFC 2852 §4.1.
func TestNotify(t *testing.T) {
	took := delivered()
	took.DSN = true
	for _, tc := range []struct {
		name   string
		sender string
		notify mail.Notify
		answer mail.Attempt
		want   string
	}{
		{"nothing said, failed", "s@a.test", 0, refused(), "failed x@b.test"},
		{"nothing said, delivered", "s@a.test", 0, delivered(), ""},
		{"failure asked", "s@a.test", mail.NotifyFailure, refused(), "failed x@b.test"},
		{"never", "s@a.test", mail.NotifyNever, refused(), ""},
		{"success only, failed", "s@a.test", mail.NotifySuccess, refused(), ""},
		{"delay only, failed", "s@a.test", mail.NotifyDelay, refused(), ""},
		{"success, remote without DSN", "s@a.test", mail.NotifySuccess, delivered(), "relayed x@b.test"},
		{"success, remote reports itself", "s@a.test", mail.NotifySuccess, took, ""},
		{"null reverse-path failed", "", 0, refused(), ""},
		{"null reverse-path, success", "", mail.NotifySuccess, delivered(), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(h *house) {
				h.answer = func(_ mail.NextHop, r mail.OutgoingRecipient) mail.Attempt {
					if r.Address.Domain == "a.test" {
						return delivered()
					}
					return tc.answer
				}
				h.run()
				h.send("one", from(tc.sender), notify(tc.notify, to("x@b.test")))
				h.pass(time.Minute)
				h.want("reports", strings.Join(h.told(), "; "), tc.want)
				h.want("left", h.count(Filter{}).Total(), 0)
			})
		})
	}
}

func TestDelayNotice(t *testing.T) {
	for n, want := range map[mail.Notify]int{0: 1, mail.NotifyDelay: 1, mail.NotifyFailure: 0, mail.NotifyNever: 0} {
		inBubble(t, func(h *house) {
			h.answer = byLocal
			h.run()
			h.send("one", from("s@a.test"), notify(n, to("later@b.test", "later@c.test")))
			h.pass(12 * time.Hour)
			h.want("notices for "+n.String(), len(h.told()), want)
		})
	}
}

// TestFutureRelease: RFC 4865 §4.2.
func TestFutureRelease(t *testing.T) {
	inBubble(t, func(h *house) {
		h.run()
		it := from("s@a.test")
		it.HoldUntil = time.Now().Add(48 * time.Hour)
		h.send("held", it, to("x@b.test"))
		h.pass(47 * time.Hour)
		n, err := h.Retry(ctx, Filter{}, "", nil)
		h.must(err)
		h.want("retried", n, 0)
		h.pass(59 * time.Minute)
		h.want("sent", len(h.log()), 0)
		h.pass(2 * time.Minute)
		h.want("sent", h.gotBy("held x@b.test"), 1)
		h.send("held", it, to("y@b.test"))
		it.HoldUntil = time.Now().Add(48 * time.Hour)
		h.send("released", it, to("y@b.test"))
		n, err = h.Release(ctx, Filter{}, "", nil)
		h.must(err)
		h.want("released", n, 1)
		h.pass(time.Minute)
		h.want("sent", h.gotBy("released y@b.test"), 1)
	})
}

// TestDeliverBy: RFC 2852 §4.1.3.
func TestDeliverBy(t *testing.T) {
	for _, back := range []bool{true, false} {
		inBubble(t, func(h *house) {
			h.answer = byLocal
			h.run()
			it := from("s@a.test")
			it.DeliverBy = mail.DeliverBy{At: time.Now().Add(10 * time.Minute), Return: back}
			h.send("one", it, to("later@b.test"))
			h.pass(9 * time.Minute)
			h.want("reports", h.told(), []string{})
			h.pass(2 * time.Minute)
			if back {
				h.want("reports", h.told(), []string{"failed later@b.test"})
				h.want("status", h.reports[0].Recipients[0].Last.Status(), "5.4.7")
				return
			}
			h.want("reports", h.told(), []string{"delayed later@b.test expired"})
			h.answers(nil)
			h.pass(time.Hour)
			h.want("taken", h.gotBy("one later@b.test"), 1)
			h.want("reports", len(h.told()), 1) // Relayed when it was late already: no more to say.
		})
	}
}

// TestDeliverByRelayed: RFC 2852 §4.1.4.2.
func TestDeliverByRelayed(t *testing.T) {
	inBubble(t, func(h *house) {
		h.run()
		it := from("s@a.test")
		it.DeliverBy = mail.DeliverBy{At: time.Now().Add(10 * time.Minute)}
		h.send("one", it, to("x@b.test"))
		h.pass(time.Second)
		h.want("reports", h.told(), []string{"relayed x@b.test"})
	})
}

// TestRouterRefuses: what the tables refuse is settled without a courier.
func TestRouterRefuses(t *testing.T) {
	inBubble(t, func(h *house) {
		h.routes = map[mail.Domain]error{"b.test": &mail.Error{Kind: mail.Forbidden, Text: "mail for b.test is not taken", Err: &route.Refusal{Enhanced: "5.1.6"}},
			"c.test": mail.Errorf(mail.Unavailable, "the table is locked")}
		h.run()
		h.send("one", from("s@a.test"), to("x@b.test"))
		h.send("two", from("s@a.test"), to("x@c.test"))
		h.pass(30 * time.Second)
		h.want("reports", h.told(), []string{"failed x@b.test"})
		h.want("words", h.reports[0].Recipients[0].Last.Text, "mail for b.test is not taken")
		h.want("status", h.reports[0].Recipients[0].Last.Enhanced, "5.1.6")
		h.want("waiting", h.count(Filter{Domain: "c.test"}).Waiting, 1)
		h.mu.Lock()
		h.routes = nil
		h.mu.Unlock()
		h.pass(5 * time.Minute)
		h.want("taken", h.gotBy("two x@c.test"), 1)
	})
}

// TestMoved: a table that changed while mail waited.
func TestMoved(t *testing.T) {
	inBubble(t, func(h *house) {
		h.send("one", from("s@a.test"), []Recipient{{OutgoingRecipient: mail.OutgoingRecipient{Address: address("x@b.test")}, Site: "smtp:old:25"}})
		h.run()
		h.pass(time.Second)
		h.want("taken", h.gotBy("one x@b.test"), 1)
	})
}

// TestReporterFails: the message stays in custody until its report is durable.
func TestReporterFails(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answer = byLocal
		broken := true
		h.made = func(r Report, w io.Writer) (letter, error) {
			if broken {
				return letter{}, mail.Errorf(mail.Unavailable, "no paper")
			}
			h.reports = append(h.reports, r)
			return spooledReport(r, w)
		}
		h.run()
		h.send("one", from("s@a.test"), to("no@b.test"))
		h.pass(10 * time.Minute)
		h.want("owed", h.count(Filter{}).Owed, 1)
		h.mu.Lock()
		broken = false
		h.mu.Unlock()
		h.pass(2 * time.Minute)
		h.want("reports", h.told(), []string{"failed no@b.test"})
		h.want("left", h.count(Filter{}).Total(), 0)
	})
}

// TestReportFiledHere: a report for a local sender is filed in the commit that
// settles, and one that can go nowhere is let go.
func TestReportFiledHere(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answer = byLocal
		h.must(h.db.Write(ctx, func(tx *sqldb.Tx) error { return h.store.CreateAccount(tx, 7) }))
		h.made = func(r Report, w io.Writer) (letter, error) {
			if r.Item.ReversePath.String() == "gone@a.test" {
				return letter{}, nil
			}
			_, err := io.WriteString(w, "Subject: sorry\r\n\r\n")
			return letter{Filings: []store.Filing{{Account: 7, Role: mail.RoleInbox, Received: time.Now()}}}, err
		}
		h.run()
		h.send("one", from("s@a.test"), to("no@b.test"))
		id := h.send("two", from("gone@a.test"), to("no@b.test"))
		h.pass(time.Second)
		h.want("filed", h.one(`SELECT count(*) FROM membership`), 1)
		h.want("left", h.count(Filter{}).Total(), 0)
		s, err := h.Show(ctx, id)
		h.must(err)
		if !slices.ContainsFunc(s.Events, func(e Event) bool { return e.Kind == EventUntold }) {
			t.Errorf("events %+v", s.Events)
		}
	})
}

// TestTakeover: the work of a node that died returns when its lease has ended,
// not before, and not to a node that lives.
func TestTakeover(t *testing.T) {
	inBubble(t, func(h *house) {
		dead := h.queue("dead", false)
		h.Queue = h.queue("alive", false)
		h.must(dead.begin(ctx, ctx))
		h.send("one", from("s@a.test"), to("x@b.test"))
		jobs, err := dead.prepare(ctx, []*errand{{key: key{1, "mx:b.test"}}})
		h.must(err)
		h.must(dead.claim(jobs))
		h.want("active", h.count(Filter{}).Active, 1)
		h.run()
		h.pass(leaseTime - 2*time.Second)
		h.want("taken", h.got(), 0)
		h.pass(2 * heartbeat)
		h.want("taken", h.gotBy("one x@b.test"), 1)
		dead.settle(ctx, jobs[0].item, []settlement{{d: jobs[0].carry[0], result: mail.Result{Outcome: mail.Failed,
			Attempts: []mail.Attempt{{At: time.Now(), Outcome: mail.Failed}}}}}) // Too late; it changes nothing.
		h.want("reports", h.observations(ObservedReport), 0)
	})
}

// TestLateDelivered: a definite answer settles although the lease was lost.
func TestLateDelivered(t *testing.T) {
	inBubble(t, func(h *house) {
		dead := h.queue("dead", false)
		h.must(dead.begin(ctx, ctx))
		h.send("one", from("s@a.test"), to("x@b.test"))
		jobs, err := dead.prepare(ctx, []*errand{{key: key{1, "mx:b.test"}}})
		h.must(err)
		h.must(dead.claim(jobs))
		h.pass(2 * leaseTime)
		h.must(h.Queue.begin(ctx, ctx))
		h.must(h.takeover(ctx, time.Now()))
		h.want("waiting", h.count(Filter{}).Waiting, 1)
		dead.settle(ctx, jobs[0].item, []settlement{{d: jobs[0].carry[0], result: mail.Result{Outcome: mail.Delivered,
			Attempts: []mail.Attempt{{At: time.Now(), Outcome: mail.Delivered}}}}})
		h.want("left", h.count(Filter{}).Total(), 0)
	})
}

// TestShutdown: a job under way is waited for; one that does not end is told to,
// and is sent again by the next process.
func TestShutdown(t *testing.T) {
	inBubble(t, func(h *house) {
		h.options = func(o *Options) { o.Grace = time.Minute }
		h.Queue = h.queue("node", !h.shared)
		begun := make(chan struct{}, 2)
		h.during = func(hop mail.NextHop, _ mail.Transaction) {
			begun <- struct{}{}
			if hop.Domain == "slow.test" {
				<-time.After(30 * time.Second)
			} else {
				<-time.After(90 * time.Second)
			}
		}
		h.run()
		h.send("one", from("s@a.test"), to("x@slow.test", "x@stuck.test"))
		<-begun
		<-begun
		began := time.Now()
		h.stop()
		h.want("ended after", time.Since(began), 90*time.Second)
		h.want("taken", h.gotBy("one x@slow.test"), 1)
		h.want("left", h.count(Filter{}).Waiting, 1)
		h.during = nil
		h.run()
		h.pass(2 * time.Minute)
		h.want("taken", h.gotBy("one x@stuck.test"), 1)
	})
}

// TestUntried: a courier that has no result for a recipient did not try it.
func TestUntried(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answer = byLocal
		h.run()
		h.send("one", from("s@a.test"), to("none@b.test"))
		h.pass(10 * time.Second)
		list, err := h.List(ctx, Filter{}, DeliveryID{}, 10)
		h.must(err)
		if len(list) != 1 || list[0].State != Waiting || list[0].Attempts != 0 || list[0].Deferrals != 0 {
			t.Errorf("list %+v", list)
		}
	})
}

// TestHistoryIsSwept: after Schedule.History nothing is left of a message.
func TestHistoryIsSwept(t *testing.T) {
	bubble(t, false, func(h *house) { // Where others share the database, a lease is renewed 170,000 times in 30 days.
		h.run()
		id := h.send("one", from("s@a.test"), to("x@b.test"))
		h.pass(DefaultHistory - time.Hour)
		found, err := h.Trace(ctx, "X@b.test", time.Time{}, 0, 10)
		h.must(err)
		h.want("found", len(found), 1)
		h.pass(2 * time.Hour)
		_, err = h.Show(ctx, id)
		h.want("kind", mail.KindOf(err), mail.NotFound)
		h.want("rows", h.one(`SELECT count(*) FROM queue_event`)+h.one(`SELECT count(*) FROM spool_item`), 0)
	})
}

// TestClosedDatabase: the loop outlives a database that fails, and ends.
func TestClosedDatabase(t *testing.T) {
	inBubble(t, func(h *house) {
		run, cancel := context.WithCancel(ctx)
		done := make(chan error)
		go func() { done <- h.Queue.Run(run) }()
		synctest.Wait()
		h.must(h.db.Close())
		h.pass(time.Minute)
		cancel()
		h.must(<-done)
		h.open()
	})
}

// TestReportsShareMemory: however many messages fail at once, few reports are
// made at a time.
func TestReportsShareMemory(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answer = always(refused())
		making, most := 0, 0
		h.made = func(r Report, w io.Writer) (letter, error) {
			making++
			most = max(most, making)
			h.mu.Unlock()
			<-time.After(time.Second)
			h.mu.Lock()
			making--
			h.reports = append(h.reports, r)
			return spooledReport(r, w)
		}
		for i := range 3 * maxTelling {
			h.send("m", from("s@a.test"), to(fmt.Sprintf("no@b%d.test", i)))
		}
		h.run()
		h.pass(time.Minute)
		h.want("reports", len(h.told()), 3*maxTelling)
		h.want("made at a time", most, maxTelling)
	})
}

// TestParkedAfterRestart: what was put off because its site was down goes out
// when the site turns out to be well, also if nobody remembers that it was down.
func TestParkedAfterRestart(t *testing.T) {
	inBubble(t, func(h *house) {
		h.answers(always(unreachable()))
		h.run()
		for i := range 8 {
			h.send(fmt.Sprint(i), from("s@a.test"), to("x@b.test"))
			h.pass(2 * time.Second)
		}
		h.pass(30 * time.Minute)
		h.want("parked", h.count(Filter{}).Parked > 0, true)
		h.stop()
		h.answers(always(delivered()))
		h.run()
		h.send("new", from("s@a.test"), to("x@b.test"))
		h.pass(time.Minute)
		h.want("parked", h.count(Filter{}).Parked, 0)
		h.want("left of what was parked", h.got() > 5, true)
	})
}
