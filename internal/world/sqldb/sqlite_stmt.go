package sqldb

import (
	"fmt"
	"strconv"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"yubin/internal/mail"
)

// stmt is a prepared statement. While a result is being read it is busy and
// cannot be executed again.
type stmt struct {
	conn    *conn
	engine  uintptr
	query   string
	lock    LockWord // on the rows that a SELECT finds
	order   []int    // which argument each parameter takes
	columns int
	busy    bool
	writes  bool
	args    arena // the strings and octets of the arguments, for the engine
}

func (c *conn) newStmt(query string) (*stmt, error) {
	sql, lock, err := sqliteWords.expand(query, "")
	if err != nil {
		return nil, err
	}
	text, err := libc.CString(sql)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, text)
	const size = int(unsafe.Sizeof(c.db))
	out := c.tls.Alloc(size)
	defer c.tls.Free(size)
	rc := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, text, -1, sqlite3.SQLITE_PREPARE_PERSISTENT, out, 0)
	if rc != sqlite3.SQLITE_OK {
		return nil, c.failed(rc)
	}
	s := &stmt{conn: c, engine: *at[uintptr](out), query: query, lock: lock, writes: !isSelect(query)}
	s.columns = int(sqlite3.Xsqlite3_column_count(c.tls, s.engine))
	for i := range sqlite3.Xsqlite3_bind_parameter_count(c.tls, s.engine) {
		name := libc.GoString(sqlite3.Xsqlite3_bind_parameter_name(c.tls, s.engine, i+1))
		n, err := strconv.Atoi(name[min(1, len(name)):])
		if err != nil || n < 1 {
			s.close()
			return nil, fmt.Errorf("parameter %q is not a number", name)
		}
		s.order = append(s.order, n-1)
	}
	return s, nil
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

func (s *stmt) close() {
	sqlite3.Xsqlite3_finalize(s.conn.tls, s.engine)
	s.args.free(s.conn.tls)
}

// run executes the statement to its end.
func (s *stmt) run() error {
	for {
		more, err := s.step()
		if !more {
			s.reset()
			return err
		}
	}
}

// step goes to the next row and says whether there is one.
func (s *stmt) step() (bool, error) {
	switch rc := sqlite3.Xsqlite3_step(s.conn.tls, s.engine); rc {
	case sqlite3.SQLITE_ROW:
		return true, nil
	case sqlite3.SQLITE_DONE:
		return false, nil
	default:
		return false, s.conn.failed(rc)
	}
}

// reset ends an execution. What it returns step has said already.
func (s *stmt) reset() { sqlite3.Xsqlite3_reset(s.conn.tls, s.engine) }

// bind sets the parameters.
func (s *stmt) bind(args []Value) error {
	s.args.clear(s.conn.tls)
	for i, n := range s.order {
		if n >= len(args) {
			return mail.Errorf(mail.Internal, "argument $%d is missing", n+1)
		}
		if err := s.bindOne(int32(i+1), args[n]); err != nil {
			return mail.Errorf(mail.Internal, "argument $%d: %w", n+1, err)
		}
	}
	return nil
}

func (s *stmt) bindOne(i int32, v Value) error {
	tls, rc := s.conn.tls, int32(0)
	switch v.Kind {
	case Null:
		rc = sqlite3.Xsqlite3_bind_null(tls, s.engine, i)
	case Int:
		rc = sqlite3.Xsqlite3_bind_int64(tls, s.engine, i, sqlite3.Tsqlite_int64(v.Int))
	case Real:
		rc = sqlite3.Xsqlite3_bind_double(tls, s.engine, i, v.Real)
	default:
		p, err := s.args.keep(tls, v.Octets)
		if err != nil {
			return err
		}
		if v.Kind == Text {
			rc = sqlite3.Xsqlite3_bind_text(tls, s.engine, i, p, int32(len(v.Octets)), 0)
		} else {
			rc = sqlite3.Xsqlite3_bind_blob(tls, s.engine, i, p, int32(len(v.Octets)), 0)
		}
	}
	return s.conn.failed(rc)
}

// value is a column of the row that the statement stands on; its octets are the
// engine's until the next step.
func (s *stmt) value(i int) (Value, error) {
	tls, col := s.conn.tls, int32(i)
	var v Value
	switch sqlite3.Xsqlite3_column_type(tls, s.engine, col) {
	case sqlite3.SQLITE_INTEGER:
		v.Kind, v.Int = Int, int64(sqlite3.Xsqlite3_column_int64(tls, s.engine, col))
	case sqlite3.SQLITE_FLOAT:
		v.Kind, v.Real = Real, sqlite3.Xsqlite3_column_double(tls, s.engine, col)
	case sqlite3.SQLITE_TEXT:
		v.Kind, v.Octets = Text, s.octets(col)
	case sqlite3.SQLITE_BLOB:
		v.Kind, v.Octets = Octets, s.octets(col)
	}
	return v, nil
}

func (s *stmt) octets(col int32) []byte {
	p := sqlite3.Xsqlite3_column_blob(s.conn.tls, s.engine, col)
	n := sqlite3.Xsqlite3_column_bytes(s.conn.tls, s.engine, col)
	if n == 0 {
		return nil
	}
	return octetsAt(p, int64(n))
}

// width is how many columns a row has.
func (s *stmt) width() int { return s.columns }

// end is the end of a result.
func (s *stmt) end() {
	s.reset()
	s.conn.release(s)
}
