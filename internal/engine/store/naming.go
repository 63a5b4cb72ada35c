package store

import (
	"context"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// CreateMailbox makes a mailbox and the parents it lacks (RFC 9051 §6.3.4).
// Exists if there is one of the name, Conflict if another has the role.
func (s *Store) CreateMailbox(ctx context.Context, account mail.AccountID, name mail.MailboxName, role mail.Role) (m Mailbox, err error) {
	if !mayAssign(role) {
		return m, mail.Errorf(mail.Invalid, "%q is not a role that a mailbox can be given", role)
	}
	err = s.db.Write(ctx, func(tx *sqldb.Tx) error {
		l, err := s.openLedger(tx, account)
		if err != nil {
			return err
		}
		id, err := l.create(name, role)
		if err != nil {
			return err
		}
		if err := l.close(); err != nil {
			return err
		}
		m, err = loadMailbox(tx, account, id)
		return err
	})
	return m, err
}

func mayAssign(role mail.Role) bool {
	switch role {
	case "", mail.RoleDrafts, mail.RoleSent, mail.RoleArchive, mail.RoleJunk, mail.RoleTrash, mail.RoleAll, mail.RoleFlagged:
		return true
	}
	return false
}

// create makes a mailbox with its parents.
func (l *ledger) create(name mail.MailboxName, role mail.Role) (mail.MailboxID, error) {
	if _, err := findMailbox(l.tx, l.account, name); err == nil {
		return 0, mail.Errorf(mail.Exists, "the mailbox %q exists", name)
	} else if mail.KindOf(err) != mail.NotFound {
		return 0, err
	}
	if err := l.checkRole(role); err != nil {
		return 0, err
	}
	parent, err := l.makeParents(name)
	if err != nil {
		return 0, err
	}
	return l.insertMailbox(parent, name.Label(), role)
}

func (l *ledger) checkRole(role mail.Role) error {
	if role == "" {
		return nil
	}
	var id mail.MailboxID
	switch err := l.tx.QueryRow(`SELECT id FROM mailbox WHERE account = $1 AND role = $2 AND role <> ''`,
		l.account, role).Scan(&id); err {
	case sqldb.ErrNoRows:
		return nil
	case nil:
		return mail.Errorf(mail.Conflict, "another mailbox has the role %q", role)
	default:
		return err
	}
}

// makeParents returns the mailbox that name goes under, made if need be; 0 for the top.
func (l *ledger) makeParents(name mail.MailboxName) (mail.MailboxID, error) {
	above := name.Parent()
	if above == "" {
		return 0, nil
	}
	id, err := findMailbox(l.tx, l.account, above)
	if err == nil || mail.KindOf(err) != mail.NotFound {
		return id, err
	}
	parent, err := l.makeParents(above)
	if err != nil {
		return 0, err
	}
	return l.insertMailbox(parent, above.Label(), "")
}

func (l *ledger) insertMailbox(parent mail.MailboxID, label string, role mail.Role) (mail.MailboxID, error) {
	var n int
	if err := l.tx.QueryRow(`SELECT count(*) FROM mailbox WHERE account = $1`, l.account).Scan(&n); err != nil {
		return 0, err
	}
	if n >= MaxMailboxes {
		return 0, mail.Errorf(mail.TooLarge, "an account has at most %d mailboxes", MaxMailboxes)
	}
	id, err := l.tx.Insert(`INSERT INTO mailbox (account, parent, label, role) VALUES ($1, $2, $3, $4)`,
		l.account, parent, label, role)
	if err != nil {
		return 0, err
	}
	l.listed = true
	_, err = l.tx.Exec(`INSERT INTO tally (account, mailbox, modseq, uidvalidity, uidnext, recent, messages, unseen, deleted, size)
		VALUES ($1, $2, $3, $4, 1, 1, 0, 0, 0, 0)`, l.account, id, l.modseq, l.newValidity())
	return mail.MailboxID(id), err
}

// newValidity gives a UIDVALIDITY greater than every one the account gave before.
func (l *ledger) newValidity() mail.UIDValidity {
	l.total.uidvalidity = max(l.total.uidvalidity+1, mail.UIDValidity(l.s.now().Unix()))
	return l.total.uidvalidity
}

// findMailbox walks down to name. NotFound.
func findMailbox(tx *sqldb.Tx, account mail.AccountID, name mail.MailboxName) (id mail.MailboxID, err error) {
	for label := range strings.SplitSeq(string(name), mail.MailboxSeparator) {
		err := tx.QueryRow(`SELECT id FROM mailbox WHERE account = $1 AND parent = $2 AND label = $3`,
			account, id, label).Scan(&id)
		if err == sqldb.ErrNoRows {
			return 0, errNoMailbox()
		}
		if err != nil {
			return 0, err
		}
	}
	return id, nil
}

// DeleteMailbox removes a mailbox; its messages can be restored for a while.
// Forbidden for INBOX, Conflict if there are mailboxes below it.
func (s *Store) DeleteMailbox(ctx context.Context, account mail.AccountID, name mail.MailboxName) error {
	if name == mail.Inbox {
		return mail.Errorf(mail.Forbidden, "INBOX cannot be deleted")
	}
	return s.db.Write(ctx, func(tx *sqldb.Tx) error {
		l, err := s.openLedger(tx, account)
		if err != nil {
			return err
		}
		id, err := findMailbox(tx, account, name)
		if err != nil {
			return err
		}
		m, err := loadMailbox(tx, account, id)
		if err != nil {
			return err
		}
		if m.HasChildren {
			return mail.Errorf(mail.Conflict, "the mailbox %q has others below it", name)
		}
		return l.delete(m)
	})
}

func (l *ledger) delete(m Mailbox) error {
	if err := l.retire(m.Name, m.UIDValidity); err != nil {
		return err
	}
	for _, q := range []string{
		`INSERT INTO doomed (account, mailbox, purge) VALUES ($1, $2, 0)`,
		`DELETE FROM tally WHERE account = $1 AND mailbox = $2`,
		`DELETE FROM mailbox WHERE account = $1 AND id = $2`,
	} {
		if _, err := l.tx.Exec(q, l.account, m.ID); err != nil {
			return err
		}
	}
	l.total.messages -= int64(m.Exists)
	l.total.unseen -= int64(m.Unseen)
	l.total.deleted -= int64(m.Deleted)
	l.total.size -= m.Size
	l.listed = true
	l.tx.OnCommit(func() {
		l.s.forget(m.ID)
		l.s.opt.Publish(Event{Account: l.account, Mailbox: m.ID, ModSeq: l.modseq})
	})
	return l.close()
}

// forget drops what is in memory of a mailbox that is gone.
func (s *Store) forget(id mail.MailboxID) {
	s.views.drop(id)
	s.recents.kept(id, maxUID+1)
}

// retire remembers the UIDVALIDITY of a name that a mailbox leaves.
func (l *ledger) retire(name mail.MailboxName, v mail.UIDValidity) error {
	_, err := l.tx.Exec(`INSERT INTO retired (account, name, uidvalidity) VALUES ($1, $2, $3)
		ON CONFLICT (account, name) DO UPDATE SET uidvalidity = excluded.uidvalidity
		WHERE excluded.uidvalidity > retired.uidvalidity`, l.account, name, v)
	l.retired = true
	return err
}

// lastValidity is the highest UIDVALIDITY that a name had which no mailbox has,
// or may have had; 0 if none.
func (l *ledger) lastValidity(name mail.MailboxName) (last mail.UIDValidity, err error) {
	err = l.tx.QueryRow(`SELECT max(uidvalidity) FROM retired WHERE account = $1 AND (name = $2 OR name = '')`,
		l.account, name).Scan(&last)
	return last, err
}

// foldRetired makes one row, that of the name "", of those of an account with
// more than MaxRetired: from then on every name may have had what the highest of
// them had.
func (l *ledger) foldRetired() error {
	var names int
	var last mail.UIDValidity
	err := l.tx.QueryRow(`SELECT count(*), max(uidvalidity) FROM retired WHERE account = $1`, l.account).Scan(&names, &last)
	if err != nil || names <= MaxRetired {
		return err
	}
	if _, err := l.tx.Exec(`DELETE FROM retired WHERE account = $1`, l.account); err != nil {
		return err
	}
	_, err = l.tx.Exec(`INSERT INTO retired (account, name, uidvalidity) VALUES ($1, '', $2)`, l.account, last)
	return err
}

// RenameMailbox gives a mailbox another name; what is below it follows, missing
// parents are made. The new names are subscribed where the old ones are, so that
// clients that show only those see them; the old subscriptions stay (RFC 9051
// §6.3.6). INBOX stays: its messages move to the new mailbox
// (RFC 3501 §6.3.5), in slices. Exists if there is a mailbox called to.
func (s *Store) RenameMailbox(ctx context.Context, account mail.AccountID, from, to mail.MailboxName) error {
	if from == mail.Inbox {
		return s.renameInbox(ctx, account, to)
	}
	if to == from || strings.HasPrefix(string(to), string(from)+mail.MailboxSeparator) {
		return mail.Errorf(mail.Invalid, "a mailbox cannot be renamed to itself or below itself")
	}
	return s.db.Write(ctx, func(tx *sqldb.Tx) error {
		l, err := s.openLedger(tx, account)
		if err != nil {
			return err
		}
		return l.rename(from, to)
	})
}

func (l *ledger) rename(from, to mail.MailboxName) error {
	id, err := findMailbox(l.tx, l.account, from)
	if err != nil {
		return err
	}
	if _, err := findMailbox(l.tx, l.account, to); err == nil {
		return mail.Errorf(mail.Exists, "the mailbox %q exists", to)
	} else if mail.KindOf(err) != mail.NotFound {
		return err
	}
	moved, err := l.tree(from)
	if err != nil {
		return err
	}
	var subscribed []mail.MailboxName
	for _, m := range moved {
		name := to + m.Name[len(from):]
		if err := l.changeName(m, name); err != nil {
			return err
		}
		if m.Subscribed {
			subscribed = append(subscribed, name)
		}
	}
	if _, err := l.subscribe(subscribed...); err != nil {
		return err
	}
	parent, err := l.makeParents(to)
	if err != nil {
		return err
	}
	l.listed = true
	if _, err := l.tx.Exec(`UPDATE mailbox SET parent = $1, label = $2 WHERE id = $3`, parent, to.Label(), id); err != nil {
		return err
	}
	return l.close()
}

// tree lists a mailbox and all below it.
func (l *ledger) tree(name mail.MailboxName) ([]Mailbox, error) {
	all, err := loadMailboxes(l.tx, l.account, nil)
	if err != nil {
		return nil, err
	}
	var tree []Mailbox
	for _, m := range all {
		if m.Name == name || strings.HasPrefix(string(m.Name), string(name)+mail.MailboxSeparator) {
			tree = append(tree, m)
		}
	}
	return tree, nil
}

// changeName checks the name that m gets and keeps UIDVALIDITY honest: if the
// name had a higher one before, m gets a new one.
func (l *ledger) changeName(m Mailbox, to mail.MailboxName) error {
	if _, err := mail.ParseMailboxName(string(to)); err != nil {
		return err
	}
	if err := l.retire(m.Name, m.UIDValidity); err != nil {
		return err
	}
	box, err := l.box(m.ID)
	if err != nil {
		return err
	}
	box.touch(l.modseq)
	last, err := l.lastValidity(to)
	if err == nil && last >= m.UIDValidity {
		box.uidvalidity = l.newValidity()
	}
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
