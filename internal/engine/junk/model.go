package junk

import (
	"math"
	"sync"
)

// Sizes of the models.
const (
	siteBits    = 20
	accountBits = 13
	pageBits    = 10
	pageSlots   = 1 << pageBits

	SitePages    = 1 << (siteBits - pageBits)    // pages of a Site
	AccountPages = 1 << (accountBits - pageBits) // pages of an Account
)

// Units of the whole numbers in the models.
const (
	weightUnit   = 1 << 16
	gradientUnit = 1 << 16
	maxGradient  = 1 << 31 // beyond it the rate of a feature falls no more
)

// slot is what is known of the features with one hash.
type slot struct {
	weight   int32  // in 1/weightUnit; sums wrap, and so does what is taken away again
	gradient uint32 // sum of the squares of its gradients, in 1/gradientUnit
	junk     uint32 // messages that had it
	ham      uint32
}

// Counts says how many messages taught a model something.
type Counts struct{ Junk, Ham uint32 }

// Site is the model that all accounts share. It is safe for concurrent use.
type Site struct {
	mu     sync.RWMutex
	pages  [SitePages]*[pageSlots]slot
	gists  []gist             // of all slots; nil as long as nothing was learned
	worth  [gistKinds]float32 // how much a feature counts by the kind of its gist
	dirty  [SitePages]bool
	bias   slot // of every message; its counts are the Counts
	counts bool // bias changed since Clean
}

// Account is what one account's lessons say beyond the site's. It is safe for concurrent
// use.
type Account struct {
	mu     sync.RWMutex
	pages  [AccountPages]*[pageSlots]int32
	dirty  [AccountPages]bool
	bias   slot
	counts bool
}

// NewSite returns a model that knows nothing. It takes memory as it learns.
func NewSite() *Site {
	s := new(Site)
	s.worths()
	return s
}

// NewAccount returns a model that knows nothing. It takes memory as it learns.
func NewAccount() *Account { return new(Account) }

func siteSlot(h uint32) uint32    { return h >> (32 - siteBits) }
func accountSlot(h uint32) uint32 { return h & (1<<accountBits - 1) }

// at returns the slot with a number; the zero slot if nothing was learned of it.
func (s *Site) at(n uint32) slot {
	if p := s.pages[n>>pageBits]; p != nil {
		return p[n&(pageSlots-1)]
	}
	return slot{}
}

func (a *Account) at(n uint32) int32 {
	if p := a.pages[n>>pageBits]; p != nil {
		return p[n&(pageSlots-1)]
	}
	return 0
}

// change returns the slot with a number, to be changed; its gist is to follow.
func (s *Site) change(n uint32) *slot {
	i := n >> pageBits
	if s.pages[i] == nil {
		s.pages[i] = new([pageSlots]slot)
	}
	s.dirty[i] = true
	return &s.pages[i][n&(pageSlots-1)]
}

// change returns the slot with a number, to be changed.
func (a *Account) change(n uint32) *int32 {
	i := n >> pageBits
	if a.pages[i] == nil {
		a.pages[i] = new([pageSlots]int32)
	}
	a.dirty[i] = true
	return &a.pages[i][n&(pageSlots-1)]
}

// Counts says how many messages taught it something.
func (s *Site) Counts() Counts {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return Counts{s.bias.junk, s.bias.ham}
}

// Counts says how many messages taught it something.
func (a *Account) Counts() Counts {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return Counts{a.bias.junk, a.bias.ham}
}

// The learner, as it measured best (bench/junk).
const (
	MaxScore = 8.0 // of a score, to either side

	smoothing = 0.3  // messages of each kind that a feature is taken to have been in before
	rate      = 0.07 // of learning, for a feature that is new
	calm      = 0.01 // what is added to a feature's gradients
	biasRate  = 0.01
	slope     = 2.5  // of log-odds to what the weights say
	telling   = 0.5  // squares of what features count below which those of a sort weigh less together, as none tells anything
	clearJunk = 20.0 // log-odds from which junk teaches the site no more
	clearHam  = -3.3 // and other mail: sooner, as it is far more alike, and what is rare among it is what is taken for junk
	ownTarget = 8.0  // log-odds that an account's own lesson reaches by itself
	ownLimit  = 0.1
	doubt     = 12.0 // messages learned at which a score is half of what the weights say
)

// vector is a message as the learner sees it.
type vector struct {
	slots  []slot    // what is known of each feature
	values []float64 // how much it counts
	margin float64   // what the weights of the site say
	says   float64   // the site's log-odds
}

// lengths are how much the features of each sort weigh together, however many there are: else
// those of a long text would drown those of the header.
var lengths = [sorts]float64{text: 6, subject: 4, header: 6, shape: 3, link: 3, author: 4}

// see takes up what is known of the features of a message: a feature counts for as much as the messages that
// had it say that it tells junk from others.
func (s *Site) see(f *Features) (v vector) {
	v = vector{slots: make([]slot, len(f.list)), values: make([]float64, len(f.list))}
	imbalance := s.imbalance()
	var squares, scales [sorts]float64
	for i, x := range f.list {
		k := s.at(siteSlot(x.hash))
		value := worth(imbalance, logarithm((float64(k.junk)+smoothing)/(float64(k.ham)+smoothing)))
		v.slots[i], v.values[i] = k, value
		squares[x.sort] += value * value
	}
	for sort, sum := range squares {
		scales[sort] = scaleOf(sort, sum)
	}
	v.margin = float64(s.bias.weight) / weightUnit
	all, known := 0.0, 0.0
	for i, x := range f.list {
		v.values[i] *= scales[x.sort]
		all += v.values[i] * v.values[i]
		if v.slots[i].junk+v.slots[i].ham > 0 {
			known += v.values[i] * v.values[i]
		}
		v.margin += v.values[i] * float64(v.slots[i].weight) / weightUnit
	}
	v.says = slope * v.margin * s.sure(all, known)
	return v
}

// imbalance is the log-odds that a message is not junk, of all that were learned.
func (s *Site) imbalance() float64 {
	return logarithm((float64(s.bias.ham) + 1) / (float64(s.bias.junk) + 1))
}

// worth is how much a feature counts with these log-odds among the messages that had it.
func worth(imbalance, odds float64) float64 { return logarithm(1 + math.Abs(imbalance+odds)) }

// scaleOf is what the features of a sort are multiplied by, from the squares of what they count.
func scaleOf(sort int, squares float64) float64 {
	if squares == 0 {
		return 0
	}
	return lengths[sort] / math.Sqrt(squares+telling)
}

// sure is Score.Sure: from how much of a message is known, and how much was learned at all.
func (s *Site) sure(all, known float64) float64 {
	if all == 0 {
		return 0
	}
	learned := float64(s.bias.junk) + float64(s.bias.ham)
	return known / all * learned / (learned + doubt)
}

// logarithm is the natural logarithm of a positive number to some five digits, at a fraction of the
// cost of math.Log.
func logarithm(x float64) float64 {
	b := math.Float64bits(x)
	exponent := int(b>>52) - 1023
	m := math.Float64frombits(b&(1<<52-1) | 1023<<52) // from 1 to 2
	t := (m - 1) / (m + 1)
	square := t * t
	return float64(exponent)*math.Ln2 + 2*t*(1+square*(1.0/3+square*(1.0/5+square*(1.0/7+square*(1.0/9)))))
}

// own is what the account's weights say of a message.
func (a *Account) own(f *Features, v *vector) float64 {
	m := 0.0
	for i, x := range f.list {
		m += v.values[i] * float64(a.at(accountSlot(x.hash))) / weightUnit
	}
	return m
}

// Score is what the models say of a message.
type Score struct {
	LogOdds float64 // natural log-odds that it is junk, from -MaxScore to MaxScore; 0 is "do not know"
	Site    float64 // what of that comes from the site's lessons
	Account float64 // and what from the account's own
	Sure    float64 // from 0 to 1: how much of it the site knows, and how much it learned at all
}

// ScoreOf weighs a message. The account may be nil: then the site alone speaks.
func ScoreOf(s *Site, a *Account, f *Features) Score {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if a != nil {
		a.mu.RLock()
		defer a.mu.RUnlock()
	}
	sums := s.weigh(a, f)
	return s.score(&sums)
}
