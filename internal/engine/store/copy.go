package store

import (
	"context"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Copy adds messages to another mailbox of the account, all or none, with
// their flags and dates (RFC 9051 §6.4.7). UIDs that are not there are left
// out.
func (s *Store) Copy(ctx context.Context, from mail.MailboxID, set mail.UIDSet, to mail.MailboxID) (c Copied, err error) {
	err = s.db.Write(ctx, func(tx *sqldb.Tx) error {
		c, _, err = s.transfer(tx, from, set, to, 0)
		return err
	})
	if err != nil {
		return Copied{}, err
	}
	return c, nil
}

// Move moves messages to another mailbox of the account, each of them wholly
// or not at all (RFC 6851 §3.3), in slices. If it fails, the result tells what
// was moved.
func (s *Store) Move(ctx context.Context, from mail.MailboxID, set mail.UIDSet, to mail.MailboxID) (Copied, error) {
	var all Copied
	for next := mail.UID(1); next != 0; {
		var slice Copied
		var after mail.UID
		err := s.db.Write(ctx, func(tx *sqldb.Tx) (err error) {
			slice, after, err = s.transfer(tx, from, tail(set, next), to, moveSlice)
			return err
		})
		if err != nil {
			return all, err
		}
		all.UIDValidity = slice.UIDValidity
		all.Source = append(all.Source, slice.Source...)
		all.Dest = append(all.Dest, slice.Dest...)
		next = after
		if from == to && next != 0 && len(all.Dest) > 0 && next >= all.Dest[0] {
			return all, nil // What follows was moved here just now.
		}
	}
	return all, nil
}

// transfer copies, or with a limit moves at most so many; next is the UID to go
// on from, or 0.
func (s *Store) transfer(tx *sqldb.Tx, from mail.MailboxID, set mail.UIDSet, to mail.MailboxID, limit int) (c Copied, next mail.UID, err error) {
	l, source, err := s.openMailbox(tx, from)
	if err != nil {
		return c, 0, err
	}
	dest, err := s.sameAccount(l, to)
	if err != nil {
		return c, 0, err
	}
	found, next, err := selectMembers(tx, from, set, limit)
	if err != nil {
		return c, 0, err
	}
	first, err := dest.takeUIDs(len(found))
	if err != nil {
		return c, 0, err
	}
	c = Copied{UIDValidity: dest.uidvalidity}
	for i, m := range found {
		e := m.Entry
		e.UID, e.ModSeq = first+mail.UID(i), l.modseq
		c.Source = append(c.Source, m.UID)
		c.Dest = append(c.Dest, e.UID)
		l.added(dest, e, m.size)
		if limit > 0 {
			l.removed(source, m.UID, m.Flags, m.size)
		}
	}
	if err := l.transferRuns(from, to, found, first, limit > 0); err != nil {
		return c, 0, err
	}
	return c, next, l.close()
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

// transferRuns writes the rows: a few statements for each run of neighbours.
func (l *ledger) transferRuns(from, to mail.MailboxID, found []member, first mail.UID, move bool) error {
	for _, r := range runs(found) {
		_, err := l.tx.Exec(`INSERT INTO membership
			(mailbox, uid, email, blob, modseq, flags, keywords, saved, received, zone, size)
			SELECT $1, $2 + row_number() OVER (ORDER BY uid), email, blob, $3, flags, keywords, $4, received, zone, size
			FROM membership WHERE mailbox = $5 AND uid BETWEEN $6 AND $7`,
			to, int64(first)-1+int64(r.start), l.modseq, l.s.now().Unix(), from, r.First, r.Last)
		if err != nil {
			return err
		}
		if move {
			err = l.bury(from, r.UIDRange)
		} else {
			_, err = l.tx.Exec(`INSERT INTO copies (email, members) SELECT email, 2 FROM membership
				WHERE mailbox = $1 AND uid BETWEEN $2 AND $3
				ON CONFLICT (email) DO UPDATE SET members = copies.members + 1`, from, r.First, r.Last)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bury removes the memberships of a range and leaves tombstones.
func (l *ledger) bury(id mail.MailboxID, r mail.UIDRange) error {
	_, err := l.tx.Exec(`INSERT INTO tombstone (mailbox, modseq, uid, email)
		SELECT mailbox, $1, uid, email FROM membership WHERE mailbox = $2 AND uid BETWEEN $3 AND $4`,
		l.modseq, id, r.First, r.Last)
	if err != nil {
		return err
	}
	_, err = l.tx.Exec(`DELETE FROM membership WHERE mailbox = $1 AND uid BETWEEN $2 AND $3`, id, r.First, r.Last)
	return err
}
