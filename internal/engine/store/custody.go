package store

import (
	"context"
	"slices"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// BlobRef is a reference to stored octets by somebody who is no email: mail in
// the spool. The octets stay while a reference is held. Zero is none.
type BlobRef int64

// Holder tells Check who else holds references: it calls held once for each
// reference of its rows behind after, in ascending order, until tx.Enough says so.
// more says that there are others behind last.
type Holder func(tx *sqldb.Tx, after int64, held func(BlobRef)) (last int64, more bool, err error)

// HoldBlob takes one more reference to octets of which one is held.
func (s *Store) HoldBlob(tx *sqldb.Tx, ref BlobRef) error {
	n, err := tx.Exec(`UPDATE blob SET refs = refs + 1 WHERE id = $1`, ref)
	if err == nil && n == 0 {
		err = s.internal("blob %d is not there to be held", ref)
	}
	return err
}

// ReleaseBlob gives a reference back. With the last one of all, those of emails
// included, the octets go.
func (s *Store) ReleaseBlob(tx *sqldb.Tx, ref BlobRef) error {
	return s.ReleaseBlobs(tx, []BlobRef{ref})
}

// ReleaseBlobs is ReleaseBlob for several. Who releases more than one in a transaction
// does it with one call, which takes them in the order of their numbers: two that did
// it in different orders could wait for each other.
func (s *Store) ReleaseBlobs(tx *sqldb.Tx, list []BlobRef) error {
	list = slices.Sorted(slices.Values(list))
	asked := make([]*sqldb.Answer, len(list))
	for i, ref := range list {
		asked[i] = tx.Ask(`UPDATE blob SET refs = refs - 1 WHERE id = $1 RETURNING refs, file`, ref)
	}
	for i, ref := range list {
		var refs int64
		var file string
		if err := asked[i].Scan(&refs, &file); err != nil {
			return err
		}
		if refs > 0 {
			continue
		}
		tx.Do(`DELETE FROM blob WHERE id = $1`, ref)
		tx.Do(`DELETE FROM content WHERE blob = $1`, ref)
		if file != "" {
			tx.OnCommit(func() { s.discard(file) })
		}
	}
	return nil
}

// BlobSize returns how many octets there are of what is held. NotFound if they
// are gone.
func (s *Store) BlobSize(tx *sqldb.Tx, ref BlobRef) (octets int64, err error) {
	err = tx.QueryRow(`SELECT size FROM blob WHERE id = $1`, ref).Scan(&octets)
	if err == sqldb.ErrNoRows {
		err = mail.Errorf(mail.NotFound, "the message is gone")
	}
	return octets, err
}

// OpenBlob opens octets that are held, with prefix before them. NotFound if they
// are gone. The caller closes the Content.
func (s *Store) OpenBlob(ctx context.Context, ref BlobRef, prefix []byte) (*Content, error) {
	c := &Content{s: s, blob: int64(ref), prefix: prefix}
	var crc int64
	var file string
	err := s.db.Read(ctx, func(tx *sqldb.Tx) error {
		return tx.QueryRow(`SELECT b.size, b.crc32c, b.file, b.sums, c.octets FROM blob b LEFT JOIN content c ON c.blob = b.id
			WHERE b.id = $1`, ref).Scan(&c.size, &crc, &file, &c.sums, &c.octets)
	})
	if err == sqldb.ErrNoRows {
		return nil, mail.Errorf(mail.NotFound, "the message is gone")
	}
	if err != nil {
		return nil, err
	}
	if err := c.open(file, crc); err != nil {
		return nil, err
	}
	return c, nil
}

// HeldBy is a Holder that reads the references that a query gives: pairs of a row's
// number, greater than $1 and ascending, and of a blob.
func HeldBy(query string) Holder {
	return func(tx *sqldb.Tx, after int64, held func(BlobRef)) (last int64, more bool, err error) {
		last = after
		rows, err := tx.Query(query, after)
		if err != nil {
			return last, false, err
		}
		defer rows.Close()
		for n := 0; rows.Next(); n++ {
			if n > 0 && n%rowSlice == 0 && tx.Enough() {
				return last, true, nil
			}
			var ref BlobRef
			if err := rows.Scan(&last, &ref); err != nil {
				return last, false, err
			}
			held(ref)
		}
		return last, false, rows.Err()
	}
}
