package store

import (
	"context"
	"fmt"

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

// expungedColumns are what askExpunged and selectExpunged read.
const expungedColumns = `SELECT x.at, x.email, x.account, x.mailbox, x.flags, x.keywords, e.blob, e.size, b.lacking, e.ascii, e.received, e.zone
	FROM expunged x JOIN email e ON e.id = x.email JOIN blob b ON b.id = e.blob `

func (x *expunged) targets() []any {
	return []any{&x.at, &x.email, &x.account, &x.mailbox, &x.flags, &x.words, &x.blob, &x.size, &x.lacking, &x.ascii, &x.received, &x.zone}
}

// selectExpunged reads rows: those that can be read, and how many there are.
func (s *Store) selectExpunged(tx *sqldb.Tx, where string, args ...any) (list []expunged, read int, err error) {
	rows, err := tx.Query(expungedColumns+where, args...)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for ; rows.Next(); read++ {
		var x expunged
		err := rows.Scan(x.targets()...)
		if s.asideExpunged(&x, err) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		list = append(list, x)
	}
	return list, read, rows.Err()
}

// asideExpunged says whether err is that a row cannot be read.
func (s *Store) asideExpunged(x *expunged, err error) bool {
	return s.aside.Takes(sqldb.Named(fmt.Sprintf("expunged email %d of account %d", x.email, x.account), err))
}

// askExpunged reads the rows of emails that are still to be restored.
func (s *Store) askExpunged(tx *sqldb.Tx, account mail.AccountID, wanted []Lost) (list []expunged, err error) {
	asked := make([]*sqldb.Answer, len(wanted))
	for i, w := range wanted {
		asked[i] = tx.Ask(expungedColumns+`WHERE x.at = $1 AND x.email = $2 AND x.account = $3`, w.Expunged.Unix(), int64(w.Email), int64(account))
	}
	for i, w := range wanted {
		x := expunged{email: w.Email, account: account}
		err := asked[i].Scan(x.targets()...)
		if err == sqldb.ErrNoRows || s.asideExpunged(&x, err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, x)
	}
	return list, nil
}

// RestoredName is the mailbox for what was in one that is gone.
const RestoredName mail.MailboxName = "INBOX/Restored"

// Restore puts emails of an account back that Lost told of, in slices, each into the
// mailbox it was in last, with a new UID and without \Deleted; if that is gone, and
// into is empty, into RestoredName. With into all go there. A mailbox that is not there
// is made, and subscribed to; an account that has as many as it may gets them in INBOX.
// It returns how many it put back: those that were restored or purged meanwhile are
// not among them. OverQuota if the account cannot hold all; those before are back then.
func (s *Store) Restore(ctx context.Context, account mail.AccountID, list []Lost, into mail.MailboxName) (n int, err error) {
	op := s.db.Slices()
	for len(list) > 0 {
		var restored, done int
		var full error
		err := op.Write(ctx, func(tx *sqldb.Tx) error {
			restored, done, full, err = s.restoreSlice(tx, account, list, into)
			return err
		})
		if err != nil {
			return n, err
		}
		if n += restored; full != nil {
			return n, full
		}
		list = list[done:]
	}
	return n, nil
}

// restoreSlice restores the first of a list, and says with how many it is done. full is
// why it ended before.
func (s *Store) restoreSlice(tx *sqldb.Tx, account mail.AccountID, list []Lost, into mail.MailboxName) (n, done int, full, err error) {
	l, err := s.openLedger(tx, account)
	if err != nil {
		return 0, 0, nil, err
	}
	r := restoration{ledger: l, into: into, from: make(map[mail.MailboxID]*names)}
	for full == nil && done < len(list) && done < maxSlice && (done == 0 || !tx.Enough()) {
		end := min(done+settleEvery, len(list))
		some, err := s.askExpunged(tx, account, list[done:end])
		if err != nil {
			return 0, 0, nil, err
		}
		if some, full, err = r.fitting(some); err != nil {
			return 0, 0, nil, err
		}
		if some, err = takeExpunged(tx, some); err != nil {
			return 0, 0, nil, err
		}
		for _, x := range some {
			if err := r.restore(x); err != nil {
				return 0, 0, nil, err
			}
		}
		n, done = n+len(some), end
	}
	if _, err := movePlaces(tx, account, r.places); err != nil {
		return 0, 0, nil, err
	}
	return n, done, full, l.close()
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
	into   mail.MailboxName          // where all go; "" for where each was
	from   map[mail.MailboxID]*names // of where messages were
	places []placing
}

// fitting returns those of a list for which the account has room, and why not all.
func (l *restoration) fitting(list []expunged) (_ []expunged, full, err error) {
	octets := int64(0)
	for i, x := range list {
		octets += x.size
		err := l.fits(octets, int64(i+1))
		if err != nil && mail.KindOf(err) == mail.OverQuota {
			return list[:i], err, nil
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return list, nil, nil
}

// destination is the mailbox that x goes into.
func (l *restoration) destination(x *expunged) (*tally, error) {
	if l.into != "" {
		return l.made(l.into)
	}
	box, err := l.box(x.mailbox)
	if err != nil && mail.KindOf(err) == mail.NotFound {
		return l.made(RestoredName)
	}
	return box, err
}

// made is the mailbox called name; one that is not there is made.
func (l *restoration) made(name mail.MailboxName) (*tally, error) {
	id, err := findMailbox(l.tx, l.account, name)
	if err == nil || mail.KindOf(err) != mail.NotFound {
		if err != nil {
			return nil, err
		}
		return l.box(id)
	}
	names, err := l.naming()
	if err != nil {
		return nil, err
	}
	if names.mailboxes+mail.MaxMailboxDepth > MaxMailboxes {
		return l.boxByRole(mail.RoleInbox)
	}
	if id, err = l.create(name, ""); err != nil {
		return nil, err
	}
	if names.subscribed < MaxSubscribed {
		if _, err := l.subscribe(name); err != nil {
			return nil, err
		}
	}
	return l.box(id)
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
	box, err := l.destination(&x)
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
