package spool

import (
	"context"
	"fmt"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Held is the store.Holder of the spool: each item that is not settled holds
// its blob once.
func Held(tx *sqldb.Tx, after int64, held func(store.BlobRef)) (last int64, more bool, err error) {
	return store.HeldBy(`SELECT id, blob FROM spool_item WHERE id > $1 AND blob <> 0 ORDER BY id`)(tx, after, held)
}

// Check verifies the invariants of the items, online, and reports what does not
// hold. The error is one of reading.
func (s *Spool) Check(ctx context.Context, report func(problem string)) error {
	for last, more := ItemID(0), true; more; {
		err := s.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
			var first ItemID
			err := tx.QueryRow(`SELECT min(id) FROM spool_item WHERE id > $1`, last).Scan(&first)
			if more = first != 0; err != nil || !more {
				return err
			}
			last = first + checkSlice - 1
			rows, err := tx.Query(`SELECT id FROM spool_item WHERE id BETWEEN $1 AND $2 AND settled > 0
				AND (blob <> 0 OR prefix IS NOT NULL)`, first, last)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var id ItemID
				if err := rows.Scan(&id); err != nil {
					return err
				}
				report(fmt.Sprintf("settled message that holds octets: message %d", id))
			}
			return rows.Err()
		})
		if err != nil {
			return err
		}
	}
	return s.checkCustody(ctx, report)
}

// checkSlice is how many items one snapshot looks at.
const checkSlice = 1000

// checkCustody looks at every item that is in custody: its sender, and its octets.
func (s *Spool) checkCustody(ctx context.Context, report func(string)) error {
	for last, n := ItemID(0), checkSlice; n == checkSlice; {
		var found []string
		err := s.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
			found = nil
			list, err := inCustody(tx, last)
			if err != nil {
				return err
			}
			for _, k := range list {
				found = append(found, k.problems...)
				switch octets, err := s.o.Store.BlobSize(tx, k.blob); {
				case mail.KindOf(err) == mail.NotFound && err != nil:
					found = append(found, fmt.Sprintf("spooled message without its octets: message %d", k.id))
				case err != nil:
					return err
				case octets+k.prefix != k.size:
					found = append(found, fmt.Sprintf("spooled message of a wrong size: message %d", k.id))
				}
				last = k.id
			}
			n = len(list)
			return nil
		})
		if err != nil {
			return err
		}
		for _, f := range found {
			report(f)
		}
	}
	return nil
}

// kept is what checkCustody reads of an item.
type kept struct {
	id           ItemID
	blob         store.BlobRef
	size, prefix int64 // octets
	problems     []string
}

// inCustody reads the next items in custody after one.
func inCustody(tx *sqldb.Tx, after ItemID) (list []kept, err error) {
	rows, err := tx.Query(`SELECT id, blob, size, coalesce(length(prefix), 0), sender FROM spool_item
		WHERE settled = 0 AND id > $1 ORDER BY id LIMIT $2`, after, checkSlice)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var k kept
		var sender string
		err := rows.Scan(&k.id, &k.blob, &k.size, &k.prefix, &sender)
		if err == nil {
			_, err = ParseReversePath(sender)
		}
		if err != nil {
			k.problems = []string{fmt.Sprintf(`message %d of the queue cannot be read: %v; "yubin queue drop %d" removes it`, k.id, sqldb.Why(err), k.id)}
		}
		list = append(list, k)
	}
	return list, rows.Err()
}
