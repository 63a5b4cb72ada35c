package sqldb

import (
	"context"
	"fmt"
	"slices"
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
// key, or a column that is neither {int}, {text} nor {blob}: such rows cannot be
// carried to another database.
func (t *Tx) Tables() (list []Table, err error) {
	rows, err := t.Query(t.on.columns())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var places []int // of the columns of the last table in its key; 0 is none
	end := func() error {
		if len(list) == 0 {
			return nil
		}
		last := &list[len(list)-1]
		for place := 1; slices.Contains(places, place); place++ {
			last.Key = append(last.Key, slices.Index(places, place))
		}
		if places = places[:0]; len(last.Key) == 0 {
			return mail.Errorf(mail.Internal, "table %s has no primary key; give it one, so that its rows have an order", last.Name)
		}
		return nil
	}
	for rows.Next() {
		var table, kind string
		var c Column
		var numbered, required bool
		var place int
		if err := rows.Scan(&table, &numbered, &c.Name, &kind, &required, &place); err != nil {
			return nil, err
		}
		if len(list) == 0 || list[len(list)-1].Name != table {
			if err := end(); err != nil {
				return nil, err
			}
			list = append(list, Table{Name: table, Numbered: numbered})
		}
		if c.Kind = kindOf(kind); c.Kind == Null {
			return nil, mail.Errorf(mail.Internal, "column %s of table %s is of type %s; use {int}, {text} or {blob}, which every database has", c.Name, table, kind)
		}
		c.Optional = !required && place == 0
		last := &list[len(list)-1]
		last.Columns = append(last.Columns, c)
		places = append(places, place)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return list, end()
}

// columns is a query of all columns of all tables, in order: the table, whether its key
// is an {id}, the column, its type, whether it is never NULL, its place in the key.
func (t *sqliteTx) columns() string {
	return `SELECT t.name, t.sql LIKE '%AUTOINCREMENT%', c.name, c.type, c."notnull", c.pk
		FROM sqlite_schema t JOIN pragma_table_info(t.name) c
		WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY t.name, c.cid`
}

// columns tells text that does not compare by its octets as another type.
func (t *postgresTx) columns() string {
	return `SELECT t.relname, bool_or(c.attidentity <> '') OVER (PARTITION BY t.oid), c.attname,
		CASE WHEN c.atttypid = CAST('text' AS regtype) AND o.collname IS DISTINCT FROM 'C' THEN 'text of ' || coalesce(o.collname, 'no collation')
			ELSE CAST(format_type(c.atttypid, c.atttypmod) AS TEXT) END,
		c.attnotnull, CAST(coalesce(array_position(CAST(k.indkey AS INT2[]), c.attnum) + 1, 0) AS BIGINT)
		FROM pg_class t JOIN pg_attribute c ON c.attrelid = t.oid AND c.attnum > 0 AND NOT c.attisdropped
		LEFT JOIN pg_collation o ON o.oid = c.attcollation
		LEFT JOIN pg_index k ON k.indrelid = t.oid AND k.indisprimary
		WHERE t.relkind = 'r' AND t.relnamespace = CAST(current_schema() AS regnamespace)
		ORDER BY t.relname COLLATE "C", c.attnum`
}

// kindOf is the kind of a declared type.
func kindOf(declared string) Kind {
	switch strings.ToLower(declared) {
	case "integer", "bigint":
		return Int
	case "text":
		return Text
	case "blob", "bytea":
		return Octets
	}
	return Null
}

// LastID returns the highest number that the {id} of a table ever gave.
func (t *Tx) LastID(table string) (last int64, err error) {
	err = t.QueryRow(t.on.lastID(), table).Scan(&last)
	if err == ErrNoRows {
		err = nil
	}
	return last, err
}

func (t *sqliteTx) lastID() string { return `SELECT seq FROM sqlite_sequence WHERE name = $1` }

func (t *postgresTx) lastID() string {
	return `SELECT pg_sequence_last_value(CAST(pg_get_serial_sequence($1, 'id') AS regclass))`
}

// SetLastID has the {id} of a table, which has given none in this process, give numbers
// above last from now on.
func (t *Tx) SetLastID(table string, last int64) error {
	if t.broken != nil {
		return t.broken
	}
	return t.on.setLastID(table, last)
}

func (t *sqliteTx) setLastID(table string, last int64) error {
	n, err := t.Exec(`UPDATE sqlite_sequence SET seq = $2 WHERE name = $1`, table, last)
	if err == nil && n == 0 {
		_, err = t.Exec(`INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)`, table, last)
	}
	return err
}

func (t *postgresTx) setLastID(table string, last int64) error {
	return t.QueryRow(`SELECT setval(CAST(pg_get_serial_sequence($1, 'id') AS regclass), greatest($2, CAST(1 AS BIGINT)), $2 > CAST(0 AS BIGINT))`,
		table, last).Scan(new(int64))
}

// Loader adds rows to a table, many of them quickly.
type Loader struct {
	tx    *Tx
	table Table
	one   string // the statement for one row
	many  string // for as many as the database likes
	args  []any  // of rows that are not added yet
}

// Load begins to add rows of all columns of a table.
func (t *Tx) Load(table Table) *Loader {
	return &Loader{tx: t, table: table, one: inserting(table, 1), many: inserting(table, t.on.rowsAtOnce())}
}

// inserting is the statement that adds rows.
func inserting(table Table, rows int) string {
	var names, lines []string
	for _, c := range table.Columns {
		names = append(names, Quoted(c.Name))
	}
	for row := range rows {
		var places []string
		for i := range table.Columns {
			places = append(places, fmt.Sprintf("$%d", row*len(names)+i+1))
		}
		lines = append(lines, "("+strings.Join(places, ", ")+")")
	}
	return fmt.Sprintf(`INSERT INTO %s (%s) VALUES %s`, Quoted(table.Name), strings.Join(names, ", "), strings.Join(lines, ", "))
}

// A statement that adds one row costs SQLite no more than its part of a longer one, but
// a server has to be told of each.
func (t *sqliteTx) rowsAtOnce() int   { return 1 }
func (t *postgresTx) rowsAtOnce() int { return 64 }

// Add adds a row, as Do does. Its octets stay as they are until End.
func (l *Loader) Add(row []Value) error {
	for _, v := range row {
		l.args = append(l.args, v.Arg())
	}
	if len(l.args) == len(row)*l.tx.on.rowsAtOnce() {
		l.tx.Do(l.many, l.args...)
		l.args = l.args[:0]
	}
	return l.tx.broken
}

// End adds the rows that are not added yet.
func (l *Loader) End() error {
	for n := len(l.table.Columns); len(l.args) > 0; l.args = l.args[n:] {
		l.tx.Do(l.one, l.args[:n]...)
	}
	return l.tx.broken
}

// Analyze has the database look at what was loaded into tables: a server that has not
// looked yet finds rows in slow ways.
func (t *Tx) Analyze(tables []Table) error {
	if t.broken != nil || len(tables) == 0 {
		return t.broken
	}
	return t.on.analyze(tables)
}

// analyze does nothing: SQLite finds the same ways without.
func (t *sqliteTx) analyze([]Table) error { return nil }

func (t *postgresTx) analyze(tables []Table) error {
	var names []string
	for _, one := range tables {
		names = append(names, Quoted(one.Name))
	}
	t.unhurried()
	_, err := t.Exec(`ANALYZE ` + strings.Join(names, ", "))
	return err
}

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
