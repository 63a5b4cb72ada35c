package store

import (
	"slices"

	"yubin/internal/mail"
)

// Delta is what leads from one view to another.
type Delta struct {
	Vanished []mail.UID  // in the old view only, ascending
	Changed  mail.UIDSet // in both, with another ModSeq
	Added    int         // messages in the new view only
}

// cursor walks the entries of a view.
type cursor struct {
	v     *View
	chunk int
	at    int
}

func (c *cursor) done() bool { return c.chunk == c.v.numChunks() }

func (c *cursor) entry() entry { return c.v.chunk(c.chunk)[c.at] }

func (c *cursor) rest() int { return len(c.v.chunk(c.chunk)) - c.at }

func (c *cursor) skip(n int) {
	c.at += n
	if c.at == len(c.v.chunk(c.chunk)) {
		c.chunk, c.at = c.chunk+1, 0
	}
}

// seek goes to the first entry with at least that UID.
func (c *cursor) seek(uid mail.UID) {
	if c.chunk, c.at = c.v.chunkFor(uid), 0; !c.done() {
		c.at = position(c.v.chunk(c.chunk), uid)
	}
}

// shared returns how many entries from here on are the same memory in both.
func shared(a, b *cursor) int {
	if a.at != b.at || &a.v.chunk(a.chunk)[0] != &b.v.chunk(b.chunk)[0] {
		return 0
	}
	return min(a.rest(), b.rest())
}

// Diff compares two views of one mailbox. Chunks that they share cost nothing.
func Diff(old, new *View) Delta {
	var d Delta
	if old == new {
		return d
	}
	o, n := cursor{v: old}, cursor{v: new}
	for !o.done() && !n.done() {
		if k := shared(&o, &n); k > 0 {
			o.skip(k)
			n.skip(k)
			continue
		}
		d.step(&o, &n)
	}
	for ; !o.done(); o.skip(1) {
		d.Vanished = append(d.Vanished, mail.UID(o.entry().uid))
	}
	for ; !n.done(); n.skip(n.rest()) {
		d.Added += n.rest()
	}
	return d
}

// step compares the entries that o and n stand at, and those behind them in
// their chunks as long as they are of the same messages.
func (d *Delta) step(o, n *cursor) {
	was, is := o.v.chunk(o.chunk)[o.at:], n.v.chunk(n.chunk)[n.at:]
	switch {
	case was[0].uid < is[0].uid:
		d.Vanished = append(d.Vanished, mail.UID(was[0].uid))
		o.skip(1)
		return
	case was[0].uid > is[0].uid:
		d.Added++
		n.skip(1)
		return
	}
	both := 0
	for both < min(len(was), len(is)) && was[both].uid == is[both].uid {
		if was[both].modseq != is[both].modseq {
			d.Changed.Add(mail.UID(is[both].uid))
		}
		both++
	}
	o.skip(both)
	n.skip(both)
}

// KeepVanished returns v with the messages of old that v lacks, as old has
// them: what a session numbers by while it may not announce expunges
// (RFC 9051 §7.5.1). It is v itself if v lacks none.
func (v *View) KeepVanished(old *View) *View {
	gone := Diff(old, v).Vanished
	if len(gone) == 0 {
		return v
	}
	n := &View{modseq: v.modseq, sets: v.sets, names: v.names, line: v.line, at: v.at, own: int64(len(v.chunks)) * chunkPlace}
	translate := n.adopt(old)
	for c := range v.numChunks() {
		chunk := v.chunk(c)
		mine := 0
		for mine < len(gone) && uint32(gone[mine]) < chunk[len(chunk)-1].uid {
			mine++
		}
		for _, m := range merge(chunk, old.entries(gone[:mine], translate)) {
			n.pushChunk(m)
			if mine > 0 {
				n.own += chunkOctets
			}
		}
		gone = gone[mine:]
	}
	for _, m := range merge(nil, old.entries(gone, translate)) {
		n.pushChunk(m)
		n.own += chunkOctets
	}
	return n
}

// adopt makes n's sets hold those of old and returns how old's entries are
// written with them.
func (n *View) adopt(old *View) func(entry) entry {
	if len(old.sets) <= len(n.sets) && &old.sets[0] == &n.sets[0] && old.names == n.names {
		return func(e entry) entry { return e }
	}
	at := make(map[words]uint32, len(n.sets))
	for i, s := range n.sets {
		at[s] = uint32(i)
	}
	n.sets = slices.Clone(n.sets)
	return func(e entry) entry {
		set := n.adoptWords(old.sets[e.set()], old.names)
		i, ok := at[set]
		if !ok {
			i = uint32(len(n.sets))
			at[set] = i
			n.sets = append(n.sets, set)
		}
		e.bits = i<<8 | uint32(e.flags())
		return e
	}
}

// adoptWords gives a set of other names the numbers that n has for them. Names
// that n lacks get some behind all others.
func (n *View) adoptWords(w words, from *names) words {
	if from == n.names {
		return w
	}
	var numbers []int
	for number := range w.numbers {
		name := from.list[number]
		at := n.names.number(name)
		if at < 0 {
			at = len(n.names.list)
			n.names = n.names.named(at, name)
		}
		numbers = append(numbers, at)
	}
	return wordsOf(numbers...)
}

// entries returns the entries of uids, which v has.
func (v *View) entries(uids []mail.UID, translate func(entry) entry) []entry {
	found := make([]entry, 0, len(uids))
	for _, u := range uids {
		c := v.chunkFor(u)
		found = append(found, translate(v.chunk(c)[position(v.chunk(c), u)]))
	}
	return found
}

// merge puts two ascending lists together, in chunks. One that gains nothing is
// shared.
func merge(a, b []entry) [][]entry {
	if len(b) == 0 {
		return [][]entry{a}
	}
	all := make([]entry, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0].uid < b[0].uid {
			all, a = append(all, a[0]), a[1:]
		} else {
			all, b = append(all, b[0]), b[1:]
		}
	}
	all = append(append(all, a...), b...)
	return slices.Collect(slices.Chunk(all, chunkLen))
}
