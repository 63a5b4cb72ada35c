package netx

import (
	"net/netip"
	"sync"
)

// Limits bound how many connections a listener holds open. Zero is no limit.
type Limits struct {
	Total          int
	PerAddress     int  // from one IPv4 address or one IPv6 /64
	ExemptLoopback bool // connections over loopback do not count for PerAddress
}

// Refusal is why a connection was turned away.
type Refusal uint8

// The refusals.
const (
	accepted           Refusal = iota
	TooMany                    // Limits.Total is reached
	TooManyFromAddress         // Limits.PerAddress is reached
)

func (r Refusal) String() string {
	return [...]string{"accepted", "too many connections", "too many connections from this address"}[r]
}

// Stats counts the connections of a listener since it started.
type Stats struct {
	Open          int    // now
	Accepted      uint64 // that reached the handler or its TLS handshake
	Refused       uint64 // by the limits
	OfAddress     uint64 // of Refused: TooManyFromAddress
	BadHandshakes uint64 // of Accepted: the TLS handshake of ImplicitTLS failed
}

// connections is the set of open connections under Limits.
type connections struct {
	mu     sync.Mutex
	limits Limits
	open   map[*Conn]struct{}
	from   map[netip.Addr]int
	stats  Stats
}

func newConnections(l Limits) *connections {
	return &connections{limits: l, open: map[*Conn]struct{}{}, from: map[netip.Addr]int{}}
}

// add takes c in, or says why not.
func (s *connections) add(c *Conn) Refusal {
	key := s.key(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	why := accepted
	switch {
	case s.limits.Total > 0 && len(s.open) >= s.limits.Total:
		why = TooMany
	case key.IsValid() && s.limits.PerAddress > 0 && s.from[key] >= s.limits.PerAddress &&
		!(s.limits.ExemptLoopback && key.IsLoopback()):
		why = TooManyFromAddress
	}
	if why != accepted {
		s.stats.Refused++
		if why == TooManyFromAddress {
			s.stats.OfAddress++
		}
		return why
	}
	s.stats.Accepted++
	s.open[c] = struct{}{}
	if key.IsValid() {
		s.from[key]++
	}
	return accepted
}

func (s *connections) remove(c *Conn) {
	key := s.key(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	if s.from[key]--; s.from[key] <= 0 {
		delete(s.from, key)
	}
}

// badHandshake counts a TLS handshake that failed.
func (s *connections) badHandshake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.BadHandshakes++
}

// each calls f for every open connection. f must not block.
func (s *connections) each(f func(*Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		f(c)
	}
}

// key is what PerAddress counts by. A host on IPv6 owns a /64 at least, so its
// single addresses mean nothing; ::1 stays itself.
func (s *connections) key(c *Conn) netip.Addr {
	a := c.Remote().Addr()
	if !a.Is6() || a.IsLoopback() {
		return a
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

func (s *connections) setLimits(l Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = l
}

func (s *connections) snapshot() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Open = len(s.open)
	return st
}
