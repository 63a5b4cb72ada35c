package sqldb

import (
	"fmt"

	"yubin/internal/mail"
)

// Row is the first row of a query.
type Row struct {
	rows *Rows
	err  error
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

// Rows is the result of a query.
type Rows struct {
	tx     *Tx
	query  string
	from   result
	ahead  bool // from stands on a row that Next has not given yet
	ended  bool // there are no more
	err    error
	closed bool
}

// result is where rows come from.
type result interface {
	step() (bool, error) // to the next row, if there is one
	width() int
	value(column int) (Value, error)
	end()
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
		more, err := r.from.step()
		if more {
			return true
		}
		if err != nil {
			r.err = r.tx.on.fail(r.query, err)
		}
	}
	r.Close()
	return false
}

// Scan copies the columns of the row into dest: pointers to booleans, integers,
// strings, byte slices and types made from them. NULL gives the zero value.
// Byte slices belong to the caller.
func (r *Rows) Scan(dest ...any) error {
	if len(dest) != r.from.width() {
		return mail.Errorf(mail.Internal, "%d targets for %d columns of %q", len(dest), r.from.width(), r.query)
	}
	for i, d := range dest {
		v, err := r.from.value(i)
		if err == nil {
			err = assign(d, v)
		}
		if err != nil {
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
	r.from.end()
	for i, o := range r.tx.open {
		if o == r {
			r.tx.open = append(r.tx.open[:i], r.tx.open[i+1:]...)
			break
		}
	}
}

// Answer is what a statement of Tx.Ask gives.
type Answer struct {
	tx    *Tx
	query string
	args  []Value
	few   [3]Value // of args, if there are no more
	from  result   // is or will be there without asking; nil for none
	used  bool
	err   error
}

// Rows is the result. It can be asked for once.
func (a *Answer) Rows() (*Rows, error) {
	if a.used {
		return nil, mail.Errorf(mail.Internal, "the answer to %q was used", a.query)
	}
	a.used = true
	if a.err == nil && a.from == nil {
		a.err = a.tx.broken
	}
	if a.err != nil {
		return nil, a.err
	}
	return a.tx.on.use(a)
}

// Scan copies the first row into dest, or returns ErrNoRows. It can be asked for
// once.
func (a *Answer) Scan(dest ...any) error {
	rows, err := a.Rows()
	return Row{rows, err}.Scan(dest...)
}

// kept are the rows of a result that was read to its end.
type kept struct {
	columns int
	values  []Value // of all rows, one after another
	row     int     // the current one, counted from 1
}

// keep reads a result to its end.
func keep(r *Rows) (*kept, error) {
	k := &kept{columns: r.from.width()}
	for r.Next() {
		for i := range k.columns {
			v, err := r.from.value(i)
			if err != nil {
				return nil, err
			}
			v.Octets = append([]byte(nil), v.Octets...)
			k.values = append(k.values, v)
		}
	}
	return k, r.err
}

func (k *kept) step() (bool, error) {
	k.row++
	return k.row*k.columns <= len(k.values), nil
}

func (k *kept) width() int { return k.columns }

func (k *kept) value(column int) (Value, error) {
	return k.values[(k.row-1)*k.columns+column], nil
}

func (k *kept) end() {}
