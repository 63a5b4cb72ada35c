package store

import (
	"context"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Expunge removes the messages with \Deleted, of those in only unless that is
// nil, in slices, and returns their UIDs, ascending. If it fails, the UIDs tell
// how far it came.
func (s *Store) Expunge(ctx context.Context, id mail.MailboxID, only mail.UIDSet) ([]mail.UID, error) {
	v, err := s.View(ctx, id)
	if err != nil {
		return nil, err
	}
	var set mail.UIDSet
	for _, e := range v.All() {
		if e.Flags&mail.Deleted != 0 && (only == nil || only.Contains(e.UID)) {
			set.Add(e.UID)
		}
	}
	return s.expunge(ctx, id, set, mail.Deleted)
}

// ExpungeAny is Expunge whatever the flags of the messages are.
func (s *Store) ExpungeAny(ctx context.Context, id mail.MailboxID, set mail.UIDSet) ([]mail.UID, error) {
	v, err := s.View(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.expunge(ctx, id, head(set, uint64(v.lastUID())+1), 0)
}

// expunge removes those of a set that have all flags, slice by slice.
func (s *Store) expunge(ctx context.Context, id mail.MailboxID, set mail.UIDSet, flags mail.Flags) (gone []mail.UID, err error) {
	op := s.db.Slices()
	for len(set) > 0 {
		var removed []mail.UID
		var next mail.UID
		err := op.Write(ctx, func(tx *sqldb.Tx) (err error) {
			removed, next, err = s.expungeSlice(tx, id, set, flags)
			return err
		})
		if err != nil {
			return gone, err
		}
		gone = append(gone, removed...)
		if next == 0 {
			break
		}
		set = tail(set, next)
	}
	return gone, nil
}

// expungeSlice returns what it removed, and the UID to go on from, or 0.
func (s *Store) expungeSlice(tx *sqldb.Tx, id mail.MailboxID, set mail.UIDSet, flags mail.Flags) (removed []mail.UID, next mail.UID, err error) {
	l, box, err := s.openMailbox(tx, id)
	if err != nil {
		return nil, 0, err
	}
	r := releaser{tx: tx, account: l.account, box: box, at: s.now().Unix(), l: l}
	next, err = revise(tx, id, set, func(m *member) (verdict, error) {
		if m.Flags&flags != flags {
			return same, nil
		}
		r.list = append(r.list, *m)
		removed = append(removed, m.UID)
		return gone, nil
	}, r.some)
	if err == nil {
		err = r.rest()
	}
	if err != nil {
		return nil, 0, err
	}
	return removed, next, l.close()
}

// releaser releases emails as they are found.
type releaser struct {
	tx      *sqldb.Tx
	account mail.AccountID
	box     *tally
	at      int64
	l       *ledger // nil if the account is gone
	list    []member
	count   int // released
}

// some releases what was found, if it is worth it.
func (r *releaser) some() error {
	if len(r.list) < settleEvery {
		return nil
	}
	return r.rest()
}

func (r *releaser) rest() error {
	list := r.list
	r.list, r.count = r.list[:0], r.count+len(list)
	if !r.box.doomed {
		if err := r.l.bury(r.box.id, list); err != nil {
			return err
		}
	}
	stay, err := releaseEmails(r.tx, r.account, r.box.id, list, r.at)
	if err != nil || r.l == nil {
		return err
	}
	for i := range list {
		kind := EmailDestroyed
		if stay[list[i].email] {
			kind = EmailRemoved
		}
		r.l.removed(r.box, &list[i], kind)
	}
	return nil
}

// releaseEmails takes memberships that are gone from a mailbox off their emails,
// which are expunged at a time with their last one, and tells which emails have
// others and stay.
func releaseEmails(tx *sqldb.Tx, account mail.AccountID, id mail.MailboxID, list []member, at int64) (stay map[mail.EmailID]bool, err error) {
	alike := func(a, b *member) bool { return a.Flags == b.Flags && a.words == b.words }
	for _, r := range emailRuns(list, alike) {
		released := int64(0)
		if r.each == 1 { // Nearly always, and their only one.
			n, err := tx.Exec(`INSERT INTO expunged (at, email, account, mailbox, flags, keywords)
				SELECT $1, e.id, $2, $3, $4, $5 FROM email e
				WHERE e.id BETWEEN $6 AND $7 AND NOT EXISTS (SELECT 1 FROM copies c WHERE c.email = e.id)`, at, int64(account),
				int64(id), int64(r.like.Flags), []byte(r.like.words), int64(r.first), int64(r.last))
			if err != nil {
				return nil, err
			}
			released = n
		}
		if released == r.emails() {
			continue
		}
		if err := releaseCopies(tx, account, id, r, at); err != nil {
			return nil, err
		}
		if stay, err = addCopied(tx, stay, r); err != nil {
			return nil, err
		}
	}
	return stay, nil
}

// addCopied adds the emails of a run that have memberships to a set.
func addCopied(tx *sqldb.Tx, set map[mail.EmailID]bool, r emailRun) (map[mail.EmailID]bool, error) {
	rows, err := tx.Query(`SELECT email FROM copies WHERE email BETWEEN $1 AND $2`, int64(r.first), int64(r.last))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id mail.EmailID
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		if set == nil {
			set = make(map[mail.EmailID]bool)
		}
		set[id] = true
	}
	return set, rows.Err()
}

// releaseCopies is releaseEmails for those of a run that have, or had, several
// memberships.
func releaseCopies(tx *sqldb.Tx, account mail.AccountID, id mail.MailboxID, r emailRun, at int64) error {
	first, last := int64(r.first), int64(r.last)
	if _, err := tx.Exec(`UPDATE copies SET members = members - $1 WHERE email BETWEEN $2 AND $3`, r.each, first, last); err != nil {
		return err
	}
	n, err := tx.Exec(`INSERT INTO expunged (at, email, account, mailbox, flags, keywords)
		SELECT $1, email, $2, $3, $4, $5 FROM copies WHERE email BETWEEN $6 AND $7 AND members = 0`, at, int64(account),
		int64(id), int64(r.like.Flags), []byte(r.like.words), first, last)
	if err != nil || n == 0 {
		return err
	}
	_, err = tx.Exec(`DELETE FROM copies WHERE email BETWEEN $1 AND $2 AND members = 0`, first, last)
	return err
}
