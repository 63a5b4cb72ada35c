package sqldb

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// Traffic is what went between this process and a server; all zero on SQLite.
type Traffic struct {
	RoundTrips int64 // questions that were waited for
	Again      int64 // closures that were run again
	Busy, Most int   // connections in use now, and at most
	Away       bool  // it cannot be reached
}

// Traffic counts since Open, and says how connections stand.
func (db *DB) Traffic() Traffic { return db.on.traffic() }

// Commit is the end of one batch, for metrics.
type Commit struct {
	Writes int           // closures in it
	Slice  bool          // it is a further slice of a long operation
	Took   time.Duration // from the first closure until the batch was durable
	Sync   time.Duration // of that, the commit itself: the WAL is written and synced
	Failed bool          // nothing of it was kept; Sync is zero if no commit was tried
}

// stopwatch is the time if anybody observes.
func (db *sqlite) stopwatch() (t time.Time) {
	if db.observe != nil {
		t = time.Now()
	}
	return t
}

// tell observes a batch that began at begun.
func (db *sqlite) tell(begun time.Time, batch []*write, err error) {
	if db.observe == nil {
		return
	}
	now := time.Now()
	c := Commit{Writes: len(batch), Slice: batch[0].later, Took: now.Sub(begun), Failed: err != nil}
	if !db.syncing.Before(begun) {
		c.Sync = now.Sub(db.syncing)
	}
	db.observe(c)
}

// Sizes are the octets of the files of a database.
type Sizes struct {
	Database, WAL int64
}

// Sizes asks how large the database is; a server knows no WAL of its own for it.
func (db *DB) Sizes() (Sizes, error) { return db.on.sizes() }

func (db *sqlite) sizes() (s Sizes, err error) {
	if s.Database, err = fileSize(db.path); err != nil {
		return Sizes{}, err
	}
	s.WAL, err = fileSize(db.path + "-wal")
	return s, err
}

// fileSize is zero for a file that is not there.
func fileSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
