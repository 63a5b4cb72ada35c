package store

import (
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// newMailboxes returns what a new account has (RFC 6154 §2, RFC 8621 §2).
func newMailboxes() []Mailbox {
	return []Mailbox{
		{Name: mail.Inbox, Role: mail.RoleInbox},
		{Name: "Drafts", Role: mail.RoleDrafts},
		{Name: "Sent", Role: mail.RoleSent},
		{Name: "Archive", Role: mail.RoleArchive},
		{Name: "Junk", Role: mail.RoleJunk},
		{Name: "Trash", Role: mail.RoleTrash},
	}
}

// CreateAccount gives the account its mailboxes, within the transaction that
// makes it. All are subscribed. The id must never have been an account before.
func (s *Store) CreateAccount(tx *sqldb.Tx, id mail.AccountID) error {
	tx.Do(`INSERT INTO tally (account, mailbox, modseq, uidvalidity, uidnext, recent, messages, unseen, deleted, size, changes)
		VALUES ($1, 0, 0, 0, 0, 0, 0, 0, 0, 0, $2)`, id, new(pending).append(nil))
	tx.Do(`INSERT INTO naming (account, changed, mailboxes, subscribed, retired) VALUES ($1, 0, 0, 0, 0)`, id)
	l, err := s.openLedger(tx, id)
	if err != nil {
		return err
	}
	for _, m := range newMailboxes() {
		if _, err := l.insertMailbox(0, string(m.Name), m.Role); err != nil {
			return err
		}
		if _, err := l.subscribe(m.Name); err != nil {
			return err
		}
	}
	return l.close()
}

// HasAccount reports whether there is an account with that id.
func (s *Store) HasAccount(tx *sqldb.Tx, id mail.AccountID) (bool, error) {
	return s.HasMailbox(tx, id, 0)
}

// DeleteAccount takes the account's mail out of sight, within the transaction
// that removes the account. Run removes the rows and octets; nothing of it can
// be restored.
func (s *Store) DeleteAccount(tx *sqldb.Tx, id mail.AccountID) error {
	lockAccount(tx, id)
	boxes, _, err := loadMailboxRows(tx, id) // Those that cannot be read go too.
	if err != nil {
		return err
	}
	for _, q := range []string{
		`INSERT INTO doomed (account, mailbox, purge) SELECT account, mailbox, 1 FROM tally WHERE account = $1`,
		`UPDATE doomed SET purge = 1 WHERE account = $1`,
		`DELETE FROM mailbox WHERE account = $1`,
		`DELETE FROM tally WHERE account = $1`,
		`DELETE FROM subscription WHERE account = $1`,
		`DELETE FROM retired WHERE account = $1`,
		`DELETE FROM naming WHERE account = $1`,
		`DELETE FROM former WHERE account = $1`,
		`DELETE FROM warning WHERE account = $1`,
	} {
		tx.Do(q, id)
	}
	tx.OnCommit(func() {
		s.usages.know(id, usage{}, false)
		for _, b := range boxes {
			s.forget(b.ID)
			s.opt.Publish(Event{Account: id, Mailbox: b.ID, ModSeq: b.ModSeq + 1})
		}
	})
	return nil
}
