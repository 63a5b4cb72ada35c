package search

import (
	"slices"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// Compile makes c ready to run.
func Compile(c Criteria) *Program {
	p := &Program{}
	f := newFolder()
	p.root = p.compile(c, f)
	p.texts.ready()
	p.headers.ready()
	p.cost = p.root.cost
	return p
}

func (p *Program) compile(c Criteria, f *folder) node {
	n := node{Criteria: c, cost: ownCost(c)}
	p.keys++
	p.rows = p.rows || n.cost == costRow
	p.envelopes = p.envelopes || n.cost == costEnvelope
	switch c.Op {
	case Before, On, Since, SentBefore, SentOn, SentSince:
		n.day = dayOf(c.Day)
	case Envelope:
		n.octets = []byte(f.foldString(c.Text))
		n.part, _ = partOf(c.Field)
	case Header:
		if n.cost == costEnvelope {
			n.octets = []byte(f.foldString(c.Text))
			n.part, _ = partOf(c.Field)
		}
		n.text = p.headers.add(f.foldString(c.Text), p.headers.field(c.Field))
	case Leaves, Body, Text:
		n.text = p.texts.add(f.foldString(c.Text), [...]where{Leaves: inLeaf, Body: inBody, Text: inAny}[c.Op])
	}
	seen := make(map[leaf]bool, len(c.Keys))
	for _, k := range c.Keys {
		if l, ok := leafOf(k); ok && len(c.Keys) > 1 {
			if seen[l] {
				continue // What is said twice is asked once.
			}
			seen[l] = true
		}
		sub := p.compile(k, f)
		n.cost = max(n.cost, sub.cost)
		n.keys = append(n.keys, sub)
	}
	if c.Op == And || c.Op == Or {
		slices.SortStableFunc(n.keys, func(a, b node) int { return int(a.cost) - int(b.cost) })
	}
	return n
}

// leaf is a key without others in it, or the opposite of one.
type leaf struct {
	not                  bool
	op                   Op
	flag                 mail.Flags
	keyword, field, text string
	day                  day
	size                 int64
}

// leafOf returns false for a key that is none.
func leafOf(c Criteria) (leaf, bool) {
	l := leaf{}
	if c.Op == Not {
		l.not, c = true, c.Keys[0]
	}
	switch c.Op {
	case And, Or, Not, UIDs:
		return leaf{}, false
	}
	l.op, l.flag, l.keyword, l.field, l.text, l.day, l.size = c.Op, c.Flag, c.Keyword, c.Field, c.Text, dayOf(c.Day), c.Size
	return l, true
}

func ownCost(c Criteria) cost {
	switch c.Op {
	case Before, On, Since, Larger, Smaller:
		return costRow
	case Envelope, SentBefore, SentOn, SentSince:
		return costEnvelope
	case Header:
		if p, ok := partOf(c.Field); ok && p.single() {
			return costEnvelope // In nearly all messages the envelope has all there is.
		}
		return costHeader
	case Leaves, Body, Text:
		return costText
	}
	return costEntry
}

// What a run holds of messages at a time, in octets, about.
const (
	rowMemory     = 128 << 10
	messageMemory = store.MaxRowOctets
)

// Memory returns how many octets a Run holds of messages at a time, about.
func (p *Program) Memory() int {
	switch {
	case p.cost >= costEnvelope:
		return messageMemory
	case p.cost >= costRow:
		return rowMemory
	}
	return 0
}
