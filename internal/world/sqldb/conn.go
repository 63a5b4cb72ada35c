package sqldb

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"net/url"

	"modernc.org/sqlite"
)

// conn is one connection and its prepared statements. Not safe for concurrent use.
//
// It speaks the driver interfaces of database/sql without that package's pool:
// there is one writer and a fixed set of readers, and the reflection in the
// pool's way costs as much as SQLite itself on statements this small.
type conn struct {
	driver driver.Conn
	stmts  map[string]*stmt
}

// stmt is a prepared statement. While a result is being read it is busy and
// cannot be executed again.
type stmt struct {
	driver interface {
		driver.StmtExecContext
		driver.StmtQueryContext
	}
	close  func() error
	busy   bool
	writes bool
}

func openConn(path string, pragmas ...string) (*conn, error) {
	q := url.Values{"_busy_timeout": {busyTimeout}, "_pragma": pragmas}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}
	connector, err := sqlite.NewConnector(u.String())
	if err != nil {
		return nil, translate(err)
	}
	c, err := connector.Connect(context.Background())
	if err != nil {
		return nil, translate(err)
	}
	return &conn{driver: c, stmts: make(map[string]*stmt)}, nil
}

// busyTimeout is how many milliseconds a connection waits for another. Only
// restartWAL ever waits long: for readers, while nothing is written.
const busyTimeout = "1000"

func openWriter(path string, maxSize int64) (*conn, error) {
	pragmas := []string{
		fmt.Sprintf("page_size(%d)", pageSize),
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"wal_autocheckpoint(0)",
		"mmap_size(0)",
		"temp_store(MEMORY)",
		"journal_size_limit(0)",
		fmt.Sprintf("cache_size(-%d)", writerCacheKiB),
	}
	if maxSize > 0 {
		pragmas = append(pragmas, fmt.Sprintf("max_page_count(%d)", maxSize/pageSize))
	}
	return openConn(path, pragmas...)
}

func openReader(path string) (*conn, error) {
	return openConn(path, "mmap_size(0)", "temp_store(MEMORY)", "query_only(1)",
		fmt.Sprintf("cache_size(-%d)", readerCacheKiB))
}

func openCheckpointer(path string) (*conn, error) {
	return openConn(path, "synchronous(FULL)", "wal_autocheckpoint(0)", "mmap_size(0)", "cache_size(-64)")
}

func (c *conn) close() error {
	for _, s := range c.stmts {
		_ = s.close()
	}
	return c.driver.Close()
}

// prepare returns the statement for query, from the cache if it is free.
func (c *conn) prepare(query string) (*stmt, error) {
	if s := c.stmts[query]; s != nil && !s.busy {
		return s, nil
	}
	d, err := c.driver.Prepare(query)
	if err != nil {
		return nil, translate(err)
	}
	s := &stmt{close: d.Close, writes: !isSelect(query)}
	s.driver = d.(interface {
		driver.StmtExecContext
		driver.StmtQueryContext
	})
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
			_ = s.close()
			delete(c.stmts, q)
			return
		}
	}
}

// release ends the use of s.
func (c *conn) release(query string, s *stmt) {
	s.busy = false
	if c.stmts[query] != s {
		_ = s.close()
	}
}

func isSelect(query string) bool {
	for i := range len(query) {
		switch query[i] {
		case ' ', '\t', '\n':
			continue
		}
		return query[i] == 'S' || query[i] == 's'
	}
	return false
}

// do runs a statement without arguments or results; it is cached.
func (c *conn) do(query string) error {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	_, err = s.driver.ExecContext(context.Background(), nil)
	c.release(query, s)
	return translate(err)
}

// one runs a query without arguments and returns its first row.
func (c *conn) one(query string) ([]driver.Value, error) {
	s, err := c.prepare(query)
	if err != nil {
		return nil, err
	}
	defer c.release(query, s)
	rows, err := s.driver.QueryContext(context.Background(), nil)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	dest := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(dest); err == io.EOF {
		return nil, ErrNoRows
	} else if err != nil {
		return nil, translate(err)
	}
	return dest, nil
}

// pagesWritten counts the pages that this connection wrote to the WAL and
// starts the count anew.
func (c *conn) pagesWritten() int64 {
	s, ok := c.driver.(sqlite.DBStatus)
	if !ok {
		return 0
	}
	n, _, err := s.Status(sqlite.DBStatusCacheWrite, true)
	if err != nil {
		return 0
	}
	return int64(n)
}
