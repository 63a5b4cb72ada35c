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
		err := s.withKeywordRoom(ctx, func() error {
			return op.Write(ctx, func(tx *sqldb.Tx) (err error) {
				slice, next, err = s.setFlags(tx, id, tail(set, from), ch)
				return err
			})
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
	fc := flagChange{FlagChange: ch, l: l, box: box}
	next, err = reflag(tx, id, set, func(e *state, email mail.EmailID) (changed bool, err error) {
		there.Add(e.UID)
		return fc.apply(e, email)
	})
	if err != nil {
		return nil, 0, err
	}
	return there, next, l.close()
}

// flagChange is a FlagChange at work in a mailbox.
type flagChange struct {
	FlagChange
	l     *ledger
	box   *tally
	begun bool
	words words // of Keywords

	was, is words // of the last message: many are the same
}

// apply changes e and says whether it differs then.
func (ch *flagChange) apply(e *state, email mail.EmailID) (bool, error) {
	if err := ch.begin(); err != nil {
		return false, err
	}
	old := *e
	switch ch.Mode {
	case FlagsAdd:
		e.Flags |= ch.Flags
	case FlagsRemove:
		e.Flags &^= ch.Flags
	case FlagsReplace:
		e.Flags = ch.Flags
	}
	if ch.Keywords != "" || ch.Mode == FlagsReplace {
		if err := ch.reword(e); err != nil {
			return false, err
		}
	}
	if *e == old {
		return false, nil
	}
	e.ModSeq = ch.l.modseq
	ch.l.reflagged(ch.box, old.Flags, *e, email)
	return true, nil
}

// begin finds the numbers of the keywords; those to be set get one.
func (ch *flagChange) begin() (err error) {
	if ch.begun {
		return nil
	}
	ch.begun = true
	if ch.Mode == FlagsRemove {
		ch.words, err = ch.l.known(ch.box, ch.Keywords)
		return err
	}
	full := false
	if ch.words, full, err = ch.l.words(ch.box, ch.Keywords); full && err == nil {
		err = errNoKeywordRoom(ch.box.id)
	}
	return err
}

// reword changes the keywords of e.
func (ch *flagChange) reword(e *state) error {
	if e.words == ch.was && ch.is != "" {
		e.words = ch.is
		return nil
	}
	was := e.words
	switch ch.Mode {
	case FlagsAdd:
		e.words = was.with(ch.words)
	case FlagsRemove:
		e.words = was.without(ch.words)
	case FlagsReplace:
		e.words = ch.words
	}
	if e.words.count() > mail.MaxKeywords && e.words != was {
		return mail.Errorf(mail.TooLarge, "a message holds at most %d keywords", mail.MaxKeywords)
	}
	ch.was, ch.is = was, e.words
	return nil
}
