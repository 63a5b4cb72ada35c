package spool

import (
	"context"
	"fmt"

	"yubin/internal/engine/store"
	"yubin/internal/world/sqldb"
)

// Held is the store.Holder of the spool: each item that is not settled holds
// its blob once.
func Held(tx *sqldb.Tx, first, end store.BlobRef, held func(store.BlobRef)) error {
	rows, err := tx.Query(`SELECT blob FROM spool_item WHERE blob >= $1 AND blob < $2`, first, end)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var ref store.BlobRef
		if err := rows.Scan(&ref); err != nil {
			return err
		}
		if ref != 0 {
			held(ref)
		}
	}
	return rows.Err()
}

// Check verifies the invariants of the items, online, and reports what does not
// hold. The error is one of reading.
func (s *Spool) Check(ctx context.Context, report func(problem string)) error {
	if err := s.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		for _, rule := range []struct{ what, query string }{
			{"spooled message without its octets", `SELECT i.id FROM spool_item i LEFT JOIN blob b ON b.id = i.blob
				WHERE i.settled = 0 AND b.id IS NULL`},
			{"spooled message of a wrong size", `SELECT i.id FROM spool_item i JOIN blob b ON b.id = i.blob
				WHERE i.settled = 0 AND i.size <> b.size + coalesce(length(i.prefix), 0)`},
			{"settled message that holds octets", `SELECT id FROM spool_item WHERE settled > 0 AND (blob <> 0 OR prefix IS NOT NULL)`},
		} {
			rows, err := tx.Query(rule.query)
			if err != nil {
				return err
			}
			for rows.Next() {
				var id ItemID
				if err := rows.Scan(&id); err != nil {
					return err
				}
				report(fmt.Sprintf("%s: message %d", rule.what, id))
			}
			if err := rows.Err(); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	return s.checkReadable(ctx, report)
}

// checkSlice is how many rows one snapshot reads.
const checkSlice = 1000

// checkReadable reads the sender of every item in custody.
func (s *Spool) checkReadable(ctx context.Context, report func(string)) error {
	for last, n := ItemID(0), checkSlice; n == checkSlice; {
		var found []string
		err := s.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
			rows, err := tx.Query(`SELECT id, sender FROM spool_item WHERE settled = 0 AND id > $1 ORDER BY id LIMIT $2`, last, checkSlice)
			if err != nil {
				return err
			}
			defer rows.Close()
			for n = 0; rows.Next(); n++ {
				var sender string
				err := rows.Scan(&last, &sender)
				if err == nil {
					_, err = ParseReversePath(sender)
				}
				if err != nil {
					found = append(found, fmt.Sprintf(`message %d of the queue cannot be read: %v; "yubin queue drop %d" removes it`, last, sqldb.Why(err), last))
				}
			}
			return rows.Err()
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
