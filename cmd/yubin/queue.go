package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"yubin/internal/server/admin"
)

type queueCmd struct {
	List    queueListCmd    `cmd:"" help:"List mail that is on its way out."`
	Show    queueShowCmd    `cmd:"" help:"Tell the story of a message."`
	Count   queueCountCmd   `cmd:"" help:"Count mail that is on its way out."`
	Hold    queueHoldCmd    `cmd:"" help:"Keep mail until it is released; it does not expire meanwhile."`
	Release queueReleaseCmd `cmd:"" help:"Let held mail go on."`
	Retry   queueRetryCmd   `cmd:"" help:"Try waiting mail now."`
	Reroute queueRerouteCmd `cmd:"" help:"Send mail by another route."`
	Fail    queueFailCmd    `cmd:"" help:"Give mail up and tell its senders."`
	Drop    queueDropCmd    `cmd:"" help:"Remove mail; nobody is told."`
	Sites   queueSitesCmd   `cmd:"" help:"Show the sites that mail goes to and how they are."`
	Pause   queuePauseCmd   `cmd:"" help:"Stop sending to a site, by a route, or at all."`
	Resume  queueResumeCmd  `cmd:"" help:"End a pause."`
	Pauses  queuePausesCmd  `cmd:"" help:"List the pauses."`
}

// age is a length of time as people write it: 90m, 36h, 3d, 1d12h.
type age time.Duration

const day = 24 * time.Hour

// UnmarshalText reads an age.
func (a *age) UnmarshalText(text []byte) error {
	days, rest, found := strings.Cut(string(text), "d")
	var total time.Duration
	if found {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 36500 {
			return fmt.Errorf("%q is no time like 90m, 36h or 3d", text)
		}
		total = time.Duration(n) * day
	} else {
		rest = string(text)
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil {
			return fmt.Errorf("%q is no time like 90m, 36h or 3d", text)
		}
		total += d
	}
	if total <= 0 {
		return fmt.Errorf("%q is no time like 90m, 36h or 3d", text)
	}
	*a = age(total)
	return nil
}

func (a age) String() string {
	if a == 0 {
		return ""
	}
	return time.Duration(a).String()
}

// chosen says which mail is meant.
type chosen struct {
	IDs        []string `arg:"" optional:"" name:"id" help:"Numbers of messages (12) or of single recipients (12.1)."`
	Sender     string   `help:"Mail from this address." placeholder:"ADDRESS"`
	NullSender bool     `help:"Mail from <>: reports and the like."`
	Recipient  string   `help:"Mail to this address." placeholder:"ADDRESS"`
	Domain     string   `help:"Mail to this domain." placeholder:"DOMAIN"`
	Site       string   `help:"Mail that goes to this site: a domain, a route, or what yubin queue sites calls it." placeholder:"SITE"`
	State      string   `help:"waiting, parked (of those that wait: for their site), held, active or owed." placeholder:"STATE"`
	Older      age      `help:"Mail that came longer ago: 90m, 36h, 3d." placeholder:"TIME"`
	Younger    age      `help:"Mail that came later." placeholder:"TIME"`
}

func (c chosen) filter() admin.QueueFilter {
	return admin.QueueFilter{IDs: c.IDs, Sender: c.Sender, NullSender: c.NullSender, Recipient: c.Recipient, Domain: c.Domain,
		Site: c.Site, State: c.State, Older: c.Older.String(), Younger: c.Younger.String()}
}

type queueListCmd struct {
	place
	chosen
	Limit int `help:"How many recipients to show; 0 shows all." default:"1000" placeholder:"N"`
}

// Run lists page by page. As JSON it is a value a line.
func (c *queueListCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		list := queueList{e: e, now: time.Now()}
		for after := ""; ; {
			want := admin.MaxPage
			if c.Limit > 0 {
				want = min(want, c.Limit-list.shown)
			}
			page, err := client.QueueList(ctx, c.filter(), after, want)
			if err != nil {
				return err
			}
			if err := list.show(page.Items); err != nil {
				return err
			}
			after = page.Next
			if after == "" || c.Limit > 0 && list.shown >= c.Limit {
				break
			}
		}
		return list.end(c.filter().IsZero(), c.Limit)
	})
}

// queueList writes deliveries as they come.
type queueList struct {
	e     *env
	now   time.Time
	shown int
	stops bool // a pause keeps some of it from going out
}

func (l *queueList) show(items []admin.QueueDelivery) error {
	if l.e.json {
		l.shown += len(items)
		return l.e.show(items, nil)
	}
	t := table{{"ID", "STATE", "AGE", "TRIES", "NEXT", "SENDER", "RECIPIENT", "SITE", "WHY"}}
	if l.shown > 0 {
		t = table{}
	}
	for _, d := range items {
		l.stops = l.stops || d.Paused
		t.add(d.ID, stateOf(d), length(l.now.Sub(d.Arrived)), fmt.Sprint(d.Attempts), l.next(d), path(d.Sender), d.Recipient, d.SiteName, whyOf(d))
	}
	if len(items) > 0 {
		t.write(l.e.stdout)
	}
	l.shown += len(items)
	return nil
}

func stateOf(d admin.QueueDelivery) string {
	if d.State == "waiting" && d.Parked {
		return "parked"
	}
	return d.State
}

func (l *queueList) next(d admin.QueueDelivery) string {
	switch {
	case d.State != "waiting":
		return "-"
	case d.Paused:
		return "paused"
	}
	return nextAt(d.Due, l.now)
}

// whyWidth is how much of a remote's words stands in a list.
const whyWidth = 60

func whyOf(d admin.QueueDelivery) string {
	if d.Unreadable != "" {
		return cut("cannot be read: "+d.Unreadable, whyWidth)
	}
	if d.HeldBy == "sending" {
		return "its account sends unlike otherwise: yubin account sending"
	}
	if d.Last == nil {
		return ""
	}
	return cut(wordsOf(*d.Last), whyWidth)
}

func (l *queueList) end(all bool, limit int) error {
	switch {
	case l.e.json:
	case l.shown == 0 && all:
		fmt.Fprintln(l.e.stdout, "the queue is empty")
	case l.shown == 0:
		fmt.Fprintln(l.e.stdout, "nothing in the queue is like that")
	case l.shown == limit:
		l.e.tell("these are the first %d; --limit 0 shows all", limit)
	}
	if l.stops {
		l.e.tell(`mail is paused: "yubin queue pauses" says what and why, "yubin queue resume" ends it`)
	}
	return nil
}

type queueCountCmd struct {
	place
	chosen
}

// Run counts by state.
func (c *queueCountCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		n, err := client.QueueCount(ctx, c.filter())
		if err != nil {
			return err
		}
		return e.show(n, func(w io.Writer) {
			t := table{
				{"waiting", fmt.Sprint(n.Waiting), "for their next attempt"},
				{"active", fmt.Sprint(n.Active), "being sent"},
				{"held", fmt.Sprint(n.Held), "until somebody releases them"},
				{"owed", fmt.Sprint(n.Owed), "settled, and their sender is about to be told"},
				{"all", fmt.Sprint(n.Total)},
			}
			if n.Parked > 0 {
				t[0][2] += fmt.Sprintf("; %d put off because their site is down or paused", n.Parked)
			}
			if !n.Oldest.IsZero() {
				t[4] = append(t[4], "the oldest came "+length(time.Since(n.Oldest))+" ago")
			}
			t.write(w)
		})
	})
}

type queueShowCmd struct {
	place
	ID string `arg:"" help:"The number of the message: 12."`
}

// Run tells the story of a message.
func (c *queueShowCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		m, err := client.QueueShow(ctx, c.ID)
		if err != nil {
			return err
		}
		return e.show(m, func(w io.Writer) {
			newTeller(w, time.Now()).message(m)
		})
	})
}

type queueSitesCmd struct {
	place
	State string `help:"up, failing, down, paused or unknown." placeholder:"STATE"`
}

// Run lists the sites.
func (c *queueSitesCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		sites, err := client.QueueSites(ctx, c.State)
		if err != nil {
			return err
		}
		return e.show(sites, func(w io.Writer) {
			switch {
			case len(sites) == 0 && c.State != "":
				fmt.Fprintln(w, "no site is like that")
				return
			case len(sites) == 0:
				fmt.Fprintln(w, "no site has mail to carry now")
				return
			}
			now := time.Now()
			t := table{{"SITE", "STATE", "SINCE", "WAITING", "NEXT", "BUSY", "ALLOWED", "WHY"}}
			for _, s := range sites {
				t.add(s.Name, s.State, ago(s.Since, now), fmt.Sprint(s.Waiting), nextAt(s.Next, now), fmt.Sprint(s.Busy), fmt.Sprint(s.Concurrency),
					cut(oneLine(s.Words), whyWidth))
			}
			t.write(w)
		})
	})
}

// ago is how long something is so, or "-" if that is not known.
func ago(since, now time.Time) string {
	if since.IsZero() {
		return "-"
	}
	return length(now.Sub(since))
}

// nextAt is when something is tried, or "-" if it is not.
func nextAt(at, now time.Time) string {
	switch {
	case at.IsZero():
		return "-"
	case !at.After(now):
		return "now"
	}
	return "in " + length(at.Sub(now))
}
