package queue

import (
	"slices"
	"strings"
	"time"
)

// SiteStatus is what the scheduler knows of a site.
type SiteStatus struct {
	Site        string
	InMemory    int       // messages that wait for their turn
	More        bool      // and more in the database
	Busy        int       // transactions under way
	Concurrency int       // transactions allowed at a time now
	Down        bool      // no session comes about
	Probe       time.Time // of one that is down: when it is tried
	Words       string    // of one that is down: why
	Paused      bool
}

// Sites lists the sites that the scheduler knows, busy or not, by name.
func (q *Queue) Sites() (list []SiteStatus) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.board.sites {
		st := SiteStatus{Site: s.name, InMemory: s.queued, More: s.hasMore(), Busy: s.busy, Concurrency: s.allowed(),
			Down: s.dead, Paused: q.pauses.all || q.pauses.covers(s.name, "")}
		if s.dead {
			st.Probe, st.Words = s.probeAt, s.why.Text
		}
		list = append(list, st)
	}
	slices.SortFunc(list, func(a, b SiteStatus) int { return strings.Compare(a.Site, b.Site) })
	return list
}
