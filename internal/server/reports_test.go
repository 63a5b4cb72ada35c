package server

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/proto/dsn"
	"yubin/internal/testkit/smtpsink"
)

// home is the host of a sender, what it refuses of a report, and what becomes of
// the report.
type home struct {
	what     string
	host     *smtpsink.Host
	behave   func(*world) func(event) say
	original string    // what follows its From and Message-ID
	body     mail.Body // and how it came
	utf8     bool
	to       string // whom it is for, at a host that refuses all

	whole, small, postmaster bool // what got through, and to the postmaster
	days                     int  // it takes, to be over
}

// over is a host that refuses at a moment, with these words, reports that are
// like the original of a home.
func over(m smtpsink.Moment, words string) func(*world) func(event) say {
	return func(*world) func(event) say {
		return func(e event) say {
			if e.Moment == m && (m == smtpsink.End && e.Letter.Size > 10*liarSize || m == smtpsink.Mail && strings.Contains(e.Line, "BODY=8BITMIME")) {
				return say{Text: words}
			}
			return say{}
		}
	}
}

func homes() []home {
	large, eight := strings.Repeat("a line of the message\r\n", 5000), "Grüße\r\n"
	return []home{
		{what: "no 8BITMIME", host: offers("PIPELINING"), original: "\r\n" + eight, body: mail.Body8BitMIME, whole: true},
		{what: "no SMTPUTF8", host: offers("8BITMIME", "SIZE"), original: "Subject: 昼食\r\n\r\n" + eight, body: mail.Body8BitMIME, utf8: true, small: true},
		{what: "neither", host: offers("PIPELINING", "DSN"), original: "Subject: 昼食\r\n\r\n" + eight, body: mail.Body8BitMIME, utf8: true, to: "局", small: true},
		{what: "no room by SIZE", host: offers("SIZE 20000"), original: "\r\n" + large, small: true},
		{what: "no room, said at the end", host: offers(modern...), behave: over(smtpsink.End, "552 5.3.4 too large after all"), original: "\r\n" + large, small: true},
		{what: "content refused", host: offers(modern...), behave: over(smtpsink.End, "554 5.6.1 no such contents here"), original: "\r\n" + large, small: true},
		{what: "content called junk", host: offers(modern...), behave: over(smtpsink.End, "554 5.7.1 spam"), original: "\r\n" + large, small: true},
		{what: "BODY refused", host: offers(modern...), behave: over(smtpsink.Mail, "555 5.5.4 what is BODY"), original: "Subject: 昼食\r\n\r\n" + eight, body: mail.Body8BitMIME, utf8: true, small: true},
		{what: "nobody", host: offers(modern...), behave: always(smtpsink.Rcpt, say{Text: "550 5.1.1 nobody"}), original: "\r\n" + large, postmaster: true},
		{what: "no room at all", host: offers("SIZE 20"), original: "\r\n" + large, postmaster: true},
		{what: "nothing is good", host: offers(modern...), behave: always(smtpsink.End, say{Text: "554 5.6.0 no"}), original: "\r\n" + large, postmaster: true},
		{what: "not there", host: offers(modern...), behave: always(smtpsink.Greeting, say{Text: "421 4.3.2 busy", Then: smtpsink.Close}), original: "\r\n" + large,
			postmaster: true, days: 6},
	}
}

// TestReportGetsThrough: whatever the sender's host lacks or refuses, a report
// arrives there once, or at the postmaster's.
func TestReportGetsThrough(t *testing.T) {
	for _, c := range homes() {
		t.Run(c.what, func(t *testing.T) { synctest.Test(t, c.test) })
	}
}

func (c home) test(t *testing.T) {
	c.host.Keep = true
	o := newPostOffice(t, 1, []*hop{
		{name: "home", host: c.host, behave: c.behave},
		{name: "gone", host: offers(modern...), behave: always(smtpsink.Rcpt, say{Text: "550 5.1.1 nobody"})},
	})
	var mu sync.Mutex
	var got []string
	o.world.heard = func(*smtpsink.Letter) {}
	o.world.said = func(h *hop, l *smtpsink.Letter, to string, code int, err error) {
		mu.Lock()
		defer mu.Unlock()
		if h.name != "home" || l.From != "" || to != "ann@home.example" {
			t.Errorf("%s got mail from %q for %q", h.name, l.From, to)
		}
		if err == nil && code == 250 {
			got = append(got, string(l.Octets))
		}
	}
	o.run()
	in := o.store.intake.Begin()
	defer in.Close()
	_, err := in.Write([]byte("From: ann@home.example\r\nMessage-ID: <1@home.example>\r\n" + c.original))
	o.must(err)
	it := spool.Item{Outgoing: mail.Outgoing{ReversePath: mail.ReversePath{Local: "ann", Domain: "home.example"}, EnvID: "order 5", Body: c.body, UTF8: c.utf8}}
	to := mail.Address{Local: "nobody", Domain: "gone.example"}
	if c.to != "" {
		to.Local = c.to
	}
	receipt, err := o.store.intake.Commit(o.ctx, &intake.Plan{Message: in, Items: []intake.Item{{Item: it,
		Recipients: []queue.Recipient{{OutgoingRecipient: mail.OutgoingRecipient{Address: to}}}}}})
	o.must(err)
	id := receipt.Items[0]
	o.pass(time.Minute + time.Duration(c.days)*24*time.Hour)
	o.stop()

	inner := ""
	switch lost := inbox(t, o, "postmaster@near.example"); {
	case len(got) > 1 || len(lost) > 1 || len(got) != 0 == c.postmaster || len(lost) != 0 != c.postmaster:
		t.Fatalf("%d reports at home, %d at the postmaster's", len(got), len(lost))
	case c.postmaster:
		p := message.Parse([]byte(lost[0]))
		r, ok := dsn.Parse([]byte(lost[0]))
		if !ok || len(r.Recipients) != 1 || r.Recipients[0].Final.Value != "ann@home.example" || !strings.HasPrefix(p.Subject, "A report was not delivered: ") {
			t.Errorf("the postmaster got\n%s", lost[0])
		}
		inner = lost[0][p.Root.Children[2].Body:p.Root.Children[2].End]
	default:
		inner = got[0]
	}
	r, ok := dsn.Parse([]byte(inner))
	if !ok || len(r.Recipients) != 1 || r.Recipients[0].Final.Value != to.String() || r.Recipients[0].Status.String() != "5.1.1" ||
		r.MessageID != "1@home.example" || r.EnvelopeID != "order 5" {
		t.Errorf("the report says %+v in\n%s", r, inner)
	}
	if whole := !strings.Contains(inner, "text/rfc822-headers"); whole != c.whole || c.small && strings.ContainsFunc(inner, func(r rune) bool { return r >= 0x80 }) {
		t.Errorf("got the whole message: %v, in\n%.3000s", whole, inner)
	}
	c.checkStories(t, o, id)
	o.close()
}

// checkStories reads what the operator can: each item, and nothing left.
func (c home) checkStories(t *testing.T, o *postOffice, first spool.ItemID) {
	t.Helper()
	var events []string
	for id := first; ; id++ {
		s, err := o.store.outgoing.queue.Show(o.ctx, id)
		if mail.KindOf(err) == mail.NotFound {
			break
		}
		o.must(err)
		if len(s.Deliveries) > 0 {
			t.Errorf("message %d still waits", id)
		}
		for _, e := range s.Events {
			if e.Kind == queue.EventReport || e.Kind == queue.EventUntold {
				events = append(events, fmt.Sprintf("%d %s %s", id-first, e.Kind, e.Note))
			}
		}
	}
	var later, want []string // of the report and its other forms; the story of the message tells it all
	tell := func(id int, kind, of, note string) {
		want = append(want, fmt.Sprintf("0 %s %s%s", kind, of, note))
		if id > 0 {
			later = append(later, fmt.Sprintf("%d %s %s", id, kind, note))
		}
	}
	tell(0, "report", "", fmt.Sprintf("spooled as message %d", first+1))
	last := 1
	if c.small || c.what == "nothing is good" || c.what == "no room at all" {
		tell(1, "report", "", fmt.Sprintf("once more, smaller, spooled as message %d", first+2))
		last = 2
	}
	if c.postmaster {
		tell(last, "untold", fmt.Sprintf("message %d could not be delivered; ", int(first)+last), "the postmaster is told: filed here")
	}
	want = append(want, later...)
	if fmt.Sprint(events) != fmt.Sprint(want) {
		t.Errorf("events\n%q, want\n%q", events, want)
	}
}

// inbox is all that an address has.
func inbox(t *testing.T, o *postOffice, address string) (list []string) {
	t.Helper()
	a, err := mail.ParseAddress(address)
	o.must(err)
	found, err := o.store.directory.Resolve(o.ctx, a)
	o.must(err)
	box, err := o.store.mail.MailboxByRole(o.ctx, found.Accounts[0], mail.RoleInbox)
	o.must(err)
	for uid := mail.UID(1); uid < box.UIDNext; uid++ {
		rows, _, err := o.store.mail.Rows(o.ctx, box.ID, []mail.UID{uid}, store.NeedContent)
		o.must(err)
		var b strings.Builder
		_, err = rows[0].Content.WriteTo(&b)
		o.must(err)
		_ = rows[0].Content.Close()
		list = append(list, b.String())
	}
	return list
}
