package netx

import "sync"

// Stats counts the connections of a listener since it started.
type Stats struct {
	Open          int    // now
	Accepted      uint64 // that reached the handler or its TLS handshake
	Refused       uint64 // by the limits, or banned
	OfAddress     uint64 // of Refused: TooManyFromAddress
	Banned        uint64 // of Refused
	BadHandshakes uint64 // of Accepted: the TLS handshake of ImplicitTLS failed
}

// connections is the open connections of one listener.
type connections struct {
	mu    sync.Mutex
	open  map[*Conn]struct{}
	stats Stats
}

func (s *connections) add(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Accepted++
	s.open[c] = struct{}{}
}

func (s *connections) refused(why Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Refused++
	switch why {
	case TooManyFromAddress:
		s.stats.OfAddress++
	case Banned:
		s.stats.Banned++
	}
}

func (s *connections) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
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

func (s *connections) snapshot() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Open = len(s.open)
	return st
}
