package store

import (
	"context"
	"fmt"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Lost is an email of an account that is in no mailbox any more, and can be restored.
type Lost struct {
	Email    mail.EmailID
	Expunged time.Time        // to the second
	Mailbox  mail.MailboxID   // the last it was in
	Name     mail.MailboxName // of that, as it is called now, or was when it was deleted; "" if that is not known any more
	There    bool             // the mailbox is
	Size     int64            // octets of the whole message
	Received time.Time        // INTERNALDATE
}

// LostQuery says which emails are asked for. Zero values ask for all.
type LostQuery struct {
	Since, Until time.Time        // when they were expunged, to the second, both included
	Mailbox      mail.MailboxName // the last they were in: as it is called, or was when it was deleted
	After        Lost             // only those behind this one, the last of the page before
}

// maxLost is how many rows one call of Lost looks at.
const maxLost = 1024

// Lost lists what was expunged from an account and can be restored, by when it was, a
// page at a time; next, if it is not nil, is what to ask for those after. What is older than
// Retention.Expunged may be gone. NotFound if there is no such account.
func (s *Store) Lost(ctx context.Context, account mail.AccountID, q LostQuery) (list []Lost, next *Lost, err error) {
	if q.After.Email == 0 { // What a mailbox had that is gone comes first.
		if err := s.sweepDoomed(ctx); err != nil {
			return nil, nil, err
		}
	}
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		names, there, err := s.allNames(tx, account)
		if err != nil {
			return err
		}
		list, next, err = lostPage(tx, account, &q)
		kept := list[:0]
		for _, l := range list {
			l.Name, l.There = names[l.Mailbox], there[l.Mailbox]
			if q.Mailbox == "" || l.Name == q.Mailbox {
				kept = append(kept, l)
			}
		}
		list = kept
		return err
	})
	return list, next, err
}

// lostPage reads the next rows.
func lostPage(tx *sqldb.Tx, account mail.AccountID, q *LostQuery) (list []Lost, next *Lost, err error) {
	at, until := q.Since.Unix(), q.Until.Unix()
	if q.Since.IsZero() {
		at = 0
	}
	if q.After.Email != 0 {
		at = q.After.Expunged.Unix()
	}
	if q.Until.IsZero() {
		until = 1 << 62
	}
	rows, err := tx.Query(`SELECT x.at, x.email, x.mailbox, e.size, e.received, e.zone FROM expunged x JOIN email e ON e.id = x.email
		WHERE (x.at, x.email) > ($1, $2) AND x.at <= $3 AND x.account = $4 ORDER BY x.at, x.email LIMIT $5`,
		at, int64(q.After.Email), until, int64(account), maxLost)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	zones := reader{zones: make(map[int64]*time.Location)}
	for rows.Next() {
		var l Lost
		var received, zone int64
		if err := rows.Scan(&at, &l.Email, &l.Mailbox, &l.Size, &received, &zone); err != nil {
			return nil, nil, err
		}
		l.Expunged, l.Received = time.Unix(at, 0), zones.time(received, zone)
		list = append(list, l)
	}
	if len(list) == maxLost {
		last := list[maxLost-1]
		next = &last
	}
	return list, next, rows.Err()
}

// allNames are the names of an account's mailboxes, and of those that are gone while
// what was in them can be restored. Those that cannot be read have none.
func (s *Store) allNames(tx *sqldb.Tx, account mail.AccountID) (names map[mail.MailboxID]mail.MailboxName, there map[mail.MailboxID]bool, err error) {
	boxes, err := loadMailboxes(tx, account, &s.aside)
	if err != nil {
		return nil, nil, err
	}
	names, there = make(map[mail.MailboxID]mail.MailboxName), make(map[mail.MailboxID]bool)
	for _, b := range boxes {
		names[b.ID], there[b.ID] = b.Name, true
	}
	rows, err := tx.Query(`SELECT mailbox, name FROM former WHERE account = $1`, int64(account))
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id mail.MailboxID
		var name mail.MailboxName
		err := rows.Scan(&id, &name)
		if s.aside.Takes(sqldb.Named(fmt.Sprintf("former mailbox %d of account %d", id, account), err)) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		names[id] = name
	}
	return names, there, rows.Err()
}

// LostRows reads emails that Lost told of as Rows does messages of a mailbox: UID n
// stands for the nth of list, from 1, as do the UIDs of the rows. Flags and keywords
// are not read. What was restored or purged meanwhile is left out.
func (s *Store) LostRows(ctx context.Context, account mail.AccountID, list []Lost, uids []mail.UID, need Need, most int) (rows []Row, more int, err error) {
	return s.rows(ctx, reader{s: s, account: account, lost: list, need: need, uids: uids, most: int64(most)})
}

// readLost is readMembers for emails that are in no mailbox.
func (r *reader) readLost(tx *sqldb.Tx) error {
	uids := r.uids[:min(len(r.uids), MaxRows)]
	asked := make([]*sqldb.Answer, len(uids))
	for i, uid := range uids {
		if uid < 1 || int(uid) > len(r.lost) {
			return mail.Errorf(mail.Internal, "there is no lost email %d of %d", uid, len(r.lost))
		}
		l := &r.lost[uid-1]
		asked[i] = tx.Ask(`SELECT e.blob, e.size, b.lacking, e.ascii, e.received, e.zone FROM expunged x JOIN email e ON e.id = x.email
			JOIN blob b ON b.id = e.blob WHERE x.at = $1 AND x.email = $2 AND x.account = $3`, l.Expunged.Unix(), int64(l.Email), int64(r.account))
	}
	for i, uid := range uids {
		m := member{state: state{UID: uid}, email: r.lost[uid-1].Email}
		err := asked[i].Scan(&m.blob, &m.size, &m.lacking, &m.ascii, &m.received, &m.zone)
		if err == sqldb.ErrNoRows {
			continue
		}
		if err != nil {
			return err
		}
		r.take(&m, Entry{UID: uid})
	}
	r.uids = r.uids[len(uids):]
	return nil
}

// sweepFormer forgets how mailboxes were called that are gone for longer than
// Retention.Expunged, and of which nothing can be restored.
func (s *Store) sweepFormer(ctx context.Context) error {
	until := s.now().Add(-s.retention.Load().Expunged).Unix()
	return s.repeat(ctx, func(tx *sqldb.Tx) (bool, error) {
		n, err := tx.Exec(`DELETE FROM former WHERE mailbox IN (SELECT f.mailbox FROM former f WHERE f.at <= $1
			AND NOT EXISTS (SELECT 1 FROM doomed d WHERE d.account = f.account AND d.mailbox = f.mailbox) LIMIT $2)`, until, rowSlice)
		return n == rowSlice, err
	})
}
