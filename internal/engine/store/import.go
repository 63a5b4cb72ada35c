package store

import (
	"cmp"
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
	im := &importing{s: s, mailbox: mailbox, list: list, also: also, many: importSlice}
	for _, m := range list {
		p, err := newPosting(s, Posting{Message: m.Incoming,
			Filings: []Filing{{Mailbox: mailbox, Flags: m.Flags, Keywords: m.Keywords, Received: m.Received}}})
		if err != nil {
			return nil, err
		}
		im.postings = append(im.postings, p)
	}
	op := s.db.Slices()
	for n := 0; n < len(list); n = len(im.filed) {
		if err := op.Write(ctx, im.run); err != nil {
			return im.filed, err
		}
		im.filed = append(im.filed, im.slice...)
		for i := n; i < len(im.filed); i++ {
			list[i].Incoming.taken = im.postings[i].isNew
		}
		if im.many *= 2; im.enough {
			im.many = max(im.many/4, 1)
		}
	}
	return im.filed, nil
}

// How many messages the first slice of an import has; later ones have more, or fewer
// if that took long.
const importSlice = 32

// importing is one DeliverNumbered.
type importing struct {
	s        *Store
	mailbox  mail.MailboxID
	list     []Imported
	postings []*posting
	also     func(tx *sqldb.Tx, from int, filed []Filed) error
	filed    []Filed // in slices that are done
	many     int     // messages of the slice
	slice    []Filed
	enough   bool // the slice took as long as it may
}

// run is the transaction of a slice. It asks together, as posting.run does.
func (im *importing) run(tx *sqldb.Tx) error {
	im.slice = im.slice[:0]
	l, box, err := im.s.openMailbox(tx, im.mailbox)
	if err != nil {
		return err
	}
	from := len(im.filed)
	end := min(from+im.many, len(im.list))
	if err := box.numbered(im.list[from:end]); err != nil {
		return err
	}
	postings := im.postings[from:end]
	all, threads := make([]*octets, len(postings)), make([]*sqldb.Answer, len(postings))
	for i, p := range postings {
		p.refs = 1
		all[i], threads[i] = p.octets, askThread(tx, l.account, p.threadRefs)
	}
	ids, err := tx.NewIDs("email", len(postings))
	if err == nil {
		err = storeOctets(tx, all)
	}
	if err != nil {
		return err
	}
	led := make(map[int64]mail.ThreadID)
	for i, p := range postings {
		thread, err := findThread(threads[i], p.threadRefs, led)
		if err != nil {
			return err
		}
		email := mail.EmailID(ids[i])
		for _, ref := range p.threadRefs {
			if led[ref] == 0 {
				led[ref] = cmp.Or(thread, mail.ThreadID(email))
			}
		}
		if err := im.file(l, box, p, email, thread, im.list[from+i].UID); err != nil {
			return err
		}
	}
	if err := l.close(); err != nil {
		return err
	}
	if im.also != nil {
		err = im.also(tx, from, im.slice)
	}
	im.enough = tx.Enough()
	return err
}

// file is posting.file with a UID that may be given.
func (im *importing) file(l *ledger, box *tally, p *posting, email mail.EmailID, thread mail.ThreadID, want mail.UID) error {
	if want != 0 {
		box.uidnext = uint64(want)
	}
	f := &p.want.Filings[0]
	uid, err := box.takeUIDs(1)
	if err != nil {
		return err
	}
	insertEmail(l.tx, email, p.email(l.account, f, thread, Place{box.id, uid}), p.threadRefs)
	w, _, err := l.words(box, f.Keywords)
	if err != nil {
		return err
	}
	filed := Filed{Email: email, Mailbox: box.id, UID: uid, UIDValidity: box.uidvalidity, ModSeq: l.modseq}
	im.slice = append(im.slice, filed)
	l.added(box, p.member(filed, f, w), EmailCreated)
	return nil
}

// numbered says whether the UIDs that a list is to keep are new to the mailbox.
// Conflict if one is not.
func (b *tally) numbered(list []Imported) error {
	next := b.uidnext
	for _, m := range list {
		if m.UID != 0 && uint64(m.UID) < next {
			return mail.Errorf(mail.Conflict, "UID %d is not new to the mailbox", m.UID)
		}
		next = max(next, uint64(m.UID)) + 1
	}
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
