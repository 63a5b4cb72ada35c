package store

import (
	"crypto/sha256"
	"encoding/binary"

	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/world/sqldb"
)

// threadRefs returns what ties a message to a thread (RFC 8621 §3): each
// message-id it has or names, hashed together with its base subject.
func threadRefs(m *message.Message) []int64 {
	subject := message.BaseSubject(m.Subject)
	refs := make([]int64, 0, len(m.Refs))
	for _, id := range m.Refs {
		h := sha256.Sum256([]byte(id + "\x00" + subject))
		refs = append(refs, int64(binary.BigEndian.Uint64(h[:8])))
	}
	return refs
}

// findThread returns the thread of the first ref that has one, or 0. A message
// that names no other is not looked up: keepThread finds out.
func findThread(tx *sqldb.Tx, account mail.AccountID, refs []int64) (thread mail.ThreadID, err error) {
	if len(refs) == 1 {
		return 0, nil
	}
	for _, ref := range refs {
		err := threadOf(tx, account, ref, &thread)
		if err != sqldb.ErrNoRows {
			return thread, err
		}
	}
	return 0, nil
}

func threadOf(tx *sqldb.Tx, account mail.AccountID, ref int64, thread *mail.ThreadID) error {
	return tx.QueryRow(`SELECT thread FROM threadref WHERE account = $1 AND ref = $2`, int64(account), ref).Scan(thread)
}

// keepThread leads every ref that has no thread yet to the email's; thread 0 is
// one of its own, unless its only ref turns out to have a thread.
func keepThread(tx *sqldb.Tx, account mail.AccountID, refs []int64, email mail.EmailID, thread mail.ThreadID) error {
	own := thread == 0
	if own {
		thread = mail.ThreadID(email)
	}
	for _, ref := range refs {
		n, err := tx.Exec(`INSERT INTO threadref (account, ref, thread) VALUES ($1, $2, $3)
			ON CONFLICT (account, ref) DO NOTHING`, int64(account), ref, int64(thread))
		if err != nil {
			return err
		}
		if n > 0 || !own {
			continue
		}
		if err := threadOf(tx, account, ref, &thread); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE email SET thread = $1 WHERE id = $2`, int64(thread), int64(email)); err != nil {
			return err
		}
	}
	return nil
}
