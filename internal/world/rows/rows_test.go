package rows_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/rows"
	"yubin/internal/world/sqldb"
)

var ctx = context.Background()

// tables have every kind of key and column.
const tables = `
CREATE TABLE numbered (id {id}, n {int}, name {text} NOT NULL, octets {blob});
CREATE TABLE pair (a {text} NOT NULL, b {int} NOT NULL, octets {blob} NOT NULL, PRIMARY KEY (b, a)) {clustered};
CREATE TABLE word (name {text} NOT NULL PRIMARY KEY, n {int});
CREATE TABLE sums (sum {blob} NOT NULL PRIMARY KEY) {clustered};
CREATE TABLE hollow (n {int} NOT NULL PRIMARY KEY);
CREATE UNIQUE INDEX word_n ON word (n)`

func open(t testing.TB) *sqldb.DB {
	t.Helper()
	db := dbtest.Open(t)
	must(t, db.Migrate(ctx, "test", []string{tables}))
	return db
}

// openSQLite is open for what no other database holds.
func openSQLite(t testing.TB) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(ctx, sqldb.Options{Path: filepath.Join(t.TempDir(), "a.db")})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	must(t, db.Migrate(ctx, "test", []string{tables}))
	return db
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// exec runs one statement.
func exec(t testing.TB, db *sqldb.DB, query string, args ...any) {
	t.Helper()
	must(t, db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	}))
}

// fill writes the edges of every kind, and n rows more.
func fill(t testing.TB, db *sqldb.DB, n int) {
	t.Helper()
	must(t, db.Write(ctx, func(tx *sqldb.Tx) error {
		for i, v := range []any{nil, 0, 1, -1, math.MaxInt64, math.MinInt64, 63, 64, -64, -65} {
			_, err := tx.Exec(`INSERT INTO numbered (n, name, octets) VALUES ($1, $2, $3)`, v, strings.Repeat("ü", i*50), bytes.Repeat([]byte{0, 255}, i*100))
			if err != nil {
				return err
			}
		}
		for _, name := range []string{"", "a", "A", "a b", "ä", "\U0001f4ee", "aa", "a\x01"} {
			if _, err := tx.Exec(`INSERT INTO word (name, n) VALUES ($1, NULL)`, name); err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT INTO sums (sum) VALUES ($1)`, []byte(name+"\x00\xff")); err != nil {
				return err
			}
		}
		for i := range n {
			sum := sha256.Sum256(fmt.Append(nil, i))
			if _, err := tx.Exec(`INSERT INTO pair (a, b, octets) VALUES ($1, $2, $3)`, fmt.Sprintf("%x", sum[:6]), i%7-3, bytes.Repeat(sum[:], i%50)); err != nil {
				return err
			}
		}
		return nil
	}))
}

// kept is a table as pieces.
type kept struct {
	pieces [][]byte
	count  rows.Count
}

func read(t testing.TB, db *sqldb.DB) (list []sqldb.Table, all map[string]kept) {
	t.Helper()
	all = map[string]kept{}
	must(t, db.Snapshot(ctx, func(tx *sqldb.Tx) (err error) {
		if list, err = tx.Tables(); err != nil {
			return err
		}
		for _, one := range list {
			var k kept
			c := rows.NewCounter(one)
			err := rows.Pieces(tx, one, nil, func(why string) { t.Error(why) }, func(p rows.Piece) error {
				k.pieces = append(k.pieces, bytes.Clone(p.Octets))
				c.Add(p.Octets, p.Rows)
				return nil
			})
			if err != nil {
				return err
			}
			k.count = c.Count()
			all[one.Name] = k
		}
		return nil
	}))
	return list, all
}

// load fills a database from pieces.
func load(t testing.TB, db *sqldb.DB, list []sqldb.Table, all map[string]kept) {
	t.Helper()
	must(t, db.Write(ctx, func(tx *sqldb.Tx) error {
		for _, one := range list {
			if one.Name == "schema_version" {
				continue
			}
			l := tx.Load(one)
			var after rows.Row
			for _, p := range all[one.Name].pieces {
				if _, err := rows.Each(one, p, &after, l.Add); err != nil {
					return err
				}
			}
			if err := l.End(); err != nil {
				return err
			}
		}
		return nil
	}))
}

// TestRoundTrip: what pieces of one database fill is equal in another, by count, by
// checksum and piece by piece.
func TestRoundTrip(t *testing.T) {
	from := open(t)
	fill(t, from, 3000)
	list, all := read(t, from)
	for _, to := range []*sqldb.DB{open(t), openSQLite(t)} { // Of one kind and another, if there are two.
		load(t, to, list, all)
		_, again := read(t, to)
		same(t, list, all, again)
	}
}

func same(t *testing.T, list []sqldb.Table, all, again map[string]kept) {
	t.Helper()
	for _, one := range list {
		was, is := all[one.Name], again[one.Name]
		if was.count != is.count || !bytes.Equal(bytes.Join(was.pieces, nil), bytes.Join(is.pieces, nil)) || len(was.pieces) != len(is.pieces) {
			t.Errorf("%s: %d rows of %d octets in %d pieces, were %d of %d in %d", one.Name, is.count.Rows, is.count.Octets, len(is.pieces),
				was.count.Rows, was.count.Octets, len(was.pieces))
		}
	}
	if n := len(all["pair"].pieces); n < 10 || n > 200 || len(all["hollow"].pieces) != 0 {
		t.Errorf("%d pieces of %d octets", n, all["pair"].count.Octets)
	}
	for _, p := range all["pair"].pieces {
		if len(p) > rows.MaxPiece+rows.MaxRow {
			t.Errorf("a piece of %d octets", len(p))
		}
	}
}

// TestFewPiecesChange: a row more, a row less or another value in a row makes few
// pieces another.
func TestFewPiecesChange(t *testing.T) {
	db := open(t)
	fill(t, db, 8000)
	_, all := read(t, db)
	before := map[string]bool{}
	for _, p := range all["pair"].pieces {
		before[string(p)] = true
	}
	for _, change := range []string{
		`INSERT INTO pair (a, b, octets) VALUES ('5', -3, $1)`,
		`DELETE FROM pair WHERE b = -1 AND a = (SELECT min(a) FROM pair WHERE b = -1) AND octets <> $1`,
		`UPDATE pair SET octets = $1 WHERE b = 2 AND a = (SELECT max(a) FROM pair WHERE b = 2)`,
	} {
		exec(t, db, change, make([]byte, 900))
		_, all := read(t, db)
		fresh := 0
		for _, p := range all["pair"].pieces {
			if !before[string(p)] {
				fresh++
			}
			before[string(p)] = true
		}
		if fresh == 0 || fresh > 4 {
			t.Errorf("%s: %d pieces of %d are new", change, fresh, len(all["pair"].pieces))
		}
	}
}

// TestFaults: a row that no other database takes is told by name and left out; the
// others are read.
func TestFaults(t *testing.T) {
	db := openSQLite(t)
	for i := range 1100 {
		exec(t, db, `INSERT INTO word (name, n) VALUES ($1, NULL)`, fmt.Sprintf("%04d", i))
	}
	exec(t, db, `UPDATE word SET n = 'text' WHERE name = '0511'`)
	exec(t, db, `UPDATE word SET n = 1.5 WHERE name = '0700'`)
	exec(t, db, `UPDATE word SET name = CAST(X'ff30' AS TEXT) WHERE name = '0800'`)
	var told []string
	var n int
	must(t, db.Read(ctx, func(tx *sqldb.Tx) error {
		list, err := tx.Tables()
		if err != nil {
			return err
		}
		word, _ := rows.Find(list, "word")
		return rows.Scan(tx, word, rows.Range{}, func(why string) { told = append(told, why) }, func(rows.Row) error { n++; return nil })
	}))
	all := strings.Join(told, "\n")
	if n != 1097 || len(told) != 3 || !strings.Contains(all, `the row "0511" of table word was left out: its n is text, not int`) ||
		!strings.Contains(all, `"0700"`) || !strings.Contains(all, `\xff`) {
		t.Errorf("%d rows were read; told:\n%s", n, all)
	}
}

// TestHostilePieces: what is no row of the table, or is not in the order of the
// keys, is refused.
func TestHostilePieces(t *testing.T) {
	db := open(t)
	fill(t, db, 0)
	list, all := read(t, db)
	word, _ := rows.Find(list, "word")
	good := all["word"].pieces[0]
	text := func(s string) sqldb.Value { return sqldb.Value{Kind: sqldb.Text, Octets: []byte(s)} }
	number := func(n int64) sqldb.Value { return sqldb.Value{Kind: sqldb.Int, Int: n} }
	row := func(vs ...sqldb.Value) []byte { return rows.Append(nil, vs) }
	for name, octets := range map[string][]byte{
		"cut short":          good[:len(good)-1],
		"more than rows":     append(bytes.Clone(good), 2),
		"another kind":       row(number(1), number(1)),
		"a key of nothing":   row(sqldb.Value{}, number(1)),
		"text with a NUL":    row(text("a\x00"), number(1)),
		"text of no letters": row(text("\xff"), number(1)),
		"doubled":            append(row(text("a"), number(1)), row(text("a"), number(2))...),
		"out of order":       append(row(text("b"), number(1)), row(text("a"), number(2))...),
		"a long number":      {2, 1, 'a', 1, 0x82, 0},
		"a long length":      {2, 0x81, 0, 'a', 1, 2},
		"a huge length":      {2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 'a', 1, 2},
		"an unknown kind":    {9, 1, 'a', 1, 2},
		"a real":             {2, 1, 'a', 4},
	} {
		var after rows.Row
		if n, err := rows.Each(word, octets, &after, func(rows.Row) error { return nil }); err == nil {
			t.Errorf("%s: taken as %d rows", name, n)
		}
	}
	var after rows.Row
	if n, err := rows.Each(word, good, &after, func(rows.Row) error { return nil }); err != nil || n != 8 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// FuzzRow: what is taken as rows is written again as the same octets.
func FuzzRow(f *testing.F) {
	db := open(f)
	fill(f, db, 20)
	list, all := read(f, db)
	for i, one := range list {
		for _, p := range all[one.Name].pieces {
			f.Add(i, p)
		}
	}
	f.Fuzz(func(t *testing.T, i int, octets []byte) {
		one := list[uint(i)%uint(len(list))]
		var after rows.Row
		var again []byte
		_, err := rows.Each(one, octets, &after, func(row rows.Row) error {
			again = rows.Append(again, row)
			return nil
		})
		if err == nil && !bytes.Equal(octets, again) {
			t.Errorf("%q is written as %q", octets, again)
		}
	})
}

func BenchmarkPieces(b *testing.B) {
	db := open(b)
	fill(b, db, 20000)
	list, all := read(b, db)
	pair, _ := rows.Find(list, "pair")
	b.SetBytes(all["pair"].count.Octets)
	for b.Loop() {
		must(b, db.Snapshot(ctx, func(tx *sqldb.Tx) error {
			_, err := rows.CountTable(tx, pair, func(string) {})
			return err
		}))
	}
}

// BenchmarkLoad adds 2,000 rows of 800 octets in a transaction.
func BenchmarkLoad(b *testing.B) {
	from := open(b)
	fill(b, from, 2000)
	list, all := read(b, from)
	pair, _ := rows.Find(list, "pair")
	to := open(b)
	b.SetBytes(all["pair"].count.Octets)
	for b.Loop() {
		must(b, to.Write(ctx, func(tx *sqldb.Tx) error { return rows.Delete(tx, pair, rows.Range{}) }))
		load(b, to, []sqldb.Table{pair}, all)
	}
}
