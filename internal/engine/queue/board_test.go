package queue

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/mail"
)

// desk is a board with a clock.
type desk struct {
	*board
	now  time.Time
	next spool.ItemID
}

func newDesk(l Limits) *desk { return &desk{board: newBoard(l), now: time.Unix(1e9, 0)} }

func (d *desk) put(site string, l lane, sender string) admission {
	d.next++
	return d.addOrMiss(key{d.next, site}, l, sender, d.now)
}

// picks names the senders of the next n picks, each done at once and well.
func (d *desk) picks(n int) string {
	var list []string
	for range n {
		e := d.pick(d.now)
		if e == nil {
			break
		}
		list = append(list, e.sender)
		d.done(e, finding{verdict: alive}, d.now, 0.5)
	}
	return strings.Join(list, " ")
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %s, want %s", what, got, want)
	}
}

func TestSendersTakeTurns(t *testing.T) {
	d := newDesk(Limits{})
	for range 100 {
		d.put("b", laneFresh, "big")
	}
	d.put("b", laneFresh, "small")
	d.put("b", laneFresh, "other")
	expect(t, "order", d.picks(5), "big small other big big")
}

func TestNewMailIsNotStarvedByOld(t *testing.T) {
	d := newDesk(Limits{})
	for range 50 {
		d.put("b", laneRetry, "old")
		d.put("b", laneFresh, "new")
	}
	expect(t, "order", d.picks(8), "new new new old new new new old")
}

func TestPriority(t *testing.T) {
	d := newDesk(Limits{})
	for range 20 {
		d.put("b", laneLow, "low")
		d.put("b", laneFresh, "new")
	}
	d.put("b", laneUrgent, "urgent")
	got := d.picks(18)
	if !strings.HasPrefix(got, "urgent new") || strings.Count(got, "low") != 1 {
		t.Errorf("order %s", got)
	}
	d.put("c", laneFresh, "c")
	d.put("e", laneUrgent, "e")
	expect(t, "sites with urgent mail first", d.picks(1), "e")
}

func TestSitesTakeTurns(t *testing.T) {
	d := newDesk(Limits{})
	for _, site := range []string{"b", "c", "d", "e"} {
		d.put(site, laneFresh, "x") // None is a stranger from here on.
	}
	d.picks(4)
	for range 10 {
		d.put("b", laneFresh, "b")
	}
	d.put("c", laneFresh, "c")
	d.put("d", laneFresh, "d")
	expect(t, "order", d.picks(5), "b c d b b")
	d.put("b", laneFresh, "b") // To add does not lose the turn.
	d.put("e", laneFresh, "e")
	d.put("b", laneFresh, "b")
	expect(t, "order", d.picks(2), "b e")
}

// TestStrangersLeaveRoom: mail for hosts that answer takes turns with mail for
// those that are not known, and these never have all transactions.
func TestStrangersLeaveRoom(t *testing.T) {
	d := newDesk(Limits{Total: 8})
	d.put("well", laneFresh, "well")
	d.picks(1)
	for i := range 2 * MaxWindow {
		d.put(fmt.Sprint("unknown", i), laneFresh, "x")
	}
	expect(t, "in memory", fmt.Sprint(d.queued), fmt.Sprint(MaxWindow))
	for range 2 {
		if d.put("well", laneFresh, "well") != admitted {
			t.Error("a site that answers finds no room")
		}
	}
	expect(t, "order", d.picks(4), "x well x well")
	expect(t, "strangers at a time", fmt.Sprint(len(d.busyAll())), "6")
	d.put("well", laneFresh, "well")
	if e := d.pick(d.now); e == nil || e.site != "well" {
		t.Errorf("beside them goes %v", e)
	}
}

// TestManySites: what is known of a million sites is bounded.
func TestManySites(t *testing.T) {
	const many = 100_000
	d := newDesk(Limits{})
	most := 0
	for i := range many {
		d.put(fmt.Sprint("unknown", i), laneFresh, fmt.Sprint(i%50))
		if i%3 == 0 { // One of the two that went before it is tried, and its host is not there.
			if e := d.pick(d.now); e != nil {
				d.done(e, finding{verdict: down}, d.now, 0.5)
				d.learned(e.site, finding{verdict: down}, d.now)
			}
		}
		most = max(most, len(d.sites))
	}
	if bound := MaxWindow + maxIdle + maxWanting; most > bound || !d.missed {
		t.Errorf("%d sites of %d are known, want at most %d; the database is to be looked through: %v", most, many, bound, d.missed)
	}
	if len(d.sites) != d.queued+d.idle.Len() || len(d.errands) != d.queued {
		t.Errorf("%d sites, of which %d have mail and %d are idle; %d errands", len(d.sites), d.queued, d.idle.Len(), len(d.errands))
	}
}

// TestManyDeadSites: of sites that wait for their probe few have one in memory,
// and what is forgotten of them is found again when they are well.
func TestManyDeadSites(t *testing.T) {
	d := newDesk(Limits{})
	for i := range 2*maxIdle + 2*maxProbes {
		site := fmt.Sprint("dead", i)
		for range 3 {
			d.put(site, laneFresh, "x")
			e := d.pick(d.now)
			d.done(e, finding{verdict: down}, d.now, 0.5)
			d.learned(site, finding{verdict: down}, d.now)
		}
		d.put(site, laneFresh, "x")
	}
	expect(t, "probes", fmt.Sprint(len(d.resting.sites)), fmt.Sprint(maxProbes))
	expect(t, "idle", fmt.Sprint(d.idle.Len()), fmt.Sprint(maxIdle))
	expect(t, "one more for a dead site", fmt.Sprint(d.put(fmt.Sprint("dead", 2*maxIdle), laneFresh, "x") == shut), "true")
	d.put("dead2500", laneFresh, "x") // It was forgotten.
	e := d.pick(d.now)
	d.done(e, finding{verdict: alive}, d.now, 0.5)
	d.learned(e.site, finding{verdict: alive}, d.now)
	expect(t, "looked for", fmt.Sprint(d.wanting[d.site("dead2500")]), "true")
	d.now = d.now.Add(time.Hour)
	expect(t, "probed", fmt.Sprint(len(d.busyAll())), fmt.Sprint(DefaultTotal-DefaultTotal/4))
}

func TestBigSenderLeavesRoom(t *testing.T) {
	d := newDesk(Limits{})
	n := 0
	for range 3 * siteWindow {
		if d.put("b", laneFresh, "big") == admitted {
			n++
		}
	}
	if n < siteWindow/4 || n > siteWindow/2 || !d.site("b").more[laneFresh] {
		t.Errorf("the big sender has %d of %d", n, siteWindow)
	}
	for i := range siteWindow - siteWindow/4 {
		d.put("b", laneFresh, fmt.Sprint("many", i))
	}
	if d.put("b", laneFresh, "late") != admitted {
		t.Error("a new sender finds no room")
	}
	if l := &d.site("b").lanes[laneFresh]; l.len > siteWindow {
		t.Errorf("lane holds %d", l.len)
	}
}

func TestBigSitesLeaveRoom(t *testing.T) {
	d := newDesk(Limits{})
	for i := range 2 * MaxWindow {
		d.put(fmt.Sprint("slow", i%20), laneFresh, fmt.Sprint(i))
	}
	if d.queued > MaxWindow {
		t.Errorf("window has %d", d.queued)
	}
	if d.put("quick", laneFresh, "x") != admitted {
		t.Error("a new site finds no room")
	}
	n := 0
	for _, s := range d.sites {
		n += s.queued
	}
	if n != d.queued || len(d.errands) != n {
		t.Errorf("sites have %d, the board counts %d of %d", n, d.queued, len(d.errands))
	}
}

// busy picks until nothing is allowed.
func (d *desk) busyAll() (list []*errand) {
	for e := d.pick(d.now); e != nil; e = d.pick(d.now) {
		list = append(list, e)
	}
	return list
}

func TestConcurrency(t *testing.T) {
	d := newDesk(Limits{Site: Limit{Concurrency: 8}})
	for i := range 200 {
		d.put("b", laneFresh, fmt.Sprint(i))
	}
	var sizes []int
	for range 8 {
		list := d.busyAll()
		sizes = append(sizes, len(list))
		for _, e := range list {
			d.done(e, finding{verdict: alive}, d.now, 0.5)
		}
	}
	if sizes[0] != firstConcurrency || sizes[7] != 8 {
		t.Errorf("grows %v", sizes)
	}
	list := d.busyAll()
	d.done(list[0], finding{verdict: down}, d.now, 0.5)
	expect(t, "halved", fmt.Sprint(d.site("b").allowed()), "4")
	for _, e := range list[1:4] {
		d.done(e, finding{verdict: down}, d.now, 0.5)
	}
	s := d.site("b")
	if !s.dead || s.allowed() != 1 {
		t.Errorf("after four failures: %+v", s.window)
	}
	for _, e := range list[4:] {
		d.done(e, finding{}, d.now, 0.5) // Nothing is learned from what was not tried.
	}
	if e := d.pick(d.now); e != nil {
		t.Error("a dead site is used")
	}
	d.now = s.probeAt
	if n := len(d.busyAll()); n != 1 {
		t.Errorf("%d probes", n)
	}
	if got := d.put("b", laneFresh, "x"); got != shut {
		t.Errorf("a dead site takes mail: %v", got)
	}
}

func TestProbesGetRarer(t *testing.T) {
	d := newDesk(Limits{})
	d.put("b", laneFresh, "x")
	s := d.site("b")
	var waits []time.Duration
	for range 9 {
		e := d.pick(d.now)
		if e == nil {
			t.Fatalf("no probe at %v, %v", d.now, s.probeAt)
		}
		d.done(e, finding{verdict: down}, d.now, 0.5)
		if s.dead {
			waits = append(waits, s.probeAt.Sub(d.now))
			d.now = s.probeAt
		}
		d.put("b", laneFresh, "x")
	}
	expect(t, "waits", fmt.Sprint(waits), "[1m0s 2m0s 4m0s 8m0s 15m0s 15m0s 15m0s]")
	d.done(d.pick(d.now), finding{verdict: alive}, d.now, 0.5)
	if s.dead || s.allowed() != firstConcurrency {
		t.Errorf("after a success: dead %v, %d", s.dead, s.allowed())
	}
}

func TestRateAndTotal(t *testing.T) {
	d := newDesk(Limits{Total: 3, Site: Limit{PerSecond: 10}, Sites: map[string]Limit{"quick": {Concurrency: 5}}})
	for i := range 30 {
		d.put("b", laneFresh, fmt.Sprint(i))
		d.put("quick", laneFresh, fmt.Sprint(i))
	}
	list := d.busyAll()
	expect(t, "at once", fmt.Sprint(len(list)), "3")
	for _, e := range list {
		d.done(e, finding{verdict: alive}, d.now, 0.5)
	}
	d.setLimits(Limits{Total: 100, Site: Limit{PerSecond: 10}, Sites: map[string]Limit{"quick": {Concurrency: 1}}})
	n := 0
	for range 100 { // Ten seconds.
		d.now = d.now.Add(100 * time.Millisecond)
		for _, e := range d.busyAll() {
			if e.site == "b" {
				n++
			}
			d.done(e, finding{verdict: alive}, d.now, 0.5)
		}
	}
	if n < 25 || d.site("b").queued != 0 {
		t.Errorf("%d in ten seconds", n)
	}
}

func TestForget(t *testing.T) {
	d := newDesk(Limits{})
	d.put("b", laneFresh, "x")
	d.picks(1)
	d.forget(d.now.Add(siteMemory / 2))
	expect(t, "sites", fmt.Sprint(len(d.sites)), "1")
	d.forget(d.now.Add(2 * siteMemory))
	expect(t, "sites", fmt.Sprint(len(d.sites)), "0")
}

func TestFinding(t *testing.T) {
	result := func(list ...mail.Attempt) []mail.Result {
		return []mail.Result{{Outcome: list[len(list)-1].Outcome, Attempts: list}}
	}
	for _, tc := range []struct {
		name    string
		results []mail.Result
		want    verdict
	}{
		{"nothing", nil, unknown},
		{"delivered", result(delivered()), alive},
		{"second host", result(unreachable(), delivered()), alive},
		{"recipient refused", result(refused()), alive},
		{"recipient later", result(tempfail()), alive},
		{"no connection", result(unreachable(), unreachable()), down},
		{"no such domain", result(mail.Attempt{Phase: mail.PhaseRoute, Outcome: mail.Failed}), unknown},
	} {
		if got := findingOf(ctx, tc.results).verdict; got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
