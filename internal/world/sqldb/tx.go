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
	on     transaction
	open   []*Rows // results not closed yet
	hooks  []func()
	broken error        // of the first statement that failed
	order  *lockOrder   // nil unless Options.CheckLocks
	until  time.Time    // see Enough
	lasts  func() error // of a Snapshot; nil for none
}

// transaction is what each database does for a Tx that is not broken. Who breaks it
// is fail.
type transaction interface {
	exec(query string, args []any) (changed int64, err error)
	insert(query string, args []any) (id int64, inserted bool, err error)
	// query stands before the first row if more, else there is none. Of a result
	// that is read for one row only, first is true.
	query(query string, args []any, first bool) (r result, more bool, err error)
	do(query string, args []any) error
	ask(a *Answer)
	use(a *Answer) (*Rows, error) // once
	wait(word LockWord, key []any) error
	newIDs(table string, n int) ([]int64, error)
	columns() string // see Tables
	rowsAtOnce() int // see Load
	lastID() string
	setLastID(table string, last int64) error
	unhurried()                         // statements may take long from now on
	fail(query string, err error) error // of a result; translates it
}

// Exec runs a statement and returns how many rows it changed.
func (t *Tx) Exec(query string, args ...any) (int64, error) {
	if t.broken != nil {
		return 0, t.broken
	}
	return t.on.exec(query, args)
}

// Insert runs an INSERT into a table with an {id} column, called id, and returns
// the id of the last row.
func (t *Tx) Insert(query string, args ...any) (int64, error) {
	if t.broken != nil {
		return 0, t.broken
	}
	id, _, err := t.on.insert(query, args)
	return id, err
}

// InsertNew is Insert for an INSERT with ON CONFLICT DO NOTHING: inserted says
// whether there was no conflict.
func (t *Tx) InsertNew(query string, args ...any) (id int64, inserted bool, err error) {
	if t.broken != nil {
		return 0, false, t.broken
	}
	return t.on.insert(query, args)
}

// Do is Exec for who does not ask how many rows are changed. It is done before
// whatever comes after it, and before the commit; its error is told by the next
// thing that is asked of the transaction, or by Write.
func (t *Tx) Do(query string, args ...any) {
	if t.broken != nil {
		return
	}
	if err := t.on.do(query, args); err != nil && t.broken == nil {
		t.broken = err
	}
}

// Lock waits until no other transaction has locked the same, and keeps it for
// this one until it ends. The parts of key are integers or text. It travels as Do
// does. See the package comment for what is locked in which order.
func (t *Tx) Lock(word LockWord, key ...any) {
	if t.broken != nil {
		return
	}
	err := t.order.next(word, key)
	if err == nil {
		err = t.on.wait(word, key)
	}
	if err != nil && t.broken == nil {
		t.broken = err
	}
}

// NewIDs returns n ids for rows that are going to be inserted into a table with
// an {id} column, called id. Nothing else ever gets them if the transaction is
// committed.
func (t *Tx) NewIDs(table string, n int) ([]int64, error) {
	if t.broken != nil {
		return nil, t.broken
	}
	return t.on.newIDs(table, n)
}

// Query runs a query. The result must be closed before the closure returns and
// before rows that it may still visit are changed.
func (t *Tx) Query(query string, args ...any) (*Rows, error) { return t.query(query, args, false) }

// QueryRow runs a query that gives at most one row.
func (t *Tx) QueryRow(query string, args ...any) Row {
	rows, err := t.query(query, args, true)
	return Row{rows, err}
}

func (t *Tx) query(query string, args []any, first bool) (*Rows, error) {
	if t.broken != nil {
		return nil, t.broken
	}
	from, more, err := t.on.query(query, args, first)
	if err != nil {
		return nil, err
	}
	r := &Rows{tx: t, query: query, from: from, ahead: more, ended: !more}
	t.open = append(t.open, r)
	return r, nil
}

// Ask is Query for a result that is used later: statements that are asked one
// after another travel to the database together when the first of them is used.
// Each sees what the transaction did before it and nothing of what it does after
// it. The whole result is kept in memory. The arguments must not be changed
// before it is used or something is changed.
func (t *Tx) Ask(query string, args ...any) *Answer {
	a := &Answer{tx: t, query: query, args: args, err: t.broken}
	if a.err == nil {
		t.on.ask(a)
	}
	return a
}

// OnCommit has fn run after the commit and before Write returns. Hooks of one
// transaction run one after the other. On SQLite those of different ones do too,
// in the order of the writes, while nothing else is written; on PostgreSQL they
// run side by side and in any order, and others may have written meanwhile. It
// must be quick and must not use the database. It is forgotten if the transaction
// does not commit.
func (t *Tx) OnCommit(fn func()) { t.hooks = append(t.hooks, fn) }

// breaks makes err the error of everything that comes.
func (t *Tx) breaks(query string, err *mail.Error) error {
	named := named(query, err)
	if t.broken == nil {
		t.broken = named
	}
	return named
}

// named tells the log which statement an internal failure was in.
func named(query string, e *mail.Error) error {
	if e.Kind != mail.Internal {
		return e
	}
	return &mail.Error{Kind: mail.Internal, Text: e.Text, Err: fmt.Errorf("%w in %q", cause(e), query)}
}

// closeAll closes the results that the closure left open.
func (t *Tx) closeAll() {
	for len(t.open) > 0 {
		t.open[len(t.open)-1].Close()
	}
}
