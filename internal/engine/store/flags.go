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
	found, next, err := selectMembers(tx, id, set, flagSlice)
	if err != nil {
		return nil, 0, err
	}
	entries := make([]Entry, len(found))
	var run flagRun
	for i, m := range found {
		e, changed, err := ch.apply(m.Entry)
		if err != nil {
			return nil, 0, err
		}
		if changed {
			e.ModSeq = l.modseq
			l.reflagged(box, m.Flags, e)
		}
		if err := run.add(tx, id, e, changed, m.follows); err != nil {
			return nil, 0, err
		}
		entries[i] = e
	}
	if err := run.flush(tx, id); err != nil {
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

// flagRun gathers neighbours that come to have the same flags, so that one
// statement writes them: between them there is no other row.
type flagRun struct {
	first, last mail.UID // 0: empty
	like        Entry
}

func (r *flagRun) add(tx *sqldb.Tx, id mail.MailboxID, e Entry, changed, follows bool) error {
	fits := changed && follows && r.first != 0 && e.Flags == r.like.Flags && e.Keywords == r.like.Keywords
	if fits {
		r.last = e.UID
		return nil
	}
	if err := r.flush(tx, id); err != nil {
		return err
	}
	if changed {
		*r = flagRun{e.UID, e.UID, e}
	}
	return nil
}

func (r *flagRun) flush(tx *sqldb.Tx, id mail.MailboxID) error {
	if r.first == 0 {
		return nil
	}
	_, err := tx.Exec(`UPDATE membership SET flags = $1, keywords = $2, modseq = $3
		WHERE mailbox = $4 AND uid BETWEEN $5 AND $6`, r.like.Flags, r.like.Keywords, r.like.ModSeq, id, r.first, r.last)
	*r = flagRun{}
	return err
}
