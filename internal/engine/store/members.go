package store

import (
	"slices"
	"sort"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// spanGap is how many UIDs two ranges may be apart to be read by one query that
// skips what is between.
const spanGap = 64

// span is a range of UIDs to read, and the members of the set in it.
type span struct {
	mail.UIDRange
	only mail.UIDSet
}

// spans cuts a set into ranges worth a query each.
func spans(set mail.UIDSet) []span {
	var list []span
	for i, r := range set {
		if n := len(list); n > 0 && r.First-list[n-1].Last <= spanGap {
			s := &list[n-1]
			s.Last = r.Last
			s.only = set[i-len(s.only) : i+1]
			continue
		}
		list = append(list, span{r, set[i : i+1]})
	}
	return list
}

// has says whether a UID is in the set. UIDs must be asked for ascending.
func (s *span) has(uid mail.UID) bool {
	for len(s.only) > 0 && s.only[0].Last < uid {
		s.only = s.only[1:]
	}
	return len(s.only) > 0 && s.only[0].First <= uid
}

// tail returns the part of a set from a UID on.
func tail(set mail.UIDSet, from mail.UID) mail.UIDSet {
	i := sort.Search(len(set), func(i int) bool { return set[i].Last >= from })
	if i == len(set) || set[i].First >= from {
		return set[i:]
	}
	return append(mail.UIDSet{{First: from, Last: set[i].Last}}, set[i+1:]...)
}

// head returns the part of a set before a UID.
func head(set mail.UIDSet, end uint64) mail.UIDSet {
	i := sort.Search(len(set), func(i int) bool { return uint64(set[i].Last) >= end })
	if i == len(set) || uint64(set[i].First) >= end {
		return set[:i]
	}
	return append(slices.Clone(set[:i]), mail.UIDRange{First: set[i].First, Last: mail.UID(end - 1)})
}

// verdict is what becomes of a member.
type verdict uint8

const (
	same    verdict = iota
	altered         // its state is another now
	gone
)

// reviseBundles is how many bundles are in memory at once.
const reviseBundles = 64

// revision is one call of revise or reflag.
type revision struct {
	tx *sqldb.Tx
	id mail.MailboxID
	// bundle revises one and says what its last UID was.
	bundle func(b packed, sp *span, from mail.UID) (last mail.UID, err error)
	left   int      // members to visit still
	full   bool     // it is enough for one transaction
	done   mail.UID // all up to here are visited
	octets []byte   // of the bundles at hand
}

// revise calls judge for the members of a set, ascending, for at most a slice of
// them, and writes what it made of them; next is the UID to go on from, or 0 if
// that was all. judge must not use the membership table, nor keep m. settle is
// called after each bundle: what it does for what judge saw counts for when it is
// enough. It must not use that table either.
func revise(tx *sqldb.Tx, id mail.MailboxID, set mail.UIDSet, judge func(m *member) (verdict, error), settle func() error) (next mail.UID, err error) {
	r := revision{tx: tx, id: id, left: maxSlice}
	var members []member
	r.bundle = func(b packed, sp *span, from mail.UID) (mail.UID, error) {
		var err error
		if members, err = appendMembers(members[:0], b.place, b.octets); err != nil {
			return 0, err
		}
		last := members[len(members)-1].UID
		if err := r.judge(&bundle{b.place, members}, sp, from, judge); err != nil {
			return 0, err
		}
		return last, settle()
	}
	return r.run(set)
}

// reflag is revise for who changes the flags, the keywords and the ModSeq of
// messages, and nothing else. judge says whether it did.
func reflag(tx *sqldb.Tx, id mail.MailboxID, set mail.UIDSet, judge func(e *state, email mail.EmailID) (bool, error)) (next mail.UID, err error) {
	r := revision{tx: tx, id: id, left: maxSlice}
	octets := make([]byte, 0, maxBundleOctets)
	r.bundle = func(b packed, sp *span, from mail.UID) (last mail.UID, err error) {
		dirty := false
		if octets, last, dirty, err = r.restamp(octets[:0], b, sp, from, judge); err != nil || !dirty {
			return last, err
		}
		if len(octets) <= maxBundleOctets {
			updateBundle(tx, b.place, octets)
			return last, nil
		}
		members, err := appendMembers(nil, b.place, octets)
		if err != nil {
			return 0, err
		}
		(&bundle{b.place, members}).write(tx)
		return last, nil
	}
	return r.run(set)
}

// run revises the bundles of a set.
func (r *revision) run(set mail.UIDSet) (next mail.UID, err error) {
	for _, sp := range spans(set) {
		if err := r.span(&sp); err != nil {
			return 0, err
		}
		if !r.full {
			continue
		}
		if r.done == maxUID || len(tail(set, r.done+1)) == 0 {
			return 0, nil
		}
		return r.done + 1, nil
	}
	return 0, nil
}

// span revises the bundles of a span, some at a time.
func (r *revision) span(sp *span) error {
	for from := sp.First; ; {
		list, octets, err := loadBundles(r.tx, r.id, mail.UIDRange{First: from, Last: sp.Last}, reviseBundles, r.octets)
		r.octets = octets
		if err != nil || len(list) == 0 {
			return err
		}
		var last mail.UID
		for _, b := range list {
			if last, err = r.bundle(b, sp, from); err != nil {
				return err
			}
			if r.left > 0 {
				r.done = max(r.done, last)
			}
			if r.full = r.left == 0 || r.done >= from && r.tx.Enough(); r.full {
				return nil
			}
		}
		if len(list) < reviseBundles || last >= sp.Last {
			return nil
		}
		from = last + 1
	}
}

// visits says whether a member is to be judged, and counts it.
func (r *revision) visits(uid mail.UID, sp *span, from mail.UID) bool {
	if r.left == 0 || uid < from || !sp.has(uid) {
		return false
	}
	r.left--
	r.done = uid
	return true
}

// judge revises the members of a bundle that are in a span, from a UID on.
func (r *revision) judge(b *bundle, sp *span, from mail.UID, judge func(*member) (verdict, error)) error {
	kept, dirty := b.members[:0], false
	for i := range b.members {
		m := &b.members[i]
		v := same
		if r.visits(m.UID, sp, from) {
			var err error
			if v, err = judge(m); err != nil {
				return err
			}
		}
		dirty = dirty || v != same
		if v != gone {
			kept = append(kept, *m)
		}
	}
	if !dirty {
		return nil
	}
	b.members = kept
	b.write(r.tx)
	return nil
}

// restamp appends to dst what judge makes of a bundle.
func (r *revision) restamp(dst []byte, b packed, sp *span, from mail.UID, judge func(*state, mail.EmailID) (bool, error)) (_ []byte, last mail.UID, dirty bool, err error) {
	m := readMembers(b.octets)
	dst = append(dst, bundleFormat)
	for m.more() {
		var e state
		was := m.octets
		fixed := m.nextState(&e)
		if m.failed {
			break
		}
		last = e.UID
		changed := false
		if r.visits(e.UID, sp, from) {
			if changed, err = judge(&e, emailOf(fixed)); err != nil {
				return dst, last, false, err
			}
		}
		if changed {
			dst, dirty = appendState(dst, &e, fixed), true
		} else {
			dst = append(dst, was[:len(was)-len(m.octets)]...)
		}
	}
	if m.failed {
		err = damagedBundle(b.place)
	}
	return dst, last, dirty, err
}
