package heap

import (
	"math/bits"
	"net/netip"
	"sync"

	"yubin/internal/mail"
)

// Budget is what the sessions of a process together may hold of memory, beyond
// the small fixed buffers that each has: header and start of a message on its
// way in, long lines and literals, rows on their way out.
//
// While there is room everybody gets what is asked for. When there is none, who
// holds most gives way: shares belong to parties (an account, or a network of
// strangers), and of the largest party the largest share is pushed out, unless
// the one that asks is the largest itself; then it is refused. Strangers give way
// before accounts do, except that a quarter is theirs.
//
// What was pushed out is given to others at once, up to a credit, so that
// nobody waits for its session to end. Safe for concurrent use.
type Budget struct {
	total int64

	mu      sync.Mutex
	held    int64 // by all shares
	leaving int64 // of held: by those pushed out, until they give it back
	refused uint64
	parties map[Party]*party
	ranks   [2]rank // strangers, accounts
}

// Parts of a Budget.
const (
	creditPart    = 8 // held in excess by those pushed out, at most
	strangersPart = 4 // that strangers may hold whatever accounts hold
)

// Party is whom shares belong to: an account, or else a network.
type Party struct {
	Account int64
	Network netip.Prefix
}

func (p Party) rank() int {
	if p.Account != 0 {
		return 1
	}
	return 0
}

// Holder is the owner of a Share.
type Holder interface {
	// Party says whom it belongs to. After a change it calls Share.Move.
	Party() Party
	// Yield ends what it does, so that it gives back soon. It must not block.
	Yield()
}

// ErrFull is that there is no memory for something just now.
var ErrFull error = mail.Errorf(mail.Unavailable, "there is not enough memory for that just now; try again later")

// NewBudget returns one of total octets.
func NewBudget(total int64) *Budget {
	return &Budget{total: total, parties: map[Party]*party{}}
}

// BudgetStats is how a Budget stands, in octets.
type BudgetStats struct {
	Total, Held int64
	Refused     uint64 // times that somebody was refused or pushed out
}

// Stats says how it stands; zero for nil.
func (b *Budget) Stats() BudgetStats {
	if b == nil {
		return BudgetStats{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return BudgetStats{b.total, b.held, b.refused}
}

// Share is what one session holds of a Budget. The zero value and nil hold
// nothing and may hold anything. Safe for concurrent use.
type Share struct {
	b      *Budget
	holder Holder

	// Under Budget.mu:
	held       int64
	out        bool   // it was pushed out
	party      *party // nil while it holds nothing
	next, prev *Share // of party
}

// Init makes s a share of b, which can be nil, for holder.
func (s *Share) Init(b *Budget, holder Holder) { s.b, s.holder = b, holder }

// Take takes n octets, or returns ErrFull.
func (s *Share) Take(n int) error {
	_, err := s.TakeUpTo(n, n)
	return err
}

// TakeUpTo takes as much as can be had easily: at most half of what is free, but
// at least least, and no more than most.
func (s *Share) TakeUpTo(least, most int) (int, error) {
	if s == nil || s.b == nil || most <= 0 {
		return most, nil
	}
	b := s.b
	b.mu.Lock()
	n := min(int64(most), max(int64(least), (b.total-b.held)/2))
	if n <= 0 {
		b.mu.Unlock()
		return 0, nil
	}
	pushed, ok := b.makeRoom(s, n)
	if ok {
		b.held += n
		s.join(n)
	} else {
		b.refused++
	}
	b.refused += uint64(len(pushed))
	b.mu.Unlock()
	for _, v := range pushed {
		v.holder.Yield()
	}
	if !ok {
		return 0, ErrFull
	}
	return int(n), nil
}

// Give gives n octets back.
func (s *Share) Give(n int) {
	if s == nil || s.b == nil || n <= 0 {
		return
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.give(int64(n))
}

// Close gives all back.
func (s *Share) Close() {
	if s == nil || s.b == nil {
		return
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.give(s.held)
}

// Held is how much it holds.
func (s *Share) Held() int64 {
	if s == nil || s.b == nil {
		return 0
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	return s.held
}

// Hold is what one thing takes of a Share. The zero value takes nothing.
type Hold struct {
	share *Share
	n     int
}

// Small is how much a thing may hold that is not counted, in octets: it is part of
// what each connection costs.
const Small = 8 << 10

// Of makes h take from s from now on.
func (h *Hold) Of(s *Share) { h.share = s }

// Grow says that the thing holds n octets now; more than Small is taken, or the
// error is ErrFull. It gives back only at Release.
func (h *Hold) Grow(n int) error {
	if n -= Small; n <= h.n {
		return nil
	}
	n = roundUp(n)
	err := h.share.Take(n - h.n)
	if err == nil {
		h.n = n
	}
	return err
}

// Try is Grow for what is no need: it succeeds only if there is plenty.
func (h *Hold) Try(n int) bool {
	if n -= Small; n <= h.n {
		return true
	}
	n = roundUp(n)
	got, err := h.share.TakeUpTo(0, n-h.n)
	if err != nil || got < n-h.n {
		h.share.Give(got)
		return false
	}
	h.n = n
	return true
}

// roundUp makes fewer steps of growth.
func roundUp(n int) int { return (n + Small - 1) / Small * Small }

// Release gives all back.
func (h *Hold) Release() {
	h.share.Give(h.n)
	h.n = 0
}

// Move tells that the holder belongs to another party now.
func (s *Share) Move() {
	if s == nil || s.b == nil {
		return
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if n := s.held; s.party != nil {
		s.leave()
		s.held = 0
		s.join(n)
	}
}

func (s *Share) give(n int64) {
	b := s.b
	n = min(n, s.held)
	s.held -= n
	b.held -= n
	switch {
	case s.out:
		b.leaving -= n
	case s.party == nil:
	case s.held == 0:
		s.held = n
		s.leave()
		s.held = 0
	default:
		b.weigh(s.party, -n)
	}
}

// join adds n octets to s, and s to its party.
func (s *Share) join(n int64) {
	b := s.b
	s.held += n
	if s.party == nil {
		key := s.holder.Party()
		p := b.parties[key]
		if p == nil {
			p = &party{key: key}
			b.parties[key] = p
		}
		s.party, s.prev, s.next = p, nil, p.first
		if p.first != nil {
			p.first.prev = s
		}
		p.first = s
		p.shares++
	}
	b.weigh(s.party, n)
}

// leave takes s out of its party, with all that it holds.
func (s *Share) leave() {
	p := s.party
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		p.first = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.party, s.prev, s.next = nil, nil, nil
	p.shares--
	s.b.weigh(p, -s.held)
	if p.shares == 0 {
		delete(s.b.parties, p.key)
	}
}

// makeRoom sees to it that s can take n octets, and says whether it can; those
// that it pushed out are to be told.
func (b *Budget) makeRoom(s *Share, n int64) (pushed []*Share, ok bool) {
	if s.out || b.held+n > b.total+b.total/creditPart {
		return nil, false
	}
	for b.held-b.leaving+n > b.total {
		v := b.heaviest(s, n)
		if v == nil {
			return pushed, false
		}
		v.leave()
		v.out = true
		b.leaving += v.held
		pushed = append(pushed, v)
	}
	return pushed, true
}

// heaviest is who gives way so that s gets n octets; nil if s does.
func (b *Budget) heaviest(s *Share, n int64) *Share {
	key := s.holder.Party()
	strangers := b.ranks[0].held
	if key.rank() == 0 {
		strangers += n
	}
	who := 0
	if strangers <= b.total/strangersPart {
		who = 1
	}
	p, mine := b.ranks[who].heaviest(), b.parties[key]
	if p == nil {
		return nil
	}
	own := n
	if mine != nil {
		own += mine.held
	}
	if who != key.rank() || own < p.held {
		return p.heaviest(nil)
	}
	if mine == nil {
		return nil
	}
	if v := mine.heaviest(s); v != nil && v.held > s.held+n {
		return v
	}
	return nil
}

// party is who holds something.
type party struct {
	key        Party
	held       int64
	shares     int
	first      *Share
	class      int // of its rank
	next, prev *party
}

// heaviest returns a share that holds no less than the average, and is not s.
func (p *party) heaviest(s *Share) *Share {
	for v := p.first; v != nil; v = v.next {
		if v != s && v.held*int64(p.shares) >= p.held {
			return v
		}
	}
	return nil
}

// rank has parties by the bits of what they hold, so that one of the heaviest is
// found at once.
type rank struct {
	held    int64
	classes [64]*party
}

func (r *rank) heaviest() *party {
	for i := len(r.classes) - 1; i > 0; i-- {
		if p := r.classes[i]; p != nil {
			return p
		}
	}
	return nil
}

// weigh notes that p holds n octets more.
func (b *Budget) weigh(p *party, n int64) {
	r := &b.ranks[p.key.rank()]
	r.held += n
	p.held += n
	class := bits.Len64(uint64(p.held))
	if class == p.class {
		return
	}
	if p.class != 0 {
		if p.prev != nil {
			p.prev.next = p.next
		} else {
			r.classes[p.class] = p.next
		}
		if p.next != nil {
			p.next.prev = p.prev
		}
	}
	p.class, p.prev, p.next = class, nil, nil
	if class == 0 {
		return
	}
	p.next = r.classes[class]
	if p.next != nil {
		p.next.prev = p
	}
	r.classes[class] = p
}
