package store

import (
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
	for i, r := range set {
		if r.Last < from {
			continue
		}
		if r.First >= from {
			return set[i:]
		}
		rest := append(mail.UIDSet{{First: from, Last: r.Last}}, set[i+1:]...)
		return rest
	}
	return nil
}

// verdict is what becomes of a member.
type verdict uint8

const (
	same    verdict = iota
	altered         // its Entry is another now
	gone
)

// reviseBundles is how many bundles are in memory at once.
const reviseBundles = 64

// revision is one call of revise.
type revision struct {
	tx    *sqldb.Tx
	id    mail.MailboxID
	judge func(*member) (verdict, error)
	left  int      // members to visit still
	last  mail.UID // visited
}

// revise calls judge for the members of a set, ascending, at most limit of them
// (0: all), and writes what it made of them; next is the UID to go on from, or
// 0 if that was all. judge must not use the membership table.
func revise(tx *sqldb.Tx, id mail.MailboxID, set mail.UIDSet, limit int, judge func(*member) (verdict, error)) (next mail.UID, err error) {
	if limit == 0 {
		limit = maxUID
	}
	r := revision{tx: tx, id: id, judge: judge, left: limit}
	for _, sp := range spans(set) {
		if err := r.span(&sp); err != nil {
			return 0, err
		}
		if r.left > 0 {
			continue
		}
		if r.last == maxUID || len(tail(set, r.last+1)) == 0 {
			return 0, nil
		}
		return r.last + 1, nil
	}
	return 0, nil
}

// span revises the bundles of a span, some at a time.
func (r *revision) span(sp *span) error {
	for from := sp.First; r.left > 0; {
		list, err := loadBundles(r.tx, r.id, mail.UIDRange{First: from, Last: sp.Last}, reviseBundles)
		if err != nil || len(list) == 0 {
			return err
		}
		last := list[len(list)-1].last()
		for i := range list {
			if err := r.bundle(&list[i], sp, from); err != nil {
				return err
			}
		}
		if len(list) < reviseBundles || last >= sp.Last {
			return nil
		}
		from = last + 1
	}
	return nil
}

// bundle revises the members of a bundle that are in a span, from a UID on.
func (r *revision) bundle(b *bundle, sp *span, from mail.UID) error {
	kept, dirty := b.members[:0], false
	for i := range b.members {
		m := &b.members[i]
		v := same
		if r.left > 0 && m.UID >= from && sp.has(m.UID) {
			var err error
			if v, err = r.judge(m); err != nil {
				return err
			}
			r.left--
			r.last = m.UID
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
	return b.write(r.tx)
}
