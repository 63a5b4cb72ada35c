package sqldb_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// TestAskSeesWhatWasBefore: what is asked sees what was done before it and
// nothing of what is done after it, used at once, later, or never.
func TestAskSeesWhatWasBefore(t *testing.T) {
	db := openTest(t)
	const count = `SELECT count(*) FROM content`
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		none := tx.Ask(count)
		tx.Do(insert, []byte("a"))
		one := tx.Ask(count)
		again := tx.Ask(`SELECT octets FROM content ORDER BY id`)
		id := tx.Ask(`INSERT INTO content (octets) VALUES ($1) RETURNING id`, []byte("b"))
		two := tx.Ask(count)
		tx.Ask(`INSERT INTO content (octets) VALUES ($1) RETURNING id`, []byte("c")) // Never used.
		three := tx.Ask(count)
		tx.Do(insert, []byte("d"))
		var got [5]int64
		for i, a := range []*sqldb.Answer{three, id, none, two, one} {
			if err := a.Scan(&got[i]); err != nil {
				return err
			}
		}
		if got[1] == 0 || got[0] != 3 || got[2] != 0 || got[3] != 2 || got[4] != 1 {
			t.Errorf("three, id, none, two, one: %d", got)
		}
		rows, err := again.Rows()
		if err != nil {
			return err
		}
		var all []string
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				return err
			}
			all = append(all, s)
		}
		if fmt.Sprint(all) != "[a]" {
			t.Errorf("rows %v", all)
		}
		if err := tx.Ask(`SELECT octets FROM content WHERE id = -1`).Scan(new([]byte)); err != sqldb.ErrNoRows {
			t.Errorf("no row: %v", err)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := contents(t, db); got != "a b c d" {
		t.Errorf("contents %q", got)
	}
}

// TestDoFailsLater: the error of Do comes with the next answer, or from Write.
func TestDoFailsLater(t *testing.T) {
	db := openTest(t)
	double := func(tx *sqldb.Tx) { tx.Do(`INSERT INTO content (id, octets) VALUES (1, $1), (1, $1)`, []byte("x")) }
	for name, fn := range map[string]func(*sqldb.Tx) error{
		"commit": func(tx *sqldb.Tx) error { double(tx); return nil },
		"query": func(tx *sqldb.Tx) error {
			double(tx)
			err := tx.QueryRow(`SELECT 1`).Scan(new(int))
			if mail.KindOf(err) != mail.Exists {
				t.Errorf("the next answer: %v", err)
			}
			return nil
		},
		"answer": func(tx *sqldb.Tx) error {
			a := tx.Ask(`SELECT 1`)
			double(tx)
			b := tx.Ask(`SELECT 2`)
			err := b.Scan(new(int))
			if mail.KindOf(err) != mail.Exists {
				t.Errorf("an answer behind it: %v", err)
			}
			if err := a.Scan(new(int)); err != nil {
				t.Errorf("an answer before it: %v", err)
			}
			return nil
		},
		"argument": func(tx *sqldb.Tx) error {
			tx.Do(insert, "a\x00b")
			return nil
		},
	} {
		want := mail.Exists
		if name == "argument" {
			want = mail.Invalid
		}
		hooked := false
		err := db.Write(ctx, func(tx *sqldb.Tx) error {
			tx.OnCommit(func() { hooked = true })
			if err := put(tx, "before"); err != nil {
				return err
			}
			return fn(tx)
		})
		if mail.KindOf(err) != want || hooked || contents(t, db) != "" {
			t.Errorf("%s: error %v, hook %v, contents %q", name, err, hooked, contents(t, db))
		}
	}
}

// TestBrokenIsBroken: after a statement that failed nothing else is done, and
// nothing is committed though the closure passes over the error.
func TestBrokenIsBroken(t *testing.T) {
	db := openTest(t)
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		if err := put(tx, "a"); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO content (id, octets) VALUES (1, $1), (1, $1)`, []byte("x"))
		if mail.KindOf(err) != mail.Exists {
			t.Errorf("twice the same id: %v", err)
		}
		if err := put(tx, "b"); mail.KindOf(err) != mail.Exists {
			t.Errorf("after it: %v", err)
		}
		return nil
	})
	if mail.KindOf(err) != mail.Exists || contents(t, db) != "" {
		t.Errorf("error %v, contents %q", err, contents(t, db))
	}
}

// TestText: what PostgreSQL could not keep is refused everywhere.
func TestText(t *testing.T) {
	db := openTest(t)
	for _, s := range []string{"a\x00b", "\x00", "\xff", "caf\xe9"} {
		err := db.Read(ctx, func(tx *sqldb.Tx) error {
			return tx.QueryRow(`SELECT octets FROM content WHERE octets = $1`, s).Scan(new(string))
		})
		if mail.KindOf(err) != mail.Invalid || !strings.Contains(err.Error(), "$1") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// TestTextComparesAsOctets: {text} has one order everywhere.
func TestTextComparesAsOctets(t *testing.T) {
	db := openTest(t)
	if err := db.Migrate(ctx, "names", []string{`CREATE TABLE names (name {text} NOT NULL PRIMARY KEY) {clustered}`}); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		got = nil
		for _, s := range []string{"é", "b", "a", "B", "_", "a b", "ab", "Z"} {
			tx.Do(`INSERT INTO names (name) VALUES ($1)`, s)
		}
		rows, err := tx.Query(`SELECT name FROM names ORDER BY name`)
		if err != nil {
			return err
		}
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				return err
			}
			got = append(got, s)
		}
		return rows.Err()
	})
	if want := "B|Z|_|a|a b|ab|b|é"; err != nil || strings.Join(got, "|") != want {
		t.Errorf("%v, %v", strings.Join(got, "|"), err)
	}
}

// TestEmptyIsNotNull: text and octets that are empty are so, alone in a row or not,
// read at once or later.
func TestEmptyIsNotNull(t *testing.T) {
	db := openTest(t)
	if err := db.Migrate(ctx, "empty", []string{`CREATE TABLE empty (id {id}, t {text}, o {blob})`}); err != nil {
		t.Fatal(err)
	}
	var got string
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		got = ""
		tx.Do(`INSERT INTO empty (t, o) VALUES ($1, $2)`, "", []byte{})
		tx.Do(`INSERT INTO empty (t, o) VALUES ($1, $2)`, nil, []byte(nil))
		asked := tx.Ask(`SELECT t FROM empty ORDER BY id`)
		for _, column := range []string{"t", "o"} {
			rows, err := tx.Query(`SELECT ` + column + ` FROM empty ORDER BY id`)
			if err != nil {
				return err
			}
			for rows.Next() {
				var v sqldb.Value
				if err := rows.Scan(&v); err != nil {
					return err
				}
				got += fmt.Sprint(v.Kind, len(v.Octets), " ")
			}
		}
		var v sqldb.Value
		if err := asked.Scan(&v); err != nil {
			return err
		}
		got += fmt.Sprint(v.Kind)
		return nil
	})
	if want := "text0 nothing0 blob0 nothing0 text"; err != nil || strings.ReplaceAll(got, " 0", "0") != want {
		t.Errorf("%q, %v", got, err)
	}
}

// TestNewIDs: nothing gets an id twice, whoever gives them.
func TestNewIDs(t *testing.T) {
	db := openTest(t)
	seen := map[int64]bool{}
	take := func(ids ...int64) {
		for _, id := range ids {
			if id < 1 || seen[id] {
				t.Errorf("id %d, after %v", id, seen)
			}
			seen[id] = true
		}
	}
	for n := range 4 {
		err := db.Write(ctx, func(tx *sqldb.Tx) error {
			ids, err := tx.NewIDs("content", n)
			if err != nil {
				return err
			}
			other, err := tx.Insert(insert, []byte("x"))
			if err != nil {
				return err
			}
			if n != 2 { // What was not inserted is not given again either.
				for _, id := range ids {
					tx.Do(`INSERT INTO content (id, octets) VALUES ($1, $2)`, id, []byte("y"))
				}
			}
			if len(ids) != n {
				t.Errorf("%d ids instead of %d", len(ids), n)
			}
			take(append(ids, other)...)
			tx.Do(`DELETE FROM content`)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	bad := errors.New("bad")
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		if _, err := tx.NewIDs("content", 3); err != nil {
			return err
		}
		return bad
	})
	if !errors.Is(err, bad) {
		t.Error(err)
	}
	err = db.Write(ctx, func(tx *sqldb.Tx) error {
		ids, err := tx.NewIDs("content", 2)
		take(ids...)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestLockOrder: with CheckLocks a lock that is taken out of order is an error.
func TestLockOrder(t *testing.T) {
	db := openTest(t)
	row := func(tx *sqldb.Tx, id int64) {
		if err := tx.Ask(`SELECT octets FROM content WHERE id = $1 {lock account}`, id).Scan(new([]byte)); err != nil && err != sqldb.ErrNoRows {
			t.Log(err)
		}
	}
	for name, c := range map[string]struct {
		locks func(*sqldb.Tx)
		wrong string
	}{
		"all": {func(tx *sqldb.Tx) {
			tx.Lock(sqldb.Directory)
			tx.Lock(sqldb.Domain, "a.example")
			row(tx, 9)
			row(tx, 10)
			tx.Lock(sqldb.Item, mail.UID(1))
			tx.Lock(sqldb.Name, "blob", "b")
			tx.Lock(sqldb.Name, "blob", "c")
		}, ""},
		"again":     {func(tx *sqldb.Tx) { row(tx, 9); row(tx, 10); row(tx, 9) }, ""},
		"accounts":  {func(tx *sqldb.Tx) { row(tx, 10); row(tx, 9) }, "account 9 is locked after account 10"},
		"words":     {func(tx *sqldb.Tx) { row(tx, 9); tx.Lock(sqldb.Domain, "a.example") }, "domain a.example is locked after account 9"},
		"directory": {func(tx *sqldb.Tx) { tx.Lock(sqldb.Name, "x"); tx.Lock(sqldb.Directory) }, "directory is locked after name x"},
		"names":     {func(tx *sqldb.Tx) { tx.Lock(sqldb.Name, "x", "b"); tx.Lock(sqldb.Name, "x", "a") }, "name x a is locked after name x b"},
	} {
		err := db.Write(ctx, func(tx *sqldb.Tx) error { c.locks(tx); return nil })
		if c.wrong == "" && err != nil || c.wrong != "" && (mail.KindOf(err) != mail.Internal || !strings.Contains(fmt.Sprint(err, errors.Unwrap(err)), c.wrong)) {
			t.Errorf("%s: %v, %v", name, err, errors.Unwrap(err))
		}
	}
	err := db.Read(ctx, func(tx *sqldb.Tx) error {
		return tx.QueryRow(`SELECT 1 {lock mailbox}`).Scan(new(int))
	})
	if mail.KindOf(err) != mail.Internal {
		t.Errorf("an unknown word: %v", err)
	}
}

// TestIDsSurvive: ids given before a restart are not given after it.
func TestIDsSurvive(t *testing.T) {
	o := dbtest.Options(t)
	var before, after []int64
	for _, ids := range []*[]int64{&before, &after} {
		db, err := sqldb.Open(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		migrate(t, db)
		err = db.Write(ctx, func(tx *sqldb.Tx) (err error) {
			*ids, err = tx.NewIDs("content", 5)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		db.Close()
	}
	if before[4] >= after[0] {
		t.Errorf("%v, then %v", before, after)
	}
}

// TestArgumentsStayOffTheHeap: whoever runs a statement with many numbers, or reads
// a row into as many targets, allocates for the statement alone.
func TestArgumentsStayOffTheHeap(t *testing.T) {
	db := openTest(t)
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		octets := []byte("some octets")
		uid := mail.UID(1 << 20)
		change := testing.AllocsPerRun(100, func() {
			n := int64(uid) + int64(len(octets))
			tx.Do(`UPDATE content SET octets = $1 WHERE id = $2 AND id = $3 AND id = $4 AND id = $5`, octets, n, n+1, uid, n+3)
		})
		read := testing.AllocsPerRun(100, func() {
			var a, b, c, d int64
			if err := tx.QueryRow(`SELECT $1 + 0, $2 + 0, $3 + 0, $4 + 0`, a+1000, b+2000, c+3000, d+4000).Scan(&a, &b, &c, &d); err != nil || d != 4000 {
				t.Errorf("read %d: %v", d, err)
			}
		})
		if !dbtest.OnServer() && (change > 1 || read > 3) {
			t.Errorf("%.0f allocations for a change, %.0f for a row", change, read)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
