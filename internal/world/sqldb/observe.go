package sqldb

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// Commit is the end of one batch, for metrics.
type Commit struct {
	Writes int           // closures in it
	Slice  bool          // it is a further slice of a long operation
	Took   time.Duration // from the first closure until the batch was durable
	Sync   time.Duration // of that, the commit itself: the WAL is written and synced
	Failed bool          // nothing of it was kept; Sync is zero if no commit was tried
}

// stopwatch is the time if anybody observes.
func (db *DB) stopwatch() (t time.Time) {
	if db.observe != nil {
		t = time.Now()
	}
	return t
}

// tell observes a batch that began at begun.
func (db *DB) tell(begun time.Time, batch []*write, err error) {
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

// Sizes asks the file system how large the files are.
func (db *DB) Sizes() (s Sizes, err error) {
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
