//go:build !postgres

package sqldb_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"yubin/internal/world/sqldb"
)

// TestPlansStay: a query with a join is not planned anew for other arguments.
func TestPlansStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plan.db")
	var db *sqldb.DB
	for range 2 { // The second time the schema is read from the file.
		if db != nil {
			db.Close()
		}
		var err error
		if db, err = sqldb.Open(ctx, sqldb.Options{Path: path}); err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		err = db.Migrate(ctx, "test", []string{`CREATE TABLE a (x {int} NOT NULL, y {int} NOT NULL, PRIMARY KEY (x, y)) {clustered};
			CREATE TABLE b (id {id}, x {int} NOT NULL, r TEXT NOT NULL); CREATE UNIQUE INDEX b_r ON b (x, r) WHERE r <> ''`})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		for i := range 10 {
			rows, err := tx.Query(`SELECT a.y FROM b JOIN a ON a.x = b.x AND a.y = b.id WHERE b.x = $1 AND b.r = $2 AND b.r <> ''`,
				i, fmt.Sprint(i))
			if err != nil {
				return err
			}
			rows.Close()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := sqldb.PlannedAnew(db); n != 0 {
		t.Errorf("planned anew %d times", n)
	}
}

// TestLongArguments: arguments of any length go in and come back, also beside
// each other and again in a statement that had longer ones.
func TestLongArguments(t *testing.T) {
	db := openTest(t)
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		for _, n := range []int{0, 1, 255, 256, 4000, 300_000, 10, 0} {
			a, b := strings.Repeat("a", n), []byte(strings.Repeat("b", 2*n))
			var gotA string
			var gotB []byte
			if err := tx.QueryRow(`SELECT $2, $1`, a, b).Scan(&gotB, &gotA); err != nil {
				return err
			}
			if gotA != a || string(gotB) != string(b) {
				t.Errorf("%d octets came back as %d and %d", n, len(gotA), len(gotB))
			}
		}
		_, err := tx.Exec(`SELECT $2`, 1)
		if err == nil {
			t.Error("an argument was missing and nobody said so")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
