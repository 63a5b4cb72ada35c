package sqldb

import (
	"context"
	"time"

	"yubin/internal/mail"
)

// maxSnapshotWAL is how many pages may be written while a Snapshot is read: 8
// GiB. The WAL cannot begin anew before the snapshot is done with.
const maxSnapshotWAL = 2 << 20

func (db *sqlite) read(ctx context.Context, fn func(*Tx) error, long bool) error {
	if long {
		db.snapshots.Add(1)
		defer db.endSnapshot()
	}
	c, err := db.takeReader(ctx)
	if err != nil {
		return err
	}
	defer db.giveReader(c)
	if err := c.do("BEGIN"); err != nil {
		return err
	}
	defer func() { _ = c.do("ROLLBACK") }()
	tx := &sqliteTx{conn: c, reads: true}
	tx.begin(db.order)
	tx.until = time.Now().Add(db.slice)
	if long {
		tx.lasts = db.lasting(ctx)
	}
	defer tx.finish(false)
	return fn(&tx.Tx)
}

// lasting is Tx.Lasts of a Snapshot that begins now.
func (db *sqlite) lasting(ctx context.Context) func() error {
	first := db.walPages.Load()
	return func() error {
		select {
		case <-db.done:
			return errClosed
		default:
		}
		if db.walPages.Load()-first > maxSnapshotWAL {
			return mail.Errorf(mail.Unavailable, "more was written than a snapshot can wait for; try again when there is less to do")
		}
		return ctx.Err()
	}
}

// endSnapshot lets the WAL be emptied again, in the background.
func (db *sqlite) endSnapshot() {
	if db.snapshots.Add(-1) == 0 && db.walPages.Load() >= db.walSoft {
		select {
		case db.walFull <- struct{}{}:
		default:
		}
	}
}

// takeReader returns the reader that was used last, of those that are free: it
// has the statements and the pages.
func (db *sqlite) takeReader(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case db.reading <- struct{}{}:
	case <-db.done:
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c := db.idleReader(); c != nil {
		return c, nil
	}
	c, err := openReader(db.path, db.readerCache)
	if err != nil {
		<-db.reading
		return nil, err
	}
	return c, nil
}

func (db *sqlite) idleReader() *conn {
	db.mu.Lock()
	defer db.mu.Unlock()
	n := len(db.readers)
	if n == 0 {
		return nil
	}
	c := db.readers[n-1]
	db.readers = db.readers[:n-1]
	return c
}

func (db *sqlite) giveReader(c *conn) {
	db.mu.Lock()
	db.readers = append(db.readers, c)
	db.mu.Unlock()
	<-db.reading
}

// closeReaders waits for them.
func (db *sqlite) closeReaders() {
	for range cap(db.reading) {
		db.reading <- struct{}{}
	}
	for c := db.idleReader(); c != nil; c = db.idleReader() {
		c.close()
	}
}
