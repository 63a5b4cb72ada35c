package sqldb

import (
	"fmt"
	"time"

	"yubin/internal/mail"
)

// Tx is a transaction. It is valid only inside the closure it was given to, in
// that goroutine. Arguments are nil, booleans, integers, floats, strings, byte
// slices and types made from them; text is UTF-8 without NUL.
//
// When a statement failed, the transaction is over: everything after it gets the
// same error, and Write too, whatever the closure returns. Who wants to know
// whether a row is there asks InsertNew.
type Tx struct {
	conn   *conn
	open   []*Rows   // results not closed yet
	asked  []*Answer // of Ask, not used yet
	hooks  []func()
	wrote  bool
	broken error      // of the first statement that failed
	spoilt error      // the transaction cannot be committed any more
	order  *lockOrder // nil unless Options.CheckLocks
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

// Insert runs an INSERT into a table with an {id} column, called id, and returns
// the id of the last row.
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

// Do is Exec for who does not ask how many rows are changed. It is done before
// whatever comes after it, and before the commit; its error is told by the next
// thing that is asked of the transaction, or by Write. The arguments must not
// be changed until then.
func (t *Tx) Do(query string, args ...any) {
	if err := t.exec(query, args); err != nil && t.broken == nil {
		t.broken = err
	}
}

// Lock waits until no other transaction has locked the same, and keeps it for
// this one until it ends. The parts of key are integers or text. See the package
// comment for what is locked in which order.
func (t *Tx) Lock(word LockWord, key ...any) {
	if err := t.order.next(word, key); err != nil && t.broken == nil {
		t.broken = err
	}
}

// NewIDs returns n ids for rows that are going to be inserted into a table with
// an {id} column, called id. Nothing else ever gets them if the transaction is
// committed.
func (t *Tx) NewIDs(table string, n int) ([]int64, error) {
	var last int64
	err := t.QueryRow(`UPDATE sqlite_sequence SET seq = seq + $2 WHERE name = $1 RETURNING seq`, table, n).Scan(&last)
	if err == ErrNoRows {
		last = int64(n)
		err = t.exec(`INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)`, []any{table, n})
	}
	if err != nil {
		return nil, err
	}
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = last - int64(n) + 1 + int64(i)
	}
	return ids, nil
}

func (t *Tx) exec(query string, args []any) error {
	t.wrote = true
	if err := t.answer(); err != nil {
		return err
	}
	s, err := t.prepare(query, args)
	if err != nil {
		return err
	}
	err = s.run()
	t.conn.release(s)
	if err != nil {
		return t.fail(query, err)
	}
	return nil
}

// prepare returns a statement that has its arguments.
func (t *Tx) prepare(query string, args []any) (*stmt, error) {
	if t.broken != nil {
		return nil, t.broken
	}
	s, err := t.conn.prepare(query)
	if err != nil {
		return nil, t.fail(query, err)
	}
	if err := s.bind(args); err != nil {
		t.conn.release(s)
		return nil, named(query, err)
	}
	if s.lock != 0 && t.order != nil {
		if err := t.order.next(s.lock, args[:min(1, len(args))]); err != nil {
			t.conn.release(s)
			return nil, t.fail(query, err)
		}
	}
	return s, nil
}

// fail translates the err of a statement, after which the transaction is over.
func (t *Tx) fail(query string, err error) error {
	translated, ok := err.(*mail.Error)
	if !ok {
		translated = translate(err).(*mail.Error)
	}
	if spoils(err) {
		t.spoilt = translated
	}
	err = named(query, translated)
	if t.broken == nil {
		t.broken = err
	}
	return err
}

// named tells the log which statement an internal failure was in.
func named(query string, err error) error {
	e := err.(*mail.Error)
	if e.Kind != mail.Internal {
		return e
	}
	return &mail.Error{Kind: mail.Internal, Text: e.Text, Err: fmt.Errorf("%w in %q", cause(e), query)}
}

// Query runs a query. The result must be closed before the closure returns and
// before rows that it may still visit are changed.
func (t *Tx) Query(query string, args ...any) (*Rows, error) {
	if len(t.asked) > 0 && !isSelect(query) {
		if err := t.answer(); err != nil {
			return nil, err
		}
	}
	s, err := t.prepare(query, args)
	if err != nil {
		return nil, err
	}
	t.wrote = t.wrote || s.writes
	more, err := s.step()
	if err != nil {
		s.end()
		return nil, t.fail(query, err)
	}
	s.busy = true
	r := &Rows{tx: t, query: query, from: s, ahead: more, ended: !more}
	t.open = append(t.open, r)
	return r, nil
}

// QueryRow runs a query that gives at most one row.
func (t *Tx) QueryRow(query string, args ...any) Row {
	rows, err := t.Query(query, args...)
	return Row{rows, err}
}

// OnCommit has fn run after the commit and before Write returns. Hooks of one
// transaction run one after the other. On SQLite those of different ones do too,
// in the order of the writes, while nothing else is written; on PostgreSQL they
// run side by side and in any order, and others may have written meanwhile. It
// must be quick and must not use the database. It is forgotten if the transaction
// does not commit.
func (t *Tx) OnCommit(fn func()) { t.hooks = append(t.hooks, fn) }

// begin makes the transaction ready for a closure.
func (t *Tx) begin(watched bool) {
	t.asked, t.hooks, t.wrote, t.broken, t.spoilt, t.order = nil, nil, false, nil, nil, nil
	if watched {
		t.order = &lockOrder{}
	}
}

// finish closes what the closure left open. If it succeeded, what it asked and
// never used is done first.
func (t *Tx) finish(done bool) {
	if done {
		_ = t.answer() // broken has the error.
	}
	for len(t.open) > 0 {
		t.open[len(t.open)-1].Close()
	}
}
