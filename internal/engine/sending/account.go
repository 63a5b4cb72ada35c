package sending

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
)

// counts are what an account did in a time.
type counts struct{ messages, recipients, fresh, bounced int64 }

func (c counts) plus(o counts) counts {
	return counts{c.messages + o.messages, c.recipients + o.recipients, c.fresh + o.fresh, c.bounced + o.bounced}
}

func (c counts) minus(o counts) counts {
	return counts{c.messages - o.messages, c.recipients - o.recipients, c.fresh - o.fresh, c.bounced - o.bounced}
}

// dayCounts are a day of an account.
type dayCounts struct {
	counts
	hours int64 // a bit for each hour in which it sent, UTC
	odd   bool  // it was held, and nobody said that this was right: it teaches nothing
}

// account is what is known of one that sends. All of it is under Sending.mu.
type account struct {
	id     mail.AccountID
	domain mail.Domain
	rule   Rule
	read   time.Time // the rows

	hours    map[int64]counts       // by the hour since 1970: hoursKept of them
	days     map[int64]dayCounts    // by the day since 1970: today and Days before
	networks map[netip.Prefix]int64 // since when it used them, in seconds

	// What is not written yet is in the above already.
	addHours    map[int64]counts
	addDays     map[int64]dayCounts
	addNetworks map[netip.Prefix]int64

	held      *Held
	doneDay   int64  // the day of the last release
	done      counts // what was counted that day until then
	unwritten bool   // held
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }
func dayOf(t time.Time) int64  { return t.Unix() / 86400 }

// add counts, now.
func (a *account) add(now time.Time, c counts) {
	h, d := hourOf(now), dayOf(now)
	a.hours[h] = a.hours[h].plus(c)
	a.addHours[h] = a.addHours[h].plus(c)
	bit := int64(0)
	if c.messages > 0 {
		bit = 1 << (h % 24)
	}
	for _, days := range []map[int64]dayCounts{a.days, a.addDays} {
		one := days[d]
		one.counts = one.plus(c)
		one.hours |= bit
		one.odd = one.odd || a.held != nil
		days[d] = one
	}
}

// used are the counts of the hour, and of the last 24.
func (a *account) used(now time.Time) (hour, day counts) {
	this := hourOf(now)
	for h, c := range a.hours {
		if h > this-24 && h <= this {
			day = day.plus(c)
		}
	}
	return a.hours[this], day
}

// room says whether there is room for a message with so many new recipients more.
func (a *account) room(now time.Time, fresh int64) error {
	hour, day := a.used(now)
	next := time.Unix((hourOf(now)+1)*3600, 0)
	switch b := a.rule.Bounds; {
	case b.MessagesHour > 0 && hour.messages+1 > b.MessagesHour:
		return full("this account sent %s in this hour, as many as it may; go on at %s", count(hour.messages, "message"), next, now)
	case fresh > 0 && b.NewHour > 0 && hour.fresh+fresh > b.NewHour:
		return full("this account wrote to %s; go on at %s", wrote(hour.fresh, b.NewHour, "this hour"), next, now)
	case b.MessagesDay > 0 && day.messages+1 > b.MessagesDay:
		return full("this account sent %s in 24 hours, as many as it may; go on at %s", count(day.messages, "message"),
			a.roomAt(now, b.MessagesDay-1, func(c counts) int64 { return c.messages }), now)
	case fresh > 0 && b.NewDay > 0 && day.fresh+fresh > b.NewDay:
		return full("this account wrote to %s; go on at %s", wrote(day.fresh, b.NewDay, "24 hours"),
			a.roomAt(now, b.NewDay-fresh, func(c counts) int64 { return c.fresh }), now)
	}
	return nil
}

// wrote says to how many new recipients somebody wrote, who may write to some more, or to none.
func wrote(n, most int64, in string) string {
	if n >= most {
		return fmt.Sprintf("%s in %s, as many as it may", count(n, "new recipient"), in)
	}
	return fmt.Sprintf("%s in %s and may to %d, and this message is for more", count(n, "new recipient"), in, most)
}

// roomAt is when no more than most of something will have been in 24 hours.
func (a *account) roomAt(now time.Time, most int64, of func(counts) int64) time.Time {
	this, sum := hourOf(now), int64(0)
	for h := this; h > this-24; h-- {
		if sum += of(a.hours[h]); sum > max(most, 0) {
			return time.Unix((h+24)*3600, 0)
		}
	}
	return time.Unix((this+1)*3600, 0)
}

func full(format, what string, at, now time.Time) error {
	layout := "15:04 MST"
	if at.Sub(now) > 12*time.Hour {
		layout = "2006-01-02 15:04 MST"
	}
	return mail.Errorf(mail.RateLimited, format, what, at.UTC().Format(layout))
}

func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Baseline is what is usual for an account, by the days before today on which it sent.
type Baseline struct {
	Days       int // with mail
	Recipients Usual
	New        Usual
	Bounces    float64 // the median of the shares of recipients that bounced
	Hours      int64   // a bit for each hour, UTC, in which it sent
	Networks   []netip.Prefix
}

// Usual are statistics of a number a day.
type Usual struct {
	Median, Deviation int64 // median absolute deviation
	Most              int64 // on nine days of ten it is no more: the 90th percentile
	Bound             int64 // what is let through, if nothing is unusual
}

// IsYoung reports whether there is too little to go by.
func (b Baseline) IsYoung() bool { return b.Days < Young }

// baseline computes what is usual.
func (a *account) baseline(now time.Time) (b Baseline) {
	var recipients, fresh []int64
	var shares []float64
	today := dayOf(now)
	for d, c := range a.days {
		if d >= today || d < today-Days || c.odd || c.messages <= 0 {
			continue
		}
		b.Days++
		b.Hours |= c.hours
		recipients, fresh = append(recipients, c.recipients), append(fresh, c.fresh)
		shares = append(shares, float64(c.bounced)/float64(max(1, c.recipients)))
	}
	leastRecipients, leastNew := int64(LeastRecipients), int64(LeastNew)
	if b.IsYoung() {
		leastRecipients, leastNew = YoungRecipients, YoungNew
	}
	b.Recipients, b.New = usual(recipients, leastRecipients, b.IsYoung()), usual(fresh, leastNew, b.IsYoung())
	if len(shares) > 0 {
		slices.Sort(shares)
		b.Bounces = shares[len(shares)/2]
	}
	for p, since := range a.networks {
		if now.Sub(time.Unix(since, 0)) >= NetworkAge {
			b.Networks = append(b.Networks, p)
		}
	}
	slices.SortFunc(b.Networks, netip.Prefix.Compare)
	return b
}

// usual computes the statistics of some days.
func usual(days []int64, least int64, young bool) (u Usual) {
	u.Bound = least
	if len(days) == 0 {
		return u
	}
	slices.Sort(days)
	u.Median = days[len(days)/2]
	u.Most = days[(len(days)*9+9)/10-1]
	off := make([]int64, len(days))
	for i, n := range days {
		off[i] = max(n-u.Median, u.Median-n)
	}
	slices.Sort(off)
	u.Deviation = off[len(off)/2]
	if !young {
		u.Bound = max(least, Times*u.Most, u.Median+Spread*u.Deviation)
	}
	return u
}

// unusual are circumstances in which an account sends that it never sent in.
type unusual struct{ network, hour bool }

func (u unusual) divisor() int64 {
	d := int64(1)
	if u.network {
		d *= 2
	}
	if u.hour {
		d *= 2
	}
	return d
}

// words follow the number that is let through.
func (u unusual) words() string {
	switch {
	case u.network && u.hour:
		return ", a quarter of what it is otherwise: it comes from a network that the account did not use before, at an hour at which it never sends"
	case u.network:
		return ", half of what it is otherwise: it comes from a network that the account did not use before"
	case u.hour:
		return ", half of what it is otherwise: the account never sends at this hour"
	}
	return ""
}

// unusual says what is unusual about a message from somewhere, now. Of the young nothing is.
func (a *account) unusual(from netip.Addr, now time.Time) (u unusual) {
	b := a.baseline(now)
	if b.IsYoung() {
		return u
	}
	if p := obs.Network(from.Unmap()); from.IsValid() && !from.IsLoopback() && len(b.Networks) > 0 {
		u.network = !slices.Contains(b.Networks, p)
	}
	h := hourOf(now) % 24
	near := int64(1)<<h | 1<<((h+1)%24) | 1<<((h+23)%24)
	u.hour = b.Hours&near == 0
	return u
}

// uses remembers a network.
func (a *account) uses(from netip.Addr, now time.Time) {
	if !from.IsValid() || from.IsLoopback() {
		return
	}
	p := obs.Network(from.Unmap())
	if _, there := a.networks[p]; there || !p.IsValid() {
		return
	}
	if len(a.networks) >= MaxNetworks { // The one that was first used last gives way.
		var last netip.Prefix
		for n, since := range a.networks {
			if !last.IsValid() || since > a.networks[last] {
				last = n
			}
		}
		delete(a.networks, last)
		delete(a.addNetworks, last)
	}
	a.networks[p], a.addNetworks[p] = now.Unix(), now.Unix()
}

// today is what was counted today, since the release if there was one.
func (a *account) today(now time.Time) counts {
	c := a.days[dayOf(now)].counts
	if a.doneDay == dayOf(now) {
		c = c.minus(a.done)
	}
	return c
}

// beyond says why an account is to be held for what it sent today; "" if it is not.
func (a *account) beyond(now time.Time, u unusual) string {
	b, today := a.baseline(now), a.today(now)
	for _, of := range []struct {
		what  string
		n     int64
		usual Usual
	}{{"new recipient", today.fresh, b.New}, {"recipient", today.recipients, b.Recipients}} {
		bound := of.usual.Bound / u.divisor()
		if of.n <= bound {
			continue
		}
		if b.IsYoung() {
			return fmt.Sprintf("%s today; an account that sent on less than %d days before may write to %d", count(of.n, of.what), Young, bound)
		}
		return fmt.Sprintf("%s today; on nine days of ten it is at most %d, and %d are let through%s", count(of.n, of.what), of.usual.Most, bound, u.words())
	}
	return a.bouncing(now)
}

// bouncing says why an account is to be held for what bounced today; "" if it is not.
func (a *account) bouncing(now time.Time) string {
	today := a.today(now)
	if today.bounced < ManyBounces {
		return ""
	}
	share := float64(today.bounced) / float64(max(1, today.recipients, today.bounced))
	if share <= max(BounceShare, Times*a.baseline(now).Bounces) {
		return ""
	}
	return fmt.Sprintf("%d of %s today bounced; up to %.0f %% are let through", today.bounced, count(max(today.recipients, today.bounced), "recipient"),
		100*max(BounceShare, Times*a.baseline(now).Bounces))
}
