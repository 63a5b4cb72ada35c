package queue

import (
	"container/list"
	"time"

	"yubin/internal/mail"
)

// verdict is what a job says about its site.
type verdict uint8

const (
	unknown verdict = iota // nothing was tried, or the failure was ours
	alive                  // the host spoke with us, whatever it said of the mail
	down                   // no session came about
)

// finding is a verdict and, if it is down, the words for it.
type finding struct {
	verdict verdict
	why     mail.Attempt
}

// site is what is known of one site: its mail in memory and its state of
// health. The window is how many transactions it is given at a time: one more
// each time that all of it was used well, half for each failure. Below one
// the site is dead: one message probes it from time to time. What fails because of
// the site, and what is not tried because of it, is put off until it is well.
type site struct {
	name   string
	limit  Limit
	lanes  [lanes]laneQueue
	queued int
	busy   int
	turn   int

	window   float64
	dead     bool
	answers  bool         // the last verdict was alive
	since    time.Time    // the verdicts are alike
	seen     time.Time    // the last verdict
	fell     time.Time    // the last verdict down
	why      mail.Attempt // of that
	nextAt   time.Time    // by the rate
	probeAt  time.Time    // mail that was put off because of the site is not looked for before; if it is dead nothing is tried
	wait     time.Duration
	parked   bool      // the database may have rows put off because of the site, later than release
	release  time.Time // what was put off until then is being made due; zero if none is
	released time.Time // the last time that began

	more [lanes]bool   // the database has due rows for which there was no room
	from [lanes]cursor // where to look for them

	in   *list.List // the ring that it stands in
	at   *list.Element
	idle *list.Element // its place among the idle, or nil

	restAt, crowdAt, sleepAt int // its places in heaps; -1 if it is in none
}

// stand moves the site to the end of a ring, or to none. In the ring where it
// is already it keeps its place.
func (s *site) stand(ring *list.List) {
	if s.in == ring {
		return
	}
	if s.in != nil {
		s.in.Remove(s.at)
	}
	s.in, s.at = ring, nil
	if ring != nil {
		s.at = ring.PushBack(s)
	}
}

// allowed is how many may be busy.
func (s *site) allowed() int {
	if s.dead {
		return 1
	}
	return min(max(int(s.window), 1), s.limit.Concurrency)
}

// readyAt is when the next may begin, but for allowed.
func (s *site) readyAt() time.Time {
	if s.dead && s.probeAt.After(s.nextAt) {
		return s.probeAt
	}
	return s.nextAt
}

// began counts a transaction for the rate.
func (s *site) began(now time.Time) {
	if s.limit.PerSecond <= 0 {
		return
	}
	s.nextAt = now.Add(time.Duration(float64(time.Second) / s.limit.PerSecond))
}

// ended learns from a transaction. rnd spreads the probes.
func (s *site) ended(f finding, now time.Time, rnd float64) {
	switch {
	case f.verdict == unknown:
		if !s.answers && !s.probeAt.After(now) { // The probe told nothing.
			s.delay(now, rnd)
		}
		return
	case s.seen.IsZero() || s.answers != (f.verdict == alive):
		s.since = now
	}
	s.seen = now
	if f.verdict == alive {
		s.rose(now)
		return
	}
	s.answers, s.fell, s.why = false, now, f.why
	if !s.dead {
		s.window /= 2
		s.dead = s.window < 1
	}
	if !s.probeAt.After(now) { // Else others that began with it have failed.
		s.wait = min(max(2*s.wait, minProbe), maxProbe)
		s.delay(now, rnd)
	}
}

// delay has the site, or what was put off because of it, wait for a while.
func (s *site) delay(now time.Time, rnd float64) {
	s.probeAt = now.Add(time.Duration(float64(max(s.wait, minProbe)) * (1 + jitter*(2*rnd-1))))
}

// rose learns that the site is well. What was put off because of it is to go out at
// once, but not more often than a site that is down is probed: some of it may be what
// the site fails with.
func (s *site) rose(now time.Time) {
	if s.dead || !s.answers && now.Sub(s.released) >= s.wait {
		s.probeAt = time.Time{}
	}
	if s.dead {
		s.dead, s.window = false, firstConcurrency
	} else if s.busy+1 >= int(s.window) { // All of the window was in use.
		s.window = min(s.window+1, float64(s.limit.Concurrency))
	}
	if s.answers = true; now.Sub(s.fell) > 2*maxProbe {
		s.wait = 0
	}
}

func (s *site) hasMore() bool {
	for _, m := range s.more {
		if m {
			return true
		}
	}
	return false
}

// take removes the errand whose turn it is. There must be one.
func (s *site) take() *errand {
	l := s.nextLane()
	s.turn++
	return s.lanes[l].pop()
}

// nextLane gives urgent mail all turns, low priority every sixteenth, and what
// is tried again every fourth; who has nothing gives its turn away.
func (s *site) nextLane() lane {
	order := [...]lane{laneUrgent, laneFresh, laneRetry, laneLow}
	switch {
	case s.turn%16 == 15:
		order = [...]lane{laneUrgent, laneLow, laneRetry, laneFresh}
	case s.turn%4 == 3:
		order = [...]lane{laneUrgent, laneRetry, laneFresh, laneLow}
	}
	for _, l := range order {
		if s.lanes[l].len > 0 {
			return l
		}
	}
	panic("queue: a site without mail has no turn")
}

// laneQueue is one lane of a site: senders by turns, each in order of arrival.
type laneQueue struct {
	len     int
	ring    list.List // of *senderQueue, each with an errand at least
	senders map[string]*list.Element
}

type senderQueue struct {
	sender  string
	errands []*errand
}

func (q *laneQueue) of(sender string) int {
	if at := q.senders[sender]; at != nil {
		return len(at.Value.(*senderQueue).errands)
	}
	return 0
}

func (q *laneQueue) push(e *errand) {
	at := q.senders[e.sender]
	if at == nil {
		at = q.ring.PushBack(&senderQueue{sender: e.sender})
		q.senders[e.sender] = at
	}
	sq := at.Value.(*senderQueue)
	sq.errands = append(sq.errands, e)
	q.len++
}

func (q *laneQueue) pop() *errand {
	at := q.ring.Front()
	sq := at.Value.(*senderQueue)
	e := sq.errands[0]
	sq.errands[0] = nil
	sq.errands = sq.errands[1:]
	q.ring.MoveToBack(at)
	q.shrunk(at, sq)
	return e
}

// popLast takes the youngest errand of one sender.
func (q *laneQueue) popLast(sq *senderQueue) *errand {
	last := len(sq.errands) - 1
	e := sq.errands[last]
	sq.errands = sq.errands[:last]
	q.shrunk(q.senders[sq.sender], sq)
	return e
}

func (q *laneQueue) shrunk(at *list.Element, sq *senderQueue) {
	q.len--
	if len(sq.errands) == 0 {
		q.ring.Remove(at)
		delete(q.senders, sq.sender)
	}
}

// greediest returns the sender with most errands, or nil.
func (q *laneQueue) greediest() (most *senderQueue) {
	for at := q.ring.Front(); at != nil; at = at.Next() {
		if sq := at.Value.(*senderQueue); most == nil || len(sq.errands) > len(most.errands) {
			most = sq
		}
	}
	return most
}
