package store

import (
	"context"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// SetFlags changes the flags of messages, in slices, and returns an entry for
// each that exists, ascending, as it is now. Messages that are so already keep
// their ModSeq. If it fails, the entries tell how far it came.
func (s *Store) SetFlags(ctx context.Context, id mail.MailboxID, set mail.UIDSet, ch FlagChange) ([]Entry, error) {
	all := make([]Entry, 0, min(set.Len(), 4*flagSlice))
	for from := mail.UID(1); from != 0; {
		var with []Entry
		var next mail.UID
		err := s.db.Write(ctx, func(tx *sqldb.Tx) (err error) {
			with, next, err = s.setFlags(tx, id, tail(set, from), ch, all)
			return err
		})
		if err != nil {
			return all, err
		}
		all, from = with, next
	}
	return all, nil
}

// setFlags changes one slice and returns list with its entries, and the UID to
// go on from, or 0.
func (s *Store) setFlags(tx *sqldb.Tx, id mail.MailboxID, set mail.UIDSet, ch FlagChange, list []Entry) ([]Entry, mail.UID, error) {
	l, box, err := s.openMailbox(tx, id)
	if err != nil {
		return nil, 0, err
	}
	box.changes = make([]change, 0, min(set.Len(), flagSlice))
	next, err := reflag(tx, id, set, flagSlice, func(e *Entry) (changed bool, err error) {
		old := e.Flags
		if *e, changed, err = ch.apply(*e); changed && err == nil {
			e.ModSeq = l.modseq
			l.reflagged(box, old, *e)
		}
		list = append(list, *e)
		return changed, err
	})
	if err != nil {
		return nil, 0, err
	}
	return list, next, l.close()
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
