package store

import (
	"cmp"
	"container/list"
	"context"
	"slices"
	"sync"

	"yubin/internal/mail"
)

// views are the current views of mailboxes, and what sessions keep of older ones
// (keep.go), within a memory budget.
type views struct {
	budget int64

	mu      sync.Mutex
	slots   map[mail.MailboxID]*slot
	recent  list.List // of *slot with a view that nobody keeps, last used first
	memory  int64     // of slots, those being loaded counted in
	old     int64     // of versions before the current ones
	keepers map[mail.AccountID]*keeper
	refused uint64
}

// slot is the view of one mailbox. While loaded is open its view is being read
// from the database, and commits meanwhile wait in pending: those that the
// snapshot has not seen are applied on top of it. A view that lacks a commit,
// because its announcement came too early or never, or because it was another
// process's, follows by reading the memory of changes, when it is asked for. All
// fields belong to views.mu.
type slot struct {
	mailbox mail.MailboxID
	view    *View
	sets    map[words]uint32 // index into view.sets
	memory  int64
	at      *list.Element // of recent; nil while somebody keeps a view

	loaded  chan struct{} // closed when loading ended, well or not
	pending []commit
	gone    bool // the mailbox was deleted meanwhile

	heard     mail.ModSeq   // the mailbox is known to have come so far
	following chan struct{} // closed when it ended; nil while nobody reads what changed
}

// commit is what changed in a mailbox from one ModSeq of it to another.
type commit struct {
	before  mail.ModSeq
	modseq  mail.ModSeq
	changes []change
	names   *names // of the mailbox now; nil: as before
}

func newViews(budget int64) *views {
	return &views{budget: budget, slots: make(map[mail.MailboxID]*slot), keepers: make(map[mail.AccountID]*keeper)}
}

// View returns the current view of a mailbox: every commit of this process that
// returned is in it, and what Heard told of others. The first call reads the
// mailbox from the database. NotFound if there is no such mailbox, Unavailable if
// there is no memory for one more view.
func (s *Store) View(ctx context.Context, id mail.MailboxID) (*View, error) {
	for {
		sl, v, todo, until := s.views.get(id)
		switch todo {
		case viewReady:
			return v, nil
		case viewToLoad:
			if err := s.views.load(ctx, sl, s.sizeOf, s.readView); err != nil {
				return nil, err
			}
		case viewToFollow:
			if err := s.views.follow(ctx, sl, v, s.readChanged); err != nil {
				return nil, err
			}
		case viewToAwait:
			select {
			case <-until:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
}

// Heard tells that another process changed a mailbox: views from now on have come
// at least so far. What is told twice, late or wrongly does no harm.
func (s *Store) Heard(e Event) {
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	if sl := s.views.slots[e.Mailbox]; sl != nil {
		sl.heard = max(sl.heard, e.ModSeq)
	}
}

// What View has to do.
type viewTodo uint8

const (
	viewReady    viewTodo = iota
	viewToLoad            // the caller reads the mailbox
	viewToFollow          // the caller reads what changed
	viewToAwait           // somebody else does either
)

// get says what is to be done for the view of a mailbox, or to be waited for.
func (vs *views) get(id mail.MailboxID) (sl *slot, v *View, todo viewTodo, until chan struct{}) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	sl = vs.slots[id]
	switch {
	case sl == nil:
		sl = &slot{mailbox: id, loaded: make(chan struct{})}
		vs.slots[id] = sl
		return sl, nil, viewToLoad, nil
	case sl.view == nil:
		return sl, nil, viewToAwait, sl.loaded
	case sl.following != nil:
		return sl, nil, viewToAwait, sl.following
	case sl.view.modseq < sl.heard:
		sl.following = make(chan struct{})
		return sl, sl.view, viewToFollow, nil
	}
	if sl.at != nil {
		vs.recent.MoveToFront(sl.at)
	}
	return sl, sl.view, viewReady, nil
}

// load reads a view and brings it up to date with what was committed meanwhile.
func (vs *views) load(ctx context.Context, sl *slot,
	size func(context.Context, mail.MailboxID) (mail.AccountID, int64, error),
	read func(context.Context, mail.MailboxID) (*View, map[words]uint32, error)) error {
	var v *View
	var sets map[words]uint32
	account, octets, err := size(ctx, sl.mailbox)
	if err == nil {
		err = vs.reserve(sl, account, octets)
	}
	if err == nil {
		v, sets, err = read(ctx, sl.mailbox)
	}
	vs.mu.Lock()
	defer vs.mu.Unlock()
	defer close(sl.loaded)
	if err == nil && sl.gone {
		err = errNoMailbox()
	}
	if err != nil {
		if vs.slots[sl.mailbox] == sl {
			delete(vs.slots, sl.mailbox)
		}
		vs.memory -= sl.memory
		return err
	}
	v.line = &line{slot: sl, account: account}
	sl.view, sl.sets = v, sets
	slices.SortFunc(sl.pending, func(a, b commit) int { return cmp.Compare(a.modseq, b.modseq) })
	for _, c := range sl.pending {
		sl.advance(c)
	}
	sl.pending = nil
	sl.at = vs.recent.PushFront(sl)
	vs.weigh(sl)
	vs.evict(0)
	return nil
}

// follow brings a view to where its mailbox is, by what is remembered of changes.
// If that is not enough the view is forgotten, to be read anew.
func (vs *views) follow(ctx context.Context, sl *slot, v *View,
	read func(context.Context, mail.MailboxID, *View) (c commit, known bool, err error)) error {
	c, known, err := read(ctx, sl.mailbox, v)
	var out []Yielder
	defer func() { yield(out) }()
	vs.mu.Lock()
	defer vs.mu.Unlock()
	close(sl.following)
	sl.following = nil
	gone := mail.KindOf(err) == mail.NotFound && err != nil
	switch {
	case vs.slots[sl.mailbox] != sl:
		return err
	case gone || err == nil && !known:
		vs.remove(sl)
		return err
	case err != nil:
		return err
	}
	sl.advance(c)
	if sl.heard > c.modseq && sl.view.modseq == c.modseq {
		sl.heard = c.modseq // Nothing was committed that was heard of.
	}
	out = vs.settle(sl)
	return nil
}

// apply brings the view of a mailbox to a commit, if there is one. Commits may come
// in any order, twice or not at all.
func (vs *views) apply(id mail.MailboxID, c commit) {
	var out []Yielder
	defer func() { yield(out) }()
	vs.mu.Lock()
	defer vs.mu.Unlock()
	sl := vs.slots[id]
	switch {
	case sl == nil:
		return
	case sl.view == nil:
		sl.pending = append(sl.pending, c)
		return
	}
	sl.advance(c)
	out = vs.settle(sl)
}

// settle counts what a view takes that has changed, and makes room.
func (vs *views) settle(sl *slot) (out []Yielder) {
	if len(sl.sets) >= maxSets {
		vs.remove(sl)
		return nil
	}
	vs.weigh(sl)
	vs.count(sl.view.line)
	if vs.evict(0); !vs.fits(0) {
		out = vs.showOut(0, 0)
	}
	return out
}

// advance applies a commit that follows what the view has. One that it has already
// is nothing to it; of one further on it is behind.
func (sl *slot) advance(c commit) {
	switch {
	case c.modseq <= sl.view.modseq:
	case c.before == sl.view.modseq:
		sl.apply(c)
	default:
		sl.heard = max(sl.heard, c.modseq)
	}
}

// drop forgets the view of a mailbox that is gone.
func (vs *views) drop(id mail.MailboxID) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	sl := vs.slots[id]
	switch {
	case sl == nil:
	case sl.view == nil:
		sl.gone = true
		delete(vs.slots, id)
	default:
		vs.remove(sl)
	}
}

func (vs *views) remove(sl *slot) {
	if sl.at != nil {
		vs.recent.Remove(sl.at)
		sl.at = nil
	}
	vs.memory -= sl.memory
	sl.memory = 0
	delete(vs.slots, sl.mailbox)
	sl.view.line.slot = nil
	vs.count(sl.view.line)
}

func (vs *views) weigh(sl *slot) {
	m := sl.view.memory()
	vs.memory += m - sl.memory
	sl.memory = m
}

// fits says whether there is room for that many octets more.
func (vs *views) fits(more int64) bool { return vs.memory+vs.old+more <= vs.budget }

// evict forgets the views longest unused until the rest fits with more octets;
// those that somebody keeps stay, and the last one does if no more is wanted.
func (vs *views) evict(more int64) {
	for !vs.fits(more) && (vs.recent.Len() > 1 || more > 0 && vs.recent.Len() > 0) {
		vs.remove(vs.recent.Back().Value.(*slot))
	}
}

// apply replaces the view by one with the changes.
func (sl *slot) apply(c commit) {
	changes := lastOfEach(c.changes)
	sets, spelled := sl.view.sets, sl.view.names
	if c.names != nil && !slices.Equal(c.names.list, spelled.list) {
		spelled = c.names
	}
	sl.view = sl.view.with(c.modseq, changes, func(e state) uint32 {
		if e.words == "" {
			return uint32(e.Flags)
		}
		i, ok := sl.sets[e.words]
		if !ok {
			i = uint32(len(sets))
			sets = append(sets, e.words) // Older views do not look behind their own length.
			sl.sets[e.words] = i
		}
		return i<<8 | uint32(e.Flags)
	}, func() []words { return sets })
	sl.view.names = spelled
}

// lastOfEach sorts changes by UID and keeps the last of each.
func lastOfEach(changes []change) []change {
	if slices.IsSortedFunc(changes, func(a, b change) int {
		if a.UID < b.UID {
			return -1
		}
		return 1
	}) {
		return changes
	}
	changes = slices.Clone(changes)
	slices.SortStableFunc(changes, func(a, b change) int { return int(a.UID) - int(b.UID) })
	kept := changes[:0]
	for i, c := range changes {
		if i+1 == len(changes) || changes[i+1].UID != c.UID {
			kept = append(kept, c)
		}
	}
	return kept
}

// loaded lists the mailboxes whose view is in memory.
func (vs *views) loaded() []mail.MailboxID {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	var ids []mail.MailboxID
	for id, sl := range vs.slots {
		if sl.view != nil {
			ids = append(ids, id)
		}
	}
	return ids
}
