package store

import (
	"context"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// BlobRef is a reference to stored octets by somebody who is no email: mail in
// the spool. The octets stay while a reference is held. Zero is none.
type BlobRef int64

// Holder tells Check who else holds references: it calls held once for each
// reference to a blob from first up to, not including, end, in the snapshot of
// tx.
type Holder func(tx *sqldb.Tx, first, end BlobRef, held func(BlobRef)) error

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
	var refs int64
	var file string
	err := tx.QueryRow(`UPDATE blob SET refs = refs - 1 WHERE id = $1 RETURNING refs, file`, ref).Scan(&refs, &file)
	if err != nil || refs > 0 {
		return err
	}
	for _, q := range []string{`DELETE FROM blob WHERE id = $1`, `DELETE FROM content WHERE blob = $1`} {
		if _, err := tx.Exec(q, ref); err != nil {
			return err
		}
	}
	if file != "" {
		tx.OnCommit(func() { s.discard(file) })
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

// OpenBlob opens octets that are held, with trace before them. NotFound if they
// are gone. The caller closes the Content.
func (s *Store) OpenBlob(ctx context.Context, ref BlobRef, trace []byte) (*Content, error) {
	c := &Content{s: s, blob: int64(ref), prefix: trace}
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

// countHeld adds the references of the holders to counts, which are of the
// blobs from first on.
func (c *checker) countHeld(tx *sqldb.Tx, counts []uint32, first int64) error {
	for _, h := range c.s.opt.Holders {
		err := h(tx, BlobRef(first), BlobRef(first+int64(len(counts))), func(ref BlobRef) { counts[int64(ref)-first]++ })
		if err != nil {
			return err
		}
	}
	return nil
}
