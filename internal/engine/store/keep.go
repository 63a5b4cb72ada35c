package store

import (
	"cmp"
	"slices"

	"yubin/internal/mail"
	"yubin/internal/world/heap"
)

// Keep is a view that a session keeps between commands, because its client knows
// the mailbox as it was then. What views are kept counts with those in memory:
// when there is no room for more, the account that keeps most gives way. The
// zero value keeps nothing. It belongs to the Store that was asked for the view.
type Keep struct {
	view *View
	who  Yielder
}

// Yielder is who keeps a view. Yield is called from any goroutine when there is no
// memory for it any more; it must not block, and see to it that the view is let go
// of soon.
type Yielder interface{ Yield() }

// line is the versions of a view since it was read from the database. They share
// chunks, so a version that is kept costs what the next one has replaced.
type line struct {
	account mail.AccountID
	slot    *slot   // that has the current version; nil once it is forgotten
	kept    []*Keep // the oldest version first
	old     int64   // octets that only versions before the current one have
	counted int64   // of its keeper, the current version counted in
}

// keeper is an account whose sessions keep views.
type keeper struct {
	octets int64
	lines  map[*line]struct{}
}

// ErrNoRoomForView is that what sessions keep of views leaves no memory for one more.
var ErrNoRoomForView error = mail.Errorf(mail.Unavailable, "there is not enough memory to open that mailbox just now; try again later")

// Keep has k keep v from now on instead of what it kept; nil lets go.
func (s *Store) Keep(k *Keep, v *View, who Yielder) {
	vs := s.views
	vs.mu.Lock()
	defer vs.mu.Unlock()
	before := k.view
	if before != nil {
		i := slices.Index(before.line.kept, k)
		before.line.kept = slices.Delete(before.line.kept, i, i+1)
	}
	k.view, k.who = v, who
	if v != nil {
		i, _ := slices.BinarySearchFunc(v.line.kept, v.at, func(o *Keep, at int64) int { return cmp.Or(cmp.Compare(o.view.at, at), -1) })
		v.line.kept = slices.Insert(v.line.kept, i, k)
		vs.count(v.line)
	}
	if before != nil && (v == nil || v.line != before.line) {
		vs.count(before.line)
	}
}

// ViewStats is how the memory of views stands.
func (s *Store) ViewStats() heap.BudgetStats {
	vs := s.views
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return heap.BudgetStats{Total: vs.budget, Held: vs.memory + vs.old, Refused: vs.refused}
}

// count brings what l takes up to date. A version takes what the next one that is
// there has replaced of it, and all that it has if there is none.
func (vs *views) count(l *line) {
	old := int64(0)
	for i, k := range l.kept {
		switch next := l.after(i); {
		case next == k.view:
		case next == nil:
			old += k.view.own + k.view.memory()
		default:
			old += k.view.own + min(next.at-k.view.at, viewOctets(int64(k.view.count)))
		}
	}
	vs.old += old - l.old
	l.old = old

	counted := old
	if l.slot != nil && len(l.kept) > 0 {
		counted += l.slot.memory
	}
	if l.slot != nil {
		vs.list(l.slot, len(l.kept) == 0)
	}
	of := vs.keepers[l.account]
	if of == nil {
		if len(l.kept) == 0 {
			return
		}
		of = &keeper{lines: map[*line]struct{}{}}
		vs.keepers[l.account] = of
	}
	of.octets += counted - l.counted
	l.counted = counted
	of.lines[l] = struct{}{}
	if len(l.kept) == 0 {
		if delete(of.lines, l); len(of.lines) == 0 {
			delete(vs.keepers, l.account)
		}
	}
}

// after is the version after that of the i-th Keep; itself if another Keep has it.
func (l *line) after(i int) *View {
	switch {
	case i+1 < len(l.kept):
		return l.kept[i+1].view
	case l.slot != nil:
		return l.slot.view
	}
	return nil
}

// list has sl among those that can be forgotten, or not.
func (vs *views) list(sl *slot, unkept bool) {
	switch {
	case unkept && sl.at == nil:
		sl.at = vs.recent.PushFront(sl)
	case !unkept && sl.at != nil:
		vs.recent.Remove(sl.at)
		sl.at = nil
	}
}

// reserve takes octets for the view of a mailbox of an account that is to be read.
// What nobody keeps goes first; then an account that keeps more than this one
// would gives way. One view there may always be.
func (vs *views) reserve(sl *slot, a mail.AccountID, octets int64) error {
	var out []Yielder
	defer func() { yield(out) }()
	vs.mu.Lock()
	defer vs.mu.Unlock()
	vs.evict(octets)
	if !vs.fits(octets) && vs.memory+vs.old > 0 {
		out = vs.showOut(a, octets)
		vs.evict(octets)
		if !vs.fits(octets) && vs.memory+vs.old > 0 {
			vs.refused++
			return ErrNoRoomForView
		}
	}
	sl.memory = octets
	vs.memory += octets
	return nil
}

// showOut lets go of kept views until there is room for more octets: of the
// account that keeps most its largest line, there the oldest versions. It is not
// done for an account that would then have most itself; 0 is nobody's doing. The
// sessions are to be told to yield. The current version of the only view there is
// stays.
func (vs *views) showOut(forWhom mail.AccountID, more int64) (out []Yielder) {
	for !vs.fits(more) {
		most, id := vs.heaviest()
		if most == nil || id == forWhom {
			return out
		}
		own := more
		if mine := vs.keepers[forWhom]; mine != nil {
			own += mine.octets
		}
		if forWhom != 0 && own >= most.octets {
			return out
		}
		l := most.heaviest()
		alone := vs.memory+vs.old == l.counted && forWhom == 0
		if alone && l.old == 0 {
			return out
		}
		for len(l.kept) > 0 && !vs.fits(more) && !(alone && l.old == 0) {
			k := l.kept[0]
			l.kept = slices.Delete(l.kept, 0, 1)
			k.view = nil
			out = append(out, k.who)
			vs.refused++
			vs.count(l)
			if l.slot != nil && len(l.kept) == 0 && !vs.fits(more) {
				vs.remove(l.slot)
			}
		}
	}
	return out
}

func (vs *views) heaviest() (most *keeper, id mail.AccountID) {
	for a, k := range vs.keepers {
		if most == nil || k.octets > most.octets {
			most, id = k, a
		}
	}
	return most, id
}

func (k *keeper) heaviest() (most *line) {
	for l := range k.lines {
		if most == nil || l.counted > most.counted {
			most = l
		}
	}
	return most
}

// yield tells those that keep views no more. The caller does not hold views.mu.
func yield(out []Yielder) {
	for _, who := range out {
		who.Yield()
	}
}
