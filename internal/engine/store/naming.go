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
func (l *ledger) makeParents(name mail.MailboxName) (parent mail.MailboxID, err error) {
	above := string(name.Parent())
	if above == "" {
		return 0, nil
	}
	for label := range strings.SplitSeq(above, mail.MailboxSeparator) {
		id, err := findBelow(l.tx, l.account, parent, label)
		if mail.KindOf(err) == mail.NotFound && err != nil {
			id, err = l.insertMailbox(parent, label, "")
		}
		if err != nil {
			return 0, err
		}
		parent = id
	}
	return parent, nil
}

func (l *ledger) insertMailbox(parent mail.MailboxID, label string, role mail.Role) (mail.MailboxID, error) {
	names, err := l.naming()
	if err != nil {
		return 0, err
	}
	if names.mailboxes >= MaxMailboxes {
		return 0, mail.Errorf(mail.TooLarge, "an account has at most %d mailboxes", MaxMailboxes)
	}
	id, err := l.tx.Insert(`INSERT INTO mailbox (account, parent, label, role) VALUES ($1, $2, $3, $4)`,
		l.account, parent, label, role)
	if err != nil {
		return 0, err
	}
	names.mailboxes++
	l.listed = true
	l.mailboxChanged(mail.MailboxID(id), MailboxCreated)
	l.tx.Do(`INSERT INTO tally (account, mailbox, modseq, uidvalidity, uidnext, recent, messages, unseen, deleted, size)
		VALUES ($1, $2, $3, $4, 1, 1, 0, 0, 0, 0)`, l.account, id, l.modseq, l.newValidity())
	return mail.MailboxID(id), nil
}

// naming is a row of that table: what is known of the names of an account.
type naming struct {
	changed    mail.ModSeq
	mailboxes  int64
	subscribed int64
	retired    int64
}

// naming reads the row, once.
func (l *ledger) naming() (*naming, error) {
	if l.counted != nil {
		return l.counted, nil
	}
	n := new(naming)
	err := l.tx.QueryRow(`SELECT changed, mailboxes, subscribed, retired FROM naming WHERE account = $1`, l.account).
		Scan(&n.changed, &n.mailboxes, &n.subscribed, &n.retired)
	if err != nil {
		return nil, err
	}
	had := *n
	l.counted, l.before = n, &had
	return n, nil
}

// writeNaming writes the row if it changed.
func (l *ledger) writeNaming() error {
	if l.named {
		n, err := l.naming()
		if err != nil {
			return err
		}
		n.changed = l.modseq
	}
	if l.counted == nil || *l.counted == *l.before {
		return nil
	}
	_, err := l.tx.Exec(`UPDATE naming SET changed = $1, mailboxes = $2, subscribed = $3, retired = $4 WHERE account = $5`,
		l.counted.changed, l.counted.mailboxes, l.counted.subscribed, l.counted.retired, l.account)
	return err
}

// newValidity gives a UIDVALIDITY greater than every one the account gave before.
func (l *ledger) newValidity() mail.UIDValidity {
	l.named = true
	l.total.uidvalidity = max(l.total.uidvalidity+1, mail.UIDValidity(l.s.now().Unix()))
	return l.total.uidvalidity
}

// findMailbox walks down to name. NotFound.
func findMailbox(tx *sqldb.Tx, account mail.AccountID, name mail.MailboxName) (id mail.MailboxID, err error) {
	for label := range strings.SplitSeq(string(name), mail.MailboxSeparator) {
		if id, err = findBelow(tx, account, id, label); err != nil {
			return 0, err
		}
	}
	return id, nil
}

// findBelow finds the mailbox of a label below parent. NotFound.
func findBelow(tx *sqldb.Tx, account mail.AccountID, parent mail.MailboxID, label string) (id mail.MailboxID, err error) {
	err = tx.QueryRow(`SELECT id FROM mailbox WHERE account = $1 AND parent = $2 AND label = $3`, account, parent, label).Scan(&id)
	if err == sqldb.ErrNoRows {
		return 0, errNoMailbox()
	}
	return id, err
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
	if err := l.retire(m.Name, m.UIDValidity, false); err != nil {
		return err
	}
	names, err := l.naming()
	if err != nil {
		return err
	}
	names.mailboxes--
	for _, q := range []string{
		`INSERT INTO doomed (account, mailbox, purge) VALUES ($1, $2, 0)`,
		`DELETE FROM tally WHERE account = $1 AND mailbox = $2`,
		`DELETE FROM mailbox WHERE account = $1 AND id = $2`,
	} {
		if _, err := l.tx.Exec(q, l.account, m.ID); err != nil {
			return err
		}
	}
	if m.Exists > 0 {
		l.tx.Do(`INSERT INTO former (mailbox, account, name, at) VALUES ($1, $2, $3, $4)`, int64(m.ID), int64(l.account), string(m.Name), l.s.now().Unix())
	}
	l.total.messages -= int64(m.Exists)
	l.total.unseen -= int64(m.Unseen)
	l.total.deleted -= int64(m.Deleted)
	l.total.size -= m.Size
	l.listed, l.named = true, true
	l.mailboxChanged(m.ID, MailboxDestroyed)
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
