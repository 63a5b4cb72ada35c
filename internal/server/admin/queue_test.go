package admin_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/testkit/office"
)

var ctx = context.Background()

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

func wantKind(t *testing.T, what string, err error, kind mail.Kind) {
	t.Helper()
	if err == nil || mail.KindOf(err) != kind {
		t.Errorf("%s: got %v, want one of kind %v", what, err, kind)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ids lists what f chooses, page by page.
func ids(t *testing.T, c *admin.Client, f admin.QueueFilter, limit int) (list []string) {
	t.Helper()
	for after := ""; ; {
		page, err := c.QueueList(ctx, f, after, limit)
		must(t, err)
		for _, d := range page.Items {
			list = append(list, d.ID)
		}
		if page.Next == "" {
			return list
		}
		after = page.Next
	}
}

// TestQueueFilters: filters cross the API, alone and with pages.
func TestQueueFilters(t *testing.T) {
	o := office.New(t)
	c := admin.InProcess(o.Admin())
	o.Accept("a@s.test", "x@ok.test", "y@later.test")
	o.Accept("", "x@ok.test")
	o.Accept("b@s.test", "z@later.test", "Bücher@bücher.test")
	for _, tc := range []struct {
		f    admin.QueueFilter
		want []string
	}{
		{admin.QueueFilter{}, []string{"1.1", "1.2", "2.1", "3.1", "3.2"}},
		{admin.QueueFilter{IDs: []string{"3", "1.2", "3.1", "3.1"}}, []string{"1.2", "3.1", "3.2"}},
		{admin.QueueFilter{IDs: []string{"3", "1"}, Domain: "later.test"}, []string{"1.2", "3.1"}},
		{admin.QueueFilter{Sender: "A@s.test"}, []string{"1.1", "1.2"}},
		{admin.QueueFilter{NullSender: true}, []string{"2.1"}},
		{admin.QueueFilter{Recipient: "x@ok.test"}, []string{"1.1", "2.1"}},
		{admin.QueueFilter{Domain: "@later.test"}, []string{"1.2", "3.1"}},
		{admin.QueueFilter{Domain: "bücher.test"}, []string{"3.2"}},
		{admin.QueueFilter{Site: "mx:ok.test"}, []string{"1.1", "2.1"}},
		{admin.QueueFilter{State: "waiting", Younger: "1h"}, []string{"1.1", "1.2", "2.1", "3.1", "3.2"}},
		{admin.QueueFilter{Older: "1h"}, nil},
		{admin.QueueFilter{State: "held"}, nil},
	} {
		for _, limit := range []int{1, 2, admin.MaxPage} {
			want(t, fmt.Sprint(tc.f, " by ", limit), ids(t, c, tc.f, limit), tc.want)
		}
		n, err := c.QueueCount(ctx, tc.f)
		must(t, err)
		want(t, fmt.Sprint("count ", tc.f), n.Total, len(tc.want))
	}
}

// TestQueueRefusesNonsense: what is no filter or no act is told as such.
func TestQueueRefusesNonsense(t *testing.T) {
	o := office.New(t)
	c := admin.InProcess(o.Admin())
	o.Accept("a@s.test", "x@ok.test")
	for _, f := range []admin.QueueFilter{{IDs: []string{"x"}}, {IDs: []string{"0"}}, {IDs: []string{"1."}}, {IDs: []string{"1.0"}}, {IDs: []string{"-1"}},
		{State: "settled"}, {Sender: "a"}, {Recipient: "@"}, {Domain: "-"}, {Older: "1d"}, {Younger: "-1h"}} {
		_, err := c.QueueList(ctx, f, "", 10)
		wantKind(t, fmt.Sprint(f), err, mail.Invalid)
		_, err = c.QueueDo(ctx, "drop", admin.QueueChange{QueueFilter: f}, nil)
		wantKind(t, fmt.Sprint("drop ", f), err, mail.Invalid)
	}
	_, err := c.QueueList(ctx, admin.QueueFilter{}, "x", 10)
	wantKind(t, "after", err, mail.Invalid)
	_, err = c.QueueList(ctx, admin.QueueFilter{}, "", admin.MaxPage+1)
	wantKind(t, "limit", err, mail.Invalid)
	_, err = c.QueueList(ctx, admin.QueueFilter{IDs: slices.Repeat([]string{"1"}, admin.MaxQueueIDs+1)}, "", 10)
	wantKind(t, "ids", err, mail.TooLarge)
	for _, act := range []string{"fail", "drop"} {
		_, err = c.QueueDo(ctx, act, admin.QueueChange{}, nil)
		wantKind(t, act+" without a word", err, mail.Invalid)
	}
	_, err = c.QueueDo(ctx, "hold", admin.QueueChange{Note: strings.Repeat("x", 5000)}, nil)
	wantKind(t, "note", err, mail.TooLarge)
	_, err = c.QueueDo(ctx, "reroute", admin.QueueChange{Route: "nowhere"}, nil)
	wantKind(t, "route", err, mail.NotFound)
	_, err = c.QueueShow(ctx, "99")
	wantKind(t, "show", err, mail.NotFound)
	wantKind(t, "resume", c.QueueResume(ctx, "all", ""), mail.NotFound)
	_, err = c.QueuePause(ctx, admin.QueuePause{Scope: "planet", Name: "x"})
	wantKind(t, "pause", err, mail.Invalid)
	_, err = c.Trace(ctx, " ", time.Time{}, 10)
	wantKind(t, "trace", err, mail.Invalid)
	want(t, "left", len(ids(t, c, admin.QueueFilter{}, 10)), 1)
}

// TestNoQueue: a server without one says so.
func TestNoQueue(t *testing.T) {
	c := admin.InProcess(admin.New(admin.Config{Log: slog.New(slog.DiscardHandler)}))
	_, err := c.QueueList(ctx, admin.QueueFilter{}, "", 1)
	wantKind(t, "list", err, mail.Unavailable)
	_, err = c.QueueDo(ctx, "hold", admin.QueueChange{}, nil)
	wantKind(t, "hold", err, mail.Unavailable)
	_, err = c.QueueShow(ctx, "1")
	wantKind(t, "show", err, mail.Unavailable)
	_, err = c.QueueSites(ctx, "")
	wantKind(t, "sites", err, mail.Unavailable)
	_, err = c.QueuePauses(ctx)
	wantKind(t, "pauses", err, mail.Unavailable)
	_, err = c.Trace(ctx, "a@b.test", time.Time{}, 1)
	wantKind(t, "trace", err, mail.Unavailable)
}

// TestQueueHands: the acts do what they say, with progress and a story.
func TestQueueHands(t *testing.T) {
	o := office.New(t)
	c := admin.InProcess(o.Admin())
	var many []string
	for i := range 700 {
		many = append(many, fmt.Sprintf("x%d@ok.test", i))
	}
	o.Accept("a@s.test", many...)
	do := func(act string, change admin.QueueChange, n int) {
		t.Helper()
		got, err := c.QueueDo(ctx, act, change, func(int) {})
		must(t, err)
		want(t, act, got, n)
	}
	var steps []int
	n, err := c.QueueDo(ctx, "hold", admin.QueueChange{Note: "odd"}, func(n int) { steps = append(steps, n) })
	must(t, err)
	want(t, "held, by steps", []any{n, steps}, []any{700, []int{500, 700}})
	one := admin.QueueFilter{IDs: []string{"1.3", "1.5"}}
	do("release", admin.QueueChange{QueueFilter: one}, 2)
	do("release", admin.QueueChange{QueueFilter: one}, 0)
	do("reroute", admin.QueueChange{QueueFilter: one, Route: "spare"}, 2)
	do("fail", admin.QueueChange{QueueFilter: admin.QueueFilter{IDs: []string{"1.5"}}, Note: "no more"}, 1)
	do("drop", admin.QueueChange{QueueFilter: admin.QueueFilter{State: "held"}}, 698)
	counts, err := c.QueueCount(ctx, admin.QueueFilter{})
	must(t, err)
	want(t, "counts", []int{counts.Total, counts.Waiting, counts.Held, counts.Owed}, []int{2, 1, 0, 1})
	m, err := c.QueueShow(ctx, "1")
	must(t, err)
	var kinds []string
	for _, e := range m.Events {
		if e.ID == "1.5" {
			kinds = append(kinds, e.Kind+" "+e.Note)
		}
	}
	want(t, "story", kinds, []string{"hold odd", "release ", "reroute spare", "fail no more"})
	want(t, "came", []string{m.Came.Client, m.Came.Transaction}, []string{"192.0.2.1:4711", "TX1"})
	do("drop", admin.QueueChange{All: true}, 2)
	want(t, "left", len(ids(t, c, admin.QueueFilter{}, 10)), 0)
}

// TestPauses: pauses cross the API.
func TestPauses(t *testing.T) {
	o := office.New(t)
	c := admin.InProcess(o.Admin())
	for _, p := range []admin.QueuePause{{Scope: "all", Why: "moving"}, {Scope: "site", Name: "mx:a b.test"}, {Scope: "route", Name: "spare"}} {
		now, err := c.QueuePause(ctx, p)
		must(t, err)
		if now.Since.IsZero() {
			t.Errorf("%v has no time", now)
		}
	}
	list, err := c.QueuePauses(ctx)
	must(t, err)
	want(t, "pauses", len(list), 3)
	want(t, "why", list[0].Why, "moving")
	for _, p := range list {
		must(t, c.QueueResume(ctx, p.Scope, p.Name))
	}
	list, err = c.QueuePauses(ctx)
	must(t, err)
	want(t, "pauses", len(list), 0)
}

// TestTrace: one answer has what came in, what stayed, what went on and what was
// refused.
func TestTrace(t *testing.T) {
	o := office.New(t)
	c := admin.InProcess(o.Admin())
	o.Run()
	o.Accept("a@s.test", "bob@here.test", "x@ok.test", "y@no.test")
	o.AwaitReports(1)
	o.Accept("a@s.test", "bob@here.test")
	o.Refuse("A@s.test", "nobody@here.test")
	trace := func(about string, limit int) admin.Trace {
		t.Helper()
		tr, err := c.Trace(ctx, about, time.Time{}, limit)
		must(t, err)
		return tr
	}
	all := trace("a@s.test", 100)
	want(t, "found", len(all.Messages), 3)
	refused, kept, sent := all.Messages[0], all.Messages[1], all.Messages[2]
	want(t, "refused", []any{refused.Came.Kind, refused.Came.Code, refused.Queue == nil}, []any{"refused", 550, true})
	place := kept.Came.Filed[0]
	want(t, "kept", []any{place.Account, place.Mailbox, *place.There, kept.Queue == nil}, []any{"bob@here.test", "INBOX", true, true})
	var ends []string
	for _, e := range sent.Queue.Events {
		if e.Attempt != nil {
			ends = append(ends, e.Attempt.Outcome+" "+e.Recipient)
		}
	}
	slices.Sort(ends)
	want(t, "sent", ends, []string{"delivered x@ok.test", "failed y@no.test"})
	want(t, "memory", []any{all.Keep, all.More}, []any{(30 * 24 * time.Hour).Seconds(), false})
	two := trace("a@s.test", 2)
	want(t, "the newest", []any{len(two.Messages), two.More, two.Messages[0].Came.Kind}, []any{2, true, "refused"})
	want(t, "by recipient", len(trace("Y@no.test", 10).Messages), 1)
	want(t, "by Message-ID", len(trace("<m1@client.test>", 10).Messages), 1)
	want(t, "by Message-ID, bare", len(trace("m1@client.test", 10).Messages), 1)
	want(t, "by transaction", len(trace("TX2", 10).Messages), 1)
	want(t, "nothing", len(trace("z@s.test", 10).Messages), 0)
	later, err := c.Trace(ctx, "a@s.test", time.Now().Add(time.Minute), 10)
	must(t, err)
	want(t, "since", len(later.Messages), 0)
}

// TestTraceMoved: a copy that is not where it was filed is told as such; so is
// one whose account is gone.
func TestTraceMoved(t *testing.T) {
	o := office.New(t)
	c := admin.InProcess(o.Admin())
	o.Accept("a@s.test", "bob@here.test")
	bob, err := o.Directory.Account(ctx, office.Address("bob@here.test"))
	must(t, err)
	inbox, err := o.Store.MailboxByRole(ctx, bob.ID, mail.RoleInbox)
	must(t, err)
	var set mail.UIDSet
	set.Add(1)
	_, err = o.Store.ExpungeAny(ctx, inbox.ID, set)
	must(t, err)
	place := func() admin.Place {
		t.Helper()
		tr, err := c.Trace(ctx, "bob@here.test", time.Time{}, 10)
		must(t, err)
		return tr.Messages[0].Came.Filed[0]
	}
	p := place()
	want(t, "expunged", []any{p.Account, p.Mailbox, *p.There}, []any{"bob@here.test", "INBOX", false})
	must(t, o.Directory.RemoveAccount(ctx, bob.Address))
	p = place()
	want(t, "removed", []any{p.Account, p.Mailbox, *p.There}, []any{"", "", false})
}

// TestTraceFromQueueAlone: what the journal does not know by that name is found
// in the queue, with how it came.
func TestTraceFromQueueAlone(t *testing.T) {
	o := office.New(t)
	item := o.Accept("a@s.test", "x@ok.test")
	alone := admin.InProcess(admin.New(admin.Config{Queue: o.Queue, Log: slog.New(slog.DiscardHandler)}))
	tr, err := alone.Trace(ctx, "x@ok.test", time.Time{}, 10)
	must(t, err)
	want(t, "found", []any{len(tr.Messages), tr.Messages[0].Came == nil, tr.Messages[0].Queue.Item}, []any{1, true, item})
}
