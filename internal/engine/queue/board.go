package queue

import (
	"container/list"
	"time"

	"yubin/internal/engine/spool"
)

// key names what is carried in one transaction: an item for one site.
type key struct {
	item spool.ItemID
	site string
}

// entry is a key that is due, in memory: whoever picks it reads the rows.
type entry struct {
	key
	lane     lane
	sender   string
	busy     bool   // being carried, or its outcome being settled
	answered bool   // of a busy one: its site has room for the next
	fresh    *fresh // what its rows say, or nil
}

// board is what is due and in memory, and who may go next. It is pure: no lock,
// no clock, no database.
//
// Sites with something to send that may be sent stand in rings and are served
// by turns, those with urgent mail before all others. Within a site urgent mail
// goes first; of four others three are new and one is an old one tried again;
// low priority gets one turn of sixteen, and what nobody else wants. Within a
// lane of a site senders are served by turns.
type board struct {
	limits  Limits
	sites   map[string]*site
	wanting map[*site]bool // whose mail in the database is to be looked for
	entries map[key]*entry
	queued  int // entries that are not busy
	busy    int
	settled int          // of busy: those that are answered
	unkept  int          // outcomes that the database does not take
	fresh   int          // octets of what entries know of their rows
	gone    map[key]bool // what was done since the database began to be read; nil if it is not

	urgent, ring *list.List // of *site
	resting      map[*site]bool
	rested       time.Time // the earliest moment at which one of resting may go on
	stopped      bool      // nothing is picked
}

func newBoard(l Limits) *board {
	b := &board{sites: map[string]*site{}, wanting: map[*site]bool{}, entries: map[key]*entry{}, urgent: list.New(), ring: list.New(),
		resting: map[*site]bool{}}
	b.setLimits(l)
	return b
}

func (b *board) setLimits(l Limits) {
	if l.Total <= 0 {
		l.Total = DefaultTotal
	}
	b.limits = l
	for _, s := range b.sites {
		s.limit = b.limitOf(s.name)
		b.consider(s, time.Time{})
	}
}

func (b *board) limitOf(name string) Limit {
	l, ok := b.limits.Sites[name]
	if !ok {
		l = b.limits.Site
	}
	if l.Concurrency <= 0 {
		l.Concurrency = DefaultConcurrency
	}
	return l
}

// site returns what is known of a site; nothing is known at first.
func (b *board) site(name string) *site {
	s := b.sites[name]
	if s == nil {
		s = &site{name: name, limit: b.limitOf(name), window: firstConcurrency}
		for i := range s.lanes {
			s.lanes[i].senders = map[string]*list.Element{}
		}
		b.sites[name] = s
	}
	return s
}

// verdict on an entry that comes in.
type admission uint8

const (
	admitted admission = iota
	known              // it is here already
	full               // no room: it stays in the database, and its site remembers that
	shut               // its site is down and has its probe: it is to be put off
)

// add takes an entry in.
func (b *board) add(k key, l lane, sender string, now time.Time) admission {
	if b.entries[k] != nil {
		return known
	}
	s := b.site(k.site)
	if s.dead && s.queued+s.busy > 0 {
		return shut
	}
	if !b.makeRoom(s, l, sender) {
		b.want(s, l)
		return full
	}
	e := &entry{key: k, lane: l, sender: sender}
	b.entries[k] = e
	s.lanes[l].push(e)
	s.queued++
	b.queued++
	b.consider(s, now)
	return admitted
}

// remember has the entry of k know its rows, if there is room for that.
func (b *board) remember(k key, f *fresh) {
	if e := b.entries[k]; e != nil && !e.busy && b.fresh+f.size() <= maxFresh {
		e.fresh = f
		b.fresh += f.size()
	}
}

// unremember has e read its rows again.
func (b *board) unremember(e *entry) {
	if e.fresh != nil {
		b.fresh -= e.fresh.size()
		e.fresh = nil
	}
}

// makeRoom finds room for one of sender in a lane, if need be at the cost of
// the sender with most, or of the site with most.
func (b *board) makeRoom(s *site, l lane, sender string) bool {
	in := &s.lanes[l]
	if in.len >= siteWindow && !b.evictSender(s, l, sender) {
		return false
	}
	if share := max(siteWindow/4, 1); in.of(sender) >= share && in.len >= siteWindow/2 {
		return false
	}
	return b.queued < MaxWindow || b.evictSite(s)
}

// evictSender drops the last entry of the greediest sender of a lane, if that
// has two more than sender.
func (b *board) evictSender(s *site, l lane, sender string) bool {
	in := &s.lanes[l]
	greedy := in.greediest()
	if greedy == nil || greedy.sender == sender || len(greedy.entries) < in.of(sender)+2 {
		return false
	}
	b.drop(s, in.popLast(greedy))
	b.want(s, l)
	return true
}

// evictSite drops an eighth of the window from the site with most in memory,
// if that has far more than s. It is rare, so it may look at all sites.
func (b *board) evictSite(s *site) bool {
	var greedy *site
	for _, o := range b.sites {
		if greedy == nil || o.queued > greedy.queued {
			greedy = o
		}
	}
	if greedy == nil || greedy == s || greedy.queued < 2*(s.queued+1) {
		return false
	}
	for range max(1, min(MaxWindow/8, greedy.queued/2)) {
		l := lane(lanes - 1)
		for l > 0 && greedy.lanes[l].len == 0 {
			l--
		}
		b.drop(greedy, greedy.lanes[l].popLast(greedy.lanes[l].greediest()))
		b.want(greedy, l)
	}
	return true
}

// want remembers that the database has due rows of a lane that are not here.
func (b *board) want(s *site, l lane) {
	s.more[l] = true
	b.wanting[s] = true
}

// drop forgets an entry that is in no lane any more.
func (b *board) drop(s *site, e *entry) {
	delete(b.entries, e.key)
	b.unremember(e)
	s.queued--
	b.queued--
}

// empty takes all entries of a site out of memory but keep of them, and returns
// them.
func (b *board) empty(s *site, keep int) (out []*entry) {
	for s.queued > keep {
		e := s.take()
		b.drop(s, e)
		out = append(out, e)
	}
	return out
}

// consider puts a site where it belongs: into a ring, to rest, or nowhere. Who
// is in the right ring keeps its place.
func (b *board) consider(s *site, now time.Time) {
	delete(b.resting, s)
	switch at := s.readyAt(); {
	case s.queued == 0 || s.busy >= s.allowed():
		s.stand(nil)
	case at.After(now):
		s.stand(nil)
		b.resting[s] = true
		if b.rested.IsZero() || at.Before(b.rested) {
			b.rested = at
		}
	case s.lanes[laneUrgent].len > 0:
		s.stand(b.urgent)
	default:
		s.stand(b.ring)
	}
}

// rouse ends the rest of those whose time has come.
func (b *board) rouse(now time.Time) {
	if b.rested.IsZero() || b.rested.After(now) {
		return
	}
	b.rested = time.Time{}
	for s := range b.resting {
		b.consider(s, now)
	}
}

// pick returns what is to be carried next, or nil. It is busy until done.
func (b *board) pick(now time.Time) *entry {
	b.rouse(now)
	if b.stopped || b.unkept > 0 || b.settled >= maxSettling || b.busy >= b.limits.Total {
		return nil
	}
	for _, ring := range []*list.List{b.urgent, b.ring} {
		for front := ring.Front(); front != nil; front = ring.Front() {
			s := front.Value.(*site)
			s.stand(nil) // It goes to the end.
			if s.queued == 0 {
				continue
			}
			e := s.take()
			e.busy = true
			s.queued--
			b.queued--
			s.busy++
			b.busy++
			s.began(now)
			b.consider(s, now)
			return e
		}
	}
	return nil
}

// answer gives the place of e at its site to the next.
func (b *board) answer(e *entry, f finding, now time.Time, rnd float64) {
	s := b.site(e.site)
	e.answered = true
	b.settled++
	s.busy--
	s.ended(f, now, rnd)
	b.consider(s, now)
}

// done ends the carrying of e.
func (b *board) done(e *entry, f finding, now time.Time, rnd float64) {
	if !e.answered {
		b.answer(e, f, now, rnd)
	}
	delete(b.entries, e.key)
	if b.gone != nil {
		b.gone[e.key] = true
	}
	b.unremember(e)
	b.settled--
	b.busy--
}

// forget drops the sites about which there is nothing to remember.
func (b *board) forget(now time.Time) {
	for name, s := range b.sites {
		if s.queued+s.busy == 0 && !s.hasMore() && !s.parked && now.Sub(s.seen) > siteMemory &&
			(!s.dead || now.Sub(s.probeAt) > 4*maxProbe) {
			delete(b.sites, name)
			delete(b.resting, s)
		}
	}
}
