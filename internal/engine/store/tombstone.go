package store

import (
	"context"
	"errors"
	"slices"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// A tombstone stands for messages that left a mailbox in one change, neighbours
// by UID. It holds their memberships, packed as in a bundle, without keywords:
// sessions that were not told yet go on reading them, with the flags that they
// know. What vanished when is not asked of them, but of the memory of changes.

// bury leaves tombstones of members that are gone, with the flags as too. They ascend
// by UID.
func (l *ledger) bury(id mail.MailboxID, list []member, as mail.Flags) {
	octets := make([]byte, 0, maxBundleOctets)
	for len(list) > 0 {
		octets = append(octets[:0], bundleFormat)
		n := 0
		for n < len(list) && len(octets) < bundleOctets && (n == 0 || list[n].UID == list[n-1].UID+1) {
			m := list[n]
			m.words, m.Flags = "", m.Flags|as
			octets = appendMember(octets, &m)
			n++
		}
		l.tx.Do(`INSERT INTO tombstone (mailbox, modseq, uid, last, at, entries) VALUES ($1, $2, $3, $4, $5, $6)`,
			int64(id), int64(l.modseq), int64(list[0].UID), int64(list[n-1].UID), l.s.now().Unix(), octets)
		list = list[n:]
	}
}

// eachBuried calls fn for the members that left a mailbox after since, of a
// range of UIDs and those beside it in their tombstones. fn must not keep m.
func eachBuried(tx *sqldb.Tx, id mail.MailboxID, since mail.ModSeq, r mail.UIDRange, fn func(m *member)) error {
	rows, err := tx.Query(`SELECT uid, entries FROM tombstone WHERE mailbox = $1 AND modseq > $2 AND uid <= $3 AND last >= $4`,
		int64(id), int64(since), int64(r.Last), int64(r.First))
	if err != nil {
		return err
	}
	defer rows.Close()
	var list []member
	for rows.Next() {
		var first mail.UID
		var octets sqldb.Borrowed
		if err := rows.Scan(&first, &octets); err != nil {
			return err
		}
		if list, err = appendMembers(list[:0], place(id, first), octets); err != nil {
			return err
		}
		for i := range list {
			fn(&list[i])
		}
	}
	return rows.Err()
}

// Vanished returns the UIDs expunged from a mailbox after since (RFC 7162
// §3.2.10); of a time that is forgotten, all UIDs that are not there. NotFound if
// there is no such mailbox.
func (s *Store) Vanished(ctx context.Context, id mail.MailboxID, since mail.ModSeq) (set mail.UIDSet, err error) {
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		var account mail.AccountID
		var next uint64
		err := tx.QueryRow(`SELECT t.account, t.uidnext FROM mailbox m JOIN tally t ON t.account = m.account AND t.mailbox = m.id
			WHERE m.id = $1`, int64(id)).Scan(&account, &next)
		if err == sqldb.ErrNoRows {
			return errNoMailbox()
		}
		if err != nil {
			return err
		}
		set, err = vanished(tx, account, id, since)
		if errors.Is(err, ErrCannotCalculate) {
			set, err = missing(tx, id, next)
		}
		return err
	})
	return set, err
}

// vanished is what the changes of an account after since say of a mailbox.
func vanished(tx *sqldb.Tx, account mail.AccountID, id mail.MailboxID, since mail.ModSeq) (mail.UIDSet, error) {
	var uids []mail.UID
	err := eachChange(tx, account, since, func(_ mail.ModSeq, r *recordReader) error {
		for r.more() {
			if one := r.next(); one.Mailbox == id && one.Kind.gone() {
				uids = append(uids, one.UID)
			}
		}
		return nil
	})
	slices.Sort(uids)
	return mail.UIDs(uids...), err
}

// missing returns the UIDs below next that a mailbox does not have.
func missing(tx *sqldb.Tx, id mail.MailboxID, next uint64) (set mail.UIDSet, err error) {
	from := uint64(1)
	err = eachState(tx, id, allUIDs(), func(e *state) error {
		if uint64(e.UID) > from {
			set.AddRange(mail.UID(from), e.UID-1)
		}
		from = uint64(e.UID) + 1
		return nil
	})
	if from < next {
		set.AddRange(mail.UID(from), mail.UID(next-1))
	}
	return set, err
}
