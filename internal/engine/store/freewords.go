package store

import (
	"context"
	"errors"
	"fmt"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// withKeywordRoom runs write, and once more if a mailbox had no number left for a
// keyword and some could be freed.
func (s *Store) withKeywordRoom(ctx context.Context, write func() error) error {
	err := write()
	var full *keywordsFull
	if !errors.As(err, &full) {
		return err
	}
	freed, failed := s.freeKeywords(ctx, full.mailbox)
	switch {
	case failed != nil:
		return failed
	case !freed:
		return err
	}
	return write()
}

// freeKeywords frees the numbers of the keywords that no message of a mailbox
// has, and none that can be restored. It says whether there were any. While the
// mailbox is being changed there are none.
func (s *Store) freeKeywords(ctx context.Context, id mail.MailboxID) (freed bool, err error) {
	v, err := s.View(ctx, id)
	if err != nil {
		return false, err
	}
	used := v.used()
	err = s.eachExpunged(ctx, func(x expunged) {
		if x.mailbox == id {
			used = used.with(x.words)
		}
	})
	if err != nil {
		return false, err
	}
	err = s.db.Write(ctx, func(tx *sqldb.Tx) error {
		freed = false
		l, box, err := s.openMailbox(tx, id)
		if err != nil || box.modseq != v.modseq {
			return err
		}
		n, err := l.names(box)
		if err != nil {
			return err
		}
		for number, name := range n.list {
			if name == "" || used.with(wordsOf(number)) == used {
				continue
			}
			if _, err := tx.Exec(`DELETE FROM keyword WHERE mailbox = $1 AND number = $2`, int64(id), number); err != nil {
				return err
			}
			box.names, freed = box.names.named(number, ""), true
		}
		if freed {
			box.touch(l.modseq)
		}
		return l.close()
	})
	return freed, err
}

// eachExpunged calls fn with all that can be restored, in slices; only the
// mailbox and the words are read. Where the words cannot be, they may be any.
func (s *Store) eachExpunged(ctx context.Context, fn func(expunged)) error {
	var last expunged
	for more := true; more; {
		from := last
		err := s.db.Read(ctx, func(tx *sqldb.Tx) error {
			rows, err := tx.Query(`SELECT at, email, mailbox, keywords FROM expunged WHERE (at, email) > ($1, $2)
				ORDER BY at, email LIMIT $3`, from.at, int64(from.email), maxSlice)
			if err != nil {
				return err
			}
			defer rows.Close()
			n := 0
			for ; rows.Next(); n++ {
				var x expunged
				err := rows.Scan(&x.at, &x.email, &x.mailbox, &x.words)
				if s.aside.Takes(sqldb.Named(fmt.Sprintf("expunged email %d", x.email), err)) {
					x.words = allWords()
				} else if err != nil {
					return err
				}
				if x.email != 0 {
					last = x
				}
				fn(x)
			}
			more = n == maxSlice && last != from
			return rows.Err()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sweepKeywords removes the keywords of mailboxes that are gone, once nothing
// that was in them can be restored.
func (s *Store) sweepKeywords(ctx context.Context) error {
	var gone []mail.MailboxID
	for box := mail.MailboxID(0); ; {
		is := false
		err := s.db.Read(ctx, func(tx *sqldb.Tx) error {
			err := tx.QueryRow(`SELECT min(mailbox) FROM keyword WHERE mailbox > $1`, int64(box)).Scan(&box)
			if err != nil || box == 0 {
				return err
			}
			return tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM mailbox WHERE id = $1) OR EXISTS (SELECT 1 FROM doomed WHERE mailbox = $1)`,
				int64(box)).Scan(&is)
		})
		if err != nil {
			return err
		}
		if box == 0 {
			break
		}
		if !is {
			gone = append(gone, box)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	held := make(map[mail.MailboxID]bool)
	if err := s.eachExpunged(ctx, func(x expunged) { held[x.mailbox] = true }); err != nil {
		return err
	}
	op := s.db.Slices()
	for _, id := range gone {
		if held[id] {
			continue
		}
		err := op.Write(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(`DELETE FROM keyword WHERE mailbox = $1`, int64(id))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
