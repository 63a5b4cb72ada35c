package junk

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// Lesson is what one message taught: the whole numbers that were added to the models.
// The zero Lesson taught nothing.
type Lesson struct {
	isJunk    bool
	junk, ham uint32 // what it adds to the counts
	bias      change
	site      []change // in order of slots
	account   []ownChange
}

// change is what a lesson adds to a slot of the site.
type change struct {
	slot      uint32
	weight    int32
	gradient  uint32
	junk, ham bool
}

// ownChange is what a lesson adds to a slot of the account.
type ownChange struct {
	slot   uint32
	weight int32
}

// Learn makes the models learn that a message is junk, or that it is not, and
// returns what they learned. The account may be nil.
func Learn(s *Site, a *Account, f *Features, junk bool) Lesson {
	s.mu.Lock()
	l, v := s.lesson(f, junk)
	s.apply(l, 1)
	if a != nil {
		v = s.see(f)
	}
	s.mu.Unlock()
	if a != nil {
		a.mu.Lock()
		l.account = a.lesson(f, &v, junk)
		a.apply(l, 1)
		a.mu.Unlock()
	}
	return l
}

// LearnOwn makes the account's model learn that a message is junk, or that it is not; the site learns nothing.
func LearnOwn(s *Site, a *Account, f *Features, junk bool) Lesson {
	s.mu.RLock()
	v := s.see(f)
	s.mu.RUnlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	l := Lesson{isJunk: junk}
	l.account = a.lesson(f, &v, junk)
	a.apply(l, 1)
	return l
}

// Unlearn takes away what a lesson added to the models. An account that is gone is nil.
func Unlearn(s *Site, a *Account, l Lesson) {
	if s != nil {
		s.mu.Lock()
		s.apply(l, -1)
		s.mu.Unlock()
	}
	if a != nil {
		a.mu.Lock()
		a.apply(l, -1)
		a.mu.Unlock()
	}
}

// Apply adds again what a lesson taught: to models that were saved before it was learned. Either
// may be nil.
func Apply(s *Site, a *Account, l Lesson) {
	if s != nil {
		s.mu.Lock()
		s.apply(l, 1)
		s.mu.Unlock()
	}
	if a != nil {
		a.mu.Lock()
		a.apply(l, 1)
		a.mu.Unlock()
	}
}

// lesson works out what a message teaches the site: a step of logistic regression, and
// that each of its features was seen. What the site knows well teaches nothing: so the model is about what is
// hard to tell, and measures better.
func (s *Site) lesson(f *Features, junk bool) (Lesson, vector) {
	v := s.see(f)
	if junk && v.says >= clearJunk || !junk && v.says <= clearHam {
		return Lesson{isJunk: junk}, v
	}
	l := Lesson{isJunk: junk, ham: 1, site: make([]change, 0, len(f.list))}
	y := -1.0
	if junk {
		l.junk, l.ham, y = 1, 0, 1
	}
	fault := -y / (1 + math.Exp(y*v.margin))
	l.bias = step(s.bias, fault, biasRate)
	for i, x := range f.list {
		c := step(v.slots[i], fault*v.values[i], rate)
		c.slot, c.junk, c.ham = siteSlot(x.hash), junk, !junk
		l.site = append(l.site, c)
	}
	slices.SortStableFunc(l.site, func(a, b change) int { return cmp.Compare(a.slot, b.slot) })
	return l, v
}

// step is what one step against a gradient adds to a slot.
func step(k slot, gradient, rate float64) (c change) {
	square := uint32(math.Round(gradient * gradient * gradientUnit))
	if k.gradient+square < maxGradient {
		c.gradient = square
	}
	sum := float64(k.gradient+c.gradient) / gradientUnit
	c.weight = int32(math.Round(-rate * gradient / (calm + math.Sqrt(sum)) * weightUnit))
	return c
}

// apply adds what a lesson taught, or takes it away with sign -1.
func (s *Site) apply(l Lesson, sign int32) {
	s.bias.junk += uint32(sign) * l.junk
	s.bias.ham += uint32(sign) * l.ham
	s.bias.weight += sign * l.bias.weight
	s.bias.gradient += uint32(sign) * l.bias.gradient
	s.counts = true
	s.worths()
	for _, c := range l.site {
		k := s.change(c.slot)
		k.weight += sign * c.weight
		k.gradient += uint32(sign) * c.gradient
		if c.junk {
			k.junk += uint32(sign)
		}
		if c.ham {
			k.ham += uint32(sign)
		}
		s.gist(c.slot, *k)
	}
}

// lesson works out what a message teaches the account beyond what the site learned: the least
// change after which both together say ownTarget (passive-aggressive, Crammer et al. 2006), within
// a limit.
func (a *Account) lesson(f *Features, v *vector, junk bool) []ownChange {
	y := -1.0
	if junk {
		y = 1
	}
	miss := ownTarget - y*(v.says+a.own(f, v))
	sum := 0.0
	for _, x := range v.values {
		sum += x * x
	}
	if miss <= 0 || sum == 0 {
		return nil
	}
	size := y * min(miss/sum, ownLimit)
	out := make([]ownChange, 0, len(f.list))
	for i, x := range f.list {
		if w := int32(math.Round(size * v.values[i] * weightUnit)); w != 0 {
			out = append(out, ownChange{accountSlot(x.hash), w})
		}
	}
	slices.SortStableFunc(out, func(a, b ownChange) int { return cmp.Compare(a.slot, b.slot) })
	return out
}

func (a *Account) apply(l Lesson, sign int32) {
	if len(l.account) == 0 {
		return
	}
	if l.isJunk {
		a.bias.junk += uint32(sign)
	} else {
		a.bias.ham += uint32(sign)
	}
	a.counts = true
	for _, c := range l.account {
		*a.change(c.slot) += sign * c.weight
	}
}

// lessonVersion is the first octet of an encoded lesson.
const lessonVersion = 1

// ErrLesson says that octets are no lesson, or not of this version.
var ErrLesson = errors.New("junk: not an encoded lesson")

// Junk reports whether the lesson says that its message is junk.
func (l Lesson) Junk() bool { return l.isJunk }

// Empty reports whether the models knew it all: there is nothing to take away.
func (l Lesson) Empty() bool { return l.junk == 0 && l.ham == 0 && len(l.account) == 0 }

// Append appends the lesson as octets: about six for each feature of the message.
// ParseLesson reads them.
//
// They are lessonVersion, an octet of flags (1 for junk, 2 if it counts), the bias' weight and gradient, the number of changes of the
// site, they, the number of changes of the account, they. A change is how far its slot is from the one before,
// the weight, and of the site the gradient. All numbers are varints.
func (l Lesson) Append(dst []byte) []byte {
	flags := byte(0)
	if l.isJunk {
		flags |= 1
	}
	if l.junk+l.ham > 0 {
		flags |= 2
	}
	dst = append(dst, lessonVersion, flags)
	dst = binary.AppendVarint(dst, int64(l.bias.weight))
	dst = binary.AppendUvarint(dst, uint64(l.bias.gradient))
	dst = binary.AppendUvarint(dst, uint64(len(l.site)))
	last := uint32(0)
	for _, c := range l.site {
		dst = binary.AppendUvarint(dst, uint64(c.slot-last))
		dst = binary.AppendVarint(dst, int64(c.weight))
		dst = binary.AppendUvarint(dst, uint64(c.gradient))
		last = c.slot
	}
	dst = binary.AppendUvarint(dst, uint64(len(l.account)))
	last = 0
	for _, c := range l.account {
		dst = binary.AppendUvarint(dst, uint64(c.slot-last))
		dst = binary.AppendVarint(dst, int64(c.weight))
		last = c.slot
	}
	return dst
}

// ParseLesson reads what Append wrote. The error is ErrLesson.
func ParseLesson(b []byte) (Lesson, error) {
	if len(b) < 2 || b[0] != lessonVersion || b[1] > 3 {
		return Lesson{}, ErrLesson
	}
	r := reader{b: b[2:]}
	l := Lesson{isJunk: b[1]&1 != 0}
	switch b[1] {
	case 2:
		l.ham = 1
	case 3:
		l.junk = 1
	}
	l.bias.weight, l.bias.gradient = r.signed(), r.number()
	l.site = make([]change, 0, r.count(MaxFeatures))
	slot := uint32(0)
	for range cap(l.site) {
		slot += r.number()
		c := change{slot: slot, weight: r.signed(), gradient: r.number(), junk: l.junk > 0, ham: l.ham > 0}
		r.bad = r.bad || slot >= 1<<siteBits
		l.site = append(l.site, c)
	}
	l.account = make([]ownChange, 0, r.count(MaxFeatures))
	slot = 0
	for range cap(l.account) {
		slot += r.number()
		r.bad = r.bad || slot >= 1<<accountBits
		l.account = append(l.account, ownChange{slot, r.signed()})
	}
	if r.bad || len(r.b) > 0 {
		return Lesson{}, ErrLesson
	}
	return l, nil
}

// reader reads varints; the first fault sticks.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) number() uint32 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 || n > math.MaxUint32 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return uint32(n)
}

func (r *reader) signed() int32 {
	n, size := binary.Varint(r.b)
	if size <= 0 || n > math.MaxInt32 || n < math.MinInt32 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return int32(n)
}

// count reads how many follow, limit at most and no more than can stand in what is left.
func (r *reader) count(limit int) int {
	n := r.number()
	if int64(n) > int64(min(limit, len(r.b))) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}
