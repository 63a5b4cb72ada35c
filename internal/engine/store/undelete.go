package store

import (
	"context"
	"fmt"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// expunged is an email without a membership.
type expunged struct {
	at       int64
	email    mail.EmailID
	account  mail.AccountID
	mailbox  mail.MailboxID
	flags    mail.Flags
	words    words // in mailbox
	blob     int64
	size     int64
	lacking  int64
	ascii    int64
	received int64
	zone     int64
}

// selectExpunged reads rows: those that can be read, and how many there are.
func (s *Store) selectExpunged(tx *sqldb.Tx, where string, args ...any) (list []expunged, read int, err error) {
	rows, err := tx.Query(`SELECT x.at, x.email, x.account, x.mailbox, x.flags, x.keywords, e.blob, e.size, b.lacking, e.ascii, e.received, e.zone
		FROM expunged x JOIN email e ON e.id = x.email JOIN blob b ON b.id = e.blob `+where, args...)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for ; rows.Next(); read++ {
		var x expunged
		err := rows.Scan(&x.at, &x.email, &x.account, &x.mailbox, &x.flags, &x.words, &x.blob, &x.size, &x.lacking, &x.ascii, &x.received, &x.zone)
		if s.aside.Takes(sqldb.Named(fmt.Sprintf("expunged email %d of account %d", x.email, x.account), err)) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		list = append(list, x)
	}
	return list, read, rows.Err()
}

// Restore puts back what was expunged from an account since a moment, each
// message into the mailbox it was in last, or into INBOX if that is gone, with
// a new UID and without \Deleted. It returns how many it put back. What is
// older than Retention.Expunged may be gone.
func (s *Store) Restore(ctx context.Context, account mail.AccountID, since time.Time) (n int, err error) {
	if err := s.sweepDoomed(ctx); err != nil {
		return 0, err
	}
	op := s.db.Slices()
	for more := true; more; {
		restored := 0
		err := op.Write(ctx, func(tx *sqldb.Tx) error {
			restored, more, err = s.restoreSlice(tx, account, since)
			return err
		})
		if err != nil {
			return n, err
		}
		n += restored
	}
	return n, nil
}

func (s *Store) restoreSlice(tx *sqldb.Tx, account mail.AccountID, since time.Time) (n int, more bool, err error) {
	l, err := s.openLedger(tx, account)
	if err != nil {
		return 0, false, err
	}
	list, _, err := s.selectExpunged(tx, `WHERE x.at >= $1 AND x.account = $2 ORDER BY x.at, x.email LIMIT $3`,
		since.Unix(), account, maxSlice)
	if err != nil {
		return 0, false, err
	}
	r := restoration{ledger: l, from: make(map[mail.MailboxID]*names)}
	done := 0
	for done < len(list) && (done == 0 || !tx.Enough()) {
		some, err := takeExpunged(tx, list[done:min(done+settleEvery, len(list))])
		if err != nil {
			return 0, false, err
		}
		for _, x := range some {
			if err := r.restore(x); err != nil {
				return 0, false, err
			}
		}
		n += len(some)
		done = min(done+settleEvery, len(list))
	}
	if _, err := movePlaces(tx, account, r.places); err != nil {
		return 0, false, err
	}
	return n, done < len(list) || done == maxSlice, l.close()
}

// takeExpunged removes rows and returns those of them that were there still: a purge
// and a Restore may want the same.
func takeExpunged(tx *sqldb.Tx, list []expunged) (taken []expunged, err error) {
	asked := make([]*sqldb.Answer, len(list))
	for i, x := range list {
		asked[i] = tx.Ask(`DELETE FROM expunged WHERE at = $1 AND email = $2 RETURNING email`, x.at, x.email)
	}
	for i, x := range list {
		switch err := asked[i].Scan(new(int64)); err {
		case nil:
			taken = append(taken, x)
		case sqldb.ErrNoRows:
		default:
			return nil, err
		}
	}
	return taken, nil
}

// restoration is a slice of Restore.
type restoration struct {
	*ledger
	from   map[mail.MailboxID]*names // of where messages were
	places []placing
}

// words finds what x was tagged with in the mailbox that it goes to.
func (l *restoration) words(x expunged, to *tally) (w words, err error) {
	if x.words == "" || x.mailbox == to.id {
		return x.words, nil
	}
	n := l.from[x.mailbox]
	if n == nil {
		if n, err = readNames(l.tx, x.mailbox); err != nil {
			return "", err
		}
		l.from[x.mailbox] = n
	}
	w, _, err = l.ledger.words(to, n.keywords(x.words))
	return w, err
}

func (l *restoration) restore(x expunged) error {
	box, err := l.box(x.mailbox)
	if err != nil && mail.KindOf(err) == mail.NotFound {
		box, err = l.boxByRole(mail.RoleInbox)
	}
	if err != nil {
		return err
	}
	uid, err := box.takeUIDs(1)
	if err != nil {
		return err
	}
	w, err := l.words(x, box)
	if err != nil {
		return err
	}
	l.places = append(l.places, placing{email: x.email, to: Place{box.id, uid}})
	l.added(box, member{
		state: state{UID: uid, Flags: x.flags &^ mail.Deleted, ModSeq: l.modseq, words: w},
		email: x.email, blob: x.blob, size: x.size, lacking: x.lacking, ascii: x.ascii, received: x.received, zone: x.zone, saved: l.s.now().Unix(),
	}, EmailCreated)
	return nil
}
