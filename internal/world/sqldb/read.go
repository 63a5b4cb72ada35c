package sqldb

import (
	"context"
	"time"
)

// Read runs fn on a snapshot: what is committed when fn reads first. fn may
// take long only at the price of a growing WAL, so what may be long ends when
// Tx.Enough says so and goes on in another; it must not write, and must not call
// Write or Read. It waits for a free reader; if ctx ends meanwhile, fn does
// not run.
func (db *DB) Read(ctx context.Context, fn func(*Tx) error) error {
	c, err := db.takeReader(ctx)
	if err != nil {
		return err
	}
	defer db.giveReader(c)
	if err := c.do("BEGIN"); err != nil {
		return err
	}
	defer func() { _ = c.do("ROLLBACK") }()
	tx := &Tx{conn: c, until: time.Now().Add(db.slice)}
	defer tx.finish(false)
	return fn(tx)
}

// takeReader returns the reader that was used last, of those that are free: it
// has the statements and the pages.
func (db *DB) takeReader(ctx context.Context) (*conn, error) {
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

func (db *DB) idleReader() *conn {
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

func (db *DB) giveReader(c *conn) {
	db.mu.Lock()
	db.readers = append(db.readers, c)
	db.mu.Unlock()
	<-db.reading
}

// closeReaders waits for them.
func (db *DB) closeReaders() {
	for range cap(db.reading) {
		db.reading <- struct{}{}
	}
	for c := db.idleReader(); c != nil; c = db.idleReader() {
		c.close()
	}
}
