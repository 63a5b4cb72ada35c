package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"yubin/internal/engine/schemas"
	"yubin/internal/mail"
	"yubin/internal/world/depot"
	"yubin/internal/world/rows"
	"yubin/internal/world/sqldb"
)

// loadBatch is how many octets of rows one transaction adds, about.
const loadBatch = 4 << 20

// loader fills an empty database with the tables of a snapshot.
type loader struct {
	ctx   context.Context
	d     *depot.Depot
	db    *sqldb.DB
	wrote func(int64) error // hears of octets that are read

	// lost hears of what is damaged, which is left out: of so many rows of a table,
	// from the row first on, or of all from there on if many is 0. An error of it ends
	// the work.
	lost func(t Table, first, many int64, err error) error
}

// load makes the tables as they were when the snapshot was made, fills them, and
// leaves it to the engines to bring them up to date.
func (l *loader) load(s Snapshot) error {
	if err := schemas.Make(l.ctx, l.db, s.Engines); err != nil {
		return err
	}
	tables, err := tablesOf(l.ctx, l.db)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if t.Name == schemas.Mark {
			continue
		}
		have := slices.IndexFunc(s.Tables, func(have Table) bool { return have.Name == t.Name })
		switch {
		case have < 0:
			return &depot.Damaged{Why: "it has no table " + t.Name}
		case !slices.Equal(s.Tables[have].Columns, columnsOf(t)):
			return mail.Errorf(mail.Conflict, "table %s of the snapshot has other columns than this program's (%s): it was made by another version (%s); use that one",
				t.Name, columnsOf(t), s.Version)
		default:
			if err := l.table(s.Tables[have], t); err != nil {
				return err
			}
		}
	}
	for _, have := range s.Tables {
		if _, known := rows.Find(tables, have.Name); !known {
			return &depot.Damaged{Why: fmt.Sprintf("it has a table %.100q, which is none of ours", have.Name)}
		}
	}
	return l.db.Write(l.ctx, func(tx *sqldb.Tx) error { return tx.Analyze(tables) })
}

func tablesOf(ctx context.Context, db *sqldb.DB) (list []sqldb.Table, err error) {
	err = db.Read(ctx, func(tx *sqldb.Tx) error {
		list, err = schemas.Tables(tx)
		return err
	})
	return list, err
}

// table fills one table. What it holds in the end is what was counted when the
// snapshot was made, or lost heard why not.
func (l *loader) table(have Table, t sqldb.Table) error {
	var buf, batch []byte
	var last, done rows.Row // of what was read, of what was added
	whole, first := true, int64(0)
	count := rows.NewCounter(t)
	lost := func(many int64, err error) error {
		whole = false
		return l.lost(have, first, many, err)
	}
	for p, err := range pieces(l.d, have) {
		if err == nil {
			buf, err = l.piece(p, t, buf, &last)
		}
		if err != nil {
			if err := lost(p.rows, err); err != nil {
				return err
			}
		} else {
			count.Add(buf, int(p.rows))
			batch = append(batch, buf...)
		}
		first += p.rows
		if err := l.wrote(p.octets); err != nil {
			return err
		}
		if len(batch) >= loadBatch {
			if done, err = l.add(t, batch, done); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if _, err := l.add(t, batch, done); err != nil {
		return err
	}
	if c := count.Count(); whole && (c.Rows != have.Rows || c.Octets != have.Octets || c.Sum != have.Sum) {
		first = 0
		err := &depot.Damaged{Why: fmt.Sprintf("table %s has %d rows of %d octets, which are not the %d rows of %d octets that were saved",
			have.Name, c.Rows, c.Octets, have.Rows, have.Octets)}
		if err := lost(0, err); err != nil {
			return err
		}
	}
	return l.number(have, t, last)
}

// piece reads a piece and looks that it is one of t, behind last.
func (l *loader) piece(p piece, t sqldb.Table, buf []byte, last *rows.Row) ([]byte, error) {
	buf, err := l.d.Get(p.hash, buf)
	if err != nil {
		return buf, err
	}
	at := *last
	n, err := rows.Each(t, buf, &at, func(rows.Row) error { return nil })
	if err == nil && (int64(n) != p.rows || int64(len(buf)) != p.octets) {
		err = fmt.Errorf("it has %d rows of %d octets, not %d of %d", n, len(buf), p.rows, p.octets)
	}
	if err != nil {
		return buf, &depot.Damaged{Object: p.hash, Why: err.Error()}
	}
	*last = at
	return buf, nil
}

// add adds rows that piece has looked at.
func (l *loader) add(t sqldb.Table, octets []byte, after rows.Row) (last rows.Row, err error) {
	if len(octets) == 0 {
		return after, nil
	}
	err = l.db.Write(l.ctx, func(tx *sqldb.Tx) error {
		last = after
		in := tx.Load(t)
		if _, err := rows.Each(t, octets, &last, in.Add); err != nil {
			return err
		}
		return in.End()
	})
	if kind := mail.KindOf(err); kind == mail.Exists || kind == mail.Invalid {
		err = &depot.Damaged{Why: fmt.Sprintf("table %s has rows that cannot stand together: %v", t.Name, err)}
	}
	return last, err
}

// number has the table go on numbering where it was.
func (l *loader) number(have Table, t sqldb.Table, last rows.Row) error {
	if !t.Numbered {
		return nil
	}
	id := have.LastID
	if last != nil {
		id = max(id, last[0].Int)
	}
	return l.db.Write(l.ctx, func(tx *sqldb.Tx) error { return tx.SetLastID(t.Name, id) })
}

// strictly has damage end the work.
func strictly(_ Table, _, _ int64, err error) error {
	if bad := (*depot.Damaged)(nil); errors.As(err, &bad) {
		return err
	}
	return &depot.Damaged{Why: err.Error()}
}
