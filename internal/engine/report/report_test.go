package report

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/proto/dsn"
)

// fixed routes every sender alike.
type fixed struct {
	routed route.Routed
	err    error
	asked  []route.Question
}

func (f *fixed) Route(_ context.Context, q route.Question) (route.Routed, error) {
	f.asked = append(f.asked, q)
	return f.routed, f.err
}

// reads are the languages of accounts.
type reads map[mail.AccountID]string

func (r reads) Language(_ context.Context, id mail.AccountID) (string, error) {
	if tag, ok := r[id]; ok {
		return tag, nil
	}
	return "", mail.Errorf(mail.NotFound, "no account")
}

var (
	now   = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	alice = mail.Address{Local: "alice", Domain: "yubin.test"}
	bob   = mail.Address{Local: "bob", Domain: "far.example"}
)

const original = "From: alice@yubin.test\r\nSubject: Lunch\r\nMessage-ID: <1@yubin.test>\r\n\r\nAt noon?\r\n"

func maker(r *fixed) *Maker {
	return New(Config{
		Hostname: "mx.yubin.test", Postmaster: mail.Address{Local: "postmaster", Domain: "mx.yubin.test"},
		Intake: intake.New(intake.Options{}),
		Router: r, Languages: reads{3: "ja-JP"}, Now: func() time.Time { return now }, NewID: func() string { return "ABCDEFGHIJKLMNOPQRSTUV" },
	})
}

func about(told ...queue.Told) queue.Report {
	return queue.Report{
		Item: spool.Item{
			ID: 7, Outgoing: mail.Outgoing{ReversePath: mail.ReversePath(alice), EnvID: "order 5"},
			Arrived: now.Add(-time.Hour),
		},
		Open:       func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(original)), nil },
		Recipients: told,
		RetryUntil: now.Add(96 * time.Hour),
	}
}

func told(a queue.Action, last mail.Attempt) queue.Told {
	t := queue.Told{Action: a}
	t.DeliveryID = queue.DeliveryID{Item: 7, N: 1}
	t.Address, t.ORCPT, t.Last = bob, "rfc822;Bob@Far.Example", last
	return t
}

var refused = mail.Attempt{
	At: now, Host: "mx.far.example", Phase: mail.PhaseRcpt, Code: 550, Enhanced: "5.1.1", Text: "no such user", Outcome: mail.Failed,
}

// planned is what becomes of a letter.
type planned struct {
	Filings    []intake.Filing
	Item       spool.Item
	Recipients []queue.Recipient
}

// Make writes a letter to w and plans it.
func (m *Maker) Make(ctx context.Context, r queue.Report, w io.Writer) (planned, error) {
	l, err := m.write(ctx, r, w)
	if err != nil {
		return planned{}, err
	}
	p, err := m.plan(ctx, r, l, intake.NewMessage(new(store.Store).NewIncoming()))
	if err != nil {
		return planned{}, err
	}
	made := planned{Filings: p.Filings, Item: l.item}
	if len(p.Items) > 0 {
		made.Item, made.Recipients = p.Items[0].Item, p.Items[0].Recipients
	}
	return made, nil
}

func make1(t *testing.T, r *fixed, rep queue.Report) (planned, dsn.Report, string) {
	t.Helper()
	var out bytes.Buffer
	made, err := maker(r).Make(t.Context(), rep, &out)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := dsn.Parse(out.Bytes())
	if !ok {
		t.Fatalf("this is no report:\n%s", &out)
	}
	return made, got, out.String()
}

// TestCopyAndForward: a copy that failed is told in the postmaster's words, with its rule, and
// a forward in those of who keeps the mail; neither advises to send the message again.
func TestCopyAndForward(t *testing.T) {
	r := &fixed{routed: route.Routed{Accounts: []mail.AccountID{5}}}
	for cause, want := range map[spool.Cause][]string{
		spool.CopyBy("journal"): {"Subject: A copy was not delivered: Lunch", "The copy of this one could not be delivered to this address:", "The rule journal makes these copies."},
		spool.KeptForward:       {"Subject: Not forwarded: Lunch", "You have your mail forwarded, too, and that could not be done to this address:", "have your forwarding changed"},
	} {
		rep := about(told(queue.ActionFailed, refused))
		rep.Item.Cause = cause
		_, _, text := make1(t, r, rep)
		flat := strings.Join(strings.Fields(strings.ReplaceAll(text, "=\r\n", "")), " ")
		for _, w := range want {
			if !strings.Contains(flat, w) {
				t.Errorf("%s: no %q in\n%s", cause, w, text)
			}
		}
		if strings.Contains(flat, "typing errors") || strings.Contains(flat, "Your message") {
			t.Errorf("%s: it speaks to the sender:\n%s", cause, text)
		}
		rep.Item.Language = "ja"
		if _, _, text := make1(t, r, rep); !strings.Contains(text, "Content-Language: ja") {
			t.Errorf("%s in Japanese:\n%s", cause, text)
		}
	}
}

// TestShownReader: a report to a reverse-path that was rewritten is to who is behind it.
func TestShownReader(t *testing.T) {
	srs := mail.ReversePath{Local: "SRS0=aaaa=bb=else.test=ann", Domain: "yubin.test"}
	ann := mail.Address{Local: "ann", Domain: "else.test"}
	for want, routed := range map[string]route.Routed{
		"ann@else.test":         {Onward: []route.Onward{{Address: ann, Hop: mail.NextHop{Kind: mail.HopMX, Domain: ann.Domain}}}},
		"postmaster@yubin.test": {Accounts: []mail.AccountID{3}},
	} {
		rep := about(told(queue.ActionFailed, refused))
		rep.Item.ReversePath = srs
		made, _, text := make1(t, &fixed{routed: routed}, rep)
		if !strings.Contains(text, "To: <"+want+">") && !strings.Contains(text, "To: "+want) || strings.Contains(text, "To: <SRS0") {
			t.Errorf("no To of %s in\n%s", want, text)
		}
		if len(made.Recipients) > 0 && made.Recipients[0].Address != ann {
			t.Errorf("it goes to %s", made.Recipients[0].Address)
		}
	}
}

// TestFiled: the sender has a mailbox here, and reads Japanese.
func TestFiled(t *testing.T) {
	r := &fixed{routed: route.Routed{Accounts: []mail.AccountID{3}}}
	made, got, text := make1(t, r, about(told(queue.ActionFailed, refused)))
	if len(made.Filings) != 1 || made.Filings[0].Account != 3 || made.Filings[0].Role != mail.RoleInbox || len(made.Recipients) != 0 {
		t.Errorf("filed %+v, spooled for %+v", made.Filings, made.Recipients)
	}
	if prefix := string(made.Filings[0].Prefix); prefix != "Return-Path: <>\r\nDelivered-To: alice@yubin.test\r\n" {
		t.Errorf("prefix %q", prefix)
	}
	p := got.Recipients[0]
	if p.Action != dsn.Failed || p.Status.String() != "5.1.1" || p.Original.Value != "Bob@Far.Example" || p.Final.Value != "bob@far.example" ||
		p.RemoteMTA.Name != "mx.far.example" || p.FinalLogID != "7.1" || got.EnvelopeID != "order 5" || got.ReportingMTA.Name != "mx.yubin.test" {
		t.Errorf("report %+v", got)
	}
	if m := message.Parse([]byte(text)); !strings.Contains(text, "Content-Language: ja") || !strings.Contains(m.Subject, "Lunch") {
		t.Errorf("subject %q in\n%s", m.Subject, text)
	}
	if len(r.asked) != 1 || r.asked[0].Recipient != alice || !r.asked[0].Ours {
		t.Errorf("asked %+v", r.asked)
	}
}

// TestSpooled: the sender is elsewhere.
func TestSpooled(t *testing.T) {
	hop := mail.NextHop{Kind: mail.HopMX, Domain: "yubin.test"}
	made, _, text := make1(t, &fixed{routed: route.Routed{Onward: []route.Onward{{Address: alice, Hop: hop}}}}, about(told(queue.ActionFailed, refused)))
	if len(made.Filings) != 0 || len(made.Recipients) != 1 {
		t.Fatalf("filed %+v, spooled for %+v", made.Filings, made.Recipients)
	}
	if p := made.Recipients[0]; p.Address != alice || p.Notify != mail.NotifyNever || p.Site != hop.Site() {
		t.Errorf("spooled for %+v", p)
	}
	if !made.Item.ReversePath.IsNull() || made.Item.MessageID != "<ABCDEFGHIJKLMNOPQRSTUV@mx.yubin.test>" || !strings.Contains(text, "Content-Language: en") {
		t.Errorf("item %+v", made.Item)
	}
}

func TestActions(t *testing.T) {
	waits := mail.Attempt{At: now, Phase: mail.PhaseConnect, Enhanced: "4.4.1", Text: "connection refused", Ours: true, Outcome: mail.Deferred}
	done := mail.Attempt{At: now, Host: "mx.far.example", Code: 250, Text: "ok", Outcome: mail.Delivered}
	tooLate := told(queue.ActionFailed, mail.Attempt{Outcome: mail.Deferred})
	tooLate.Expired = true
	late := told(queue.ActionFailed, waits)
	late.Expired = true
	cases := []struct {
		told   queue.Told
		action dsn.Action
		status string
		until  bool
	}{
		{told(queue.ActionDelayed, waits), dsn.Delayed, "4.4.1", true},
		{told(queue.ActionDelivered, done), dsn.Delivered, "2.0.0", false},
		{told(queue.ActionRelayed, done), dsn.Relayed, "2.0.0", false},
		{late, dsn.Failed, "4.4.1", false},
		{tooLate, dsn.Failed, "4.4.7", false},
	}
	for _, c := range cases {
		_, got, text := make1(t, &fixed{routed: route.Routed{Accounts: []mail.AccountID{3}}}, about(c.told))
		p := got.Recipients[0]
		if p.Action != c.action || p.Status.String() != c.status || p.WillRetryUntil.IsZero() == c.until {
			t.Errorf("want %v %s, got %+v", c.action, c.status, p)
		}
		if whole := strings.Contains(text, "At noon?"); whole != (c.action == dsn.Failed) {
			t.Errorf("%v: the whole message is there: %v", c.action, whole)
		}
	}
}

// TestNobody: nowhere to send the report is no reason to try again.
func TestNobody(t *testing.T) {
	for _, err := range []error{nil, mail.Errorf(mail.NotFound, "gone"), mail.Errorf(mail.Forbidden, "disabled")} {
		var out bytes.Buffer
		made, got := maker(&fixed{err: err}).Make(t.Context(), about(told(queue.ActionFailed, refused)), &out)
		if got != nil || len(made.Filings)+len(made.Recipients)+out.Len() != 0 {
			t.Errorf("%v: made %+v, %v", err, made, got)
		}
	}
}

// TestTemporary: a failure of our own leaves the report to be made later.
func TestTemporary(t *testing.T) {
	disk := mail.Errorf(mail.Unavailable, "the disk is gone")
	if _, err := maker(&fixed{err: disk}).Make(t.Context(), about(told(queue.ActionFailed, refused)), io.Discard); !errors.Is(err, disk) {
		t.Errorf("route: %v", err)
	}
	rep := about(told(queue.ActionFailed, refused))
	for _, open := range []mail.Opener{
		func() (io.ReadCloser, error) { return nil, disk },
		func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader([]byte(original)), failing{disk})), nil
		},
	} {
		rep.Open = open
		if _, err := maker(&fixed{routed: route.Routed{Accounts: []mail.AccountID{3}}}).Make(t.Context(), rep, io.Discard); !errors.Is(err, disk) {
			t.Errorf("open: %v", err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestStreams: a report that returns 50 MiB does not have them in memory.
func TestStreams(t *testing.T) {
	const size = 50 << 20
	rep := about(told(queue.ActionFailed, refused))
	rep.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader(original), io.LimitReader(lines{}, size))), nil
	}
	m := maker(&fixed{routed: route.Routed{Accounts: []mail.AccountID{3}}})
	var before, after runtime.MemStats
	var out counter
	runtime.ReadMemStats(&before)
	_, err := m.Make(t.Context(), rep, &out)
	runtime.ReadMemStats(&after)
	if err != nil || out < size {
		t.Fatalf("a report of %d octets, %v", out, err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("the report took %d KiB of memory", took>>10)
	}
}

type lines struct{}

func (lines) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '\n'
	}
	return len(p), nil
}

type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }
