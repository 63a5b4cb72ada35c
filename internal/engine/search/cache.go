package search

import (
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"yubin/internal/mail"
)

// Sizes of a cache.
const (
	segmentBits = 9
	segmentLen  = 1 << segmentBits // UIDs of a segment
	maxText     = 32 << 10         // octets of text of a message that is remembered
)

// cache remembers facts within a bound of memory. Nothing in it can become
// wrong: a UID is never given twice, nor is the id of a mailbox. Mailboxes
// longest unused are forgotten first; what does not fit into all the memory is
// not remembered.
type cache struct {
	bound int64
	clock atomic.Int64

	mu     sync.RWMutex
	boxes  map[mail.MailboxID]*box
	memory int64
}

// box is the messages of one mailbox.
type box struct {
	segments map[mail.UID]*segment // by UID >> segmentBits
	memory   int64
	used     atomic.Int64 // the clock
}

// segment is messages with neighbouring UIDs. It has no pointer for each, as
// there can be very many.
type segment struct {
	slots   [segmentLen]uint16 // index into records, plus one
	records []record
	text    []byte
}

// record is facts whose text begins at start of the segment's.
type record struct {
	size     int64
	received day
	sent     day
	start    uint32
	ends     [parts]uint16
	there    uint8
}

// learnt is what a message turned out to be.
type learnt struct {
	uid   mail.UID
	facts facts
}

func newCache(bound int64) *cache {
	return &cache{bound: bound, boxes: make(map[mail.MailboxID]*box)}
}

// wants reports whether facts are worth an add.
func (c *cache) wants(f *facts) bool { return c.bound > 0 && f.whole && len(f.text) <= maxText }

// each has fn look up messages of a mailbox. fn is not called if nothing of it
// is remembered, and must not keep what it is shown.
func (c *cache) each(id mail.MailboxID, fn func(look func(mail.UID) (facts, bool))) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if b := c.boxes[id]; b != nil {
		b.used.Store(c.clock.Add(1))
		fn(b.look())
	}
}

// look returns a function that looks for messages, fastest in order of UID.
func (b *box) look() func(mail.UID) (facts, bool) {
	var s *segment
	at := ^mail.UID(0)
	return func(uid mail.UID) (facts, bool) {
		if uid>>segmentBits != at {
			at = uid >> segmentBits
			s = b.segments[at]
		}
		if s == nil || s.slots[uid%segmentLen] == 0 {
			return facts{}, false
		}
		return s.facts(&s.records[s.slots[uid%segmentLen]-1]), true
	}
}

func (s *segment) facts(r *record) facts {
	f := facts{size: r.size, received: r.received, sent: r.sent, whole: true, there: r.there}
	for i, end := range r.ends {
		f.ends[i] = uint32(end)
	}
	f.text = s.text[r.start : r.start+f.ends[parts-1]]
	return f
}

// add remembers messages of a mailbox.
func (c *cache) add(id mail.MailboxID, list []learnt) {
	if len(list) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.boxes[id]
	if b == nil {
		b = &box{segments: make(map[mail.UID]*segment)}
		c.boxes[id] = b
	}
	b.used.Store(c.clock.Add(1))
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].uid>>segmentBits == list[0].uid>>segmentBits {
			n++
		}
		c.addTo(b, list[:n])
		list = list[n:]
	}
}

// addTo adds messages of one segment, if there is or can be made room.
func (c *cache) addTo(b *box, list []learnt) {
	at := list[0].uid >> segmentBits
	s, cost := b.segments[at], int64(0)
	if s == nil {
		s, cost = new(segment), int64(unsafe.Sizeof(segment{}))
	}
	text := 0
	for i := range list {
		text += len(list[i].facts.text)
	}
	cost += int64(text) + int64(len(list))*int64(unsafe.Sizeof(record{}))
	if !c.makeRoom(b, cost) {
		if half := len(list) / 2; half > 0 {
			c.addTo(b, list[:half])
		}
		return
	}
	b.segments[at] = s
	b.memory += cost
	c.memory += cost
	s.records = append(make([]record, 0, len(s.records)+len(list)), s.records...)
	s.text = append(make([]byte, 0, len(s.text)+text), s.text...)
	for i := range list {
		s.add(&list[i])
	}
}

func (s *segment) add(l *learnt) {
	slot := &s.slots[l.uid%segmentLen]
	if *slot != 0 {
		return
	}
	f := &l.facts
	r := record{size: f.size, received: f.received, sent: f.sent, start: uint32(len(s.text)), there: f.there}
	for i, end := range f.ends {
		r.ends[i] = uint16(end)
	}
	s.text = append(s.text, f.text...)
	s.records = append(s.records, r)
	*slot = uint16(len(s.records))
}

// makeRoom forgets other mailboxes than b until there is room for cost octets,
// and says whether there is.
func (c *cache) makeRoom(b *box, cost int64) bool {
	for c.memory+cost > c.bound {
		var ids []mail.MailboxID
		for id, o := range c.boxes {
			if o != b {
				ids = append(ids, id)
			}
		}
		if len(ids) == 0 {
			return false
		}
		oldest := slices.MinFunc(ids, func(x, y mail.MailboxID) int {
			return int(c.boxes[x].used.Load() - c.boxes[y].used.Load())
		})
		c.memory -= c.boxes[oldest].memory
		delete(c.boxes, oldest)
	}
	return true
}
