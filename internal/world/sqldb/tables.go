package sqldb

import (
	"context"
	"fmt"
	"strings"

	"yubin/internal/mail"
)

// Kind is what a value of the database is.
type Kind uint8

// The kinds. Every database has them; Real is in none of our tables, but a damaged
// row may have one.
const (
	Null Kind = iota
	Int
	Text
	Octets
	Real
)

func (k Kind) String() string {
	return [...]string{"nothing", "int", "text", "blob", "real"}[min(k, Real)]
}

// Value is an argument as the databases take it, or a column as they give it. It is
// a target of Rows.Scan for a column of any kind; its octets, of text too, are then
// the database's, not to be changed, and gone with the next row.
type Value struct {
	Kind   Kind
	Int    int64
	Real   float64
	Octets []byte
}

// Arg is the value as an argument of a statement.
func (v Value) Arg() any {
	switch v.Kind {
	case Int:
		return v.Int
	case Real:
		return v.Real
	case Text:
		return string(v.Octets)
	case Octets:
		if v.Octets == nil {
			return []byte{}
		}
		return v.Octets
	}
	return nil
}

// Schema is the tables of one engine: the steps that Migrate takes.
type Schema struct {
	Engine string
	Steps  []string
}

// Column is a column of a Table.
type Column struct {
	Name     string
	Kind     Kind
	Optional bool // may be NULL
}

// Table is a table as the database itself describes it: the same in every
// database that Migrate made.
type Table struct {
	Name     string
	Columns  []Column
	Key      []int // which columns are the primary key, in its order; never none
	Numbered bool  // the key is an {id}
}

// VersionTable is the table of Migrate itself, which says which version the tables of
// each engine have.
const VersionTable = "schema_version"

// Versions returns the version of the tables of each engine.
func (t *Tx) Versions() (map[string]int, error) {
	rows, err := t.Query(`SELECT engine, version FROM schema_version`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]int{}
	for rows.Next() {
		var engine string
		var version int
		if err := rows.Scan(&engine, &version); err != nil {
			return nil, err
		}
		all[engine] = version
	}
	return all, rows.Err()
}

// Drop removes the tables of an engine, as far as they are there.
func (t *Tx) Drop(engine string, tables ...string) error {
	for _, name := range tables {
		if _, err := t.Exec(`DROP TABLE IF EXISTS ` + Quoted(name)); err != nil {
			return err
		}
	}
	_, err := t.Exec(`DELETE FROM schema_version WHERE engine = $1`, engine)
	return err
}

// Tables describes all tables, by name. It is of kind Internal if one has no primary
// key, or a column that is neither {int}, TEXT nor {blob}: such rows cannot be
// carried to another database.
func (t *Tx) Tables() (list []Table, err error) {
	rows, err := t.Query(`SELECT name, sql LIKE '%AUTOINCREMENT%' FROM sqlite_schema
		WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var one Table
		if err := rows.Scan(&one.Name, &one.Numbered); err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for i := range list {
		if err := t.describe(&list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// describe reads the columns of a table.
func (t *Tx) describe(one *Table) error {
	rows, err := t.Query(`SELECT name, type, "notnull", pk FROM pragma_table_info($1) ORDER BY cid`, one.Name)
	if err != nil {
		return err
	}
	defer rows.Close()
	key := map[int]int{} // which column has which place in the key
	for rows.Next() {
		var c Column
		var kind string
		var required bool
		var place int
		if err := rows.Scan(&c.Name, &kind, &required, &place); err != nil {
			return err
		}
		if c.Kind = kindOf(kind); c.Kind == Null {
			return mail.Errorf(mail.Internal, "column %s of table %s is of type %s; use {int}, TEXT or {blob}, which every database has", c.Name, one.Name, kind)
		}
		c.Optional = !required && place == 0
		if place > 0 {
			key[place] = len(one.Columns)
		}
		one.Columns = append(one.Columns, c)
	}
	for place := 1; place <= len(key); place++ {
		one.Key = append(one.Key, key[place])
	}
	if len(key) == 0 {
		return mail.Errorf(mail.Internal, "table %s has no primary key; give it one, so that its rows have an order", one.Name)
	}
	return rows.Err()
}

// kindOf is the kind of a declared type.
func kindOf(declared string) Kind {
	switch strings.ToUpper(declared) {
	case "INTEGER":
		return Int
	case "TEXT":
		return Text
	case "BLOB":
		return Octets
	}
	return Null
}

// LastID returns the highest number that the {id} of a table ever gave.
func (t *Tx) LastID(table string) (last int64, err error) {
	err = t.QueryRow(`SELECT seq FROM sqlite_sequence WHERE name = $1`, table).Scan(&last)
	if err == ErrNoRows {
		err = nil
	}
	return last, err
}

// SetLastID has the {id} of a table give numbers above last from now on.
func (t *Tx) SetLastID(table string, last int64) error {
	n, err := t.Exec(`UPDATE sqlite_sequence SET seq = $2 WHERE name = $1`, table, last)
	if err == nil && n == 0 {
		_, err = t.Exec(`INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)`, table, last)
	}
	return err
}

// Loader adds rows to a table, many of them quickly.
type Loader struct {
	tx    *Tx
	query string
	args  []any
}

// Load begins to add rows of all columns of a table.
func (t *Tx) Load(table Table) *Loader {
	var names, places []string
	for i, c := range table.Columns {
		names = append(names, Quoted(c.Name))
		places = append(places, fmt.Sprintf("$%d", i+1))
	}
	return &Loader{tx: t, args: make([]any, len(names)), query: fmt.Sprintf(`INSERT INTO %s (%s) VALUES (%s)`,
		Quoted(table.Name), strings.Join(names, ", "), strings.Join(places, ", "))}
}

// Add adds a row. Its octets are not kept.
func (l *Loader) Add(row []Value) error {
	for i, v := range row {
		l.args[i] = v.Arg()
	}
	_, err := l.tx.Exec(l.query, l.args...)
	return err
}

// End adds what Add has not yet.
func (l *Loader) End() error { return nil }

// Quoted is the name of a table or column as it stands in a statement.
func Quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Snapshot is Read for who reads everything and needs long for it: a backup.
// Writers go on meanwhile and do not wait for it; on SQLite, what they write stays
// in the WAL, which grows. fn asks Tx.Lasts from time to time.
func (db *DB) Snapshot(ctx context.Context, fn func(*Tx) error) error {
	return db.on.read(ctx, func(tx *Tx) error {
		if err := tx.QueryRow(`SELECT count(*) FROM schema_version`).Scan(new(int)); err != nil {
			return err // The first read fixes the moment.
		}
		return fn(tx)
	}, true)
}

// Lasts says that a Snapshot can still be read: of kind Unavailable if the database
// closes, or if more was written meanwhile than SQLite's WAL should hold.
func (t *Tx) Lasts() error {
	if t.lasts == nil {
		return nil
	}
	return t.lasts()
}
