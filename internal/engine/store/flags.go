package store

import (
	"context"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// SetFlags changes the flags of messages, in slices, and returns which of them
// exist; the view has them as they are now. Messages that are so already keep
// their ModSeq. If it fails, the result tells how far it came.
func (s *Store) SetFlags(ctx context.Context, id mail.MailboxID, set mail.UIDSet, ch FlagChange) (all mail.UIDSet, err error) {
	op := s.db.Slices()
	for from := mail.UID(1); from != 0; {
		var slice mail.UIDSet
		var next mail.UID
		err := op.Write(ctx, func(tx *sqldb.Tx) (err error) {
			slice, next, err = s.setFlags(tx, id, tail(set, from), ch)
			return err
		})
		if err != nil {
			return all, err
		}
		for _, r := range slice {
			all.AddRange(r.First, r.Last)
		}
		from = next
	}
	return all, nil
}

// setFlags changes one slice and returns which messages it has, and the UID to
// go on from, or 0.
func (s *Store) setFlags(tx *sqldb.Tx, id mail.MailboxID, set mail.UIDSet, ch FlagChange) (there mail.UIDSet, next mail.UID, err error) {
	l, box, err := s.openMailbox(tx, id)
	if err != nil {
		return nil, 0, err
	}
	box.changes = make([]change, 0, min(set.Len(), maxSlice))
	next, err = reflag(tx, id, set, func(e *Entry) (changed bool, err error) {
		old := e.Flags
		if *e, changed, err = ch.apply(*e); changed && err == nil {
			e.ModSeq = l.modseq
			l.reflagged(box, old, *e)
		}
		there.Add(e.UID)
		return changed, err
	})
	if err != nil {
		return nil, 0, err
	}
	return there, next, l.close()
}

// apply returns e after the change, and whether it differs.
func (ch FlagChange) apply(e Entry) (Entry, bool, error) {
	old := e
	var err error
	switch ch.Mode {
	case FlagsAdd:
		e.Flags |= ch.Flags
		if ch.Keywords != "" {
			e.Keywords, err = e.Keywords.With(ch.Keywords.Names()...)
		}
	case FlagsRemove:
		e.Flags &^= ch.Flags
		if ch.Keywords != "" && e.Keywords != "" {
			e.Keywords = e.Keywords.Without(ch.Keywords.Names()...)
		}
	case FlagsReplace:
		e.Flags, e.Keywords = ch.Flags, ch.Keywords
	}
	return e, e != old, err
}
