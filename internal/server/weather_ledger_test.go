package server

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"yubin/internal/engine/queue"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/dsn"
	"yubin/internal/testkit/smtpsink"
)

// observe counts attempts by domain.
func (o *postOffice) observe(seen queue.Observation) {
	if seen.Kind != queue.ObservedAttempt {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.attempts[seen.Site]++
}

// heard is a host that has all of a message. It was sent again if it was taken
// before; not if it is taken later, while this host has not ended its answer.
func (o *postOffice) heard(l *smtpsink.Letter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, to := range l.To {
		if f := o.fates[l.ID+" "+to]; f != nil && f.taken > 0 {
			f.after++
		}
	}
	if m := o.sent[l.ID]; m == nil || m.sum != l.Sum && m.encoded != l.Sum {
		o.t.Errorf("a host has %q with other octets than were sent", l.ID)
	}
}

// said is its answer for one recipient.
func (o *postOffice) said(h *hop, l *smtpsink.Letter, to string, code int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.fates[l.ID+" "+to]
	if f == nil || f.hop != h {
		o.t.Errorf("%s has %s for %s, who is elsewhere", h.name, l.ID, to)
		return
	}
	switch {
	case err != nil:
		f.cut++
	case code/100 == 2:
		f.taken++
	}
}

// account compares what happened with what may happen.
func (o *postOffice) account() {
	o.readReports()
	o.readQueue()
	totals := map[*hop]*total{}
	for key, f := range o.fates {
		if problem := o.judge(f); problem != "" {
			o.t.Errorf("%s at %s: %s", key, f.hop.name, problem)
		}
		if totals[f.hop] == nil {
			totals[f.hop] = &total{}
		}
		totals[f.hop].add(f)
	}
	o.print(totals)
}

// probeWait is how long mail that is due may wait for the next probe of a site
// that is down, and for the end of that.
const probeWait = 30 * time.Minute

// judge says what is wrong with a fate, or "".
func (o *postOffice) judge(f *fate) string {
	ends := map[rune]int{delivered: f.taken, bounced: f.bounced, waiting: 0, untold: 0}
	if f.isWaiting != nil {
		ends[waiting] = 1
	}
	if f.null && o.untold(f) {
		ends[untold] = 1
	}
	may := f.hop.want
	switch {
	case f.hop.sort != nil:
		may = f.hop.sort(f)
	case f.young && f.hop.late != "":
		may = f.hop.late
	}
	if f.null {
		may = strings.ReplaceAll(may, string(bounced), string(untold))
	}
	sum := 0
	for end, n := range ends {
		if sum += n; n > 0 && !strings.ContainsRune(may, end) {
			return fmt.Sprintf("ended as %c, which cannot be: %+v", end, f)
		}
	}
	switch w := f.isWaiting; {
	case sum != 1:
		return fmt.Sprintf("%d definite answers, %d bounces, %d waiting, %d failed untold", f.taken, f.bounced, ends[waiting], ends[untold])
	case w != nil && (w.Last.At.IsZero() || w.Last.Text == "" || w.Last.Outcome != mail.Deferred):
		return fmt.Sprintf("waits without a reason: %+v", w)
	case w != nil && time.Since(w.Due) > probeWait:
		return fmt.Sprintf("is due since %v", w.Due)
	case f.null && f.late > 0:
		return "a delay was reported to nobody"
	case f.after > 0:
		return fmt.Sprintf("sent %d times more after a definite answer", f.after)
	case f.late > 1:
		return fmt.Sprintf("%d reports of a delay", f.late)
	}
	return o.judgeCuts(f)
}

// untold reports whether the story of a message without a sender ends, for one
// recipient, with a failure of which nobody is told.
func (o *postOffice) untold(f *fate) bool {
	story, err := o.store.outgoing.queue.Show(o.ctx, f.item)
	o.check(err)
	for _, d := range story.Deliveries {
		if d.N == f.n {
			return false
		}
	}
	for _, e := range slices.Backward(story.Events) {
		if e.N == f.n {
			return e.Kind == queue.EventUntold
		}
	}
	return false
}

// judgeCuts wants each lost answer to be known as such.
func (o *postOffice) judgeCuts(f *fate) string {
	if f.cut == 0 {
		return ""
	}
	if !f.hop.cuts {
		return fmt.Sprintf("%d answers were cut by a host that does not", f.cut)
	}
	story, err := o.store.outgoing.queue.Show(o.ctx, f.item)
	o.check(err)
	known := 0
	for _, e := range story.Events {
		if e.N == f.n && e.Attempt.AnswerLost {
			known++
		}
	}
	if known != f.cut {
		return fmt.Sprintf("%d answers were cut, %d are known to be", f.cut, known)
	}
	return ""
}

// readReports reads the INBOX of every writer.
func (o *postOffice) readReports() {
	for _, account := range o.accounts {
		inbox, err := o.store.mail.MailboxByRole(o.ctx, account, mail.RoleInbox)
		o.must(err)
		var uids []mail.UID
		for uid := mail.UID(1); uid < inbox.UIDNext; uid++ {
			uids = append(uids, uid)
		}
		for len(uids) > 0 {
			rows, more, err := o.store.mail.Rows(o.ctx, inbox.ID, uids, store.NeedContent)
			o.must(err)
			for _, r := range rows {
				o.readReport(r.Content)
			}
			uids = uids[len(uids)-more:]
		}
	}
}

func (o *postOffice) readReport(c *store.Content) {
	defer c.Close()
	var b bytes.Buffer
	_, err := c.WriteTo(&b)
	o.must(err)
	r, ok := dsn.Parse(b.Bytes())
	if !ok {
		o.t.Errorf("this is no report:\n%s", b.String())
		return
	}
	for _, to := range r.Recipients {
		f := o.fates[string(r.EnvelopeID)+" "+to.Final.Value]
		switch {
		case f == nil:
			o.t.Errorf("a report names nobody: %+v", to)
		case to.Action == dsn.Failed:
			f.bounced++
		case to.Action == dsn.Delayed:
			f.late++
		default:
			o.t.Errorf("a report that nobody asked for: %+v", to)
		}
	}
}

// readQueue reads what still waits.
func (o *postOffice) readQueue() {
	ids := map[int64]string{}
	for id, m := range o.sent {
		ids[int64(m.item)] = id
	}
	var after queue.DeliveryID
	for {
		page, err := o.store.outgoing.queue.List(o.ctx, queue.Filter{}, after, queue.MaxList)
		o.must(err)
		for _, l := range page {
			f := o.fates[ids[int64(l.Item)]+" "+l.Address.String()]
			if f == nil || l.State != queue.Waiting {
				o.t.Errorf("in the queue: %+v", l)
				continue
			}
			f.isWaiting = &l
		}
		if len(page) == 0 {
			return
		}
		after = page[len(page)-1].DeliveryID
	}
}

// total sums up the fates at one hop.
type total struct{ recipients, delivered, bounced, waiting, untold, late, again int }

func (n *total) add(f *fate) {
	n.recipients++
	n.delivered += f.taken
	n.bounced += f.bounced
	n.late += f.late
	n.again += f.cut
	switch {
	case f.isWaiting != nil:
		n.waiting++
	case f.taken+f.bounced == 0:
		n.untold++
	}
}

func (o *postOffice) print(totals map[*hop]*total) {
	var b strings.Builder
	fmt.Fprintf(&b, "%d messages\n%-12s %10s %9s %7s %7s %6s %7s %8s %8s\n", len(o.sent), "hop", "recipients",
		"delivered", "bounced", "waiting", "untold", "delayed", "attempts", "cut")
	for _, h := range o.world.hops {
		n := totals[h]
		if n == nil {
			o.t.Errorf("%s had no mail", h.name)
			continue
		}
		site := "mx:" + h.domain()
		if h.name == "lmtp" {
			site = "lmtp:mx.lmtp.example:0"
		}
		fmt.Fprintf(&b, "%-12s %10d %9d %7d %7d %6d %7d %8d %8d\n", h.name, n.recipients, n.delivered, n.bounced, n.waiting,
			n.untold, n.late, o.attempts[site], n.again)
	}
	o.t.Log(b.String())
}
