package search

import (
	"slices"
)

// Compile makes c ready to run.
func Compile(c Criteria) *Program {
	p := &Program{}
	f := newFolder()
	p.root = p.compile(c, f)
	p.cost = p.root.cost
	return p
}

func (p *Program) compile(c Criteria, f *folder) node {
	n := node{Criteria: c, cost: ownCost(c.Op)}
	p.rows = p.rows || n.cost == costRow
	p.envelopes = p.envelopes || n.cost == costEnvelope
	switch c.Op {
	case Before, On, Since, SentBefore, SentOn, SentSince:
		n.day = dayOf(c.Day)
	case Envelope:
		n.folded = f.foldString(c.Text)
		n.octets = []byte(n.folded)
		n.part, _ = partOf(c.Field)
	case Header:
		n.folded = f.foldString(c.Text)
	case Body, Text:
		n.text = p.addText(needle{f.foldString(c.Text), c.Op == Body})
	}
	for _, k := range c.Keys {
		sub := p.compile(k, f)
		n.cost = max(n.cost, sub.cost)
		n.keys = append(n.keys, sub)
	}
	if c.Op == And || c.Op == Or {
		slices.SortStableFunc(n.keys, func(a, b node) int { return int(a.cost) - int(b.cost) })
	}
	return n
}

// addText returns the index of t, which is added if it is new.
func (p *Program) addText(t needle) int {
	if i := slices.Index(p.texts, t); i >= 0 {
		return i
	}
	p.texts = append(p.texts, t)
	return len(p.texts) - 1
}

func ownCost(op Op) cost {
	switch op {
	case Before, On, Since, Larger, Smaller:
		return costRow
	case Envelope, SentBefore, SentOn, SentSince:
		return costEnvelope
	case Header:
		return costHeader
	case Body, Text:
		return costText
	}
	return costEntry
}
