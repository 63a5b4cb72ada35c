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
	found, next, err := l.collect(source, set, limit)
	if err != nil {
		return c, 0, err
	}
	first, err := dest.takeUIDs(len(found))
	if err != nil {
		return c, 0, err
	}
	c = Copied{UIDValidity: dest.uidvalidity}
	saved := s.now().Unix()
	for i, m := range found {
		c.Source = append(c.Source, m.UID)
		m.UID, m.ModSeq, m.saved = first+mail.UID(i), l.modseq, saved
		c.Dest = append(c.Dest, m.UID)
		l.added(dest, m)
	}
	if limit > 0 {
		err = l.bury(from, c.Source)
	} else {
		err = addCopies(tx, found)
	}
	if err != nil {
		return c, 0, err
	}
	return c, next, l.close()
}

// collect reads the members of a set, or with a limit takes at most so many out
// of their mailbox; next is the UID to go on from, or 0.
func (l *ledger) collect(source *tally, set mail.UIDSet, limit int) (found []member, next mail.UID, err error) {
	next, err = revise(l.tx, source.id, set, limit, func(m *member) (verdict, error) {
		found = append(found, *m)
		if limit == 0 {
			return same, nil
		}
		l.removed(source, m)
		return gone, nil
	})
	return found, next, err
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

// emailRun are members whose emails are neighbours, so that one statement
// reaches them all, and only them.
type emailRun struct {
	first, last mail.EmailID
	members     []member
}

// emailRuns cuts a list where the emails are no neighbours or the members are
// not alike.
func emailRuns(list []member, alike func(a, b *member) bool) []emailRun {
	var runs []emailRun
	for i := range list {
		m := &list[i]
		if n := len(runs); n > 0 && m.email == runs[n-1].last+1 && alike(&list[i-1], m) {
			r := &runs[n-1]
			r.last = m.email
			r.members = list[i-len(r.members) : i+1]
			continue
		}
		runs = append(runs, emailRun{m.email, m.email, list[i : i+1]})
	}
	return runs
}

// addCopies counts one more membership of each one's email.
func addCopies(tx *sqldb.Tx, list []member) error {
	for _, r := range emailRuns(list, func(a, b *member) bool { return true }) {
		_, err := tx.Exec(`INSERT INTO copies (email, members) SELECT id, 2 FROM email WHERE id BETWEEN $1 AND $2
			ON CONFLICT (email) DO UPDATE SET members = copies.members + 1`, r.first, r.last)
		if err != nil {
			return err
		}
	}
	return nil
}

// bury leaves tombstones of members that are gone.
func (l *ledger) bury(id mail.MailboxID, uids []mail.UID) error {
	for _, r := range mail.UIDs(uids...) {
		_, err := l.tx.Exec(`INSERT INTO tombstone (mailbox, modseq, uid, last) VALUES ($1, $2, $3, $4)`,
			int64(id), int64(l.modseq), int64(r.First), int64(r.Last))
		if err != nil {
			return err
		}
	}
	return nil
}
