package store

import (
	"context"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Lapse expunges what came into a mailbox before a moment (Row.Saved), of the messages
// from a UID on: of some thousand at most, in slices. It returns how many went, and the
// UID to go on from, or 0 at the end of the mailbox. NotFound if that is gone.
func (s *Store) Lapse(ctx context.Context, id mail.MailboxID, before time.Time, from mail.UID) (n int, next mail.UID, err error) {
	due := func(m *member) bool { return m.saved < before.Unix() }
	set, next, err := s.findDue(ctx, id, from, due)
	op := s.db.Slices()
	for err == nil && len(set) > 0 {
		var removed []mail.UID
		var on mail.UID
		err = op.Write(ctx, func(tx *sqldb.Tx) (err error) {
			removed, on, err = s.expungeSlice(tx, id, set, due, mail.Seen)
			return err
		})
		if err != nil {
			break
		}
		if n += len(removed); on == 0 {
			break
		}
		set = tail(set, on)
	}
	return n, next, err
}

// Due counts what Lapse would expunge of a mailbox from a UID on, as it does.
func (s *Store) Due(ctx context.Context, id mail.MailboxID, before time.Time, from mail.UID) (n int, next mail.UID, err error) {
	set, next, err := s.findDue(ctx, id, from, func(m *member) bool { return m.saved < before.Unix() })
	return set.Len(), next, err
}

// findDue looks at some bundles from a UID on.
func (s *Store) findDue(ctx context.Context, id mail.MailboxID, from mail.UID, due func(*member) bool) (set mail.UIDSet, next mail.UID, err error) {
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		set, next = nil, 0
		if err := tx.QueryRow(`SELECT id FROM mailbox WHERE id = $1`, int64(id)).Scan(new(int64)); err == sqldb.ErrNoRows {
			return errNoMailbox()
		} else if err != nil {
			return err
		}
		list, _, err := loadBundles(tx, id, mail.UIDRange{First: from, Last: maxUID}, reviseBundles, nil)
		if err != nil {
			return err
		}
		var members []member
		last := mail.UID(0)
		for _, b := range list {
			if members, err = appendMembers(members[:0], b.place, b.octets); err != nil {
				return err
			}
			for i := range members {
				if last = members[i].UID; last >= from && due(&members[i]) {
					set.Add(last)
				}
			}
		}
		if len(list) == reviseBundles && last < maxUID {
			next = last + 1
		}
		return nil
	})
	return set, next, err
}
