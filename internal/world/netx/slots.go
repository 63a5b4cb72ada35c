package netx

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
)

// Limits bound how many connections there may be. Zero is no limit.
type Limits struct {
	Total          int
	PerAddress     int  // of strangers, from one IPv4 address or one IPv6 /64
	ExemptLoopback bool // connections over loopback do not count for PerAddress
	PerAccount     int  // of one account that logged in
}

// Refusal is why a connection was turned away.
type Refusal uint8

// The refusals.
const (
	accepted           Refusal = iota
	TooMany                    // Limits.Total is reached
	TooManyFromAddress         // Limits.PerAddress is reached
	Banned                     // Listener.Banned said so
)

func (r Refusal) String() string {
	return [...]string{"accepted", "too many connections", "too many connections from this address", "banned"}[r]
}

// When slots run short.
const (
	reservedPart   = 8  // of the slots is only for strangers, and as much only for who logged in; and as many may be leaving
	scarce         = 80 // percent of the slots in use
	scarcePatience = 30 * time.Second
	dire           = 95
	direPatience   = 5 * time.Second
	sweepEvery     = time.Second
	recently       = time.Second // who waits no longer than this is at work
	secondChances  = 8           // given before somebody at work is shown out
)

// Slots are the places for connections that listeners share.
//
// When they run short, connections in which nobody logged in, strangers, may
// wait less long for input. When there are none, the network that has most
// strangers gives one up, the one that waits longest, for who comes in; if that
// is the comer's own network, one that does not wait just now stays, and the
// comer may be refused. Who logged in is never shown out, but no account gets more
// slots than it leaves to others. Safe for concurrent use.
type Slots struct {
	patience atomic.Int64 // of strangers, as time.Duration; 0: as ever

	mu     sync.Mutex
	limits Limits
	known  int // logged in
	strangers,
	leaving int // shown out, but not gone yet
	from     map[netip.Addr]int // strangers
	accounts map[int64]*account
	networks map[netip.Prefix]*crowd
	ranks    [32]*crowd    // by the bits of how many they are
	swept    time.Time     // who waits was hurried last
	hurried  time.Duration // to this; 0: nobody is in a hurry
}

// NewSlots returns slots under limits.
func NewSlots(l Limits) *Slots {
	return &Slots{limits: l, from: map[netip.Addr]int{}, accounts: map[int64]*account{}, networks: map[netip.Prefix]*crowd{}}
}

// SetLimits changes the limits; connections over the new ones stay.
func (s *Slots) SetLimits(l Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = l
}

// crowd is the strangers of one network, who came first at the head.
type crowd struct {
	network    netip.Prefix
	n          int
	head, tail *Conn
	class      int
	next, prev *crowd
}

// account is one that has sessions.
type account struct {
	sessions int
	pace     pace // of all of them
}

// seat is where a Conn is in Slots.
type seat struct {
	standing   standing
	account    int64
	of         *account // nil: nobody logged in
	crowd      *crowd
	next, prev *Conn
}

type standing uint8

const (
	outside standing = iota
	stranger
	known
	leaving
)

// add takes c in, or says why not.
func (s *Slots) add(c *Conn) Refusal {
	why, out, hurried, patience := s.admit(c)
	if out != nil {
		out.Dismiss(mail.Errorf(mail.Unavailable, "%s; try again later", TooMany))
	}
	for _, h := range hurried {
		h.hurry(patience)
	}
	return why
}

// admit is add; out is to be shown out, and hurried are to wait no longer than patience.
func (s *Slots) admit(c *Conn) (why Refusal, out *Conn, hurried []*Conn, patience time.Duration) {
	addr := c.Remote().Addr()
	key, net := addressKey(addr), network(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.limits
	if key.IsValid() && l.PerAddress > 0 && s.from[key] >= l.PerAddress && !(l.ExemptLoopback && key.IsLoopback()) {
		return TooManyFromAddress, nil, nil, 0
	}
	if l.Total > 0 && (s.strangers >= l.Total-l.Total/reservedPart || s.strangers+s.known >= l.Total) {
		if s.leaving <= l.Total/reservedPart {
			out = s.longestWaiting(net)
		}
		if out == nil {
			return TooMany, nil, nil, 0
		}
		s.forget(out)
		out.seat.standing = leaving
		s.leaving++
	}
	c.slots, c.seat.standing = s, stranger
	s.strangers++
	if key.IsValid() {
		s.from[key]++
	}
	s.join(c, net)
	s.ration()
	hurried, patience = s.impatient()
	return accepted, out, hurried, patience
}

// ration sets how long strangers may wait.
func (s *Slots) ration() {
	var patience time.Duration
	if total := s.limits.Total; total > 0 {
		full := max(100*(s.strangers+s.known)/total, 100*s.strangers/max(1, total-total/reservedPart))
		switch {
		case full >= dire:
			patience = direPatience
		case full >= scarce:
			patience = scarcePatience
		}
	}
	s.patience.Store(int64(patience))
	if patience == 0 {
		s.hurried = 0
	}
}

// impatient are those who began to wait when more time was given, if that is news.
func (s *Slots) impatient() (list []*Conn, patience time.Duration) {
	patience = time.Duration(s.patience.Load())
	if patience == 0 || s.hurried != 0 && s.hurried <= patience || time.Since(s.swept) < sweepEvery {
		return nil, 0
	}
	s.swept, s.hurried = time.Now(), patience
	for _, k := range s.networks {
		for c := k.head; c != nil; c = c.seat.next {
			list = append(list, c)
		}
	}
	return list, patience
}

// longestWaiting is the stranger that gives its place to one from the network; nil if none does.
func (s *Slots) longestWaiting(network netip.Prefix) *Conn {
	most, own := s.largest(), s.networks[network]
	if most == nil {
		return nil
	}
	theirs := own == nil || most.n > own.n
	if !theirs {
		most = own
	}
	now := time.Now().UnixNano()
	for range min(secondChances, most.n) {
		c := most.head
		if since := c.waiting.Load(); since != 0 && now-since >= int64(recently) {
			return c
		}
		most.remove(c)
		most.push(c)
	}
	if theirs {
		return most.head
	}
	return nil
}

func (s *Slots) largest() *crowd {
	for i := len(s.ranks) - 1; i > 0; i-- {
		if k := s.ranks[i]; k != nil {
			return k
		}
	}
	return nil
}

// ErrSessions is the cause of the RateLimited that an account hears which has as many
// sessions as it may.
var ErrSessions = errors.New("netx: too many sessions of an account")

func tooMany(format string, sessions int) error {
	n := "1 session"
	if sessions != 1 {
		n = fmt.Sprint(sessions, " sessions")
	}
	return &mail.Error{Kind: mail.RateLimited, Text: fmt.Sprintf(format, n), Err: ErrSessions}
}

// know makes c the account's with that id.
func (s *Slots) know(c *Conn, id int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, of := &s.limits, s.accounts[id]
	if of == nil {
		of = new(account)
	}
	switch {
	case c.seat.standing == known && c.seat.account == id:
		return nil
	case c.seat.standing != stranger:
		return mail.Errorf(mail.Unavailable, "%s; try again later", TooMany)
	case l.PerAccount > 0 && of.sessions >= l.PerAccount:
		return tooMany("this account has %s, which is as many as it may have", l.PerAccount)
	case l.Total > 0 && s.known >= l.Total-l.Total/reservedPart:
		return mail.Errorf(mail.Unavailable, "%s; try again later", TooMany)
	case l.Total > 0 && of.sessions >= l.Total-l.Total/reservedPart-s.known:
		return tooMany("this account has %s, as many as are left for all others", of.sessions)
	}
	s.forget(c)
	c.seat.standing, c.seat.account, c.seat.of = known, id, of
	s.known++
	of.sessions++
	s.accounts[id] = of
	c.known.Store(true)
	return nil
}

// remove is told that c is gone.
func (s *Slots) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch c.seat.standing {
	case stranger:
		s.forget(c)
	case leaving:
		s.leaving--
	case known:
		s.known--
		if c.seat.of.sessions--; c.seat.of.sessions == 0 {
			delete(s.accounts, c.seat.account)
		}
	}
	c.seat.standing = outside
	s.ration()
}

// forget takes a stranger out.
func (s *Slots) forget(c *Conn) {
	s.strangers--
	if key := addressKey(c.Remote().Addr()); key.IsValid() {
		if s.from[key]--; s.from[key] == 0 {
			delete(s.from, key)
		}
	}
	k := c.seat.crowd
	k.remove(c)
	s.weigh(k)
}

func (s *Slots) join(c *Conn, network netip.Prefix) {
	k := s.networks[network]
	if k == nil {
		k = &crowd{network: network}
		s.networks[network] = k
	}
	k.push(c)
	s.weigh(k)
}

func (k *crowd) push(c *Conn) {
	c.seat.crowd, c.seat.prev, c.seat.next = k, k.tail, nil
	if k.tail != nil {
		k.tail.seat.next = c
	} else {
		k.head = c
	}
	k.tail = c
	k.n++
}

func (k *crowd) remove(c *Conn) {
	if c.seat.prev != nil {
		c.seat.prev.seat.next = c.seat.next
	} else {
		k.head = c.seat.next
	}
	if c.seat.next != nil {
		c.seat.next.seat.prev = c.seat.prev
	} else {
		k.tail = c.seat.prev
	}
	c.seat.crowd, c.seat.prev, c.seat.next = nil, nil, nil
	k.n--
}

// weigh puts k where it belongs after its number changed.
func (s *Slots) weigh(k *crowd) {
	class := bits.Len(uint(k.n))
	if class == k.class {
		return
	}
	if k.class != 0 {
		if k.prev != nil {
			k.prev.next = k.next
		} else {
			s.ranks[k.class] = k.next
		}
		if k.next != nil {
			k.next.prev = k.prev
		}
	}
	k.class, k.prev, k.next = class, nil, nil
	if class == 0 {
		delete(s.networks, k.network)
		return
	}
	k.next = s.ranks[class]
	if k.next != nil {
		k.next.prev = k
	}
	s.ranks[class] = k
}

// network is what counts as one: an IPv4 /24, an IPv6 /48.
func network(a netip.Addr) netip.Prefix {
	return obs.Network(a)
}

// addressKey is what Limits.PerAddress counts by. A host on IPv6 owns a /64 at
// least, so its single addresses mean nothing; ::1 stays itself.
func addressKey(a netip.Addr) netip.Addr {
	if !a.Is6() || a.IsLoopback() {
		return a
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}
