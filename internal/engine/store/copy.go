package store

import (
	"context"
	"slices"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Copy adds messages to another mailbox of the account, all or none, with
// their flags and dates (RFC 9051 §6.4.7). UIDs that are not there are left
// out. What is many is copied in slices, see the package comment.
func (s *Store) Copy(ctx context.Context, from mail.MailboxID, set mail.UIDSet, to mail.MailboxID) (Copied, error) {
	t := transfer{s: s, from: from, to: to, set: set, number: s.copies.begin()}
	defer s.copies.end(t.number)
	if err := t.run(ctx); err != nil {
		if t.slices > 0 {
			t.undo(ctx)
		}
		return Copied{}, err
	}
	return t.all, nil
}

// Move moves messages to another mailbox of the account, each of them wholly
// or not at all (RFC 6851 §3.3), in slices. If it fails, the result tells what
// was moved.
func (s *Store) Move(ctx context.Context, from mail.MailboxID, set mail.UIDSet, to mail.MailboxID) (Copied, error) {
	t := transfer{s: s, from: from, to: to, set: set}
	err := t.run(ctx)
	return t.all, err
}

// transfer is one Copy or Move.
type transfer struct {
	s        *Store
	from, to mail.MailboxID
	set      mail.UIDSet
	number   int64 // of a copy; 0 is a move
	slices   int   // done
	all      Copied
}

// run transfers what there is when it begins.
func (t *transfer) run(ctx context.Context) error {
	op := t.s.db.Slices()
	for next := mail.UID(1); next != 0; t.slices++ {
		var slice Copied
		var set mail.UIDSet
		var after mail.UID
		err := op.Write(ctx, func(tx *sqldb.Tx) (err error) {
			slice, set, after, err = t.slice(tx, tail(t.set, next))
			return err
		})
		if err != nil {
			return err
		}
		t.set, next = set, after
		t.all.UIDValidity = slice.UIDValidity
		t.all.Source = append(t.all.Source, slice.Source...)
		t.all.Dest = append(t.all.Dest, slice.Dest...)
	}
	return nil
}

// slice transfers some of a set. It returns the set without what came after
// all began, and the UID to go on from, or 0.
func (t *transfer) slice(tx *sqldb.Tx, set mail.UIDSet) (c Copied, _ mail.UIDSet, next mail.UID, err error) {
	l, source, err := t.s.openMailbox(tx, t.from)
	if err != nil {
		return c, nil, 0, err
	}
	dest, err := t.s.sameAccount(l, t.to)
	if err != nil {
		return c, nil, 0, err
	}
	if t.slices == 0 {
		set = head(set, source.uidnext)
	}
	found, next, err := t.collect(l, source, set)
	if err != nil {
		return c, nil, 0, err
	}
	if err := l.reword(source, dest, found); err != nil {
		return c, nil, 0, err
	}
	first, err := dest.takeUIDs(len(found))
	if err != nil {
		return c, nil, 0, err
	}
	c = Copied{UIDValidity: dest.uidvalidity}
	saved := t.s.now().Unix()
	moves := make([]placing, 0, len(found))
	dest.changes, dest.arrivals = slices.Grow(dest.changes, len(found)), slices.Grow(dest.arrivals, len(found))
	for i, m := range found {
		c.Source = append(c.Source, m.UID)
		moves = append(moves, placing{m.email, Place{source.id, m.UID}, Place{dest.id, first + mail.UID(i)}, t.number != 0})
		m.UID, m.ModSeq, m.saved = first+mail.UID(i), l.modseq, saved
		c.Dest = append(c.Dest, m.UID)
		l.added(dest, m, EmailAdded)
	}
	if _, err := movePlaces(tx, l.account, moves); err != nil {
		return c, nil, 0, err
	}
	if t.number == 0 {
		l.bury(t.from, found, 0)
	} else {
		t.note(tx, c.Dest, next == 0)
	}
	return c, set, next, l.close()
}

// collect reads members of a set, as many as fit into a slice, or takes them
// out of their mailbox; next is the UID to go on from, or 0.
func (t *transfer) collect(l *ledger, source *tally, set mail.UIDSet) (found []member, next mail.UID, err error) {
	next, err = revise(l.tx, source.id, set, func(m *member) (verdict, error) {
		found = append(found, *m)
		if t.number != 0 {
			return same, nil
		}
		l.removed(source, m, EmailRemoved)
		return gone, nil
	}, func() error { return nil })
	return found, next, err
}

// reword gives what goes from one mailbox to another the numbers that its
// keywords have there.
func (l *ledger) reword(from, to *tally, list []member) error {
	if from == to {
		return nil
	}
	var translate func(words) (words, error)
	for i := range list {
		m := &list[i]
		if m.words == "" {
			continue
		}
		if translate == nil {
			n, err := l.names(from)
			if err != nil {
				return err
			}
			translate = l.translator(n, to)
		}
		var err error
		if m.words, err = translate(m.words); err != nil {
			return err
		}
	}
	return nil
}

// note remembers the copies of a slice that is not the last.
func (t *transfer) note(tx *sqldb.Tx, dest []mail.UID, last bool) {
	switch {
	case last && t.slices > 0:
		tx.Do(`DELETE FROM copying WHERE copy = $1`, t.number)
	case !last && len(dest) > 0:
		tx.Do(`INSERT INTO copying (copy, mailbox, uid, last) VALUES ($1, $2, $3, $4)`,
			t.number, int64(t.to), int64(dest[0]), int64(dest[len(dest)-1]))
	}
}

// sameAccount returns the counters of a destination.
func (s *Store) sameAccount(l *ledger, to mail.MailboxID) (*tally, error) {
	box, err := l.box(to)
	if mail.KindOf(err) != mail.NotFound || err == nil {
		return box, err
	}
	var other mail.AccountID
	if err := l.tx.QueryRow(`SELECT account FROM mailbox WHERE id = $1`, to).Scan(&other); err == nil {
		return nil, mail.Errorf(mail.Forbidden, "messages can only be copied within an account")
	}
	return nil, err
}
