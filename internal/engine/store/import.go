package store

import (
	"context"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// maxAdopted is the highest UIDVALIDITY that a mailbox takes over: higher ones
// must be left for later.
const maxAdopted = 1<<32 - 1<<24

// MaxImport is how many messages one DeliverNumbered takes.
const MaxImport = 512

// Imported is a message that comes from another server, with what it had there.
type Imported struct {
	Incoming *Incoming
	UID      mail.UID // the one it had there, to be kept; 0 takes the next
	Flags    mail.Flags
	Keywords mail.Keywords
	Received time.Time // INTERNALDATE; its zone is kept
}

// DeliverNumbered files messages in a mailbox, in this order and in slices, and runs also
// in the commit of each slice, with what was filed and where in list the slice
// begins; nil runs nothing. The UIDs that are given must ascend and be new to the
// mailbox; if one is not, the error is of kind Conflict. If it fails, the result
// tells how far it came. What also must obey is what sqldb asks of every closure
// given to Write. The caller closes the Incomings.
func (s *Store) DeliverNumbered(ctx context.Context, mailbox mail.MailboxID, list []Imported, also func(tx *sqldb.Tx, from int, filed []Filed) error) ([]Filed, error) {
	if len(list) > MaxImport {
		return nil, mail.Errorf(mail.TooLarge, "at most %d messages are imported at once", MaxImport)
	}
	im := &importing{s: s, mailbox: mailbox, list: list, also: also}
	for _, m := range list {
		d, err := newDelivery(s, Delivery{Message: m.Incoming,
			Filings: []Filing{{Mailbox: mailbox, Flags: m.Flags, Keywords: m.Keywords, Received: m.Received}}})
		if err != nil {
			return nil, err
		}
		im.deliveries = append(im.deliveries, d)
	}
	op := s.db.Slices()
	for n := 0; n < len(list); n = len(im.filed) {
		if err := op.Write(ctx, im.run); err != nil {
			return im.filed, err
		}
		im.filed = append(im.filed, im.slice...)
		for i := n; i < len(im.filed); i++ {
			list[i].Incoming.taken = im.deliveries[i].isNew
		}
	}
	return im.filed, nil
}

// importing is one DeliverNumbered.
type importing struct {
	s          *Store
	mailbox    mail.MailboxID
	list       []Imported
	deliveries []*delivery
	also       func(tx *sqldb.Tx, from int, filed []Filed) error
	filed      []Filed // in slices that are done
	slice      []Filed
	ids        []int64 // for emails of the slice
}

// importIDs is how many numbers of emails are drawn at a time.
const importIDs = 32

func (im *importing) run(tx *sqldb.Tx) error {
	im.slice, im.ids = im.slice[:0], nil
	l, box, err := im.s.openMailbox(tx, im.mailbox)
	if err != nil {
		return err
	}
	from := len(im.filed)
	for i, d := range im.deliveries[from:] {
		if i > 0 && tx.Enough() {
			break
		}
		if err := im.file(l, box, d, im.list[from+i].UID); err != nil {
			return err
		}
	}
	if err := l.close(); err != nil || im.also == nil {
		return err
	}
	return im.also(tx, from, im.slice)
}

// file is what delivery.run does for one filing, with a UID that may be given.
func (im *importing) file(l *ledger, box *tally, d *delivery, want mail.UID) error {
	if err := box.skipTo(want); err != nil {
		return err
	}
	if err := d.store(l.tx, 1); err != nil {
		return err
	}
	f := &d.want.Filings[0]
	thread, err := findThread(askThread(l.tx, l.account, d.refs), d.refs)
	if err != nil {
		return err
	}
	if len(im.ids) == 0 {
		if im.ids, err = l.tx.NewIDs("email", importIDs); err != nil {
			return err
		}
	}
	email := mail.EmailID(im.ids[0])
	im.ids = im.ids[1:]
	uid, err := box.takeUIDs(1)
	if err != nil {
		return err
	}
	insertEmail(l.tx, email, d.email(l.account, f, thread, Place{box.id, uid}), d.refs)
	w, _, err := l.words(box, f.Keywords)
	if err != nil {
		return err
	}
	filed := Filed{Email: email, Mailbox: box.id, UID: uid, UIDValidity: box.uidvalidity, ModSeq: l.modseq}
	im.slice = append(im.slice, filed)
	l.added(box, d.member(filed, f, w), EmailCreated)
	return nil
}

// skipTo makes uid the next one of the mailbox, if it is not 0.
func (b *tally) skipTo(uid mail.UID) error {
	switch {
	case uid == 0:
		return nil
	case uint64(uid) < b.uidnext:
		return mail.Errorf(mail.Conflict, "UID %d is not new to the mailbox", uid)
	}
	b.uidnext = uint64(uid)
	return nil
}

// AdoptNumbering gives a mailbox that never had a message the UIDVALIDITY that
// it has elsewhere, so that clients know its messages again; and next, if it is
// higher, is the UID that comes next. A mailbox that has that UIDVALIDITY
// already only has its next UID raised. False if the mailbox cannot have it: it
// had messages under another, another mailbox of the account has it, or the
// name had messages under that or a higher one.
//
// It is for an account that is not used yet: who has the mailbox selected is
// not told.
func (s *Store) AdoptNumbering(ctx context.Context, mailbox mail.MailboxID, v mail.UIDValidity, next mail.UID) (adopted bool, err error) {
	err = s.db.Write(ctx, func(tx *sqldb.Tx) error {
		l, box, err := s.openMailbox(tx, mailbox)
		if err != nil {
			return err
		}
		if adopted, err = l.adopt(box, v); err != nil || !adopted {
			return err
		}
		if uint64(next) > box.uidnext {
			box.uidnext = uint64(next)
			box.touch(l.modseq)
		}
		return l.close()
	})
	return adopted && err == nil, err
}

// adopt gives box the UIDVALIDITY v, if it can have it.
func (l *ledger) adopt(box *tally, v mail.UIDValidity) (bool, error) {
	switch {
	case v == 0 || v > maxAdopted:
		return false, nil
	case box.uidvalidity == v:
		return true, nil
	case box.uidnext != 1:
		return false, nil
	}
	if free, err := l.freeValidity(box, v); err != nil || !free {
		return false, err
	}
	box.uidvalidity = v
	l.total.uidvalidity = max(l.total.uidvalidity, v)
	box.touch(l.modseq)
	l.mailboxChanged(box.id, MailboxUpdated)
	l.listed, l.named = true, true
	return true, nil
}

// freeValidity reports whether box can have v. Another mailbox that has it, but
// never had a message, gets a new one.
func (l *ledger) freeValidity(box *tally, v mail.UIDValidity) (bool, error) {
	m, err := loadMailbox(l.tx, l.account, box.id)
	if err != nil {
		return false, err
	}
	if left, err := loadRetired(l.tx, l.account, m.Name); err != nil || left.last(m.Name) >= v {
		return false, err
	}
	var other mail.MailboxID
	err = l.tx.QueryRow(`SELECT mailbox FROM tally WHERE account = $1 AND mailbox > 0 AND uidvalidity = $2`, l.account, v).Scan(&other)
	if err == sqldb.ErrNoRows {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	holder, err := l.box(other)
	if err != nil || holder.uidnext != 1 {
		return false, err
	}
	l.total.uidvalidity = max(l.total.uidvalidity, v)
	holder.uidvalidity = l.newValidity()
	holder.touch(l.modseq)
	l.mailboxChanged(holder.id, MailboxUpdated)
	return true, nil
}

// NewNumbering gives a mailbox a UIDVALIDITY that it never had, for when its
// messages cannot have the UIDs that clients know (RFC 9051 §2.3.1.1). Its UIDs
// stay.
func (s *Store) NewNumbering(ctx context.Context, mailbox mail.MailboxID) error {
	return s.db.Write(ctx, func(tx *sqldb.Tx) error {
		l, box, err := s.openMailbox(tx, mailbox)
		if err != nil {
			return err
		}
		box.uidvalidity = l.newValidity()
		box.touch(l.modseq)
		l.mailboxChanged(box.id, MailboxUpdated)
		l.listed = true
		return l.close()
	})
}
