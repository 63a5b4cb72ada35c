package sqldb

import (
	"context"
)

// watchWAL counts what was written and calls for a checkpoint. It is the
// leader's; no transaction is open.
func (db *DB) watchWAL() {
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

// restartWAL makes the WAL start anew although readers or the lack of Run kept
// the background from it. It waits for readers up to the busy timeout; if they
// stay, it tries again when the WAL has grown by as much again.
func (db *DB) restartWAL(pages int64) {
	empty, err := db.writer.checkpoint("RESTART")
	if err == nil && empty {
		db.walPages.Store(0)
		return
	}
	db.walRetry = pages + db.walSoft*walFactor
	db.log.Warn("the WAL keeps growing: readers do not end", "pages", pages, "err", err)
}

// Run checkpoints in the background until ctx ends, so that no commit has to:
// the bulk without stopping the writer, then the rest, small by then, between
// two transactions, so that the next one starts the WAL anew.
func (db *DB) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
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
func (db *DB) backgroundCheckpoint() bool {
	db.checkpointMu.Lock()
	defer db.checkpointMu.Unlock()
	all, err := db.checkpointer.checkpoint("PASSIVE")
	if err != nil {
		db.log.Warn("checkpoint failed", "err", err, "cause", cause(err))
	}
	return all && err == nil
}

// checkpoint runs a checkpoint and reports whether all of the WAL was copied.
func (c *conn) checkpoint(mode string) (all bool, err error) {
	row, err := c.one("PRAGMA wal_checkpoint(" + mode + ")")
	if err != nil {
		return false, err
	}
	return len(row) == 3 && row[0] == int64(0) && row[1] == row[2], nil
}
