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
	var uids []mail.UID
	for _, e := range v.All() {
		if e.Flags&mail.Deleted != 0 && (only == nil || only.Contains(e.UID)) {
			uids = append(uids, e.UID)
		}
	}
	return s.expunge(ctx, id, uids, mail.Deleted)
}

// ExpungeAny is Expunge whatever the flags of the messages are.
func (s *Store) ExpungeAny(ctx context.Context, id mail.MailboxID, set mail.UIDSet) ([]mail.UID, error) {
	v, err := s.View(ctx, id)
	if err != nil {
		return nil, err
	}
	var uids []mail.UID
	for _, r := range set {
		for seq, e := range v.From(v.SeqCeil(r.First)) {
			if seq > v.Len() || e.UID > r.Last {
				break
			}
			uids = append(uids, e.UID)
		}
	}
	return s.expunge(ctx, id, uids, 0)
}

// expunge removes those of uids that have all flags, slice by slice.
func (s *Store) expunge(ctx context.Context, id mail.MailboxID, uids []mail.UID, flags mail.Flags) ([]mail.UID, error) {
	var gone []mail.UID
	for len(uids) > 0 {
		slice := uids[:min(ExpungeSlice, len(uids))]
		var removed []mail.UID
		err := s.db.Write(ctx, func(tx *sqldb.Tx) (err error) {
			removed, err = s.expungeSlice(tx, id, mail.UIDs(slice...), flags)
			return err
		})
		if err != nil {
			return gone, err
		}
		gone = append(gone, removed...)
		uids = uids[len(slice):]
	}
	return gone, nil
}

func (s *Store) expungeSlice(tx *sqldb.Tx, id mail.MailboxID, set mail.UIDSet, flags mail.Flags) ([]mail.UID, error) {
	l, box, err := s.openMailbox(tx, id)
	if err != nil {
		return nil, err
	}
	all, _, err := selectMembers(tx, id, set, 0)
	if err != nil {
		return nil, err
	}
	found := all[:0]
	var removed []mail.UID
	spared := false
	for _, m := range all {
		if m.Flags&flags != flags {
			spared = true
			continue
		}
		m.follows = m.follows && !spared
		spared = false
		found = append(found, m)
		removed = append(removed, m.UID)
		l.removed(box, m.UID, m.Flags, m.size)
	}
	for _, r := range runs(found) {
		if err := releaseEmails(tx, id, r.UIDRange, s.now().Unix()); err != nil {
			return nil, err
		}
		if err := l.bury(id, r.UIDRange); err != nil {
			return nil, err
		}
	}
	return removed, l.close()
}

// releaseEmails takes the memberships of a range off their emails, which are
// expunged at a time with their last one. The memberships are still there.
func releaseEmails(tx *sqldb.Tx, id mail.MailboxID, r mail.UIDRange, at int64) error {
	_, err := tx.Exec(`INSERT INTO expunged (at, email, account, mailbox, flags, keywords)
		SELECT $1, m.email, e.account, m.mailbox, m.flags, m.keywords FROM membership m JOIN email e ON e.id = m.email
		WHERE m.mailbox = $2 AND m.uid BETWEEN $3 AND $4 AND NOT EXISTS (SELECT 1 FROM copies c WHERE c.email = m.email)`,
		at, id, r.First, r.Last)
	if err != nil {
		return err
	}
	shared, err := sharedMembers(tx, id, r)
	if err != nil {
		return err
	}
	for _, m := range shared {
		if err := releaseCopy(tx, id, m, at); err != nil {
			return err
		}
	}
	return nil
}

// sharedMembers finds the members whose email had several memberships once.
func sharedMembers(tx *sqldb.Tx, id mail.MailboxID, r mail.UIDRange) ([]member, error) {
	rows, err := tx.Query(`SELECT m.uid, m.email FROM membership m JOIN copies c ON c.email = m.email
		WHERE m.mailbox = $1 AND m.uid BETWEEN $2 AND $3`, id, r.First, r.Last)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var shared []member
	for rows.Next() {
		var m member
		if err := rows.Scan(&m.UID, &m.email); err != nil {
			return nil, err
		}
		shared = append(shared, m)
	}
	return shared, rows.Err()
}

func releaseCopy(tx *sqldb.Tx, id mail.MailboxID, m member, at int64) error {
	var left int
	err := tx.QueryRow(`UPDATE copies SET members = members - 1 WHERE email = $1 RETURNING members`, m.email).Scan(&left)
	if err != nil || left > 0 {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM copies WHERE email = $1`, m.email); err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO expunged (at, email, account, mailbox, flags, keywords)
		SELECT $1, m.email, e.account, m.mailbox, m.flags, m.keywords FROM membership m JOIN email e ON e.id = m.email
		WHERE m.mailbox = $2 AND m.uid = $3`, at, id, m.UID)
	return err
}

// Vanished returns the UIDs expunged from a mailbox after since (RFC 7162
// §3.2.10). NotFound if there is no such mailbox.
func (s *Store) Vanished(ctx context.Context, id mail.MailboxID, since mail.ModSeq) (set mail.UIDSet, err error) {
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		if err := mustExist(tx, id); err != nil {
			return err
		}
		rows, err := tx.Query(`SELECT uid FROM tombstone WHERE mailbox = $1 AND modseq > $2`, id, since)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var u mail.UID
			if err := rows.Scan(&u); err != nil {
				return err
			}
			set.Add(u)
		}
		return rows.Err()
	})
	return set, err
}

func mustExist(tx *sqldb.Tx, id mail.MailboxID) error {
	err := tx.QueryRow(`SELECT id FROM mailbox WHERE id = $1`, id).Scan(new(int64))
	if err == sqldb.ErrNoRows {
		return errNoMailbox()
	}
	return err
}
