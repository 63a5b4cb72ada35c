package sqldb

import (
	"fmt"
	"time"

	"yubin/internal/mail"
)

// Tx is a transaction. It is valid only inside the closure it was given to, in
// that goroutine. Arguments are nil, booleans, integers, floats, strings, byte
// slices and types made from them.
type Tx struct {
	conn   *conn
	open   []*Rows // results not closed yet
	hooks  []func()
	wrote  bool
	failed bool  // a statement did
	spoilt error // the transaction cannot be committed any more
	until  time.Time
	lasts  func() error // of a Snapshot; nil for none
}

// Exec runs a statement and returns how many rows it changed.
func (t *Tx) Exec(query string, args ...any) (int64, error) {
	if err := t.exec(query, args); err != nil {
		return 0, err
	}
	return t.conn.changes(), nil
}

// Insert runs an INSERT into a table with an {id} column and returns the id.
func (t *Tx) Insert(query string, args ...any) (int64, error) {
	if err := t.exec(query, args); err != nil {
		return 0, err
	}
	return t.conn.lastID(), nil
}

// InsertNew is Insert for an INSERT with ON CONFLICT DO NOTHING: inserted says
// whether there was no conflict.
func (t *Tx) InsertNew(query string, args ...any) (id int64, inserted bool, err error) {
	if err := t.exec(query, args); err != nil || t.conn.changes() == 0 {
		return 0, false, err
	}
	return t.conn.lastID(), true, nil
}

func (t *Tx) exec(query string, args []any) error {
	t.wrote = true
	s, err := t.prepare(query, args)
	if err != nil {
		return err
	}
	err = s.run()
	t.conn.release(query, s)
	if err != nil {
		return t.fail(query, err)
	}
	return nil
}

// prepare returns a statement that has its arguments.
func (t *Tx) prepare(query string, args []any) (*stmt, error) {
	s, err := t.conn.prepare(query)
	if err != nil {
		return nil, t.fail(query, err)
	}
	if err := s.bind(args); err != nil {
		t.conn.release(query, s)
		return nil, t.fail(query, mail.Errorf(mail.Internal, "%w", err))
	}
	return s, nil
}

// fail translates err and remembers whether it ends the transaction.
func (t *Tx) fail(query string, err error) error {
	t.failed = true
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
	s, err := t.prepare(query, args)
	if err != nil {
		return nil, err
	}
	t.wrote = t.wrote || s.writes
	more, err := s.step()
	if err != nil {
		s.reset()
		t.conn.release(query, s)
		return nil, t.fail(query, err)
	}
	s.busy = true
	r := &Rows{tx: t, query: query, stmt: s, ahead: more, ended: !more}
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
	ahead  bool // the statement stands on a row that Next has not given yet
	ended  bool // there are no more
	err    error
	closed bool
}

// Next goes to the next row and says whether there is one.
func (r *Rows) Next() bool {
	switch {
	case r.closed:
		return false
	case r.ahead:
		r.ahead = false
		return true
	case !r.ended:
		more, err := r.stmt.step()
		if more {
			return true
		}
		if err != nil {
			r.err = r.tx.fail(r.query, err)
		}
	}
	r.Close()
	return false
}

// Scan copies the columns of the row into dest: pointers to booleans, integers,
// strings, byte slices and types made from them. NULL gives the zero value.
// Byte slices belong to the caller.
func (r *Rows) Scan(dest ...any) error {
	if len(dest) != r.stmt.columns {
		return mail.Errorf(mail.Internal, "%d targets for %d columns of %q", len(dest), r.stmt.columns, r.query)
	}
	for i, d := range dest {
		if err := assign(d, r.stmt.cell(i)); err != nil {
			return &mail.Error{Kind: mail.Internal, Text: "a row of the database cannot be read",
				Err: &Unreadable{Row: "a row of " + r.query, Err: fmt.Errorf("column %d: %w", i+1, err)}}
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
	r.stmt.reset()
	r.tx.conn.release(r.query, r.stmt)
	for i, o := range r.tx.open {
		if o == r {
			r.tx.open = append(r.tx.open[:i], r.tx.open[i+1:]...)
			break
		}
	}
}
