package store

import (
	"context"
	"fmt"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// sweepTombstones removes the tombstones that are older than Retention.Expunged.
func (s *Store) sweepTombstones(ctx context.Context) error {
	until := s.now().Add(-s.retention.Load().Expunged).Unix()
	for box := mail.MailboxID(0); ; {
		var oldest int64
		err := s.db.Read(ctx, func(tx *sqldb.Tx) error {
			return tx.QueryRow(`SELECT mailbox, at FROM tombstone WHERE mailbox > $1 ORDER BY mailbox, modseq LIMIT 1`, int64(box)).Scan(&box, &oldest)
		})
		if err == sqldb.ErrNoRows {
			return nil
		}
		if err == nil && oldest <= until {
			err = s.repeat(ctx, func(tx *sqldb.Tx) (bool, error) { return forgetTombstones(tx, box, until) })
		}
		if err != nil && !s.aside.Takes(sqldb.Named(fmt.Sprintf("tombstone of mailbox %d", box), err)) {
			return err
		}
	}
}

// forgetTombstones removes some tombstones of a mailbox.
func forgetTombstones(tx *sqldb.Tx, id mail.MailboxID, until int64) (more bool, err error) {
	var last mail.ModSeq
	err = tx.QueryRow(`SELECT max(modseq) FROM (SELECT modseq FROM tombstone WHERE mailbox = $1 AND at <= $2
		ORDER BY modseq LIMIT $3) AS oldest`, int64(id), until, rowSlice).Scan(&last)
	if err != nil || last == 0 {
		return false, err
	}
	_, err = tx.Exec(`DELETE FROM tombstone WHERE mailbox = $1 AND modseq <= $2`, int64(id), int64(last))
	return true, err
}

// sweepChanges forgets the changes that are older than Retention.Changes, but for the
// few that the index of arrivals waits for.
func (s *Store) sweepChanges(ctx context.Context) error {
	until := s.now().Add(-s.retention.Load().Changes).Unix()
	for account := mail.AccountID(-1); ; {
		var oldest int64
		err := s.db.Read(ctx, func(tx *sqldb.Tx) error {
			return tx.QueryRow(`SELECT account, at FROM change WHERE account > $1 ORDER BY account, modseq LIMIT 1`, int64(account)).
				Scan(&account, &oldest)
		})
		if err == sqldb.ErrNoRows {
			return nil
		}
		if err == nil && oldest <= until {
			err = s.repeat(ctx, func(tx *sqldb.Tx) (bool, error) {
				latest, _, err := loadPending(tx, account)
				if mail.KindOf(err) == mail.NotFound && err != nil {
					return false, nil // Its rows go with the account.
				}
				if err != nil {
					return false, err
				}
				return forgetChanges(tx, account, func(modseq mail.ModSeq, at, _ int64) bool { return at <= until && modseq <= latest.indexed })
			})
		}
		if err != nil && !s.aside.Takes(sqldb.Named(fmt.Sprintf("changes of account %d", account), err)) {
			return err
		}
	}
}

// forgetChanges removes the oldest rows of an account's changes, a slice of them, as
// long as they are due by their time or their total.
func forgetChanges(tx *sqldb.Tx, account mail.AccountID, due func(modseq mail.ModSeq, at, total int64) bool) (more bool, err error) {
	rows, err := tx.Query(`SELECT modseq, at, total FROM change WHERE account = $1 ORDER BY modseq LIMIT $2`, int64(account), rowSlice)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	last, n := mail.ModSeq(0), 0
	for rows.Next() {
		var modseq mail.ModSeq
		var at, total int64
		if err := rows.Scan(&modseq, &at, &total); err != nil {
			return false, err
		}
		if !due(modseq, at, total) {
			break
		}
		last, n = modseq, n+1
	}
	if err := rows.Err(); err != nil || n == 0 {
		return false, err
	}
	rows.Close()
	_, err = tx.Exec(`DELETE FROM change WHERE account = $1 AND modseq <= $2`, int64(account), int64(last))
	return n == rowSlice, err
}

// neighbours are bundles of one mailbox, side by side, that fit into one.
type neighbours struct {
	first, last int64 // places
	count       int
	octets      int64
}

// joinBundles puts small bundles together: a mailbox from which much was
// expunged has many.
func (s *Store) joinBundles(ctx context.Context) error {
	op := s.db.Slices()
	for after, more := int64(-1), true; more; {
		var list []neighbours
		err := s.db.Read(ctx, func(tx *sqldb.Tx) (err error) {
			list, after, more, err = smallBundles(tx, after)
			return err
		})
		if err != nil {
			return err
		}
		for len(list) > 0 {
			done := 0
			err := op.Write(ctx, func(tx *sqldb.Tx) error {
				done = len(list)
				err := lockOwner(tx, placeMailbox(list[0].first))
				if err != nil && mail.KindOf(err) != mail.NotFound {
					return err
				}
				for i, n := range list {
					if placeMailbox(n.first) != placeMailbox(list[0].first) || i > 0 && tx.Enough() {
						done = i
						break
					}
					if err == nil { // Else the mailbox is gone, and a sweep is at it.
						if err := join(tx, n); err != nil {
							return err
						}
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			list = list[done:]
		}
	}
	return nil
}

// smallBundles finds what can be joined among the bundles behind a place, a
// slice of them; it goes on behind last.
func smallBundles(tx *sqldb.Tx, after int64) (list []neighbours, last int64, more bool, err error) {
	rows, err := tx.Query(`SELECT place, length(entries) FROM membership WHERE place > $1 ORDER BY place LIMIT $2`, after, maxSlice)
	if err != nil {
		return nil, 0, false, err
	}
	defer rows.Close()
	var run neighbours
	n := 0
	for ; rows.Next(); n++ {
		var octets int64
		if err := rows.Scan(&last, &octets); err != nil {
			return nil, 0, false, err
		}
		if run.count > 0 && placeMailbox(run.first) == placeMailbox(last) && run.octets+octets-1 <= bundleOctets {
			run.last, run.count, run.octets = last, run.count+1, run.octets+octets-1
			continue
		}
		if run.count > 1 {
			list = append(list, run)
		}
		run = neighbours{last, last, 1, octets}
	}
	if run.count > 1 {
		list = append(list, run)
	}
	return list, last, n == maxSlice, rows.Err()
}

// join makes one bundle of neighbours, if they still fit.
func join(tx *sqldb.Tx, n neighbours) error {
	rows, err := tx.Query(`SELECT entries FROM membership WHERE place BETWEEN $1 AND $2 ORDER BY place`, n.first, n.last)
	if err != nil {
		return err
	}
	defer rows.Close()
	all := []byte{bundleFormat}
	for rows.Next() {
		var octets []byte
		if err := rows.Scan(&octets); err != nil {
			return err
		}
		if r := readMembers(octets); !r.failed {
			all = append(all, r.octets...)
		} else {
			return nil // Check tells of it.
		}
	}
	if err := rows.Err(); err != nil || len(all) > bundleOctets || len(all) == 1 {
		return err
	}
	rows.Close()
	tx.Do(`DELETE FROM membership WHERE place BETWEEN $1 AND $2`, n.first, n.last)
	tx.Do(`INSERT INTO membership (place, entries) VALUES ($1, $2)`, n.first, all)
	return nil
}
