package sqldb

import (
	"fmt"
	"unsafe"

	"modernc.org/libc"
	_ "modernc.org/sqlite" // prepares the engine for the machine it runs on
	sqlite3 "modernc.org/sqlite/lib"
)

// conn is one connection and its prepared statements. Not safe for concurrent use.
//
// It calls the engine itself, without a driver between: there is one writer and
// a fixed set of readers, and what a driver does for each call costs as much as
// SQLite does on statements this small.
type conn struct {
	tls   *libc.TLS
	db    uintptr
	stmts map[string]*stmt

	inside bool // what is known of SQLite's page cache is true
}

func openConn(path, layer string, pragmas ...string) (*conn, error) {
	c := &conn{tls: libc.NewTLS(), stmts: make(map[string]*stmt)}
	if err := c.open(path, layer); err != nil {
		c.close()
		return nil, translate(err)
	}
	for _, p := range pragmas {
		if _, err := c.one("PRAGMA " + p); err != nil && err != ErrNoRows {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

func (c *conn) open(path, layer string) error {
	name, err := libc.CString(path)
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, name)
	var vfs uintptr
	if layer != "" {
		if vfs, err = libc.CString(layer); err != nil {
			return err
		}
		defer libc.Xfree(c.tls, vfs)
	}
	out := c.tls.Alloc(int(unsafe.Sizeof(c.db)))
	defer c.tls.Free(int(unsafe.Sizeof(c.db)))
	rc := sqlite3.Xsqlite3_open_v2(c.tls, name, out, sqlite3.SQLITE_OPEN_READWRITE|sqlite3.SQLITE_OPEN_CREATE|
		sqlite3.SQLITE_OPEN_NOMUTEX, vfs)
	c.db = *at[uintptr](out)
	if rc == sqlite3.SQLITE_OK {
		rc = sqlite3.Xsqlite3_extended_result_codes(c.tls, c.db, 1)
	}
	if rc == sqlite3.SQLITE_OK {
		rc = sqlite3.Xsqlite3_busy_timeout(c.tls, c.db, busyTimeout)
	}
	if rc == sqlite3.SQLITE_OK {
		rc = c.keepPlans()
	}
	return c.failed(rc)
}

// keepPlans has the planner not look at arguments. Otherwise it looks whenever
// a query has a join, and plans it anew at each execution.
func (c *conn) keepPlans() int32 { return c.turnOn(sqlite3.SQLITE_DBCONFIG_ENABLE_QPSG) }

// keepWAL has close leave the WAL as it is, even if this is the last connection.
func (c *conn) keepWAL() error {
	return translate(c.failed(c.turnOn(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE)))
}

func (c *conn) turnOn(option int32) int32 {
	const size = 32
	list := c.tls.Alloc(size)
	defer c.tls.Free(size)
	return sqlite3.Xsqlite3_db_config(c.tls, c.db, option, libc.VaList(list, int32(1), uintptr(0)))
}

// failed makes an error of a result code, nil of success.
func (c *conn) failed(rc int32) error {
	if rc == sqlite3.SQLITE_OK {
		return nil
	}
	text := libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, rc))
	if c.db != 0 {
		if more := libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db)); more != text {
			text += ": " + more
		}
	}
	return &engineError{code: int(rc), text: text}
}

// busyTimeout is how many milliseconds a connection waits for another. Only
// restartWAL ever waits long: for readers, while nothing is written.
const busyTimeout = 1000

func openWriter(path, layer string, maxSize, walPages, cache int64) (*conn, error) {
	pragmas := []string{
		fmt.Sprintf("page_size(%d)", pageSize),
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"wal_autocheckpoint(0)",
		"mmap_size(0)",
		"temp_store(MEMORY)",
		fmt.Sprintf("journal_size_limit(%d)", 2*walPages*pageSize), // kept, to be overwritten
		fmt.Sprintf("cache_size(-%d)", cache>>10),
	}
	if maxSize > 0 {
		pragmas = append(pragmas, fmt.Sprintf("max_page_count(%d)", maxSize/pageSize))
	}
	return openConn(path, layer, pragmas...)
}

func openReader(path string, cache int64) (*conn, error) {
	return openConn(path, "", "mmap_size(0)", "temp_store(MEMORY)", "query_only(1)",
		fmt.Sprintf("cache_size(-%d)", cache>>10))
}

func openCheckpointer(path, layer string) (*conn, error) {
	return openConn(path, layer, "synchronous(FULL)", "wal_autocheckpoint(0)", "mmap_size(0)", "cache_size(-64)")
}

func (c *conn) close() error {
	for _, s := range c.stmts {
		s.close()
	}
	rc := sqlite3.Xsqlite3_close_v2(c.tls, c.db)
	err := c.failed(rc)
	c.tls.Close()
	return err
}

// prepare returns the statement for query, from the cache if it is free.
func (c *conn) prepare(query string) (*stmt, error) {
	if s := c.stmts[query]; s != nil && !s.busy {
		return s, nil
	}
	s, err := c.newStmt(query)
	if err != nil {
		return nil, translate(err)
	}
	if c.stmts[query] == nil {
		c.makeRoom()
		c.stmts[query] = s
	}
	return s, nil
}

// makeRoom drops one idle statement when the cache is full. Engines use a fixed
// set of statements, so it hardly ever happens.
func (c *conn) makeRoom() {
	if len(c.stmts) < maxStatements {
		return
	}
	for q, s := range c.stmts {
		if !s.busy {
			s.close()
			delete(c.stmts, q)
			return
		}
	}
}

// release ends the use of s.
func (c *conn) release(s *stmt) {
	s.busy = false
	if c.stmts[s.query] != s {
		s.close()
	}
}

// do runs a statement without arguments or results; it is cached.
func (c *conn) do(query string) error {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	err = s.run()
	c.release(s)
	return translate(err)
}

// one runs a query without arguments and returns its first row.
func (c *conn) one(query string) ([]any, error) {
	s, err := c.prepare(query)
	if err != nil {
		return nil, err
	}
	defer c.release(s)
	defer s.reset()
	more, err := s.step()
	if err != nil {
		return nil, translate(err)
	}
	if !more {
		return nil, ErrNoRows
	}
	row := make([]any, s.columns)
	for i := range row {
		v, _ := s.value(i)
		row[i] = v.Arg()
	}
	return row, nil
}

// changes is how many rows the last statement changed.
func (c *conn) changes() int64 { return int64(sqlite3.Xsqlite3_changes64(c.tls, c.db)) }

// lastID is the id of the last row inserted.
func (c *conn) lastID() int64 { return int64(sqlite3.Xsqlite3_last_insert_rowid(c.tls, c.db)) }

// pagesWritten counts the pages that this connection wrote to the WAL and
// starts the count anew.
func (c *conn) pagesWritten() int64 {
	out := c.tls.Alloc(8)
	defer c.tls.Free(8)
	if sqlite3.Xsqlite3_db_status(c.tls, c.db, sqlite3.SQLITE_DBSTATUS_CACHE_WRITE, out, out+4, 1) != sqlite3.SQLITE_OK {
		return 0
	}
	return int64(*at[int32](out))
}
