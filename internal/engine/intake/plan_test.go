package intake_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/linear"
)

// bare is a message that no store is behind.
func bare(octets string, taps ...intake.Tap) *intake.Message {
	m := intake.NewMessage(new(store.Store).NewIncoming(), taps...)
	if _, err := m.Write([]byte(octets)); err != nil {
		panic(err)
	}
	return m
}

// TestKeptForward: what fails of mail that an account keeps and sends on is its owner's to
// hear of, and nobody's if it is a report; many such accounts make no more items than there
// may be.
func TestKeptForward(t *testing.T) {
	keeper := to("bea@here.test", []mail.AccountID{bea}, "x@far.test")
	keeper.Route.Onward[0].By, keeper.Route.Onward[0].Forward = bea, "here.test"
	keeper.Notify, keeper.ORCPT = mail.NotifySuccess, "rfc822;b@else.test"
	e := from("s@a.test")
	e.EnvID, e.Ret, e.Language, e.Report = "order 5", mail.RetFull, "ja", spool.NoReport
	plan := func(e intake.Envelope, to ...intake.Recipient) *intake.Plan {
		t.Helper()
		p, err := intake.New(intake.Options{Forwards: paths{}}).Plan(ctx, bare(text), e, to)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := plan(e, keeper, to("y@far.test", nil, "y@far.test"))
	it := p.Items[0]
	if it.Cause != spool.KeptForward || it.ReversePath.String() != "b@here.test" || it.EnvID != "" || it.Ret != 0 || it.Language != "" || it.SignFor != "here.test" ||
		it.Recipients[0].Notify != 0 {
		t.Errorf("the forward: %+v", it)
	}
	if other := p.Items[1]; other.Cause != "" || other.ReversePath.String() != "s@a.test" || other.EnvID != "order 5" {
		t.Errorf("another recipient: %+v", other)
	}
	report := from("")
	report.Report, report.About = spool.WholeReport, 7
	if it := plan(report, keeper).Items[0]; !it.ReversePath.IsNull() || it.Report != spool.NoReport || it.About != 0 || it.Recipients[0].Notify != mail.NotifyNever {
		t.Errorf("a report: %+v", it)
	}
	many := to("all@here.test", nil)
	for i := range 2 * intake.MaxItems {
		id, name := mail.AccountID(i+10), mail.Address{Local: fmt.Sprint("n", i), Domain: "here.test"}
		many.Route.Accounts, many.Route.Names, many.Route.By = append(many.Route.Accounts, id), append(many.Route.Names, name), append(many.Route.By, 0)
		many.Route.Onward = append(many.Route.Onward, route.Onward{Address: mail.Address{Local: fmt.Sprint("m", i), Domain: "far.test"}, By: id, Forward: "here.test"})
	}
	if n := len(plan(from("s@a.test"), many).Items); n >= intake.MaxItems || n < 2 {
		t.Errorf("%d items for many forwards", n)
	}
}

// TestPlan: plans without a database, as people read them.
func TestPlan(t *testing.T) {
	each := from("s@a.test")
	each.Each = true
	queued := each
	queued.FromQueue = true
	reported := to("ann@here.test", []mail.AccountID{ann})
	reported.Notify = mail.NotifySuccess | mail.NotifyFailure
	list := to("list@here.test", []mail.AccountID{ann, bea}, "x@far.test")
	list.Notify = mail.NotifySuccess
	loop := "Delivered-To: ann@here.test\r\n" + text
	dear := to("ann@here.test", []mail.AccountID{ann})
	keeper := to("list@here.test", []mail.AccountID{ann, bea, 3}, "x@far.test", "y@far.test") // bea keeps, and sends on to cat and x
	keeper.Route.By, keeper.Route.Onward[0].By = []mail.AccountID{0, 0, bea}, bea
	alone := to("bea@here.test", []mail.AccountID{bea, 3}, "x@far.test")
	alone.Route.By, alone.Route.Onward[0].By = []mail.AccountID{0, bea}, bea
	gone := map[mail.AccountID]error{bea: mail.Errorf(mail.NotFound, "no such account")}
	for _, c := range []struct {
		name    string
		octets  string
		e       intake.Envelope
		to      []intake.Recipient
		refused map[mail.AccountID]error
		want    string
	}{
		{"one", text, from("s@a.test"), []intake.Recipient{dear}, nil,
			"file for account 1 in INBOX\n"},
		{"twice the same account", text, from("s@a.test"), []intake.Recipient{dear, to("alias@here.test", []mail.AccountID{ann})}, nil,
			"file for account 1 in INBOX\n"},
		{"here and there", text, from("s@a.test"), []intake.Recipient{dear, to("x@far.test", nil, "x@far.test"), to("y@far.test", nil, "y@far.test", "x@far.test")}, nil,
			"file for account 1 in INBOX\n" +
				"queue for x@far.test by mx:far.test, from <s@a.test>, with 16 octets in front\n" +
				"queue for y@far.test by mx:far.test, from <s@a.test>, with 16 octets in front\n"},
		{"success is told", text, from("s@a.test"), []intake.Recipient{reported}, nil,
			"file for account 1 in INBOX\n" +
				"report the delivery to ann@here.test, from <s@a.test>, with 16 octets in front\n"},
		{"not to nobody", text, from(""), []intake.Recipient{reported}, nil, "file for account 1 in INBOX\n"},
		{"nor by us of mail from the queue", text, queued, []intake.Recipient{reported}, nil, "file for account 1 in INBOX\n"},
		{"an expansion", text, from("s@a.test"), []intake.Recipient{list}, nil,
			"file for account 1 in INBOX\nfile for account 2 in INBOX\n" +
				"queue for x@far.test by mx:far.test, from <s@a.test>, with 16 octets in front\n" +
				"report the expansion of list@here.test, from <s@a.test>, with 16 octets in front\n"},
		{"part of it is gone", text, each, []intake.Recipient{list}, gone,
			"file for account 1 in INBOX\n" +
				"queue for x@far.test by mx:far.test, from <s@a.test>, with 16 octets in front\n" +
				"queue for b@here.test by local:, from <s@a.test>, with 16 octets in front\n" +
				"report the expansion of list@here.test, from <s@a.test>, with 16 octets in front\n"},
		{"who keeps a copy sends on", text, from("s@a.test"), []intake.Recipient{alone}, nil,
			"file for account 2 in INBOX\nfile for account 3 in INBOX\n" +
				"queue for x@far.test by mx:far.test, from <b@here.test>, with 16 octets in front\n"},
		{"a report, too", text, from(""), []intake.Recipient{alone}, nil,
			"file for account 2 in INBOX\nfile for account 3 in INBOX\n" +
				"queue for x@far.test by mx:far.test, from <>, with 16 octets in front\n"},
		{"but not before there is one", text, from("s@a.test"), []intake.Recipient{alone}, gone, "refuse bea@here.test: no such account\n"},
		{"while others have theirs", text, from("s@a.test"), []intake.Recipient{keeper}, gone,
			"file for account 1 in INBOX\n" +
				"queue for y@far.test by mx:far.test, from <s@a.test>, with 16 octets in front\n" +
				"queue for b@here.test by local:, from <s@a.test>, with 16 octets in front\n"},
		{"a loop", loop, from("s@a.test"), []intake.Recipient{dear}, nil,
			"refuse ann@here.test: the message was delivered to this recipient before: a loop\n"},
		{"a loop, and others: one answer", loop, from("s@a.test"), []intake.Recipient{dear, to("bea@here.test", []mail.AccountID{bea})}, nil,
			"file for account 2 in INBOX\n" +
				"queue for ann@here.test by local:, from <s@a.test>, with 16 octets in front\n"},
		{"a loop, and others: an answer each", loop, each, []intake.Recipient{dear, to("bea@here.test", []mail.AccountID{bea})}, nil,
			"file for account 2 in INBOX\n" +
				"refuse ann@here.test: the message was delivered to this recipient before: a loop\n"},
		{"nobody is left", text, from("s@a.test"), []intake.Recipient{to("bea@here.test", []mail.AccountID{bea})}, gone, "refuse bea@here.test: no such account\n"},
		{"nowhere", text, from("s@a.test"), []intake.Recipient{to("void@here.test", nil)}, nil, "drop the message\n"},
	} {
		p, err := intake.New(intake.Options{}).Plan(ctx, bare(c.octets), c.e, c.to)
		if err != nil {
			t.Fatal(c.name, err)
		}
		before := p.String()
		q := p.Without(c.refused)
		if got := q.String(); got != c.want {
			t.Errorf("%s:\n%swant\n%s", c.name, got, c.want)
		}
		if p.String() != before {
			t.Errorf("%s: the plan itself changed", c.name)
		}
		var back map[string][]map[string]any
		b, err := json.Marshal(q)
		if err != nil || json.Unmarshal(b, &back) != nil {
			t.Fatal(c.name, err)
		}
		recipients := 0
		for _, it := range back["items"] {
			recipients += len(it["recipients"].([]any))
		}
		if n := len(back["filings"]) + recipients + len(back["refusals"]); c.name != "nowhere" && n != strings.Count(c.want, "\n") {
			t.Errorf("%s: JSON says %s", c.name, b)
		}
	}
}

// TestPrefix: what stands before a copy says for whom it is.
func TestPrefix(t *testing.T) {
	p, err := intake.New(intake.Options{}).Plan(ctx, bare(text), from("s@a.test"), []intake.Recipient{to("ann@here.test", []mail.AccountID{ann}), to("x@far.test", nil, "x@far.test")})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(p.Filings[0].Prefix); got != "Return-Path: <s@a.test>\r\nDelivered-To: ann@here.test\r\nReceived: here\r\n" {
		t.Errorf("a copy begins with %q", got)
	}
	if got := string(p.Items[0].Prefix); got != "Received: here\r\n" {
		t.Errorf("an item begins with %q", got)
	}
}

// An original recipient that the queue would refuse is left out.
func TestOriginalRecipient(t *testing.T) {
	for _, test := range []struct{ local, want string }{
		{"a", "rfc822;a@b.test"},
		{"a b", `rfc822;"a b"@b.test`},
		{"ä", "utf-8;ä@b.test"},
		{strings.Repeat("ä", queue.MaxORCPT/2), ""},
	} {
		r := to("x@b.test", nil, "elsewhere@far.test")
		r.Address.Local = test.local
		p, err := intake.New(intake.Options{}).Plan(ctx, bare(text), from("s@a.test"), []intake.Recipient{r})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Items[0].Recipients[0].ORCPT; got != test.want {
			t.Errorf("%q gives %q", test.local, got)
		}
	}
}

// TestPlanInLinearTime: whether a message was here before, and whether an address
// has it already, is asked once for each recipient, not for each pair of them.
func TestPlanInLinearTime(t *testing.T) {
	linear.Check(t, 100, func(size int) func() {
		var all []intake.Recipient
		var head strings.Builder
		for i := range size {
			all = append(all, to(fmt.Sprintf("recipient-%d@here.test", i), []mail.AccountID{1}, fmt.Sprintf("x%d@far.test", i)))
			fmt.Fprintf(&head, "Delivered-To: elsewhere-%d@here.test\r\n", i)
		}
		m := bare(head.String() + text)
		return func() {
			p, err := intake.New(intake.Options{}).Plan(ctx, m, from("s@a.test"), all)
			if err != nil || len(p.Refusals) > 0 || len(p.Items[0].Recipients) != size {
				t.Fatal(p, err)
			}
		}
	})
}

// recorder is a tap.
type recorder struct {
	strings.Builder
	fail error
}

func (r *recorder) Tap(p []byte) error {
	r.Write(p)
	return r.fail
}

// TestTaps: each sees every octet once, in order; one that does not want the
// message ends it.
func TestTaps(t *testing.T) {
	var a, b recorder
	m := bare("", &a, &b)
	var want strings.Builder
	for i := range 1000 {
		piece := strings.Repeat(fmt.Sprintf("%d,", i), i%7)
		want.WriteString(piece)
		if _, err := m.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Finish(); err != nil {
		t.Fatal(err)
	}
	if a.String() != want.String() || b.String() != want.String() || m.Size() != int64(want.Len()) {
		t.Errorf("taps saw %d and %d octets of %d", a.Len(), b.Len(), want.Len())
	}
	m = bare("", &a, &b)
	b.fail = mail.Errorf(mail.Invalid, "not this")
	if _, err := m.Write([]byte("x")); !errors.Is(err, b.fail) {
		t.Errorf("a tap that fails: %v", err)
	}
}

// wishes are what accounts want.
type wishes func(ctx context.Context, a mail.AccountID) ([]intake.Wish, error)

func (w wishes) Wish(ctx context.Context, q intake.Question) ([]intake.Wish, error) {
	return w(ctx, q.Account)
}

// boss wishes mail from the boss in a mailbox of its own, if nobody forged the
// reverse-path as well.
type boss struct{ intake.Plain }

func (b boss) Wish(ctx context.Context, q intake.Question) ([]intake.Wish, error) {
	msg, err := q.Message.Finish()
	if err != nil {
		return nil, err
	}
	if from := msg.Envelope.From; len(from) == 1 && string(from[0].Mailbox) == "boss" && q.Envelope.ReversePath.String() == "boss@a.test" {
		return []intake.Wish{{Name: "Boss", Make: true}}, nil
	}
	return b.Plain.Wish(ctx, q)
}

// TestWishByTheMessage: a rule sees the message and how it came.
func TestWishByTheMessage(t *testing.T) {
	in := intake.New(intake.Options{Wishes: boss{}})
	for sender, want := range map[string]string{"boss@a.test": "in Boss, made", "s@a.test": "INBOX"} {
		m := bare("From: The Boss <boss@a.test>\r\n\r\nNow!\r\n")
		p, err := in.Plan(ctx, m, from(sender), []intake.Recipient{to("ann@here.test", []mail.AccountID{ann})})
		if err != nil || !strings.Contains(strings.ToUpper(p.String()), strings.ToUpper(want)) {
			t.Errorf("from %s: %v, %v", sender, p, err)
		}
	}
}

// TestWishes: an account has its copies where it wants them, or none; one that is
// not there is its recipient's refusal, and a failure is everybody's.
func TestWishes(t *testing.T) {
	in := intake.New(intake.Options{Wishes: wishes(func(_ context.Context, a mail.AccountID) ([]intake.Wish, error) {
		switch a {
		case ann:
			return []intake.Wish{{Name: "Lists/Go", Make: true, Flags: mail.Seen, Keywords: "$Junk"}, {Mailbox: 7}}, nil
		case bea:
			return nil, mail.Errorf(mail.NotFound, "no such account")
		}
		return nil, nil
	})})
	e := from("s@a.test")
	e.Each = true
	p, err := in.Plan(ctx, bare(text), e, []intake.Recipient{to("ann@here.test", []mail.AccountID{ann}), to("bea@here.test", []mail.AccountID{bea}), to("cyn@here.test", []mail.AccountID{cyn})})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.String(), "file for account 1 in Lists/Go, made if there is none with \\Seen $Junk\nfile for account 1 in mailbox 7\nrefuse bea@here.test: no such account\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	times := 0
	in = intake.New(intake.Options{Wishes: wishes(func(context.Context, mail.AccountID) ([]intake.Wish, error) { times++; return nil, nil })})
	if _, err := in.Plan(ctx, bare(text), e, []intake.Recipient{to("ann@here.test", []mail.AccountID{ann}), to("alias@here.test", []mail.AccountID{ann})}); err != nil || times != 1 {
		t.Errorf("asked %d times, %v", times, err)
	}
	disk := mail.Errorf(mail.Unavailable, "the disk is gone")
	in = intake.New(intake.Options{Wishes: wishes(func(context.Context, mail.AccountID) ([]intake.Wish, error) { return nil, disk })})
	if _, err := in.Plan(ctx, bare(text), e, []intake.Recipient{to("ann@here.test", []mail.AccountID{ann})}); !errors.Is(err, disk) {
		t.Error(err)
	}
}

// TestManyRefused: of more recipients than an item has there are several.
func TestManyRefused(t *testing.T) {
	var all []intake.Recipient
	gone := map[mail.AccountID]error{}
	for i := range queue.MaxRecipients + 500 {
		a := mail.AccountID(10 + i)
		r := to(fmt.Sprintf("r%d@here.test", i), nil)
		r.Route.Accounts = []mail.AccountID{a}
		all, gone[a] = append(all, r), mail.Errorf(mail.NotFound, "no such account")
	}
	all = append(all, to("ann@here.test", []mail.AccountID{ann}))
	p, err := intake.New(intake.Options{}).Plan(ctx, bare(text), from("s@a.test"), all)
	if err != nil {
		t.Fatal(err)
	}
	p = p.Without(gone)
	if len(p.Filings) != 1 || len(p.Items) != 2 || len(p.Items[0].Recipients) != queue.MaxRecipients || len(p.Items[1].Recipients) != 500 {
		t.Errorf("%d filings, %d items", len(p.Filings), len(p.Items))
	}
}

// TestDeadline: what may take long ends, with an error that is temporary.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := intake.New(intake.Options{Wishes: wishes(func(ctx context.Context, _ mail.AccountID) ([]intake.Wish, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})})
		began := time.Now()
		_, err := in.Plan(context.Background(), bare(text), from("s@a.test"), []intake.Recipient{to("ann@here.test", []mail.AccountID{ann})})
		if took := time.Since(began); mail.KindOf(err) != mail.Unavailable || took != intake.DefaultDeadline {
			t.Errorf("after %v: %v", took, err)
		}
	})
}
