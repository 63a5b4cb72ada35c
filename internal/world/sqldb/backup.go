package sqldb

import (
	"context"

	"yubin/internal/mail"
)

// Snapshot is one moment of the whole database, as pages of its file. It is
// valid inside the closure of DB.Snapshot.
type Snapshot struct {
	Tx    *Tx   // reads the same moment
	Pages int64 // in the file

	rows *Rows // the pages that are not read yet; nil before the first
}

// PageSize is how many octets a page has.
const PageSize = pageSize

// PageSnapshot runs fn on one moment of the database. Writers go on meanwhile, and
// do not wait for it; what they write stays in the WAL, which grows.
func (db *DB) PageSnapshot(ctx context.Context, fn func(*Snapshot) error) error {
	return db.on.read(ctx, func(tx *Tx) error {
		s := &Snapshot{Tx: tx}
		if err := tx.QueryRow(`SELECT count(*) FROM schema_version`).Scan(new(int)); err != nil {
			return err // The first read fixes the moment.
		}
		if err := tx.QueryRow(`SELECT page_count FROM pragma_page_count`).Scan(&s.Pages); err != nil {
			return err
		}
		return fn(s)
	}, true)
}

// Read appends the octets of the next n pages to dst; the first call begins
// with the first page. The error is of kind Unavailable if the database closes,
// or if more was written meanwhile than the WAL should hold.
func (s *Snapshot) Read(dst []byte, n int64) ([]byte, error) {
	if err := s.Tx.Lasts(); err != nil {
		return dst, err
	}
	if s.rows == nil {
		var err error // One pass over all: the table finds a single page, but no range.
		if s.rows, err = s.Tx.Query(`SELECT data FROM sqlite_dbpage`); err != nil {
			return dst, err
		}
	}
	var page []byte
	for range n {
		if !s.rows.Next() {
			if err := s.rows.Err(); err != nil {
				return dst, err
			}
			return dst, mail.Errorf(mail.Internal, "the database has fewer pages than it says")
		}
		if err := s.rows.Scan(&page); err != nil {
			return dst, err
		}
		dst = append(dst, page...)
	}
	return dst, nil
}
