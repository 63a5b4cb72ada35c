package directory

import (
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"yubin/internal/mail"
)

// How failed logins are slowed down and limited. A tally counts failures and
// forgets them again at a steady pace; while it is full, no login is looked at.
const (
	NetworkFailures = 20              // of one network: an IPv4 address or an IPv6 /64
	NetworkRecovery = 3 * time.Minute // after which it has one less
	AccountFailures = 50              // of one account, from networks that never logged in to it
	AccountRecovery = time.Minute
	FirstDelay      = 250 * time.Millisecond // before the first failure is told; twice as long for each more
	MaxDelay        = 4 * time.Second

	maxTallies    = 32 << 10 // networks, and as many accounts
	maxFamiliar   = 64 << 10 // pairs of network and account
	recentGuesses = 8        // per network, that are not counted again
	ipv6Network   = 64       // bits that one subscriber usually has for himself
)

// userKey stands for a user name, whether there is such a user or not.
type userKey [16]byte

// guess stands for a wrong password of a user; zero if it is not known.
type guess [8]byte

// attempt is one login: who, and from where.
type attempt struct {
	user    userKey
	network netip.Prefix // invalid for this machine itself, which has no limit of its own
}

// networkOf is what is counted for an address.
func networkOf(from netip.Addr) netip.Prefix {
	from = from.Unmap().WithZone("")
	if !from.IsValid() || from.IsLoopback() {
		return netip.Prefix{}
	}
	bits := from.BitLen()
	if from.Is6() {
		bits = ipv6Network
	}
	p, _ := from.Prefix(bits)
	return p
}

// tally counts failures.
type tally struct {
	score  float64
	at     time.Time // when score was right
	recent []guess
}

// decay brings the tally to now, one failure less per recovery.
func (t *tally) decay(now time.Time, recovery time.Duration) {
	t.score = max(0, t.score-float64(now.Sub(t.at))/float64(recovery))
	t.at = now
}

// limits is the memory of failed logins. It is bounded: what failed longest ago
// is forgotten first.
type limits struct {
	off bool
	now func() time.Time

	mu       sync.Mutex
	networks bounded[netip.Prefix, *tally]
	users    bounded[userKey, *tally]
	familiar bounded[attempt, struct{}] // a network that has logged in to the account
}

func newLimits(now func() time.Time, off bool) *limits {
	return &limits{
		off:      off,
		now:      now,
		networks: newBounded[netip.Prefix, *tally](maxTallies),
		users:    newBounded[userKey, *tally](maxTallies),
		familiar: newBounded[attempt, struct{}](maxFamiliar),
	}
}

// admit says whether a login may be looked at: nil or RateLimited. A network
// that is familiar with the account is not held back by what strangers do to
// the account; so they cannot lock its owner out.
func (l *limits) admit(a attempt) error {
	if l.off {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := time.Duration(0)
	if a.network.IsValid() {
		wait = untilRoom(&l.networks, a.network, l.now(), NetworkFailures, NetworkRecovery)
	}
	if !l.isFamiliar(a) {
		wait = max(wait, untilRoom(&l.users, a.user, l.now(), AccountFailures, AccountRecovery))
	}
	if wait <= 0 {
		return nil
	}
	return mail.Errorf(mail.RateLimited, "too many failed logins; try again in %d s", int(math.Ceil(wait.Seconds())))
}

// untilRoom says how long until the tally of k has room for one more failure.
func untilRoom[K comparable](m *bounded[K, *tally], k K, now time.Time, limit int, recovery time.Duration) time.Duration {
	t, ok := m.get(k)
	if !ok {
		return 0
	}
	t.decay(now, recovery)
	return time.Duration((t.score - float64(limit-1)) * float64(recovery))
}

// isFamiliar reports whether the network has logged in to the account.
func (l *limits) isFamiliar(a attempt) bool {
	_, ok := l.familiar.get(a)
	return ok
}

// failed counts a failure and says how long to wait before it is told. The same
// wrong password again from the same network is not counted again: that is a
// program with an old password, and tells a guesser nothing.
func (l *limits) failed(a attempt, g guess) time.Duration {
	if l.off {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	weight, score := 1.0, 0.0
	if a.network.IsValid() {
		t := tallyOf(&l.networks, a.network, l.now(), NetworkRecovery)
		if t.isRecent(g) {
			weight = 0
		}
		t.score += weight
		score = t.score
	}
	if !l.isFamiliar(a) {
		t := tallyOf(&l.users, a.user, l.now(), AccountRecovery)
		t.score += weight
		score = max(score, t.score)
	}
	doublings := min(max(score-1, 0), 16)
	return min(time.Duration(float64(FirstDelay)*math.Exp2(doublings)), MaxDelay)
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
func tallyOf[K comparable](m *bounded[K, *tally], k K, now time.Time, recovery time.Duration) *tally {
	t, ok := m.get(k)
	if !ok {
		t = &tally{at: now}
		m.put(k, t)
	}
	t.decay(now, recovery)
	return t
}

// succeeded makes the network familiar with the account; never this machine,
// which may be a front end for strangers too. Failures stay counted, or else
// somebody with an account could guess at others without end.
func (l *limits) succeeded(a attempt) {
	if l.off || !a.network.IsValid() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.familiar.put(a, struct{}{})
}
