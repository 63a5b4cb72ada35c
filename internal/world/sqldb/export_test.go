package sqldb

import sqlite3 "modernc.org/sqlite/lib"

// Waiting counts the writes in the queue.
func Waiting(db *DB) int {
	db.mu.Lock()
	defer db.mu.Unlock()
	return len(db.queue)
}

// PlannedAnew counts how often the writer's statements were planned again. No
// write may be under way.
func PlannedAnew(db *DB) (n int32) {
	for _, s := range db.writer.stmts {
		n += sqlite3.Xsqlite3_stmt_status(s.conn.tls, s.engine, sqlite3.SQLITE_STMTSTATUS_REPREPARE, 0)
	}
	return n
}
