package sqldb

import (
	"context"
	"errors"
	"fmt"

	sqlite3 "modernc.org/sqlite/lib"

	"yubin/internal/mail"
)

// watchWAL counts what was written and calls for a checkpoint. It is the
// leader's; no transaction is open.
func (db *sqlite) watchWAL() {
	pages := db.walPages.Add(db.writer.pagesWritten())
	switch {
	case db.snapshots.Load() > 0: // The WAL cannot begin anew; whoever tries waits in vain.
		db.walRetry = pages + db.walSoft*walFactor
	case pages < db.walSoft:
		db.walRetry = db.walSoft * walFactor
	case pages >= db.walRetry:
		db.restartWAL(pages)
	default:
		select {
		case db.walFull <- struct{}{}:
		default:
		}
	}
}

// findWAL counts what a crash left in the WAL, which may be much, and calls for
// a checkpoint if it is: otherwise a process that crashes again and again would
// leave ever more.
func (db *sqlite) findWAL() error {
	size, err := fileSize(db.path + "-wal")
	if err != nil {
		return diskFailure(db.path+"-wal", err)
	}
	db.walPages.Store(size / (pageSize + frameHeader))
	if db.walPages.Load() >= db.walSoft {
		db.walFull <- struct{}{} // Has room for one.
	}
	return nil
}

// frameHeader is what stands before each page in a WAL.
const frameHeader = 24

// restartWAL makes the WAL start anew although readers or the lack of Run kept
// the background from it. It waits for readers up to the busy timeout; if they
// stay, it tries again when the WAL has grown by as much again.
func (db *sqlite) restartWAL(pages int64) {
	empty, err := db.checkpoint(db.writer, "RESTART")
	if err == nil && empty {
		db.walPages.Store(0)
		return
	}
	db.walRetry = pages + db.walSoft*walFactor
	if db.failure() != nil {
		return
	}
	db.log.Warn("the WAL keeps growing: readers do not end", "pages", pages, "err", err)
}

// run checkpoints: the bulk without stopping the writer, then the rest, small by
// then, between two transactions, so that the next one starts the WAL anew.
func (db *sqlite) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-db.failed:
			return cause(db.failure())
		case <-db.walFull:
		}
		for range 2 {
			db.backgroundCheckpoint()
		}
		_ = db.exclusive(ctx, func() {
			if db.backgroundCheckpoint() {
				db.walPages.Store(0)
			}
		})
	}
}

// backgroundCheckpoint copies what it can without waiting for anybody. It
// reports whether all of the WAL is in the database file.
func (db *sqlite) backgroundCheckpoint() bool {
	all, err := db.checkpoint(db.checkpointer, "PASSIVE")
	if err != nil && db.failure() == nil {
		db.log.Warn("checkpoint failed", "err", err, "cause", cause(err))
	}
	return all && err == nil
}

// checkpoint runs a checkpoint on c, unless a sync of the database file failed
// once. The failed sync is the last: what the pages were that the system then
// dropped, and whose frames the index of the WAL already counts as copied,
// nobody knows.
func (db *sqlite) checkpoint(c *conn, mode string) (all bool, err error) {
	db.checkpointMu.Lock()
	defer db.checkpointMu.Unlock()
	if err := db.failure(); err != nil {
		return false, err
	}
	all, err = c.checkpoint(mode)
	if syncFailed(err) {
		db.fail(err)
	}
	return all, err
}

// syncFailed reports whether err says that a file could not be synced. The
// layer of the WAL has nothing to sync in a checkpoint: then it is the database.
func syncFailed(err error) bool {
	var e *engineError
	return errors.As(err, &e) && e.code == sqlite3.SQLITE_IOERR_FSYNC
}

// fail ends all writing because a sync of the database file failed.
func (db *sqlite) fail(err error) {
	lost := &mail.Error{Kind: mail.Unavailable, Text: "the disk failed", Err: fmt.Errorf(
		"the disk failed to keep what was written to %s: %w. Nothing more is written. What was acknowledged is in %s-wal; "+
			"the next start writes it again. Keep both files, look at the disk (dmesg, smartctl), and start again", db.path, cause(err), db.path)}
	if db.failedErr.CompareAndSwap(nil, lost) {
		db.log.Error("the disk failed to keep the database", "file", db.path, "cause", cause(err))
		close(db.failed)
	}
}

// failure is why nothing is written any more, or nil: for strangers in short,
// with the whole as its cause.
func (db *sqlite) failure() error {
	if err := db.failedErr.Load(); err != nil {
		return err
	}
	return nil
}

// checkpoint runs a checkpoint, and reports whether all of the WAL was copied.
func (c *conn) checkpoint(mode string) (all bool, err error) {
	row, err := c.one("PRAGMA wal_checkpoint(" + mode + ")")
	if err != nil {
		return false, err
	}
	return len(row) == 3 && row[0] == int64(0) && row[1] == row[2], nil
}
