package obs

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// What strangers may have told of themselves in a Period: in the log, and likewise
// in the journal. Of the rest is told how much it was.
const (
	Period          = time.Minute
	PerNetwork      = 100      // lines that one network causes
	OfAll           = 1000     // that all of them cause
	NetworkOctets   = 64 << 10 // that one network causes; no line begins beyond them
	OctetsOfAll     = 10 * NetworkOctets
	maxNetworks     = 4096 // counted one by one; all others count as one
	maxToldNetworks = 20   // of whose further lines is told one by one
	networkBits     = 24   // of IPv4
	networkBitsIPv6 = 48
)

// Stranger is the address, under KeyRemote, of a client that nobody vouches for,
// in a line that it caused. A logger of NewLogger bounds such lines.
type Stranger struct{ netip.AddrPort }

// Remote is the attribute of a client's address; known says that somebody logged
// in, or that its mail was accepted.
func Remote(a netip.AddrPort, known bool) slog.Attr {
	if known {
		return slog.Any(KeyRemote, a)
	}
	return slog.Any(KeyRemote, Stranger{a})
}

// Network is what counts as one: of IPv4 a /24, of IPv6 a /48.
func Network(a netip.Addr) netip.Prefix {
	n := networkBits
	if a.Is6() {
		n = networkBitsIPv6
	}
	p, _ := a.WithZone("").Prefix(n) // The zero Prefix if there is no address.
	return p
}

// Excess is what a network caused in a Period beyond what is told.
type Excess struct {
	Network  netip.Prefix // the zero Prefix stands for the Networks that are not told of one by one
	Networks int
	N        int
}

// String is for people: "and 57 more from 192.0.2.0/24 in the last minute".
func (e Excess) String() string {
	from := e.Network.String()
	if e.Networks > 0 {
		from = fmt.Sprintf("%d other networks", e.Networks)
		if e.Networks == maxNetworks {
			from = "many other networks"
		}
	}
	return fmt.Sprintf("and %d more from %s in the last minute", e.N, from)
}

// Strangers bounds what strangers cause to be told. Clients on this machine are
// none. Safe for concurrent use.
type Strangers struct {
	tell func([]Excess)

	mu    sync.Mutex
	since time.Time
	told  heard
	by    map[netip.Prefix]*heard
	timer bool // the end of the Period is waited for
}

// heard is what was told, and how much more there was.
type heard struct{ lines, octets, more int }

// below says whether no bound is reached.
func (h *heard) below(lines, octets int) bool { return h.lines < lines && h.octets < octets }

func (h *heard) add(octets int) {
	h.lines++
	h.octets += octets
}

// NewStrangers returns a bound; tell is called at the end of a Period in which
// there was more.
func NewStrangers(tell func([]Excess)) *Strangers {
	return &Strangers{tell: tell, by: map[netip.Prefix]*heard{}}
}

// Allow says whether something that a client at a caused may be told of, in so many
// octets, and counts it.
func (s *Strangers) Allow(a netip.Addr, octets int) bool {
	if a = a.Unmap(); a.IsLoopback() || !a.IsValid() {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); !s.timer && now.Sub(s.since) >= Period {
		s.since, s.told = now, heard{}
		clear(s.by)
	}
	network := Network(a)
	h := s.by[network]
	if h == nil {
		if len(s.by) >= maxNetworks {
			network = netip.Prefix{}
		}
		if h = s.by[network]; h == nil {
			h = new(heard)
			s.by[network] = h
		}
	}
	if h.below(PerNetwork, NetworkOctets) && s.told.below(OfAll, OctetsOfAll) {
		h.add(octets)
		s.told.add(octets)
		return true
	}
	h.more++
	if !s.timer {
		s.timer = true
		time.AfterFunc(time.Until(s.since.Add(Period)), s.turn)
	}
	return false
}

// turn ends a Period.
func (s *Strangers) turn() {
	s.mu.Lock()
	var all []Excess
	for network, h := range s.by {
		if h.more > 0 && network.IsValid() {
			all = append(all, Excess{Network: network, N: h.more})
		}
	}
	slices.SortFunc(all, func(a, b Excess) int {
		return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Network.String(), b.Network.String()))
	})
	var others Excess
	if h := s.by[netip.Prefix{}]; h != nil && h.more > 0 {
		others = Excess{Networks: maxNetworks, N: h.more}
	}
	if len(all) > maxToldNetworks {
		for _, e := range all[maxToldNetworks:] {
			others.N += e.N
			others.Networks = min(others.Networks+1, maxNetworks)
		}
		all = all[:maxToldNetworks]
	}
	if others.N > 0 {
		all = append(all, others)
	}
	s.since, s.told, s.timer = time.Now(), heard{}, false
	clear(s.by)
	s.mu.Unlock()
	s.tell(all)
}

// bounded is a handler whose lines of strangers are bounded.
type bounded struct {
	slog.Handler
	strangers *Strangers
	remote    netip.AddrPort // of With, if it is a Stranger
	octets    int            // of With
}

func newBounded(h slog.Handler) *bounded {
	return &bounded{Handler: h, strangers: NewStrangers(func(all []Excess) {
		for _, e := range all {
			r := slog.NewRecord(time.Now(), slog.LevelWarn, e.String(), 0)
			r.AddAttrs(slog.Int(KeyCount, e.N))
			_ = h.Handle(context.Background(), r)
		}
	})}
}

// Handle writes a line, unless a stranger caused it who caused enough of them.
func (b *bounded) Handle(ctx context.Context, r slog.Record) error {
	remote := b.remote
	r.Attrs(func(a slog.Attr) bool {
		s, is := stranger(a)
		if is {
			remote = s
		}
		return !is
	})
	if remote.IsValid() {
		octets := lineOctets + b.octets + printed(r.Message)
		r.Attrs(func(a slog.Attr) bool {
			octets += attrOctets(a)
			return true
		})
		if !b.strangers.Allow(remote.Addr(), octets) {
			return nil
		}
	}
	return b.Handler.Handle(ctx, r)
}

// About what a line takes: with its time and level, and for each attribute with what
// stands around it.
const (
	lineOctets      = 64
	attributeOctets = 6
)

func attrOctets(a slog.Attr) int {
	if a.Value.Kind() == slog.KindGroup {
		n := 0
		for _, a := range a.Value.Group() {
			n += attrOctets(a)
		}
		return n
	}
	return attributeOctets + len(a.Key) + printed(a.Value.String())
}

// printed is how many octets a text takes at most in a line, where what is no ASCII
// may be escaped.
func printed(s string) int {
	n := len(s)
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			n += 5
		}
	}
	return n
}

func stranger(a slog.Attr) (netip.AddrPort, bool) {
	if a.Key != KeyRemote || a.Value.Kind() != slog.KindAny {
		return netip.AddrPort{}, false
	}
	s, is := a.Value.Any().(Stranger)
	return s.AddrPort, is
}

// WithAttrs returns a handler for lines with more attributes.
func (b *bounded) WithAttrs(attrs []slog.Attr) slog.Handler {
	n := &bounded{b.Handler.WithAttrs(attrs), b.strangers, b.remote, b.octets}
	for _, a := range attrs {
		n.octets += attrOctets(a)
		if s, is := stranger(a); is {
			n.remote = s
		}
	}
	return n
}

// WithGroup returns a handler for lines whose attributes are in a group.
func (b *bounded) WithGroup(name string) slog.Handler {
	return &bounded{b.Handler.WithGroup(name), b.strangers, b.remote, b.octets}
}
