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
	w := &write{ctx: ctx, fn: fn, later: s.later, wake: make(chan bool, 1)}
	s.later = true
	return s.db.submit(w)
}

// Enough says that the transaction has had the writer, or its snapshot, for as
// long as it may: who has more to do does it in the next slice.
func (t *Tx) Enough() bool { return !t.until.IsZero() && time.Now().After(t.until) }

// leastRoom is what a slice has on the slowest disk, as a part of Options.Slice.
const leastRoom = 20

// adapt gives the next slice less if one took too long with its commit, and
// slowly more if it did not. It is the leader's.
func (db *DB) adapt(took time.Duration) {
	if took > db.slice {
		db.room = max(db.room/2, db.slice/leastRoom)
	} else {
		db.room = min(db.room+db.slice/leastRoom, db.slice)
	}
}
