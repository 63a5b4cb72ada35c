package sqldb

import (
	"fmt"
	"reflect"
	"strconv"
	"time"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// stmt is a prepared statement. While a result is being read it is busy and
// cannot be executed again.
type stmt struct {
	conn    *conn
	engine  uintptr
	order   []int // which argument each parameter takes
	columns int
	busy    bool
	writes  bool
	args    arena // the strings and octets of the arguments, for the engine
}

func (c *conn) newStmt(query string) (*stmt, error) {
	text, err := libc.CString(query)
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
	s := &stmt{conn: c, engine: *at[uintptr](out), writes: !isSelect(query)}
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
func (s *stmt) bind(args []any) error {
	s.args.clear(s.conn.tls)
	for i, n := range s.order {
		if n >= len(args) {
			return fmt.Errorf("argument $%d is missing", n+1)
		}
		if err := s.bindOne(int32(i+1), args[n]); err != nil {
			return fmt.Errorf("argument $%d: %w", n+1, err)
		}
	}
	return nil
}

func (s *stmt) bindOne(i int32, a any) error {
	switch a := a.(type) {
	case nil:
		return s.conn.failed(sqlite3.Xsqlite3_bind_null(s.conn.tls, s.engine, i))
	case int64:
		return s.bindInt(i, a)
	case int:
		return s.bindInt(i, int64(a))
	case bool:
		if a {
			return s.bindInt(i, 1)
		}
		return s.bindInt(i, 0)
	case string:
		return s.bindString(i, a)
	case []byte:
		return s.bindOctets(i, a)
	case float64:
		return s.conn.failed(sqlite3.Xsqlite3_bind_double(s.conn.tls, s.engine, i, a))
	case time.Time:
		return fmt.Errorf("a time must be stored as an integer")
	}
	return s.bindValue(i, reflect.ValueOf(a))
}

// bindValue is bindOne for types made from the basic ones.
func (s *stmt) bindValue(i int32, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return s.bindInt(i, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return s.bindInt(i, int64(v.Uint()))
	case reflect.String:
		return s.bindString(i, v.String())
	case reflect.Bool:
		return s.bindOne(i, v.Bool())
	case reflect.Float32, reflect.Float64:
		return s.bindOne(i, v.Float())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return s.bindOctets(i, v.Bytes())
		}
	}
	return fmt.Errorf("type %s cannot be stored", v.Type())
}

func (s *stmt) bindInt(i int32, n int64) error {
	return s.conn.failed(sqlite3.Xsqlite3_bind_int64(s.conn.tls, s.engine, i, sqlite3.Tsqlite_int64(n)))
}

func (s *stmt) bindString(i int32, text string) error {
	p, err := s.args.keep(s.conn.tls, unsafe.Slice(unsafe.StringData(text), len(text)))
	if err != nil {
		return err
	}
	return s.conn.failed(sqlite3.Xsqlite3_bind_text(s.conn.tls, s.engine, i, p, int32(len(text)), 0))
}

func (s *stmt) bindOctets(i int32, b []byte) error {
	if b == nil {
		return s.bindOne(i, nil)
	}
	p, err := s.args.keep(s.conn.tls, b)
	if err != nil {
		return err
	}
	return s.conn.failed(sqlite3.Xsqlite3_bind_blob(s.conn.tls, s.engine, i, p, int32(len(b)), 0))
}

// cell is one column of the row that a statement stands on.
type cell struct {
	kind   int32
	n      int64
	f      float64
	octets []byte // of text and octets; the engine's until the next step
}

func (s *stmt) cell(i int) cell {
	tls, col := s.conn.tls, int32(i)
	c := cell{kind: sqlite3.Xsqlite3_column_type(tls, s.engine, col)}
	switch c.kind {
	case sqlite3.SQLITE_INTEGER:
		c.n = int64(sqlite3.Xsqlite3_column_int64(tls, s.engine, col))
	case sqlite3.SQLITE_FLOAT:
		c.f = sqlite3.Xsqlite3_column_double(tls, s.engine, col)
	case sqlite3.SQLITE_TEXT, sqlite3.SQLITE_BLOB:
		p := sqlite3.Xsqlite3_column_blob(tls, s.engine, col)
		if n := sqlite3.Xsqlite3_column_bytes(tls, s.engine, col); n > 0 {
			c.octets = octetsAt(p, int64(n))
		}
	}
	return c
}

// any is the cell as a value of Go.
func (c cell) any() any {
	switch c.kind {
	case sqlite3.SQLITE_INTEGER:
		return c.n
	case sqlite3.SQLITE_FLOAT:
		return c.f
	case sqlite3.SQLITE_TEXT:
		return string(c.octets)
	case sqlite3.SQLITE_BLOB:
		return append([]byte(nil), c.octets...)
	}
	return nil
}
