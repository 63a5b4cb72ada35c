package queue

import (
	"context"
	"slices"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// SiteState is how a site is.
type SiteState string

// The states of sites.
const (
	SiteUp      SiteState = "up"      // it answered last
	SiteFailing SiteState = "failing" // the last session did not come about; it is tried further
	SiteDown    SiteState = "down"    // no session comes about: one message probes it from time to time
	SitePaused  SiteState = "paused"  // by an operator
	SiteUnknown SiteState = "unknown" // nobody spoke with it lately
)

// SiteStates lists them.
func SiteStates() []SiteState {
	return []SiteState{SiteUp, SiteFailing, SiteDown, SitePaused, SiteUnknown}
}

// SiteStatus is what is known of a site.
type SiteStatus struct {
	Site        string
	State       SiteState
	Since       time.Time // the last answers were alike; zero if that is not known
	Next        time.Time // of one that does not answer: when it is tried again; of another, when the first of its mail is due
	Words       string    // of one that does not answer, or is paused: why
	Waiting     int       // recipients in the store that wait for it, those that are being carried included; Sites does not count them
	Held        int       // and those that are held
	InMemory    int       // messages that wait for their turn
	More        bool      // and more in the database
	Busy        int       // transactions under way
	Concurrency int       // transactions allowed at a time now; 0 if nobody spoke with it lately
	Down        bool      // no session comes about
	Paused      bool
	Login       bool // of one that does not answer: it refuses our login
}

// Sites lists the sites that the scheduler knows, busy or not, by name.
func (q *Queue) Sites() (list []SiteStatus) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.board.sites {
		list = append(list, q.statusOf(s))
	}
	slices.SortFunc(list, func(a, b SiteStatus) int { return strings.Compare(a.Site, b.Site) })
	return list
}

// statusOf is what memory knows of a site. The lock is held.
func (q *Queue) statusOf(s *site) SiteStatus {
	st := SiteStatus{Site: s.name, State: SiteUnknown, Since: s.since, InMemory: s.queued, More: s.hasMore(), Busy: s.busy,
		Concurrency: s.allowed(), Down: s.dead}
	switch {
	case s.dead:
		st.State = SiteDown
	case s.answers:
		st.State = SiteUp
	case !s.seen.IsZero():
		st.State = SiteFailing
	}
	if st.State == SiteDown || st.State == SiteFailing {
		st.Next, st.Words, st.Login = s.probeAt, s.why.Text, s.why.Phase == mail.PhaseAuth
	}
	q.markPaused(&st)
	return st
}

// markPaused says so of a site that is. The lock is held.
func (q *Queue) markPaused(st *SiteStatus) {
	if st.Paused = q.pauses.all || q.pauses.covers(st.Site, ""); !st.Paused {
		return
	}
	st.State, st.Next, st.Words = SitePaused, time.Time{}, ""
	for _, p := range q.pauses.list {
		if p.Scope == PauseAll || p.Scope == PauseSite && p.Name == st.Site {
			st.Since, st.Words = p.Since, p.Why
		}
	}
}

// SitePage lists sites by name, those after one: where mail waits, and those that the
// scheduler knows. A state narrows the list if it is not "". next is where to go on,
// "" at the end; a page can be empty and not the last. It looks at every row of its
// sites, a million in about a second.
func (q *Queue) SitePage(ctx context.Context, state SiteState, after string, limit int) (page []SiteStatus, next string, err error) {
	limit = min(max(limit, 1), MaxList)
	stored, err := q.storedSites(ctx, after, limit)
	if err != nil {
		return nil, "", err
	}
	if len(stored) == limit {
		next = stored[limit-1].Site
	}
	all := q.knownSites(stored, after, next)
	if len(all) > limit {
		all = all[:limit]
		next = all[limit-1].Site
	}
	if err := q.askWhy(ctx, all); err != nil {
		return nil, "", err
	}
	for _, st := range all {
		if state == "" || st.State == state {
			page = append(page, st)
		}
	}
	return page, next, nil
}

// storedSites counts the deliveries of some sites.
func (q *Queue) storedSites(ctx context.Context, after string, limit int) (list []SiteStatus, err error) {
	err = q.db.Read(ctx, func(tx *sqldb.Tx) error {
		list = nil
		rows, err := tx.Query(`SELECT site, count(*) FILTER (WHERE state IN (1, 3)), count(*) FILTER (WHERE state = 2),
			max(parked), coalesce(min(due) FILTER (WHERE state = 1), 0)
			FROM queue_delivery WHERE site > $1 GROUP BY site ORDER BY site LIMIT $2`, after, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			st := SiteStatus{State: SiteUnknown}
			var parked, due int64
			if err := rows.Scan(&st.Site, &st.Waiting, &st.Held, &parked, &due); err != nil {
				return err
			}
			st.Next = fromMillis(due)
			if parked > 0 { // Whoever remembers more says more.
				st.State, st.Down = SiteDown, true
			}
			list = append(list, st)
		}
		return rows.Err()
	})
	return list, err
}

// knownSites adds what memory knows of the sites of a list, and those between two
// names that only it knows; last is "" for all.
func (q *Queue) knownSites(stored []SiteStatus, after, last string) []SiteStatus {
	q.mu.Lock()
	defer q.mu.Unlock()
	has := map[string]bool{}
	for i, st := range stored {
		has[st.Site] = true
		s := q.board.sites[st.Site]
		if s == nil || s.seen.IsZero() {
			q.markPaused(&stored[i])
			continue
		}
		known := q.statusOf(s)
		known.Waiting, known.Held = st.Waiting, st.Held
		if known.State == SiteUp || known.State == SiteUnknown {
			known.Next = st.Next
		}
		stored[i] = known
	}
	for name, s := range q.board.sites {
		if name > after && (last == "" || name <= last) && !has[name] {
			stored = append(stored, q.statusOf(s))
		}
	}
	slices.SortFunc(stored, func(a, b SiteStatus) int { return strings.Compare(a.Site, b.Site) })
	return stored
}

// askWhy finds what the last attempt at a site said, of those that are down and that
// nobody remembers.
func (q *Queue) askWhy(ctx context.Context, list []SiteStatus) error {
	return q.db.Read(ctx, func(tx *sqldb.Tx) error {
		asked := make([]*sqldb.Answer, len(list))
		for i, st := range list {
			if st.State == SiteDown && st.Words == "" {
				asked[i] = tx.Ask(`SELECT last FROM queue_delivery WHERE site = $1 AND parked > 0 ORDER BY parked DESC LIMIT 1`, st.Site)
			}
		}
		for i, a := range asked {
			if a == nil {
				continue
			}
			var last string
			if err := a.Scan(&last); err == sqldb.ErrNoRows {
				continue
			} else if err != nil {
				return err
			}
			if attempt, _, err := parseRecord(last); err == nil { // Check tells of one that cannot be read.
				list[i].Words = strings.TrimPrefix(attempt.Text, untried+"\n")
			}
		}
		return nil
	})
}

// SitesNamed lists the sites that people call so: a domain, or a host with its port,
// whatever is said of TLS or a login there.
func (q *Queue) SitesNamed(ctx context.Context, name string) (list []string, err error) {
	err = q.db.Read(ctx, func(tx *sqldb.Tx) error {
		list = nil
		for _, kind := range []mail.HopKind{mail.HopMX, mail.HopHosts, mail.HopLMTP, mail.HopLocal} {
			site := kind.String() + ":" + name
			rows, err := tx.Query(`SELECT DISTINCT site FROM queue_delivery WHERE site = $1 OR site > $2 AND site < $3`, site, site+" ", site+"!")
			if err != nil {
				return err
			}
			for rows.Next() {
				var found string
				if err := rows.Scan(&found); err != nil {
					rows.Close()
					return err
				}
				list = append(list, found)
			}
			rows.Close()
			if err := rows.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for known := range q.board.sites {
		_, rest, _ := strings.Cut(known, ":")
		if plain, _, _ := strings.Cut(rest, " "); plain == name && !slices.Contains(list, known) {
			list = append(list, known)
		}
	}
	slices.Sort(list)
	return list, nil
}
