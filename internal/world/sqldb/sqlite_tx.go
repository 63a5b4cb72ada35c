package sqldb

import (
	"slices"

	"yubin/internal/mail"
)

// sqliteTx is a transaction on a connection to SQLite.
type sqliteTx struct {
	Tx
	conn   *conn
	asked  []*Answer // of Ask, not used yet
	reads  bool      // it is of a Read
	wrote  bool
	spoilt error // the transaction cannot be committed any more
}

// begin makes the transaction ready for a closure.
func (t *sqliteTx) begin(watched bool) {
	t.on = t
	t.hooks, t.broken, t.order = nil, nil, nil
	t.asked, t.wrote, t.spoilt = nil, false, nil
	if watched {
		t.order = &lockOrder{}
	}
}

// finish closes what the closure left open. If it succeeded, what it asked and
// never used is done first.
func (t *sqliteTx) finish(done bool) {
	if done && t.broken == nil {
		_ = t.answer() // broken has the error.
	}
	t.closeAll()
	clear(t.args[:cap(t.args)]) // Octets of callers do not stay in memory for it.
}

func (t *sqliteTx) exec(query string, args []Value) (int64, error) {
	if err := t.do(query, args); err != nil {
		return 0, err
	}
	return t.conn.changes(), nil
}

func (t *sqliteTx) insert(query string, args []Value) (id int64, inserted bool, err error) {
	if err := t.do(query, args); err != nil || t.conn.changes() == 0 {
		return 0, false, err
	}
	return t.conn.lastID(), true, nil
}

func (t *sqliteTx) do(query string, args []Value) error {
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

func (t *sqliteTx) query(query string, args []Value, _ bool) (result, bool, error) {
	if len(t.asked) > 0 && !isSelect(query) {
		if err := t.answer(); err != nil {
			return nil, false, err
		}
	}
	s, err := t.prepare(query, args)
	if err != nil {
		return nil, false, err
	}
	t.wrote = t.wrote || s.writes
	more, err := s.step()
	if err != nil {
		s.end()
		return nil, false, t.fail(query, err)
	}
	s.busy = true
	return s, more, nil
}

// prepare returns a statement that has its arguments.
func (t *sqliteTx) prepare(query string, args []Value) (*stmt, error) {
	s, err := t.conn.prepare(query)
	if err != nil {
		return nil, t.fail(query, err)
	}
	if err := s.bind(args); err != nil {
		t.conn.release(s)
		return nil, named(query, err)
	}
	if s.lock != 0 && t.order != nil {
		err := t.order.next(s.lock, args[:min(1, len(args))])
		if t.reads {
			err = mail.Errorf(mail.Internal, "a Read locks nothing")
		}
		if err != nil {
			t.conn.release(s)
			return nil, t.fail(query, err)
		}
	}
	return s, nil
}

func (t *sqliteTx) fail(query string, err error) error {
	translated, ok := err.(*mail.Error)
	if !ok {
		translated = translate(err).(*mail.Error)
	}
	if spoils(err) {
		t.spoilt = translated
	}
	return t.breaks(query, translated)
}

// ask runs a change at once, so that what comes after sees it; anything else
// waits until it is used or something is changed.
func (t *sqliteTx) ask(a *Answer) {
	t.asked = append(t.asked, a)
	if !isSelect(a.query) {
		_ = t.answer() // Each of them has its error.
	}
}

func (t *sqliteTx) use(a *Answer) (*Rows, error) {
	if a.from != nil {
		return &Rows{tx: &t.Tx, query: a.query, from: a.from}, nil
	}
	if i := slices.Index(t.asked, a); i == 0 {
		t.asked = t.asked[1:]
	} else if i > 0 {
		t.asked = slices.Delete(t.asked, i, i+1)
	}
	return t.Tx.query(a.query, a.args, false, nil)
}

// answer keeps the results of what was asked, as they are now.
func (t *sqliteTx) answer() error {
	for len(t.asked) > 0 {
		a := t.asked[0]
		t.asked = t.asked[1:]
		rows, err := t.Tx.query(a.query, a.args, false, nil)
		if err == nil {
			a.from, err = keep(rows)
		}
		if err != nil {
			a.err = err
			return err
		}
	}
	return nil
}

// wait has nothing to wait for: one transaction writes at a time.
func (t *sqliteTx) wait(LockWord, []Value) error { return nil }

func (t *sqliteTx) unhurried() {}

// newIDs asks and then writes: RETURNING would make a table in memory for its one row,
// which costs more than both.
func (t *sqliteTx) newIDs(table string, n int) ([]int64, error) {
	var last int64
	err := t.QueryRow(`SELECT seq FROM sqlite_sequence WHERE name = $1`, table).Scan(&last)
	switch last += int64(n); err {
	case nil:
		t.Do(`UPDATE sqlite_sequence SET seq = $2 WHERE name = $1`, table, last)
	case ErrNoRows:
		t.Do(`INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)`, table, last)
	default:
		return nil, err
	}
	if t.broken != nil {
		return nil, t.broken
	}
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = last - int64(n) + 1 + int64(i)
	}
	return ids, nil
}
