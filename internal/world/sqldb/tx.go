package sqldb

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"reflect"
	"time"

	"yubin/internal/mail"
)

// Tx is a transaction. It is valid only inside the closure it was given to, in
// that goroutine. Arguments are nil, booleans, integers, floats, strings, byte
// slices and types made from them.
type Tx struct {
	conn   *conn
	args   []driver.NamedValue
	open   []*Rows // results not closed yet
	hooks  []func()
	wrote  bool
	spoilt error // the transaction cannot be committed any more
}

// Exec runs a statement and returns how many rows it changed.
func (t *Tx) Exec(query string, args ...any) (int64, error) {
	res, err := t.exec(query, args)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return n, translate(err)
}

// Insert runs an INSERT into a table with an {id} column and returns the id.
func (t *Tx) Insert(query string, args ...any) (int64, error) {
	res, err := t.exec(query, args)
	if err != nil {
		return 0, err
	}
	id, err := res.LastInsertId()
	return id, translate(err)
}

// InsertNew is Insert for an INSERT with ON CONFLICT DO NOTHING: inserted says
// whether there was no conflict.
func (t *Tx) InsertNew(query string, args ...any) (id int64, inserted bool, err error) {
	res, err := t.exec(query, args)
	if err != nil {
		return 0, false, err
	}
	n, err := res.RowsAffected()
	if err != nil || n == 0 {
		return 0, false, translate(err)
	}
	id, err = res.LastInsertId()
	return id, true, translate(err)
}

func (t *Tx) exec(query string, args []any) (driver.Result, error) {
	t.wrote = true
	s, err := t.conn.prepare(query)
	if err != nil {
		return nil, t.fail(query, err)
	}
	values, err := t.bind(args)
	if err != nil {
		return nil, t.fail(query, err)
	}
	res, err := s.driver.ExecContext(context.Background(), values)
	t.conn.release(query, s)
	if err != nil {
		return nil, t.fail(query, err)
	}
	return res, nil
}

// fail translates err and remembers whether it ends the transaction.
func (t *Tx) fail(query string, err error) error {
	translated, ok := err.(*mail.Error)
	if !ok {
		translated = translate(err).(*mail.Error)
	}
	if spoils(err) {
		t.spoilt = translated
	}
	if translated.Kind == mail.Internal {
		translated = &mail.Error{Kind: mail.Internal, Text: translated.Text, Err: fmt.Errorf("%w in %q", cause(translated), query)}
	}
	return translated
}

// Query runs a query. The result must be closed before the closure returns and
// before rows that it may still visit are changed.
func (t *Tx) Query(query string, args ...any) (*Rows, error) {
	s, err := t.conn.prepare(query)
	if err != nil {
		return nil, t.fail(query, err)
	}
	t.wrote = t.wrote || s.writes
	values, err := t.bind(args)
	if err != nil {
		return nil, t.fail(query, err)
	}
	rows, err := s.driver.QueryContext(context.Background(), values)
	if err != nil {
		t.conn.release(query, s)
		return nil, t.fail(query, err)
	}
	s.busy = true
	r := &Rows{tx: t, query: query, stmt: s, driver: rows, values: make([]driver.Value, len(rows.Columns()))}
	t.open = append(t.open, r)
	return r, nil
}

// Row is the first row of a query.
type Row struct {
	rows *Rows
	err  error
}

// QueryRow runs a query that gives at most one row.
func (t *Tx) QueryRow(query string, args ...any) Row {
	rows, err := t.Query(query, args...)
	return Row{rows, err}
}

// Scan copies the row into dest, or returns ErrNoRows.
func (r Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return ErrNoRows
	}
	return r.rows.Scan(dest...)
}

// OnCommit has fn run after the commit and before Write returns, in the order
// of the writes, while nothing else is written. It must be quick and must not
// use the database. It is forgotten if the transaction does not commit.
func (t *Tx) OnCommit(fn func()) { t.hooks = append(t.hooks, fn) }

// finish closes what the closure left open.
func (t *Tx) finish() {
	for len(t.open) > 0 {
		t.open[len(t.open)-1].Close()
	}
}

// Rows is the result of a query.
type Rows struct {
	tx     *Tx
	query  string
	stmt   *stmt
	driver driver.Rows
	values []driver.Value
	err    error
	closed bool
}

// Next goes to the next row and says whether there is one.
func (r *Rows) Next() bool {
	if r.err != nil || r.closed {
		return false
	}
	err := r.driver.Next(r.values)
	if err == io.EOF {
		r.Close()
		return false
	}
	if err != nil {
		r.err = r.tx.fail(r.query, err)
		r.Close()
		return false
	}
	return true
}

// Scan copies the columns of the row into dest: pointers to booleans, integers,
// strings, byte slices and types made from them. NULL gives the zero value.
// Byte slices belong to the caller.
func (r *Rows) Scan(dest ...any) error {
	if len(dest) != len(r.values) {
		return mail.Errorf(mail.Internal, "%d targets for %d columns of %q", len(dest), len(r.values), r.query)
	}
	for i, d := range dest {
		if err := assign(d, r.values[i]); err != nil {
			return mail.Errorf(mail.Internal, "column %d of %q: %w", i+1, r.query, err)
		}
	}
	return nil
}

// Err returns what ended the iteration early, if anything did.
func (r *Rows) Err() error { return r.err }

// Close ends the query. It can be called more than once.
func (r *Rows) Close() {
	if r.closed {
		return
	}
	r.closed = true
	if err := r.driver.Close(); err != nil && r.err == nil {
		r.err = r.tx.fail(r.query, err)
	}
	r.tx.conn.release(r.query, r.stmt)
	for i, o := range r.tx.open {
		if o == r {
			r.tx.open = append(r.tx.open[:i], r.tx.open[i+1:]...)
			break
		}
	}
}

// bind converts args for the driver. The result is valid until the next call.
func (t *Tx) bind(args []any) ([]driver.NamedValue, error) {
	t.args = t.args[:0]
	for i, a := range args {
		v, err := value(a)
		if err != nil {
			return nil, mail.Errorf(mail.Internal, "argument $%d: %w", i+1, err)
		}
		t.args = append(t.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return t.args, nil
}

func value(a any) (driver.Value, error) {
	switch a := a.(type) {
	case nil, int64, string, bool, float64:
		return a, nil
	case int:
		return int64(a), nil
	case []byte:
		if a == nil {
			return nil, nil
		}
		return a, nil
	case time.Time:
		return nil, fmt.Errorf("a time must be stored as an integer")
	}
	return valueOf(reflect.ValueOf(a))
}

// valueOf is value for types made from the basic ones.
func valueOf(v reflect.Value) (driver.Value, error) {
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return int64(v.Uint()), nil
	case reflect.String:
		return v.String(), nil
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.Float32, reflect.Float64:
		return v.Float(), nil
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return value(v.Bytes())
		}
	}
	return nil, fmt.Errorf("type %s cannot be stored", v.Type())
}
