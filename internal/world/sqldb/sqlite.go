package sqldb

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// sqlite is a database in a file.
type sqlite struct {
	path string
	log  *slog.Logger
	lock *os.File
	free func() // lets this process open the files again, see files.Hold; nil before they are open

	writer *conn    // touched only by the leader
	tx     sqliteTx // the writer's, reused

	mu      sync.Mutex
	idle    sync.Cond // signalled when leading becomes false
	queue   []*write
	later   []*write // further slices of long operations
	leading bool
	slicing bool // the next batch is one of later
	closed  bool
	done    chan struct{} // closed by Close

	reading chan struct{} // as full as readers are at work
	readers []*conn       // not at work, used last at the end; under mu

	checkpointer *conn
	checkpointMu sync.Mutex    // one checkpoint at a time
	failed       chan struct{} // closed by fail
	failedErr    atomic.Pointer[mail.Error]
	walFull      chan struct{}
	walPages     atomic.Int64 // pages written since the WAL was last empty, about
	walRetry     int64        // leader only: pages at which to make room next
	walSoft      int64        // Options.WALPages
	readerCache  int64        // octets of page cache of each reader
	snapshots    atomic.Int32 // being read, see Snapshot

	slice time.Duration // Options.Slice
	room  time.Duration // leader only: of it, without the commit

	observe func(Commit) // nil for none
	order   bool         // Options.CheckLocks
	syncing time.Time    // leader only: the last COMMIT began, if anybody observes
	undone  bool         // leader only: something was rolled back in this transaction, or may have been
}

func openSQLite(ctx context.Context, o Options) (*sqlite, error) {
	if o.Readers <= 0 {
		o.Readers = DefaultReaders
	}
	if o.WALPages <= 0 {
		o.WALPages = DefaultWALPages
	}
	if o.CacheSize <= 0 {
		o.CacheSize = DefaultCache
	}
	lock, err := lockFile(o.Path + ".lock")
	if err != nil {
		return nil, err
	}
	db := &sqlite{path: o.Path, log: o.Log, lock: lock, walFull: make(chan struct{}, 1), done: make(chan struct{}), failed: make(chan struct{}),
		walSoft: o.WALPages, walRetry: o.WALPages * walFactor, slice: o.Slice, room: o.Slice, observe: o.Observe, order: o.CheckLocks,
		readerCache: o.CacheSize / 4 / int64(o.Readers)}
	db.idle.L = &db.mu
	db.reading = make(chan struct{}, o.Readers)
	if err := db.open(ctx, o); err != nil {
		db.shut()
		return nil, err
	}
	return db, nil
}

func (db *sqlite) open(ctx context.Context, o Options) (err error) {
	if err := checkHeader(o.Path); err != nil {
		return err
	}
	if err := closeToOthers(o.Path); err != nil {
		return err
	}
	if err := rewrite(o.Path + "-wal"); err != nil {
		return err
	}
	layer := ""
	if !o.Plain {
		if err := layWAL(); err != nil {
			return err
		}
		layer = walLayer
	}
	if db.writer, err = openWriter(o.Path, layer, o.MaxSize, o.WALPages, o.CacheSize/4*3); err != nil {
		return damaged(o.Path, err)
	}
	db.tx.conn = db.writer
	db.tx.begin(false)
	if err := db.findWAL(); err != nil {
		return err
	}
	if err := db.checkEngine(); err != nil {
		return err
	}
	if err := db.checkContent(); err != nil {
		return err
	}
	db.writer.inside = !o.Plain && db.writer.knowsCache()
	if db.checkpointer, err = openCheckpointer(o.Path, layer); err != nil {
		return damaged(o.Path, err)
	}
	db.free = files.Hold(o.Path, o.Path+"-wal", o.Path+"-shm")
	if err := syncFolder(filepath.Dir(o.Path)); err != nil { // SQLite passes over it if that fails.
		return err
	}
	return ctx.Err()
}

// close waits for writes and reads under way, empties the WAL, unless the disk
// failed (see Run), and closes the files.
func (db *sqlite) close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil
	}
	db.closed = true
	close(db.done)
	for db.leading {
		db.idle.Wait()
	}
	db.mu.Unlock()
	return db.shut()
}

// shut closes whatever is open.
func (db *sqlite) shut() error {
	db.closeReaders()
	db.checkpointMu.Lock()
	if db.checkpointer != nil {
		db.checkpointer.close()
	}
	db.checkpointMu.Unlock()
	var err error
	if db.writer != nil {
		err = db.shutWriter()
	}
	if db.free != nil {
		db.free()
	}
	db.lock.Close()
	return err
}

// shutWriter empties the WAL unless a sync of the database file failed, which
// is an error only if it happens here: else Run told.
func (db *sqlite) shutWriter() (err error) {
	if db.failure() == nil {
		_, err = db.checkpoint(db.writer, "TRUNCATE")
	}
	if db.failure() != nil {
		err = errors.Join(err, db.writer.keepWAL())
	}
	return errors.Join(err, db.writer.close())
}

func (db *sqlite) name() string { return db.path }

func (db *sqlite) traffic() Traffic { return Traffic{} }
