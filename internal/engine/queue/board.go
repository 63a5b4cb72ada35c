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

// errand is a key that is due, in memory: whoever picks it reads the rows, and it is a
// job then.
type errand struct {
	key
	lane     lane
	sender   string
	busy     bool   // being carried, or its outcome being settled
	stranger bool   // of a busy one: its site had not answered before
	answered bool   // of a busy one: its site has room for the next
	fresh    *fresh // what its rows say, or nil
}

// board is what is due and in memory, and who may go next. It is pure: no lock,
// no clock, no database.
//
// Sites with something to send that may be sent stand in rings and are served
// by turns, those with urgent mail before all others. Those that answered when
// they were last spoken with take turns with strangers, who never have all of the
// transactions: mail for a host that is well moves whatever waits for hosts that
// are not there. Within a site urgent mail
// goes first; of four others three are new and one is an old one tried again;
// low priority gets one turn of sixteen, and what nobody else wants. Within a
// lane of a site senders are served by turns.
//
// What is kept is bounded, and so is the work for one errand, however many sites
// there are: a site exists while it has errands, while what it lacks is to be
// looked for, and then among the last maxIdle that had any.
type board struct {
	limits    Limits
	sites     map[string]*site
	wanting   map[*site]bool // whose mail in the database is to be looked for
	errands   map[key]*errand
	queued    int // errands that are not busy
	busy      int
	strangers int          // of busy: those whose site had not answered before
	settled   int          // of busy: those that are answered
	unkept    int          // outcomes that the database does not take
	fresh     int          // octets of what errands know of their rows
	gone      map[key]bool // what was done since the database began to be read; nil if it is not
	missed    bool         // the database has due rows that no site remembers

	rings   [2][2]*list.List // of *site: urgent or not, answering or strangers
	turn    int
	idle    *list.List // of *site: those with nothing to do, the first for longest
	resting siteHeap   // by when they may go on
	crowds  siteHeap   // those with more than one errand, the largest first
	asleep  siteHeap   // those that are idle and have put off mail, by when that may be looked for
	parked  bool       // sites that are not known may have rows put off because of them
	stopped bool       // nothing is picked
}

func newBoard(l Limits) *board {
	b := &board{sites: map[string]*site{}, wanting: map[*site]bool{}, errands: map[key]*errand{}, idle: list.New(),
		resting: siteHeap{place: func(s *site) *int { return &s.restAt }, before: func(a, b *site) bool { return a.readyAt().Before(b.readyAt()) }},
		asleep:  siteHeap{place: func(s *site) *int { return &s.sleepAt }, before: func(a, b *site) bool { return a.probeAt.Before(b.probeAt) }},
		crowds:  siteHeap{place: func(s *site) *int { return &s.crowdAt }, before: func(a, b *site) bool { return a.queued > b.queued }}}
	for i := range b.rings {
		b.rings[i] = [2]*list.List{list.New(), list.New()}
	}
	b.setLimits(l)
	return b
}

func (b *board) setLimits(l Limits) {
	if l.Total <= 0 {
		l.Total = DefaultTotal
	}
	if l.Fresh <= 0 {
		l.Fresh = DefaultFresh
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
		s = &site{name: name, limit: b.limitOf(name), window: firstConcurrency, restAt: -1, crowdAt: -1, sleepAt: -1}
		for i := range s.lanes {
			s.lanes[i].senders = map[string]*list.Element{}
		}
		b.sites[name] = s
	}
	return s
}

// verdict on an errand that comes in.
type admission uint8

const (
	admitted admission = iota
	known              // it is here already
	full               // no room at its site, which remembers that
	noRoom             // no room at all: it stays in the database, and nobody remembers that
	shut               // its site is down and has its probe, or may have none now: it is to be put off
)

// add takes an errand in.
func (b *board) add(k key, l lane, sender string, now time.Time) admission {
	if b.errands[k] != nil {
		return known
	}
	s := b.sites[k.site]
	switch {
	case s == nil:
	case s.dead && (s.queued+s.busy > 0 || s.probeAt.After(now) && len(b.resting.sites) >= maxProbes):
		return shut
	case !b.siteHasRoom(s, l, sender):
		b.want(s, l)
		return full
	}
	if b.queued >= MaxWindow && !b.evict(s) {
		return noRoom
	}
	s = b.site(k.site)
	e := &errand{key: k, lane: l, sender: sender}
	b.errands[k] = e
	s.lanes[l].push(e)
	b.count(s, 1)
	b.consider(s, now)
	return admitted
}

// addOrMiss is add of what is not looked for again: if there is no room the
// database is looked through.
func (b *board) addOrMiss(k key, l lane, sender string, now time.Time) admission {
	a := b.add(k, l, sender, now)
	b.missed = b.missed || a == noRoom
	return a
}

// hasRoom reports whether there is room for a step of what is in the database.
func (b *board) hasRoom() bool { return b.queued <= MaxWindow-scanStep }

// count adds n to the errands of a site that are not busy.
func (b *board) count(s *site, n int) {
	s.queued += n
	b.queued += n
	b.crowds.keep(s, s.queued > 1)
}

// remember has the errand of k know one more of its rows, if there is room for
// that. It knows all of them or none.
func (b *board) remember(k key, of *kept, d Delivery) {
	e := b.errands[k]
	if e == nil || e.busy || of.cut && e.fresh == nil {
		return
	}
	size := freshRow
	if of.errands == 0 {
		size += len(of.octets)
	}
	if of.cut = of.cut || b.fresh+size > b.limits.Fresh; of.cut {
		b.unremember(e)
		return
	}
	if e.fresh == nil {
		e.fresh = &fresh{kept: of}
		of.errands++
	}
	e.fresh.due = append(e.fresh.due, d)
	b.fresh += size
}

// unremember has e read its rows again.
func (b *board) unremember(e *errand) {
	f := e.fresh
	if f == nil {
		return
	}
	e.fresh = nil
	b.fresh -= freshRow * len(f.due)
	if f.errands--; f.errands == 0 {
		b.fresh -= len(f.octets)
	}
}

// siteHasRoom finds room for one of sender in a lane, if need be at the cost of
// the sender with most.
func (b *board) siteHasRoom(s *site, l lane, sender string) bool {
	in := &s.lanes[l]
	if in.len >= siteWindow && !b.evictSender(s, l, sender) {
		return false
	}
	share := max(siteWindow/4, 1)
	return in.of(sender) < share || in.len < siteWindow/2
}

// evictSender drops the last errand of the greediest sender of a lane, if that
// has two more than sender.
func (b *board) evictSender(s *site, l lane, sender string) bool {
	in := &s.lanes[l]
	greedy := in.greediest()
	if greedy == nil || greedy.sender == sender || len(greedy.errands) < in.of(sender)+2 {
		return false
	}
	b.drop(s, in.popLast(greedy))
	b.want(s, l)
	return true
}

// evict makes room in the window for s, which is nil if it is not known: it drops
// an eighth of the window from the site with most in memory, if that has far more
// than s; else, for a site that answers and has little, one of a stranger.
func (b *board) evict(s *site) bool {
	has := 0
	if s != nil {
		has = s.queued
	}
	if greedy := b.crowds.first(); greedy != nil && greedy != s && greedy.queued >= 2*(has+1) {
		for range max(1, min(MaxWindow/8, greedy.queued/2)) {
			b.want(greedy, b.dropLast(greedy))
		}
		return true
	}
	last := b.rings[1][1].Back()
	if s == nil || !s.answers || has >= s.limit.Concurrency || last == nil {
		return false
	}
	stranger := last.Value.(*site)
	b.dropLast(stranger)
	b.missed = true
	b.consider(stranger, time.Time{})
	return true
}

// dropLast drops the last errand of the last lane of a site, and says which lane
// that is.
func (b *board) dropLast(s *site) lane {
	l := lane(lanes - 1)
	for l > 0 && s.lanes[l].len == 0 {
		l--
	}
	b.drop(s, s.lanes[l].popLast(s.lanes[l].greediest()))
	return l
}

// want remembers that the database has due rows of a lane that are not here.
func (b *board) want(s *site, l lane) {
	if b.search(s) {
		s.more[l] = true
	} else {
		b.missed = true
	}
}

// search has the database searched for mail of s, if that is not done for too
// many already.
func (b *board) search(s *site) bool {
	if b.sites[s.name] != s || !b.wanting[s] && len(b.wanting) >= maxWanting {
		return false // It may have been forgotten meanwhile.
	}
	b.wanting[s] = true
	b.retire(s)
	return true
}

// searched ends that.
func (b *board) searched(s *site) {
	s.more, s.from = [lanes]bool{}, [lanes]cursor{}
	delete(b.wanting, s)
	if b.sites[s.name] == s {
		b.retire(s)
	}
}

// drop forgets an errand that is in no lane any more.
func (b *board) drop(s *site, e *errand) {
	delete(b.errands, e.key)
	b.unremember(e)
	b.count(s, -1)
}

// empty takes all errands of a site out of memory but keep of them, and returns
// them.
func (b *board) empty(s *site, keep int) (out []*errand) {
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
	ready := s.queued > 0 && s.busy < s.allowed()
	rests := ready && s.readyAt().After(now)
	if ready && !rests {
		s.stand(b.ringOf(s))
	} else {
		s.stand(nil)
	}
	b.resting.keep(s, rests)
	b.retire(s)
}

func (b *board) ringOf(s *site) *list.List {
	calm, stranger := 1, 1
	if s.lanes[laneUrgent].len > 0 {
		calm = 0
	}
	if s.answers {
		stranger = 0
	}
	return b.rings[calm][stranger]
}

// retire keeps sites with nothing to do in their order, and forgets those that
// are too many.
func (b *board) retire(s *site) {
	idle := s.queued+s.busy == 0 && !b.wanting[s]
	if idle && s.idle == nil {
		s.idle = b.idle.PushBack(s)
	} else if !idle && s.idle != nil {
		b.idle.Remove(s.idle)
		s.idle = nil
	}
	b.asleep.keep(s, idle && s.parked)
	for b.idle.Len() > maxIdle {
		b.forgetOne(b.idle.Front().Value.(*site))
	}
}

// forgetOne forgets a site that is idle.
func (b *board) forgetOne(s *site) {
	b.idle.Remove(s.idle)
	b.asleep.keep(s, false)
	delete(b.sites, s.name)
	b.parked = b.parked || s.parked
}

// rouse ends the rest of those whose time has come.
func (b *board) rouse(now time.Time) {
	for s := b.resting.first(); s != nil && !s.readyAt().After(now); s = b.resting.first() {
		b.consider(s, now)
	}
}

// pick returns what is to be carried next, or nil. It is busy until done.
func (b *board) pick(now time.Time) *errand {
	b.rouse(now)
	if b.stopped || b.unkept > 0 || b.settled >= maxSettling || b.busy >= b.limits.Total {
		return nil
	}
	for _, rings := range b.rings {
		for i := range rings {
			stranger := (i + b.turn) % 2
			front := rings[stranger].Front()
			if front == nil || stranger == 1 && b.strangers >= b.limits.Total-b.limits.Total/4 {
				continue
			}
			b.turn++
			s := front.Value.(*site)
			s.stand(nil) // It goes to the end.
			e := s.take()
			e.busy, e.stranger = true, stranger == 1
			b.count(s, -1)
			s.busy++
			b.busy++
			if e.stranger {
				b.strangers++
			}
			s.began(now)
			b.consider(s, now)
			return e
		}
	}
	return nil
}

// answer gives the place of e at its site to the next.
func (b *board) answer(e *errand, f finding, now time.Time, rnd float64) {
	s := b.site(e.site)
	e.answered = true
	b.settled++
	s.busy--
	answered := s.answers
	s.ended(f, now, rnd)
	s.parked = s.parked || b.parked && s.answers && !answered
	b.consider(s, now)
}

// done ends the carrying of e.
func (b *board) done(e *errand, f finding, now time.Time, rnd float64) {
	if !e.answered {
		b.answer(e, f, now, rnd)
	}
	delete(b.errands, e.key)
	if b.gone != nil {
		b.gone[e.key] = true
	}
	b.unremember(e)
	b.settled--
	b.busy--
	if e.stranger {
		b.strangers--
	}
}

// learned follows what became of an errand of a site: one that is well gets back
// what was put off because of it, what was tried as well as what was not; of one that
// is down all but its probe is returned, to be put off.
func (b *board) learned(name string, f finding, now time.Time) (off []*errand) {
	s := b.sites[name]
	switch {
	case s == nil:
	case s.dead:
		s.parked = true
		s.release = time.Time{}
		b.missed = b.missed || s.hasMore() // What is due of it in the database is to be put off too.
		b.searched(s)
		keep := 1
		if len(b.resting.sites) >= maxProbes {
			keep = 0
		}
		off = b.empty(s, keep)
		b.consider(s, now)
	case f.verdict == down:
		s.parked = true
		b.retire(s)
	case f.verdict == alive && s.parked && !s.probeAt.After(now):
		b.unpark(s, now)
	}
	return off
}

// unpark begins to make due what was put off because of s, if that is not done for
// too many sites already: then in a while.
func (b *board) unpark(s *site, now time.Time) {
	if !b.search(s) {
		s.probeAt = now.Add(minProbe)
		b.retire(s)
		return
	}
	if s.parked {
		s.parked, s.release, s.released = false, now, now
	}
}

// forget drops the sites about which there is nothing to remember.
func (b *board) forget(now time.Time) {
	for at := b.idle.Front(); at != nil; {
		s := at.Value.(*site)
		at = at.Next()
		if now.Sub(s.seen) > siteMemory && !s.parked && (!s.dead || now.Sub(s.probeAt) > 4*maxProbe) {
			b.forgetOne(s)
		}
	}
}
