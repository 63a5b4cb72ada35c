package sqldb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"sync"

	"yubin/internal/mail"
)

// postgresTx is a transaction on a connection to PostgreSQL. Its BEGIN travels with
// the first thing that is waited for.
type postgresTx struct {
	Tx
	db   *postgres
	l    *link
	who  *portal // gives the id of a transaction that may write; nil of others
	gone bool    // the connection was lost
	runs bool    // others stood in the way: it can be run again
}

func (p *postgres) newTx(l *link, writes bool) *postgresTx {
	t := &postgresTx{db: p, l: l}
	t.on = t
	if p.o.CheckLocks {
		t.order = &lockOrder{}
	}
	if !writes {
		_ = l.put(snapshotShape, nil, nil, 0)
		return t
	}
	_ = l.put(beginShape, nil, nil, 0)
	t.who = newPortal(l, whoShape)
	_ = l.put(whoShape, nil, t.who, 0)
	return t
}

// put puts a statement that an engine wrote.
func (t *postgresTx) put(k shapeKey, args []Value, p *portal, rows uint32) error {
	s, err := t.l.know(k, args)
	if e, ours := err.(*mail.Error); ours {
		return named(k.query, e)
	} else if err != nil {
		return t.fail(k.query, err)
	}
	if s.lock != 0 {
		if err := t.order.next(s.lock, args[:min(1, len(args))]); err != nil {
			return t.fail(k.query, err)
		}
	}
	if p != nil {
		p.shape = s
	}
	if err := t.l.put(s, args, p, rows); err != nil {
		return named(k.query, t.db.failure(err))
	}
	return nil
}

// flush waits for the answers to all that was put.
func (t *postgresTx) flush(query string) error {
	if err := t.l.flush(); err != nil {
		return t.fail(query, err)
	}
	return nil
}

func (t *postgresTx) exec(query string, args []Value) (int64, error) {
	p := newPortal(t.l, nil)
	p.dropped = true
	err := t.put(shapeKey{query: query}, args, p, 0)
	if err == nil {
		err = t.flush(query)
	}
	return p.changed, err
}

func (t *postgresTx) insert(query string, args []Value) (id int64, inserted bool, err error) {
	p := newPortal(t.l, nil)
	err = t.put(shapeKey{query, true}, args, p, 0)
	if err == nil {
		err = t.flush(query)
	}
	for err == nil {
		more, e := p.step()
		if !more {
			return id, inserted, e
		}
		v, e := p.value(0)
		id, inserted, err = v.Int, true, e
	}
	return 0, false, err
}

func (t *postgresTx) query(query string, args []Value, first bool) (result, bool, error) {
	p := newPortal(t.l, nil)
	rows := uint32(1)
	if !first {
		t.l.portals++
		p.name, rows = "p"+strconv.Itoa(t.l.portals), firstRows
	}
	if err := t.put(shapeKey{query: query}, args, p, rows); err != nil {
		return nil, false, err
	}
	err := t.l.settle()
	if err == nil {
		t.db.trips.Add(1)
		err = t.l.send()
	}
	more := false
	if err == nil {
		more, err = p.step()
	}
	if err != nil {
		return nil, false, t.fail(query, err)
	}
	return p, more, nil
}

// maxUnsent is how many octets of changes travel together at most; more do not wait
// for somebody who asks.
const maxUnsent = 1 << 20

func (t *postgresTx) do(query string, args []Value) error {
	err := t.put(shapeKey{query: query}, args, nil, 0)
	if err == nil && len(t.l.out) > maxUnsent {
		err = t.flush(query)
	}
	return err
}

func (t *postgresTx) ask(a *Answer) {
	p := newPortal(t.l, nil)
	a.from = p
	a.err = t.put(shapeKey{query: a.query}, a.args, p, 0)
	a.args = nil
}

func (t *postgresTx) use(a *Answer) (*Rows, error) {
	p := a.from.(*portal)
	if !p.done {
		err := t.flush(a.query)
		if p.err == nil && !p.done {
			p.err = err
		}
	}
	if p.err != nil {
		return nil, t.fail(a.query, p.err)
	}
	return &Rows{tx: &t.Tx, query: a.query, from: p}, nil
}

func (t *postgresTx) wait(word LockWord, key []Value) error {
	h := fnv.New64a()
	part := func(b []byte) {
		_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b))))
		_, _ = h.Write(b)
	}
	part([]byte(t.db.schema))
	part([]byte(word.String()))
	for _, k := range key {
		part(fmt.Append(nil, plain(k)))
	}
	return t.l.put(lockShape, []Value{{Kind: Int, Int: int64(h.Sum64())}}, nil, 0)
}

// ids are what sequences gave and no row has yet.
type ids struct {
	mu   sync.Mutex
	free map[string][]int64 // by table
}

// idsAhead is how many ids are fetched beyond those that are wanted now. What a
// process does not use is never given again.
const idsAhead = 256

func (i *ids) take(table string, n int) []int64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	have := i.free[table]
	if len(have) < n {
		return nil
	}
	i.free[table] = have[n:]
	return have[:n:n]
}

func (i *ids) add(table string, more []int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.free == nil {
		i.free = map[string][]int64{}
	}
	i.free[table] = append(i.free[table], more...)
}

func (t *postgresTx) unhurried() {
	t.l.patient = true
	if err := t.do(`SET LOCAL statement_timeout = 0`, nil); err != nil && t.broken == nil {
		t.broken = err
	}
}

func (t *postgresTx) newIDs(table string, n int) ([]int64, error) {
	if n == 0 {
		return nil, nil
	}
	if got := t.db.ids.take(table, n); got != nil {
		return got, nil
	}
	rows, err := t.Query(`SELECT nextval(CAST(pg_get_serial_sequence($1, 'id') AS regclass)) FROM generate_series(1, $2)`, table, n+idsAhead)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var got []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		got = append(got, id)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	t.db.ids.add(table, got[n:])
	return got[:n:n], nil
}

// fail translates an error of the link, after which the transaction is over.
func (t *postgresTx) fail(query string, err error) error {
	var l *lost
	var r *refusal
	t.gone = t.gone || errors.As(err, &l)
	if errors.As(err, &r) && r.again() {
		t.runs = true
	}
	var a *inStatement
	if errors.As(err, &a) {
		query = a.query
	}
	return t.breaks(query, t.db.failure(err))
}

// finish sends what was put, and COMMIT behind it. Its id, if it is known, says
// later whether it was committed, should nobody answer.
func (t *postgresTx) finish() (id int64, err error) {
	if t.broken != nil {
		return 0, t.broken
	}
	if !t.who.done {
		if t.l.sent == 0 && len(t.l.owed) == 2 { // BEGIN and who: nothing was done.
			return 0, nil
		}
		if err := t.flush("BEGIN"); err != nil {
			return 0, err
		}
	}
	if more, err := t.who.step(); !more {
		return 0, t.fail("BEGIN", errors.Join(err, errors.New("a transaction without an id")))
	}
	v, err := t.who.value(0)
	if err != nil {
		return 0, t.fail("BEGIN", err)
	}
	p := newPortal(t.l, commitShape)
	_ = t.l.put(commitShape, nil, p, 0)
	if err := t.l.flush(); err != nil {
		return v.Int, t.fail("COMMIT", err)
	}
	if p.undone {
		return v.Int, t.fail("COMMIT", mail.Errorf(mail.Internal, "the database rolled a transaction back"))
	}
	return v.Int, nil
}
