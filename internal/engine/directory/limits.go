package directory

import (
	"context"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"yubin/internal/mail"
)

// How failed logins are slowed down and limited. An attempt takes its place in a
// tally before its password or proof is looked at and gives it back unless it
// was wrong, so that as many can be wrong at once as one after the other. A
// tally forgets one failure per recovery and holds no more than its limit: no
// wait is longer than one recovery.
const (
	NetworkFailures = 20              // of one network (an IPv4 address or an IPv6 /64); then it is refused
	NetworkRecovery = 3 * time.Minute // after which it has one less

	// OwnFailures is for an account in a network where its owner has logged in,
	// or which many share. Beyond it, attempts are looked at OwnPace apart, while
	// no more than OwnWaiting wait; so 20 wrong ones are looked at of any number
	// that come at once.
	OwnFailures = 17
	OwnRecovery = time.Minute
	OwnPace     = 3 * time.Second
	OwnWaiting  = 3

	// AccountFailures is for an account from all other networks together. Beyond
	// it, each attempt waits AccountDelay; it is never refused.
	AccountFailures = 50
	AccountRecovery = time.Minute
	AccountDelay    = 4 * time.Second

	FirstDelay = 250 * time.Millisecond // before the first failure is told; twice as long for each more
	MaxDelay   = 4 * time.Second

	maxTallies    = 32 << 10 // of networks, of accounts, and of pairs of both
	recentGuesses = 8        // per tally, that are not counted again
)

// userKey stands for a user name, whether there is such a user or not.
type userKey [16]byte

// guess stands for a wrong password of a user; zero if it is not known.
type guess [8]byte

// attempt is one login: who, and from where.
type attempt struct {
	pair
	shared bool // the network is this machine itself, or one that many people log in from
	known  bool // the owner of the account has logged in from the network
}

// pair is an account in a network.
type pair struct {
	user    userKey
	network netip.Prefix // invalid for this machine itself
}

// tally counts failures, and the attempts that may become one.
type tally struct {
	limit    int
	recovery time.Duration

	score  float64
	at     time.Time // when score was right
	open   int       // attempts that are being looked at
	recent []guess
	wake   chan struct{} // closed when an attempt is over; nil if nobody waits

	paced int       // attempts that wait for their turn
	next  time.Time // the next turn
}

// decay brings the tally to now.
func (t *tally) decay(now time.Time) {
	t.score = max(0, t.score-float64(now.Sub(t.at))/float64(t.recovery))
	t.at = now
}

func (t *tally) failures() int { return int(math.Ceil(t.score)) }
func (t *tally) isFull() bool  { return t.failures() >= t.limit }
func (t *tally) hasRoom() bool { return t.failures()+t.open < t.limit }

// untilRoom says how long until there are fewer failures than the limit.
func (t *tally) untilRoom() time.Duration {
	return time.Duration((t.score - float64(t.limit-1)) * float64(t.recovery))
}

// limits is the memory of failed logins. It is bounded: what failed longest ago
// is forgotten first.
type limits struct {
	off   bool
	now   func() time.Time
	sleep func(context.Context, time.Duration) error

	mu       sync.Mutex
	networks bounded[netip.Prefix, *tally]
	owns     bounded[pair, *tally]
	users    bounded[userKey, *tally]
	seconds  bounded[mail.AccountID, *tally] // of wrong codes
}

func newLimits(now func() time.Time, sleep func(context.Context, time.Duration) error, off bool) *limits {
	return &limits{
		off:      off,
		now:      now,
		sleep:    sleep,
		networks: newBounded[netip.Prefix, *tally](maxTallies),
		owns:     newBounded[pair, *tally](maxTallies),
		users:    newBounded[userKey, *tally](maxTallies),
		seconds:  newBounded[mail.AccountID, *tally](maxTallies),
	}
}

// admission is an attempt that may be looked at. It ends with done or failed.
type admission struct {
	l       *limits
	tallies []*tally
	began   time.Time // when its wait for a turn began
}

// left is what is left of GateWait.
func (in *admission) left() time.Duration {
	return max(time.Millisecond, GateWait-in.l.now().Sub(in.began))
}

// admit waits until an attempt may be looked at. Errors: RateLimited, Unavailable
// if others are being looked at for too long, or that of ctx.
//
// A network that no owner of the account has used is counted by itself, and for
// the account together with all others of its kind: it may be refused for some
// minutes, and cannot hold back the owner elsewhere for more than seconds. Any
// other is counted by account: guesses at one do not refuse another there.
func (l *limits) admit(ctx context.Context, a attempt) (*admission, error) {
	if l.off {
		return &admission{l: l, began: l.now()}, nil
	}
	if a.shared || a.known {
		l.mu.Lock()
		t := tallyOf(&l.owns, a.pair, l.now(), OwnFailures, OwnRecovery)
		l.mu.Unlock()
		return l.place(ctx, t, true)
	}
	l.mu.Lock()
	t := tallyOf(&l.networks, a.network, l.now(), NetworkFailures, NetworkRecovery)
	u := tallyOf(&l.users, a.user, l.now(), AccountFailures, AccountRecovery)
	l.mu.Unlock()
	in, err := l.place(ctx, t, false)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	u.decay(l.now())
	crowded := !u.hasRoom()
	u.open++
	in.tallies = append(in.tallies, u)
	l.mu.Unlock()
	if crowded {
		if err := l.sleep(ctx, AccountDelay); err != nil {
			in.done()
			return nil, err
		}
	}
	return in, nil
}

// second is admit for a code of a second factor, after the password.
func (l *limits) second(ctx context.Context, account mail.AccountID) (*admission, error) {
	if l.off {
		return &admission{l: l, began: l.now()}, nil
	}
	l.mu.Lock()
	t := tallyOf(&l.seconds, account, l.now(), SecondFailures, SecondRecovery)
	l.mu.Unlock()
	return l.place(ctx, t, false)
}

// place takes a place in t. A full tally refuses, or gives turns if it is paced;
// while the places are only taken, the outcome is waited for.
func (l *limits) place(ctx context.Context, t *tally, paced bool) (*admission, error) {
	late := time.NewTimer(GateWait)
	defer late.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	began := l.now()
	for {
		now := l.now()
		t.decay(now)
		switch {
		case t.hasRoom():
			t.open++
			return &admission{l, []*tally{t}, began}, nil
		case t.isFull() && !paced:
			return nil, limited(t.untilRoom())
		case t.isFull() && t.paced >= OwnWaiting:
			return nil, limited(t.next.Sub(now))
		case t.isFull():
			return l.turn(ctx, t, now)
		}
		if t.wake == nil {
			t.wake = make(chan struct{})
		}
		wake, err := t.wake, error(nil)
		l.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			err = ctx.Err()
		case <-late.C:
			err = errBusy
		}
		l.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
}

// turn waits for the next turn of t. The caller holds the lock.
func (l *limits) turn(ctx context.Context, t *tally, now time.Time) (*admission, error) {
	wait := max(0, t.next.Sub(now))
	t.next = now.Add(wait + OwnPace)
	t.paced++
	l.mu.Unlock()
	var err error
	if wait > 0 {
		err = l.sleep(ctx, wait)
	}
	l.mu.Lock()
	t.paced--
	if err != nil {
		return nil, err
	}
	t.open++
	return &admission{l, []*tally{t}, l.now()}, nil
}

// refusedNow says whether an attempt would be refused at once: nil or RateLimited.
func (l *limits) refusedNow(a attempt) error {
	if l.off || a.shared || a.known {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t, ok := l.networks.get(a.network)
	if !ok {
		return nil
	}
	if t.decay(l.now()); t.isFull() {
		return limited(t.untilRoom())
	}
	return nil
}

func limited(wait time.Duration) error {
	return mail.Errorf(mail.RateLimited, "too many failed logins; try again in %d s", max(1, int(math.Ceil(wait.Seconds()))))
}

// done ends an attempt that was not wrong. Failures before it stay counted, or
// else somebody with an account could guess at others without end.
func (in *admission) done() { in.end(0) }

// failed counts the attempt and says how long to wait before it is told. The same
// wrong password again is not counted again: that is a program with an old
// password, and tells a guesser nothing.
func (in *admission) failed(g guess) (delay time.Duration, again bool) {
	if len(in.tallies) == 0 {
		return 0, false
	}
	weight := 1
	in.l.mu.Lock()
	if in.tallies[0].isRecent(g) {
		weight = 0
	}
	in.l.mu.Unlock()
	doublings := min(max(in.end(weight)-1, 0), 16)
	return min(time.Duration(float64(FirstDelay)*math.Exp2(doublings)), MaxDelay), weight == 0
}

// end gives the places back, with failures to count, and returns the highest score.
func (in *admission) end(failures int) (score float64) {
	in.l.mu.Lock()
	defer in.l.mu.Unlock()
	for _, t := range in.tallies {
		t.decay(in.l.now())
		t.open--
		t.score = min(t.score+float64(failures), float64(t.limit))
		if soon := t.at.Add(OwnPace); t.isFull() && t.next.Before(soon) {
			t.next = soon
		}
		score = max(score, t.score)
		if t.wake != nil {
			close(t.wake)
			t.wake = nil
		}
	}
	in.tallies = nil
	return score
}

// isRecent reports whether g was made before, and remembers it.
func (t *tally) isRecent(g guess) bool {
	if g == (guess{}) {
		return false
	}
	if slices.Contains(t.recent, g) {
		return true
	}
	if len(t.recent) == recentGuesses {
		t.recent = slices.Delete(t.recent, 0, 1)
	}
	t.recent = append(t.recent, g)
	return false
}

// tallyOf finds or starts the tally of k.
func tallyOf[K comparable](m *bounded[K, *tally], k K, now time.Time, limit int, recovery time.Duration) *tally {
	t, ok := m.get(k)
	if !ok {
		t = &tally{limit: limit, recovery: recovery, at: now}
		m.put(k, t)
	}
	t.decay(now)
	return t
}
