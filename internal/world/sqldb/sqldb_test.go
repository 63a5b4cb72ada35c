package sqldb_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

var ctx = context.Background()

const insert = `INSERT INTO content (octets) VALUES ($1)`

func put(tx *sqldb.Tx, s string) error {
	_, err := tx.Insert(insert, []byte(s))
	return err
}

// contents lists what is committed.
func contents(t *testing.T, db *sqldb.DB) string {
	t.Helper()
	var all []string
	err := db.Read(ctx, func(tx *sqldb.Tx) error {
		rows, err := tx.Query(`SELECT octets FROM content ORDER BY octets`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				return err
			}
			all = append(all, s)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// TestCanceledLeaders cancels waiting writes at random while others write: no
// write may hang and none may be lost.
func TestCanceledLeaders(t *testing.T) {
	db := openTest(t)
	var mu sync.Mutex
	committed := 0
	each(16, 800, func() {
		c, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(cancel)
		err := db.Write(c, func(tx *sqldb.Tx) error { return put(tx, "x") })
		wg.Wait()
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			committed++
		} else if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	if got := len(strings.Fields(contents(t, db))); got != committed {
		t.Errorf("%d rows, %d writes succeeded", got, committed)
	}
}

func TestReadIsASnapshot(t *testing.T) {
	db := openTest(t)
	count := func(tx *sqldb.Tx) (n int) {
		if err := tx.QueryRow(`SELECT count(*) FROM content`).Scan(&n); err != nil {
			t.Error(err)
		}
		return n
	}
	err := db.Read(ctx, func(tx *sqldb.Tx) error {
		before := count(tx)
		if err := db.Write(ctx, func(w *sqldb.Tx) error { return put(w, "new") }); err != nil {
			return err
		}
		if after := count(tx); after != before {
			t.Errorf("%d rows, then %d", before, after)
		}
		_, err := tx.Exec(insert, []byte("x"))
		if err == nil {
			t.Error("a reader could write")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestTypes(t *testing.T) {
	db := openTest(t)
	type word string
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		var u mail.UID
		var m mail.ModSeq
		var w word
		var b []byte
		var yes bool
		var null string
		err := tx.QueryRow(`SELECT $1, $2, $3, CAST($4 AS {blob}), $5, $6`, mail.UID(1<<32-1), mail.ModSeq(1<<40), word("é"), []byte{0, 1}, true, []byte(nil)).
			Scan(&u, &m, &w, &b, &yes, &null)
		if u != 1<<32-1 || m != 1<<40 || w != "é" || string(b) != "\x00\x01" || !yes || null != "" {
			t.Error(u, m, w, b, yes, null)
		}
		if err := tx.QueryRow(`SELECT CAST(1 AS {int}) << 40`).Scan(&u); err == nil {
			t.Error("an overflow passed")
		}
		if err := tx.QueryRow(`SELECT 'x'`).Scan(&u); err == nil {
			t.Error("text passed for a number")
		}
		if err := tx.QueryRow(`SELECT 1, 2`).Scan(&u); err == nil {
			t.Error("a column was dropped")
		}
		if _, err := tx.Exec(insert, struct{}{}); err == nil {
			t.Error("a struct was stored")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestNestedQueries(t *testing.T) {
	db := openTest(t)
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		for _, s := range []string{"a", "b", "c"} {
			if err := put(tx, s); err != nil {
				return err
			}
		}
		const q = `SELECT octets FROM content ORDER BY id`
		outer, err := tx.Query(q)
		if err != nil {
			return err
		}
		var got string
		for outer.Next() {
			var a, b string
			if err := outer.Scan(&a); err != nil {
				return err
			}
			if err := tx.QueryRow(q).Scan(&b); err != nil {
				return err
			}
			got += a + b + " "
		}
		if got != "aa ba ca " {
			t.Errorf("nested %q", got)
		}
		_, err = tx.Query(q) // Left open: the transaction closes it.
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if got := contents(t, db); got != "a b c" {
		t.Errorf("contents %q", got)
	}
}

func TestErrorKinds(t *testing.T) {
	db := openTest(t)
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`INSERT INTO content (id, octets) VALUES (1, 'a'), (1, 'b')`)
		return err
	})
	if mail.KindOf(err) != mail.Exists {
		t.Errorf("duplicate key: %v", err)
	}
	err = db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`INSERT INTO nowhere VALUES (1)`)
		return err
	})
	if mail.KindOf(err) != mail.Internal || strings.Contains(err.Error(), "nowhere") {
		t.Errorf("unknown table: %v", err)
	}
}

func migrate(t testing.TB, db *sqldb.DB) {
	t.Helper()
	if err := db.Migrate(ctx, "test", []string{`CREATE TABLE content (id {id}, octets {blob} NOT NULL) -- one; two`}); err != nil {
		t.Fatal(err)
	}
}

func TestMigrate(t *testing.T) {
	db := openTest(t)
	steps := []string{`CREATE TABLE content (id {id}, octets {blob} NOT NULL)`,
		`ALTER TABLE content ADD COLUMN extra {int}; CREATE TABLE more (a {int} NOT NULL PRIMARY KEY) {clustered}`}
	for range 2 {
		if err := db.Migrate(ctx, "test", steps); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Migrate(ctx, "test", steps[:1]); mail.KindOf(err) != mail.Conflict {
		t.Errorf("an older program: %v", err)
	}
	bad := append(steps, `CREATE TABLE fine (a {int}); CREATE nonsense`)
	if err := db.Migrate(ctx, "test", bad); err == nil {
		t.Error("nonsense passed")
	}
	if err := db.Migrate(ctx, "test", append(steps, `CREATE TABLE fine (a {int})`)); err != nil {
		t.Errorf("after a failed step: %v", err)
	}
}

func TestIntegrity(t *testing.T) {
	db := openTest(t)
	if err := db.Write(ctx, func(tx *sqldb.Tx) error { return put(tx, "x") }); err != nil {
		t.Fatal(err)
	}
	if err := db.Integrity(ctx, func(p string) { t.Error(p) }); err != nil {
		t.Error(err)
	}
}
