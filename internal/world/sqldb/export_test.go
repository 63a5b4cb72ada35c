package sqldb

import (
	"context"
	"time"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// FailSync makes every sync of the database file by Run fail, or of the WAL by a
// commit, until again is called. Nothing may be under way.
func FailSync(db *DB, wal bool) (again func()) {
	if wal { // The layer's methods are the file's own.
		f := fileOf(db.lite.writer, sqlite3.SQLITE_FCNTL_JOURNAL_POINTER)
		own := at[sqlite3.Tsqlite3_io_methods](f.FpMethods)
		was := own.FxSync
		own.FxSync = pointer(failSync)
		return func() { own.FxSync = was }
	}
	return failDatabase(db.lite.checkpointer, pointer(failSync))
}

// FailTruncate makes the next sync of the database file by the writer fail, but
// none after it.
func FailTruncate(db *DB) { failDatabase(db.lite.writer, pointer(failSyncOnce)) }

// failDatabase puts sync before the methods of the database file of c.
func failDatabase(c *conn, sync uintptr) (again func()) {
	f := fileOf(c, sqlite3.SQLITE_FCNTL_FILE_POINTER)
	was := f.FpMethods
	p := libc.Xcalloc(c.tls, 1, libc.Tsize_t(unsafe.Sizeof(failing{})))
	*at[failing](p) = failing{*at[sqlite3.Tsqlite3_io_methods](was), was}
	at[failing](p).methods.FxSync = sync
	f.FpMethods = p
	return func() { f.FpMethods = was }
}

// failing are the methods of a file whose sync fails.
type failing struct {
	methods sqlite3.Tsqlite3_io_methods
	was     uintptr
}

func fileOf(c *conn, which int32) *sqlite3.Tsqlite3_file {
	out := c.tls.Alloc(8)
	defer c.tls.Free(8)
	sqlite3.Xsqlite3_file_control(c.tls, c.db, 0, which, out)
	return at[sqlite3.Tsqlite3_file](*at[uintptr](out))
}

func failSync(*libc.TLS, uintptr, int32) int32 { return sqlite3.SQLITE_IOERR_FSYNC }

func failSyncOnce(_ *libc.TLS, file uintptr, _ int32) int32 {
	f := at[sqlite3.Tsqlite3_file](file)
	f.FpMethods = at[failing](f.FpMethods).was
	return sqlite3.SQLITE_IOERR_FSYNC
}

// Checkpoint checkpoints as Run does.
func Checkpoint(db *DB) {
	_ = db.lite.exclusive(context.Background(), func() { db.lite.backgroundCheckpoint() })
}

// Waiting counts the writes in the queue.
func Waiting(db *DB) int {
	db.lite.mu.Lock()
	defer db.lite.mu.Unlock()
	return len(db.lite.queue)
}

// WaitingLong counts the slices in the queue that run alone.
func WaitingLong(db *DB) int {
	db.lite.mu.Lock()
	defer db.lite.mu.Unlock()
	return len(db.lite.later)
}

// Room is how long the next slice may work.
func Room(db *DB) time.Duration { return db.lite.room }

// Adapt tells that a slice took so long.
func Adapt(db *DB, took time.Duration) { db.lite.adapt(took) }

// PlannedAnew counts how often the writer's statements were planned again. No
// write may be under way.
func PlannedAnew(db *DB) (n int32) {
	for _, s := range db.lite.writer.stmts {
		n += sqlite3.Xsqlite3_stmt_status(s.conn.tls, s.engine, sqlite3.SQLITE_STMTSTATUS_REPREPARE, 0)
	}
	return n
}

// Detour reports whether the writer's next COMMIT would look through its cache,
// and the numbers of the pages in the cache that are behind the end of the file.
func Detour(db *DB) (detoured bool, behind []uint32) {
	cache, end := db.lite.writer.pageCache()
	for h := range uintptr(cache.FnHash) {
		for p := *at[uintptr](cache.FapHash + h*8); p != 0; p = at[sqlite3.TPgHdr1](p).FpNext {
			if key := at[sqlite3.TPgHdr1](p).FiKey; key > end {
				behind = append(behind, key)
			}
		}
	}
	return cache.FiMaxKey == detour, behind
}

// Inside reports whether the writer's WAL goes through the layer of ours, and whether
// its page cache is known.
func Inside(db *DB) (layered, cached bool) {
	f := fileOf(db.lite.writer, sqlite3.SQLITE_FCNTL_JOURNAL_POINTER)
	layered = f.FpMethods != 0 && at[sqlite3.Tsqlite3_io_methods](f.FpMethods).FxSync == pointer(syncWAL)
	return layered, db.lite.writer.inside && db.lite.writer.knowsCache()
}

// Connections counts those to a server that are in use.
func Connections(db *DB) int { return len(db.on.(*postgres).slots) }
