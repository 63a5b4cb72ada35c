package store

import (
	"context"
	"slices"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// renamePlans is how often a renaming is planned beside the writer, while other
// changes of the account's names overtake it, before it is planned in the
// writer's own transactions.
const renamePlans = 3

// RenameMailbox gives a mailbox another name; what is below it follows, missing
// parents are made. The new names are subscribed where the old ones are, so that
// clients that show only those see them; the old subscriptions stay (RFC 9051
// §6.3.6). INBOX stays: its messages move to the new mailbox
// (RFC 3501 §6.3.5), in slices. Exists if there is a mailbox called to.
//
// However many mailboxes follow, all names change in one short transaction: the
// one that gives the mailbox its parent and label. What must be written for each
// of them goes before it in slices, and is allowed as long as they have their old
// names: a new UIDVALIDITY, a subscription.
func (s *Store) RenameMailbox(ctx context.Context, account mail.AccountID, from, to mail.MailboxName) error {
	if from == mail.Inbox {
		return s.renameInbox(ctx, account, to)
	}
	if to == from || strings.HasPrefix(string(to), string(from)+mail.MailboxSeparator) {
		return mail.Errorf(mail.Invalid, "a mailbox cannot be renamed to itself or below itself")
	}
	turn, err := s.renames.Take(ctx, account)
	if err != nil {
		return err
	}
	defer turn.End()
	for range renamePlans {
		var r renaming
		err := s.db.Read(ctx, func(tx *sqldb.Tx) (err error) {
			r, err = planRenaming(tx, account, from, to, &s.aside)
			return err
		})
		if err != nil {
			return err
		}
		op := s.db.Slices()
		if len(r.renumber)+len(r.subscribe) > renameStep {
			op = s.db.LongSlices()
		}
		for !r.done && !r.stale {
			if err := s.renameSlice(ctx, op, account, &r, false); err != nil {
				return err
			}
		}
		if r.done {
			return nil
		}
	}
	return s.renameReplanning(ctx, account, from, to)
}

// renameReplanning plans in each transaction anew. It holds the writer longer, but
// nothing can overtake it.
func (s *Store) renameReplanning(ctx context.Context, account mail.AccountID, from, to mail.MailboxName) error {
	op := s.db.LongSlices()
	for r := (renaming{from: from, to: to}); !r.done; {
		if err := s.renameSlice(ctx, op, account, &r, true); err != nil {
			return err
		}
	}
	return nil
}

// renameSlice does the next part of a renaming, after making its plan anew if
// replan says so.
func (s *Store) renameSlice(ctx context.Context, op *sqldb.Slices, account mail.AccountID, r *renaming, replan bool) error {
	var next renaming
	err := op.Write(ctx, func(tx *sqldb.Tx) (err error) {
		next = *r
		l, err := s.openLedger(tx, account)
		if err != nil {
			return err
		}
		if replan {
			if next, err = planRenaming(tx, account, r.from, r.to, &s.aside); err != nil {
				return err
			}
		}
		names, err := l.naming()
		if err != nil {
			return err
		}
		if next.stale = names.changed != next.changed; next.stale {
			return nil
		}
		if err := l.rename(&next); err != nil {
			return err
		}
		if err := l.close(); err != nil {
			return err
		}
		next.changed = names.changed
		return nil
	})
	*r = next
	return err
}

// renaming is what is left to do of a RENAME.
type renaming struct {
	from, to  mail.MailboxName
	changed   mail.ModSeq // of the account as it was planned
	id        mail.MailboxID
	below     bool             // others follow
	last      mail.UIDValidity // the highest that a name had which will be left
	renumber  []mail.MailboxID // need a new UIDVALIDITY, because the new name had as high a one
	subscribe []mail.MailboxName
	stale     bool // names of the account changed since it was planned
	done      bool
}

// planRenaming checks that the names can be given, and finds what must be written
// for single mailboxes. One that cannot be read follows like the others, unless what
// its names must be told apart by cannot be read.
func planRenaming(tx *sqldb.Tx, account mail.AccountID, from, to mail.MailboxName, aside *sqldb.Aside) (renaming, error) {
	r := renaming{from: from, to: to}
	err := tx.QueryRow(`SELECT changed FROM naming WHERE account = $1`, account).Scan(&r.changed)
	if err == sqldb.ErrNoRows {
		return r, mail.Errorf(mail.NotFound, "no such account")
	}
	if err != nil {
		return r, err
	}
	if r.id, err = findMailbox(tx, account, from); err != nil {
		return r, err
	}
	if _, err := findMailbox(tx, account, to); err == nil {
		return r, mail.Errorf(mail.Exists, "the mailbox %q exists", to)
	} else if mail.KindOf(err) != mail.NotFound {
		return r, err
	}
	left, err := loadRetired(tx, account, to)
	if err != nil {
		return r, err
	}
	subscribed, err := loadSubscriptions(tx, account, aside)
	if err != nil {
		return r, err
	}
	boxes, bad, err := loadMailboxRows(tx, account)
	if err != nil {
		return r, err
	}
	for _, m := range boxes {
		if m.ID != r.id && !strings.HasPrefix(string(m.Name), string(from)+mail.MailboxSeparator) {
			continue
		}
		if m.UIDValidity == 0 && bad[m.ID] != nil {
			return r, bad[m.ID]
		}
		name := to + m.Name[len(from):]
		if _, err := mail.ParseMailboxName(string(name)); err != nil && bad[m.ID] == nil {
			return r, err
		}
		r.below = r.below || m.ID != r.id
		r.last = max(r.last, m.UIDValidity)
		if left.last(name) >= m.UIDValidity {
			r.renumber = append(r.renumber, m.ID)
		}
		if has(subscribed, m.Name) && !has(subscribed, name) {
			r.subscribe = append(r.subscribe, name)
		}
	}
	if len(subscribed)+len(r.subscribe) > MaxSubscribed {
		return r, errSubscribed()
	}
	return r, nil
}

func has(sorted []mail.MailboxName, name mail.MailboxName) bool {
	_, ok := slices.BinarySearch(sorted, name)
	return ok
}

// renameStep is for how many mailboxes of a renaming something is written before
// it looks whether the slice is at its end.
const renameStep = 256

// rename does what fits in a slice, and then, if that is all, gives the new name.
func (l *ledger) rename(r *renaming) error {
	for len(r.renumber)+len(r.subscribe) > 0 {
		n := min(renameStep, len(r.renumber))
		for _, id := range r.renumber[:n] {
			r.last = l.newValidity()
			l.tx.Do(`UPDATE tally SET uidvalidity = $1 WHERE account = $2 AND mailbox = $3`, r.last, l.account, id)
			l.listed = true
			l.mailboxChanged(id, MailboxUpdated)
		}
		r.renumber = r.renumber[n:]
		n = min(renameStep, len(r.subscribe))
		added, err := l.subscribe(r.subscribe[:n]...)
		if err != nil {
			return err
		}
		l.listed = l.listed || added > 0
		r.subscribe = r.subscribe[n:]
		if l.tx.Enough() {
			return nil
		}
	}
	if err := l.retire(r.from, r.last, r.below); err != nil {
		return err
	}
	parent, err := l.makeParents(r.to)
	if err != nil {
		return err
	}
	r.done, l.listed, l.named = true, true, true
	l.mailboxChanged(r.id, MailboxUpdated)
	_, err = l.tx.Exec(`UPDATE mailbox SET parent = $1, label = $2 WHERE id = $3`, parent, r.to.Label(), r.id)
	return err
}

func (s *Store) renameInbox(ctx context.Context, account mail.AccountID, to mail.MailboxName) error {
	inbox, err := s.Mailbox(ctx, account, mail.Inbox)
	if err != nil {
		return err
	}
	dest, err := s.CreateMailbox(ctx, account, to, "")
	if err == nil && inbox.Subscribed {
		err = s.Subscribe(ctx, account, to, true)
	}
	if err != nil || inbox.UIDNext <= 1 {
		return err
	}
	_, err = s.Move(ctx, inbox.ID, mail.UIDSet{{First: 1, Last: inbox.UIDNext - 1}}, dest.ID)
	return err
}
