package sqldb

import (
	"context"
	"time"
)

// DefaultSlice is how long a slice of a long operation holds the writer, about.
const DefaultSlice = 20 * time.Millisecond

// Slices are the transactions of one operation that may be long, one after
// another. Not safe for concurrent use.
type Slices struct {
	db    *DB
	later bool
}

// Slices begins an operation that may be long.
func (db *DB) Slices() *Slices { return &Slices{db: db} }

// LongSlices is Slices for an operation that is known to be long: its first slice
// too runs alone, after what waits.
func (db *DB) LongSlices() *Slices { return &Slices{db: db, later: true} }

// Write is DB.Write for the next slice: fn does some of the work, at least a
// little of it, and stops when tx.Enough says so.
func (s *Slices) Write(ctx context.Context, fn func(*Tx) error) error {
	later := s.later
	s.later = true
	return s.db.write(ctx, fn, later)
}

// Enough says that the transaction has had the writer, or its snapshot, for as
// long as it may: who has more to do does it in the next slice.
func (t *Tx) Enough() bool { return !t.until.IsZero() && time.Now().After(t.until) }
