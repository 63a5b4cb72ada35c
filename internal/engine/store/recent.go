package store

import (
	"context"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// TakeRecent gives the caller what is \Recent (RFC 3501 §2.3.2): messages with
// UID first or higher, which nobody else will be told are. Nothing is written
// if there are none.
func (s *Store) TakeRecent(ctx context.Context, id mail.MailboxID) (first mail.UID, err error) {
	first, next, err := s.recent(ctx, id)
	if err != nil || first == next {
		return first, err
	}
	err = s.db.Write(ctx, func(tx *sqldb.Tx) error {
		l, box, err := s.openMailbox(tx, id)
		if err != nil {
			return err
		}
		first = mail.UID(box.recent)
		_, err = tx.Exec(`UPDATE tally SET recent = uidnext WHERE account = $1 AND mailbox = $2`, l.account, id)
		return err
	})
	return first, err
}

func (s *Store) recent(ctx context.Context, id mail.MailboxID) (first, next mail.UID, err error) {
	err = s.db.Read(ctx, func(tx *sqldb.Tx) error {
		err := tx.QueryRow(`SELECT t.recent, t.uidnext FROM mailbox m
			JOIN tally t ON t.account = m.account AND t.mailbox = m.id WHERE m.id = $1`, id).Scan(&first, &next)
		if err == sqldb.ErrNoRows {
			return errNoMailbox()
		}
		return err
	})
	return first, next, err
}
