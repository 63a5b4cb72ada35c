package resolver

import (
	"container/list"
	"time"

	wire "github.com/miekg/dns"
)

// cache remembers replies until they expire. When it is full, the one that was
// not asked for the longest goes. Its owner locks it.
type cache struct {
	maxEntries int
	maxOctets  int
	octets     int
	entries    map[question]*list.Element
	used       *list.List // of *entry, the last used one in front
}

type entry struct {
	q      question
	reply  reply
	octets int
}

// anyType stands in a question for all types of a name.
const anyType = 0

// entryOverhead is about what an entry takes beside its names and records,
// recordOverhead a record beside its octets on the wire, and stringOverhead
// each string of a TXT record.
const (
	entryOverhead  = 400
	recordOverhead = 100
	stringOverhead = 24
)

func newCache(maxEntries, maxOctets int) *cache {
	return &cache{maxEntries: maxEntries, maxOctets: maxOctets, entries: map[question]*list.Element{}, used: list.New()}
}

// get returns what is remembered of q and has not expired.
func (c *cache) get(q question, now time.Time) (reply, bool) {
	for _, key := range [2]question{q, {q.name, anyType}} {
		el, ok := c.entries[key]
		if !ok {
			continue
		}
		e := el.Value.(*entry)
		if now.Before(e.reply.expires) {
			c.used.MoveToFront(el)
			return e.reply, true
		}
		c.drop(el)
	}
	return reply{}, false
}

// put remembers p instead of what was known of q.
func (c *cache) put(q question, p reply, now time.Time) {
	if !now.Before(p.expires) {
		return
	}
	if p.wide {
		q.kind = anyType
	}
	if old, ok := c.entries[q]; ok {
		c.drop(old)
	}
	e := &entry{q: q, reply: p, octets: entryOverhead + len(q.name) + len(p.name) + len(p.detail)}
	for _, rr := range p.records {
		e.octets += wire.Len(rr) + recordOverhead
		if txt, ok := rr.(*wire.TXT); ok {
			e.octets += stringOverhead * len(txt.Txt)
		}
	}
	c.entries[q] = c.used.PushFront(e)
	c.octets += e.octets
	for len(c.entries) > c.maxEntries || c.octets > c.maxOctets {
		c.drop(c.used.Back())
	}
}

func (c *cache) drop(el *list.Element) {
	e := c.used.Remove(el).(*entry)
	delete(c.entries, e.q)
	c.octets -= e.octets
}
