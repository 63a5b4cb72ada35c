package main

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"yubin/internal/server/admin"
	"yubin/internal/testkit/office"
)

// startOffice is the command "office FOLDER" of scripts: a server with a queue
// where all has happened that there is to tell. Of its mail, message 1 went
// partly to ok.test, waits partly for later.test and is partly bob's; 2 was
// refused by no.test; 3 waits for down.test; one is only bob's, and one
// recipient was refused.
func startOffice(ts *testscript.TestScript, _ bool, args []string) {
	folder := ts.MkAbs(args[0])
	ts.Check(os.Mkdir(folder, 0o700))
	o := office.Open(folder, time.Now, func(what ...any) { ts.Fatalf("%v", what) })
	o.Accept("a@s.test", "bob@here.test", "x@ok.test", "y@later.test")
	o.Accept("a@s.test", "z@no.test")
	o.Accept("b@s.test", "w@down.test")
	o.Accept("c@s.test", "bob@here.test")
	o.Refuse("spam@s.test", "nobody@here.test")
	o.Run()
	o.AwaitAttempts(4)
	o.AwaitReports(1)
	listener, err := admin.Listen(folder)
	ts.Check(err)
	web := &http.Server{Handler: o.Admin(), ReadHeaderTimeout: patience}
	done := make(chan error, 1)
	go func() { done <- web.Serve(listener) }()
	ts.Defer(func() {
		_ = web.Close()
		<-done
		o.Close()
	})
}

// TestUntried: what was not tried says why in the words of the last attempt at its site.
func TestUntried(t *testing.T) {
	a := admin.QueueAttempt{Outcome: "deferred", Untried: true, Host: "mx.a.test", Address: "192.0.2.1:25", Phase: "connect", Ours: true, Text: "connection refused"}
	if got, want := attemptWords(a), "put off, not tried; last at mx.a.test [192.0.2.1:25]: connection refused"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := whyOf(admin.QueueDelivery{Last: &a}); got != "connection refused" {
		t.Errorf("in a list: %q", got)
	}
}

// TestWideCell: a cell that is too long widens no column but its own row.
func TestWideCell(t *testing.T) {
	var out strings.Builder
	table{{"A", "B"}, {"short", "x"}, {strings.Repeat("w", 12), "y"}}.writeWithin(&out, 10)
	if want := "A      B\nshort  x\nwwwwwwwwwwww  y\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", time.Second: "1 s", 75 * time.Second: "1 min 15 s", 12*time.Minute + 30*time.Second: "12 min", time.Hour: "1 h",
		90 * time.Minute: "1 h 30 min", day: "1 day", 36 * time.Hour: "1 day 12 h", 30 * day: "30 days", 12*day + 5*time.Hour: "12 days",
	} {
		if got := length(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
	for s, want := range map[float64]string{0: "0 s", 0.0123: "0.012 s", 1.5: "1.5 s", 75: "1 min 15 s"} {
		if got := seconds(s); got != want {
			t.Errorf("%v is %q, want %q", s, got, want)
		}
	}
	if got := oneLine("a\nb\x1b[2J\u009bc"); got != `a / b\u001b[2J\u009bc` {
		t.Errorf("got %q", got)
	}
	if got := someOf([]string{"1", "2", "3", "4", "5", "6", "7"}); got != "1, 2, 3, 4, 5 and 2 more" {
		t.Errorf("got %q", got)
	}
}

func TestSiteTimes(t *testing.T) {
	now := time.Now()
	for at, want := range map[time.Time]string{{}: "-", now: "now", now.Add(75 * time.Second): "in 1 min 15 s"} {
		if got := nextAt(at, now); got != want {
			t.Errorf("%v is %q, want %q", at, got, want)
		}
	}
	if got := ago(now.Add(-75*time.Second), now) + ago(time.Time{}, now); got != "1 min 15 s-" {
		t.Errorf("got %q", got)
	}
}

// TestStory: what a story says of recipients in states that a script cannot
// wait for.
func TestStory(t *testing.T) {
	now := time.Date(2026, 7, 25, 12, 0, 0, 0, time.UTC)
	tell := newTeller(nil, now)
	d := admin.QueueDelivery{State: "waiting", SiteName: "a.test via mx", Due: now.Add(-time.Second)}
	for want, change := range map[string]func(d *admin.QueueDelivery){
		"waits; next attempt now; a.test via mx":                                        func(*admin.QueueDelivery) {},
		"waits, because its site is down or paused; looked at again now; a.test via mx": func(d *admin.QueueDelivery) { d.Parked = true },
		"being sent; a.test via mx, by the route spare":                                 func(d *admin.QueueDelivery) { d.State, d.Route = "active", "spare" },
		"failed; its sender is about to be told":                                        func(d *admin.QueueDelivery) { d.State = "owed" },
	} {
		one := d
		change(&one)
		events := []admin.QueueEvent{{Kind: "attempt", Attempt: &admin.QueueAttempt{Outcome: "failed"}}}
		if got := tell.progress(recipient{"1.1", "x@a.test", &one}, events); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for want, kind := range map[string]string{"given up: it took too long": "expired", "dropped": "drop", "failed by an operator": "fail", "settled": "report"} {
		if got := ending([]admin.QueueEvent{{Kind: "attempt", Attempt: &admin.QueueAttempt{Outcome: "deferred"}}, {Kind: kind}}); got != want {
			t.Errorf("%s: got %q, want %q", kind, got, want)
		}
	}
	lost := attemptWords(admin.QueueAttempt{Outcome: "deferred", Host: "mx.test", Address: "192.0.2.1:25", Phase: "answer", Ours: true, Text: "no answer", AnswerLost: true, Seconds: 300})
	if want := "deferred at mx.test [192.0.2.1:25], in clear, 5 min: no answer (the answer was lost: it may have arrived)"; lost != want {
		t.Errorf("got %q, want %q", lost, want)
	}
}

// TestEventsByTheirEnd: an attempt that took five minutes stands where it ended,
// before what followed from it.
func TestEventsByTheirEnd(t *testing.T) {
	began := time.Date(2026, 7, 25, 12, 0, 0, 0, time.Local)
	ended := began.Add(5 * time.Minute)
	var out strings.Builder
	newTeller(&out, ended).events([]admin.QueueEvent{
		{At: ended, Kind: "attempt", Attempt: &admin.QueueAttempt{At: began, Outcome: "failed", Seconds: 300}},
		{At: ended, Kind: "untold", Note: "the postmaster is told: filed here"},
	}, began)
	if got := regexp.MustCompile(` {2,}`).ReplaceAllString(out.String(), "  "); got != "  12:05:00  failed\n"+
		"  12:05:00  the sender cannot be told: the postmaster is told: filed here\n" {
		t.Errorf("got\n%s", got)
	}
}

// TestKept: what was accepted and is in no queue now.
func TestKept(t *testing.T) {
	at := time.Date(2026, 7, 25, 12, 0, 0, 0, time.UTC)
	for want, a := range map[string]admin.Arrival{
		"  filed  nowhere: a route discards it\n":                           {},
		"  queue  message 7, which it has forgotten since\n":                {Item: 7},
		"  filed  an account that is gone, a mailbox that is gone, UID 3\n": {Filed: []admin.Place{{UID: 3}}},
	} {
		a.At, a.Kind, a.Code = at, "accepted", 250
		var out strings.Builder
		newTeller(&out, at).traced(admin.Traced{Came: &a})
		if got := regexp.MustCompile(` {2,}`).ReplaceAllString(out.String(), "  "); !strings.HasSuffix(got, want) {
			t.Errorf("got\n%s\nwant at its end %q", got, want)
		}
	}
}

func TestAge(t *testing.T) {
	for s, want := range map[string]time.Duration{"90m": 90 * time.Minute, "3d": 3 * day, "1d12h": 36 * time.Hour, "36h": 36 * time.Hour} {
		var a age
		if err := a.UnmarshalText([]byte(s)); err != nil || time.Duration(a) != want {
			t.Errorf("%q is %v, %v", s, a, err)
		}
	}
	for _, s := range []string{"", "3", "d", "-1d", "xd", "1dx", "0h", "1 d", "99999999d", "-5m"} {
		var a age
		if err := a.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q is %v", s, a)
		}
	}
}
