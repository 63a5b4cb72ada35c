package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"

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

// threadGone is true of a row r of threadref whose thread has no email.
const threadGone = `NOT EXISTS (SELECT 1 FROM email e WHERE e.id = r.thread AND e.thread = 0 AND e.account = r.account)
	AND NOT EXISTS (SELECT 1 FROM email e WHERE e.thread = r.thread AND e.thread <> 0 AND e.account = r.account)`

// noteThinned notes that an email of an account was purged.
func noteThinned(tx *sqldb.Tx, account mail.AccountID) error {
	_, err := tx.Exec(`INSERT INTO thinned (account, times) VALUES ($1, 1)
		ON CONFLICT (account) DO UPDATE SET times = thinned.times + 1`, int64(account))
	return err
}

// sweepThreads removes the references to threads that have no email any more.
func (s *Store) sweepThreads(ctx context.Context) error {
	for account := mail.AccountID(-1); ; {
		var times int64
		err := s.db.Read(ctx, func(tx *sqldb.Tx) error {
			return tx.QueryRow(`SELECT account, times FROM thinned WHERE account > $1 ORDER BY account LIMIT 1`, int64(account)).Scan(&account, &times)
		})
		if err == sqldb.ErrNoRows {
			return nil
		}
		if err == nil {
			err = s.sweepThreadsOf(ctx, account)
		}
		if err == nil {
			err = s.db.Write(ctx, func(tx *sqldb.Tx) error {
				_, err := tx.Exec(`DELETE FROM thinned WHERE account = $1 AND times = $2`, int64(account), times)
				return err
			})
		}
		if err != nil {
			return err
		}
	}
}

// sweepThreadsOf is sweepThreads for an account. It finds them without the writer.
func (s *Store) sweepThreadsOf(ctx context.Context, account mail.AccountID) error {
	op := s.db.Slices()
	for after, more := int64(math.MinInt64), true; more; {
		var gone []int64
		err := s.db.Read(ctx, func(tx *sqldb.Tx) (err error) {
			gone, after, more, err = goneThreads(tx, account, after)
			return err
		})
		if err != nil {
			return err
		}
		for len(gone) > 0 {
			done := 0
			err := op.Write(ctx, func(tx *sqldb.Tx) error {
				for done = 0; done < len(gone) && (done == 0 || !tx.Enough()); done++ {
					_, err := tx.Exec(`DELETE FROM threadref AS r WHERE account = $1 AND ref = $2 AND `+threadGone, int64(account), gone[done])
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			gone = gone[done:]
		}
	}
	return nil
}

// goneThreads looks at the next references of an account, a slice of them from a
// ref on, which may be the lowest of all, and returns those whose thread has no
// email; it goes on from next.
func goneThreads(tx *sqldb.Tx, account mail.AccountID, from int64) (gone []int64, next int64, more bool, err error) {
	rows, err := tx.Query(`SELECT r.ref, `+threadGone+` FROM threadref r WHERE r.account = $1 AND r.ref >= $2
		ORDER BY r.ref LIMIT $3`, int64(account), from, rowSlice)
	if err != nil {
		return nil, 0, false, err
	}
	defer rows.Close()
	n, ref := 0, from
	for ; rows.Next(); n++ {
		var is bool
		if err := rows.Scan(&ref, &is); err != nil {
			return nil, 0, false, err
		}
		if is {
			gone = append(gone, ref)
		}
	}
	return gone, ref + 1, n == rowSlice && ref < math.MaxInt64, rows.Err()
}

// threads checks that each reference leads to a thread with an email, in accounts
// whose references were looked through since an email was purged.
func (c *checker) threads() error {
	for account := mail.AccountID(0); ; {
		err := c.s.db.Read(c.ctx, func(tx *sqldb.Tx) error {
			return tx.QueryRow(`SELECT min(account) FROM threadref WHERE account > $1`, int64(account)).Scan(&account)
		})
		if err != nil || account == 0 { // There is no further one.
			return err
		}
		for from, more := int64(math.MinInt64), true; more; {
			err := c.s.db.Read(c.ctx, func(tx *sqldb.Tx) (err error) {
				var gone []int64
				if gone, from, more, err = goneThreads(tx, account, from); err != nil || len(gone) == 0 {
					return err
				}
				err = tx.QueryRow(`SELECT account FROM thinned WHERE account = $1
					UNION ALL SELECT account FROM doomed WHERE account = $1 LIMIT 1`, int64(account)).Scan(new(int64))
				if err == sqldb.ErrNoRows {
					c.problem("references to threads without an email: account %d has %d", account, len(gone))
					err = nil
				}
				return err
			})
			if err != nil {
				return err
			}
		}
	}
}
