package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

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

// askThread asks which of refs have a thread; nil if that is not asked before the
// email is inserted, as insertEmail asks itself for a single ref.
func askThread(tx *sqldb.Tx, account mail.AccountID, refs []int64) *sqldb.Answer {
	if len(refs) < 2 {
		return nil
	}
	args := []any{int64(account)}
	var in strings.Builder
	for _, ref := range refs {
		args = append(args, ref)
		fmt.Fprintf(&in, ", $%d", len(args))
	}
	return tx.Ask(`SELECT ref, thread FROM threadref WHERE account = $1 AND ref IN (`+in.String()[2:]+`)`, args...)
}

// findThread returns the thread of the first of refs that has one, or 0; led has those
// that came to have one since it was asked.
func findThread(asked *sqldb.Answer, refs []int64, led map[int64]mail.ThreadID) (mail.ThreadID, error) {
	if asked == nil {
		return 0, nil
	}
	rows, err := asked.Rows()
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	first, thread := len(refs), mail.ThreadID(0)
	for i, ref := range refs {
		if led[ref] != 0 {
			first, thread = i, led[ref]
			break
		}
	}
	for rows.Next() {
		var ref int64
		var t mail.ThreadID
		if err := rows.Scan(&ref, &t); err != nil {
			return 0, err
		}
		if i := slices.Index(refs, ref); i <= first {
			first, thread = i, t
		}
	}
	return thread, rows.Err()
}

// insertEmail inserts an email and leads every ref that has no thread yet to its
// thread: one of its own if thread is 0, unless its only ref has one.
func insertEmail(tx *sqldb.Tx, id mail.EmailID, e email, refs []int64) {
	if len(refs) == 1 {
		tx.Do(`INSERT INTO email (id, account, blob, thread, mailbox, uid, received, zone, size, ascii, prefix)
			VALUES ($1, $2, $3, coalesce((SELECT thread FROM threadref WHERE account = $2 AND ref = $11), 0), $4, $5, $6, $7, $8, $9, $10)`,
			int64(id), int64(e.account), e.blob, int64(e.at.Mailbox), int64(e.at.UID), e.received, e.zone, e.size, e.ascii, e.prefix, refs[0])
	} else {
		tx.Do(`INSERT INTO email (id, account, blob, thread, mailbox, uid, received, zone, size, ascii, prefix)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`, int64(id), int64(e.account), e.blob, int64(e.thread),
			int64(e.at.Mailbox), int64(e.at.UID), e.received, e.zone, e.size, e.ascii, e.prefix)
	}
	thread := e.thread
	if thread == 0 {
		thread = mail.ThreadID(id)
	}
	for _, ref := range refs {
		tx.Do(`INSERT INTO threadref (account, ref, thread) VALUES ($1, $2, $3) ON CONFLICT (account, ref) DO NOTHING`,
			int64(e.account), ref, int64(thread))
	}
}

// email is a row of that table, but for its number.
type email struct {
	account        mail.AccountID
	blob           int64
	thread         mail.ThreadID // 0: its own
	at             Place         // where it comes
	received, zone int64
	size, ascii    int64
	prefix         []byte
}

// threadGone is true of a row r of threadref whose thread has no email.
const threadGone = `NOT EXISTS (SELECT 1 FROM email e WHERE e.id = r.thread AND e.thread = 0 AND e.account = r.account)
	AND NOT EXISTS (SELECT 1 FROM email e WHERE e.thread = r.thread AND e.thread <> 0 AND e.account = r.account)`

// noteThinned notes that an email of an account was purged.
func noteThinned(tx *sqldb.Tx, account mail.AccountID) {
	tx.Do(`INSERT INTO thinned (account, times) VALUES ($1, 1)
		ON CONFLICT (account) DO UPDATE SET times = thinned.times + 1`, int64(account))
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
				lockAccount(tx, account)
				for done = 0; done < len(gone) && (done == 0 || !tx.Enough()); done++ {
					tx.Do(`DELETE FROM threadref AS r WHERE account = $1 AND ref = $2 AND `+threadGone, int64(account), gone[done])
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
