package report

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/proto/dsn"
)

// letters is an original that needs everything: SMTPUTF8, 8BITMIME and room.
const letters = "From: 郵便@例え.テスト\r\nSubject: 昼食\r\nMessage-ID: <1@yubin.test>\r\n\r\nGrüße\r\n"

// postmasters routes all to other hosts, save the postmaster, who has account 3.
type postmasters struct{ err error }

func (p postmasters) Route(_ context.Context, q route.Question) (route.Routed, error) {
	if q.Recipient.Local == "postmaster" {
		return route.Routed{Accounts: []mail.AccountID{3}}, nil
	}
	return route.Routed{Onward: []route.Onward{{Address: q.Recipient, Hop: mail.NextHop{Kind: mail.HopMX, Domain: q.Recipient.Domain}}}}, p.err
}

func makerOf(r Router) *Maker {
	m := maker(nil)
	m.cfg.Router = r
	return m
}

// failedReport makes a report about letters and returns what the queue asks when
// it was answered so.
func failedReport(t *testing.T, m *Maker, a mail.Attempt) (queue.Report, planned, string) {
	t.Helper()
	rep := about(told(queue.ActionFailed, refused))
	rep.Item.UTF8, rep.Item.Body = true, mail.Body8BitMIME
	rep.Recipients[0].Address = mail.Address{Local: "局", Domain: "far.example"}
	rep.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(letters + strings.Repeat("Grüße\r\n", 10_000))), nil
	}
	var out bytes.Buffer
	made, err := m.Make(t.Context(), rep, &out)
	if err != nil || made.Item.Report != spool.WholeReport || !made.Item.UTF8 || made.Item.Body != mail.Body8BitMIME {
		t.Fatalf("the report: %+v, %v", made, err)
	}
	return asked(made, out.String(), a), made, out.String()
}

// asked is what the queue asks when a report was answered so.
func asked(made planned, text string, a mail.Attempt) queue.Report {
	next := queue.Report{Item: made.Item, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
	next.Item.ID = 8
	for i, r := range made.Recipients {
		d := queue.Delivery{DeliveryID: queue.DeliveryID{Item: 8, N: i + 1}, OutgoingRecipient: r.OutgoingRecipient, Site: r.Site, Via: "chosen", Last: a}
		next.Recipients = append(next.Recipients, queue.Told{Delivery: d, Action: queue.ActionFailed})
	}
	return next
}

var (
	tooLarge = mail.Attempt{At: now, Host: "mx.yubin.test", Phase: mail.PhaseMail, Enhanced: "5.3.4", Text: "too large", Ours: true, Outcome: mail.Failed}
	nobody   = mail.Attempt{At: now, Host: "mx.yubin.test", Phase: mail.PhaseRcpt, Code: 550, Enhanced: "5.1.1", Text: "nobody", Outcome: mail.Failed}
)

// TestSmaller: a report that is refused for its form is the same report in the
// smallest form, to the same recipients by the same way.
func TestSmaller(t *testing.T) {
	m := makerOf(postmasters{})
	next, whole, wholeText := failedReport(t, m, tooLarge)
	next.Item.RequireTLS = true
	var out bytes.Buffer
	made, err := m.Make(t.Context(), next, &out)
	if err != nil {
		t.Fatal(err)
	}
	if made.Item.Report != spool.SmallReport || made.Item.UTF8 || made.Item.Body != mail.Body7Bit || !made.Item.RequireTLS ||
		made.Item.MessageID != whole.Item.MessageID || len(made.Filings) != 0 || len(made.Recipients) != 1 ||
		made.Recipients[0].Address != alice || made.Recipients[0].Notify != mail.NotifyNever || made.Recipients[0].Site != whole.Recipients[0].Site ||
		made.Recipients[0].Via != "chosen" {
		t.Errorf("made %+v", made)
	}
	text := out.String()
	before, _ := dsn.Parse([]byte(wholeText))
	after, ok := dsn.Parse(out.Bytes())
	if !ok || len(after.Recipients) != 1 || after.Recipients[0] != before.Recipients[0] || after.MessageID != before.MessageID ||
		after.EnvelopeID != before.EnvelopeID || !after.Arrival.Equal(before.Arrival) {
		t.Errorf("it says\n%+v, before it said\n%+v", after, before)
	}
	for _, want := range []string{"\r\nContent-Type: text/rfc822-headers\r\n", "Final-Recipient: utf-8; \\x{5C40}@far.example\r\n",
		"report-type=delivery-status", "message/delivery-status\r\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 }) || len(text) > 5000 {
		t.Errorf("%d octets:\n%s", len(text), text)
	}
	if a, b := message.Parse([]byte(text)), message.Parse([]byte(wholeText)); a.Subject != b.Subject || !strings.Contains(a.Subject, "昼食") || !a.Date.Equal(b.Date) {
		t.Errorf("subjects %q and %q, dates %v and %v", a.Subject, b.Subject, a.Date, b.Date)
	}

	// Once only: refused again, it is the postmaster's.
	made, err = m.Make(t.Context(), asked(made, text, tooLarge), &bytes.Buffer{})
	if err != nil || made.Item.Report != spool.LostReport || len(made.Filings) != 1 || len(made.Recipients) != 0 {
		t.Errorf("then %+v, %v", made, err)
	}
}

// TestPostmasterGets: who cannot be reached at all is the postmaster's affair.
func TestPostmasterGets(t *testing.T) {
	m := makerOf(postmasters{})
	next, _, _ := failedReport(t, m, nobody)
	var out bytes.Buffer
	made, err := m.Make(t.Context(), next, &out)
	if err != nil || made.Item.Report != spool.LostReport || len(made.Filings) != 1 || made.Filings[0].Account != 3 || !made.Filings[0].Ours || len(made.Recipients) != 0 {
		t.Fatalf("made %+v, %v", made, err)
	}
	got, ok := dsn.Parse(out.Bytes())
	if !ok || len(got.Recipients) != 1 || got.Recipients[0].Final.Value != alice.String() || got.Recipients[0].Status.String() != "5.1.1" {
		t.Fatalf("report %+v in\n%s", got, &out)
	}
	p := message.Parse(out.Bytes())
	if !strings.Contains(p.Subject, "配信通知を届けられませんでした") || !strings.Contains(p.Subject, "昼食") || !strings.Contains(out.String(), "report-type=delivery-status") {
		t.Errorf("subject %q in\n%s", p.Subject, &out)
	}
	inner, ok := dsn.Parse(out.Bytes()[p.Root.Children[2].Body:p.Root.Children[2].End])
	if !ok || inner.Recipients[0].Final.Value != "局@far.example" || inner.EnvelopeID != "order 5" {
		t.Errorf("in it %+v in\n%s", inner, &out)
	}
}

// TestSenderIsNobody: a report to a sender whom no table knows a way to is the
// postmaster's at once; of a delay or a success there is none.
func TestSenderIsNobody(t *testing.T) {
	m := makerOf(postmasters{mail.Errorf(mail.NotFound, "there is no mailbox alice@yubin.test")})
	var out bytes.Buffer
	made, err := m.Make(t.Context(), about(told(queue.ActionFailed, refused)), &out)
	got, ok := dsn.Parse(out.Bytes())
	if err != nil || made.Item.Report != spool.LostReport || len(made.Filings) != 1 || !ok || got.Recipients[0].Final.Value != alice.String() ||
		got.Recipients[0].Status.String() != "5.1.1" || !strings.Contains(out.String(), "Final-Recipient: rfc822; bob@far.example") {
		t.Errorf("made %+v, %v in\n%s", made, err, &out)
	}
	out.Reset()
	if made, err = m.Make(t.Context(), about(told(queue.ActionDelayed, refused)), &out); err != nil || len(made.Filings) > 0 || out.Len() > 0 {
		t.Errorf("of a delay: %+v, %v", made, err)
	}
}

// TestDelayIsLost: nobody needs a report of a delay that reached nobody.
func TestDelayIsLost(t *testing.T) {
	m := makerOf(postmasters{})
	var first, second bytes.Buffer
	made, err := m.Make(t.Context(), about(told(queue.ActionDelayed, refused)), &first)
	if err == nil {
		made, err = m.Make(t.Context(), asked(made, first.String(), nobody), &second)
	}
	if err != nil || len(made.Filings)+len(made.Recipients)+second.Len() > 0 {
		t.Errorf("made %+v, %v", made, err)
	}
}

// TestNoReport: what cannot be read as a report is told of by its header.
func TestNoReport(t *testing.T) {
	m := makerOf(postmasters{})
	next, _, _ := failedReport(t, m, tooLarge)
	next.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(letters)), nil }
	var out bytes.Buffer
	made, err := m.Make(t.Context(), next, &out)
	if err != nil || len(made.Filings) != 1 || made.Item.Report != spool.LostReport || strings.Contains(out.String(), "Gr=C3") || !strings.Contains(out.String(), "text/rfc822-headers") {
		t.Errorf("made %+v, %v in\n%s", made, err, &out)
	}
	disk := mail.Errorf(mail.Unavailable, "the disk is gone")
	next.Open = func() (io.ReadCloser, error) { return nil, disk }
	if _, err := m.Make(t.Context(), next, &out); !errors.Is(err, disk) {
		t.Errorf("unreadable: %v", err)
	}
}

// TestLostPerHour: forged senders do not fill the postmaster's mailbox.
func TestLostPerHour(t *testing.T) {
	m := makerOf(postmasters{})
	clock := now
	m.cfg.Now = func() time.Time { return clock }
	next, _, _ := failedReport(t, m, nobody)
	got := func(n int) (told int) {
		for range n {
			made, err := m.Make(t.Context(), next, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			told += len(made.Filings)
		}
		return told
	}
	if n := got(LostPerHour + 5); n != LostPerHour {
		t.Errorf("%d in the first hour", n)
	}
	clock = clock.Add(time.Hour)
	if n := got(5); n != 5 {
		t.Errorf("%d of 5 in the next", n)
	}
}

// TestIsOfForm is the table of what is said of reports.
func TestIsOfForm(t *testing.T) {
	host := func(p mail.Phase, code int, enhanced string) mail.Attempt {
		return mail.Attempt{Phase: p, Code: code, Enhanced: enhanced, Outcome: mail.Failed}
	}
	ours := func(p mail.Phase, enhanced string) mail.Attempt {
		return mail.Attempt{Phase: p, Enhanced: enhanced, Ours: true, Outcome: mail.Failed}
	}
	for _, c := range []struct {
		a    mail.Attempt
		want bool
	}{
		{ours(mail.PhaseMail, "5.3.4"), true}, // SIZE
		{ours(mail.PhaseMail, "5.6.3"), true}, // 8BITMIME
		{ours(mail.PhaseMail, "5.6.9"), true}, // SMTPUTF8, of the header
		{ours(mail.PhaseContent, "5.6.0"), true},
		{ours(mail.PhaseMail, "5.6.7"), false}, // SMTPUTF8, of the address
		{ours(mail.PhaseRoute, "5.1.2"), false},
		{ours(mail.PhaseAnswer, "5.1.1"), false}, // a mailbox here
		{ours(mail.PhaseRoute, "5.4.4"), false},
		{host(mail.PhaseMail, 552, "5.3.4"), true},
		{host(mail.PhaseMail, 552, ""), true},
		{host(mail.PhaseMail, 555, "5.5.4"), true}, // a parameter
		{host(mail.PhaseMail, 550, "5.7.1"), false},
		{host(mail.PhaseRcpt, 552, "5.2.2"), true},
		{host(mail.PhaseRcpt, 550, "5.2.3"), true},
		{host(mail.PhaseRcpt, 550, "5.1.1"), false},
		{host(mail.PhaseRcpt, 550, ""), false},
		{host(mail.PhaseData, 554, "5.6.1"), true},
		{host(mail.PhaseAnswer, 552, "5.3.4"), true},
		{host(mail.PhaseAnswer, 554, "5.6.0"), true},
		{host(mail.PhaseAnswer, 554, "5.7.1"), true}, // of what it quotes, perhaps
		{host(mail.PhaseAnswer, 550, ""), true},
		{host(mail.PhaseAnswer, 550, "5.1.1"), false},
		{host(mail.PhaseAnswer, 550, "5.2.1"), false},
		{mail.Attempt{Phase: mail.PhaseAnswer, Code: 452, Enhanced: "4.3.4", Outcome: mail.Deferred}, false},
	} {
		if got := isOfForm(queue.Told{Delivery: queue.Delivery{Last: c.a}}); got != c.want {
			t.Errorf("%+v: %v", c.a, got)
		}
	}
}
