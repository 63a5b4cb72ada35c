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
	args   []Value      // of the statement at hand
	lasts  func() error // of a Snapshot; nil for none
}

// transaction is what each database does for a Tx that is not broken. Who breaks it
// is fail. Arguments are theirs until they return.
type transaction interface {
	exec(query string, args []Value) (changed int64, err error)
	insert(query string, args []Value) (id int64, inserted bool, err error)
	// query stands before the first row if more, else there is none. Of a result
	// that is read for one row only, first is true.
	query(query string, args []Value, first bool) (r result, more bool, err error)
	do(query string, args []Value) error
	ask(a *Answer)
	use(a *Answer) (*Rows, error) // once
	wait(word LockWord, key []Value) error
	newIDs(table string, n int) ([]int64, error)
	columns() string // see Tables
	rowsAtOnce() int // see Load
	analyze(tables []Table) error
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
	values, err := t.values(query, args)
	if err != nil {
		return 0, err
	}
	return t.on.exec(query, values)
}

// usualArgs is enough for the arguments of most statements.
const usualArgs = 12

// values makes values of arguments, for one statement: they are gone with the next.
// So who calls Tx allocates nothing for its arguments.
func (t *Tx) values(query string, args []any) ([]Value, error) {
	if t.args == nil {
		t.args = make([]Value, 0, usualArgs)
	}
	values, err := appendValues(t.args[:0], args)
	t.args = values
	if err != nil {
		return nil, named(query, err)
	}
	return values, nil
}

// Insert runs an INSERT into a table with an {id} column, called id, and returns
// the id of the last row.
func (t *Tx) Insert(query string, args ...any) (int64, error) {
	if t.broken != nil {
		return 0, t.broken
	}
	id, _, err := t.InsertNew(query, args...)
	return id, err
}

// InsertNew is Insert for an INSERT with ON CONFLICT DO NOTHING: inserted says
// whether there was no conflict.
func (t *Tx) InsertNew(query string, args ...any) (id int64, inserted bool, err error) {
	if t.broken != nil {
		return 0, false, t.broken
	}
	values, err := t.values(query, args)
	if err != nil {
		return 0, false, err
	}
	return t.on.insert(query, values)
}

// Do is Exec for who does not ask how many rows are changed. It is done before
// whatever comes after it, and before the commit; its error is told by the next
// thing that is asked of the transaction, or by Write.
func (t *Tx) Do(query string, args ...any) {
	if t.broken != nil {
		return
	}
	values, err := t.values(query, args)
	if err == nil {
		err = t.on.do(query, values)
	}
	if err != nil && t.broken == nil {
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
	values, err := t.values(word.String(), key)
	if err == nil {
		err = t.order.next(word, values)
	}
	if err == nil {
		err = t.on.wait(word, values)
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
func (t *Tx) Query(query string, args ...any) (*Rows, error) {
	values, err := t.values(query, args)
	return t.query(query, values, false, err)
}

// QueryRow runs a query that gives at most one row.
func (t *Tx) QueryRow(query string, args ...any) Row {
	values, err := t.values(query, args)
	rows, err := t.query(query, values, true, err)
	return Row{rows, err}
}

// query is Query, of the first row only if first is true. err is what the arguments
// are refused for.
func (t *Tx) query(query string, args []Value, first bool, err error) (*Rows, error) {
	if t.broken != nil {
		return nil, t.broken
	}
	if err != nil {
		return nil, err
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
	a := &Answer{tx: t, query: query, err: t.broken}
	if a.err == nil {
		if a.args, a.err = appendValues(a.few[:0], args); a.err != nil {
			a.err = named(query, a.err)
		}
	}
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
func named(query string, err error) error {
	e, ours := err.(*mail.Error)
	if !ours || e.Kind != mail.Internal {
		return err
	}
	return &mail.Error{Kind: mail.Internal, Text: e.Text, Err: fmt.Errorf("%w in %q", cause(e), query)}
}

// closeAll closes the results that the closure left open.
func (t *Tx) closeAll() {
	for len(t.open) > 0 {
		t.open[len(t.open)-1].Close()
	}
}
