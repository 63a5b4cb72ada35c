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
	var all []Entry
	for from := mail.UID(1); from != 0; {
		var slice []Entry
		var next mail.UID
		err := s.db.Write(ctx, func(tx *sqldb.Tx) (err error) {
			slice, next, err = s.setFlags(tx, id, tail(set, from), ch)
			return err
		})
		if err != nil {
			return all, err
		}
		all = append(all, slice...)
		from = next
	}
	return all, nil
}

// setFlags changes one slice and returns the UID to go on from, or 0.
func (s *Store) setFlags(tx *sqldb.Tx, id mail.MailboxID, set mail.UIDSet, ch FlagChange) ([]Entry, mail.UID, error) {
	l, box, err := s.openMailbox(tx, id)
	if err != nil {
		return nil, 0, err
	}
	var entries []Entry
	next, err := revise(tx, id, set, flagSlice, func(m *member) (verdict, error) {
		old := m.Flags
		e, changed, err := ch.apply(m.Entry)
		if changed && err == nil {
			e.ModSeq = l.modseq
			l.reflagged(box, old, e)
			m.Entry = e
		}
		entries = append(entries, e)
		if changed {
			return altered, err
		}
		return same, err
	})
	if err != nil {
		return nil, 0, err
	}
	return entries, next, l.close()
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
