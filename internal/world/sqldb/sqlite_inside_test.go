//go:build !postgres

package sqldb_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yubin/internal/world/sqldb"
)

// What sqlite_inside.go was written for, and read beside.
const (
	knownSQLite = "v1.61.1"
	knownLibc   = "v1.79.0"
)

// TestInside: what is known of SQLite's inside is of the version that is used, and
// is true there.
func TestInside(t *testing.T) {
	module, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, known := range []string{"modernc.org/sqlite " + knownSQLite, "modernc.org/libc " + knownLibc} {
		if !strings.Contains(string(module), "\t"+known+"\n") {
			t.Errorf("go.mod no longer has %s. Read sqlite_inside.go beside the new version (os_unix.c's unixFile, pcache1.c, how functions are pointed to), then name it here", known)
		}
	}
	db := openFile(t)
	for n := range 20 {
		if layered, cached := sqldb.Inside(db); !layered || !cached {
			t.Fatalf("after %d writes: the WAL goes through the layer: %v, the page cache is found: %v", n, layered, cached)
		}
		if err := db.Write(ctx, func(tx *sqldb.Tx) error { return put(tx, strings.Repeat("x", 10_000*n)) }); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPlainPath: without what is known of the inside everything is the same: what
// Write has returned for is in the files, and no commit leaves pages behind.
func TestPlainPath(t *testing.T) {
	db := ready(t, sqldb.Options{Path: filepath.Join(t.TempDir(), "a.db"), Plain: true, WALPages: 128})
	if layered, cached := sqldb.Inside(db); layered || cached {
		t.Fatalf("the WAL goes through the layer: %v, the page cache is used: %v", layered, cached)
	}
	var want []string
	for i := range 20 {
		text := strings.Repeat(string(rune('a'+i)), 1+i*40_000)
		if err := db.Write(ctx, func(tx *sqldb.Tx) error { return put(tx, text) }); err != nil {
			t.Fatal(err)
		}
		want = append(want, text)
		c := copyOf(t, db.Path())
		if got := contents(t, c); got != strings.Join(want, " ") {
			t.Errorf("after %d writes a copy has %d octets", i+1, len(got))
		}
		c.Close()
	}
	if err := db.Integrity(ctx, func(p string) { t.Error(p) }); err != nil {
		t.Error(err)
	}
}

// TestCacheEndsWithTheFile: whatever was written, deleted and rolled back, no
// commit leaves a page in the cache that is behind the end of the file, though
// trees were balanced by way of a page behind it.
func TestCacheEndsWithTheFile(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "a.db"))
	defer db.Close()
	if err := db.Migrate(ctx, "test", []string{`CREATE TABLE a (k {int} NOT NULL PRIMARY KEY, v {blob}) {clustered};
		CREATE UNIQUE INDEX a_v ON a (v)`}); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	bad := errors.New("bad")
	detours := 0
	for n := range 150 {
		fns := make([]func(*sqldb.Tx) error, 1+random.IntN(3))
		for i := range fns {
			rows, deletes, fails, doubles := random.IntN(60), random.IntN(40) == 0, random.IntN(30) == 0, random.IntN(30) == 0
			seed := random.Uint64()
			fns[i] = func(tx *sqldb.Tx) error {
				r := rand.New(rand.NewPCG(seed, 0))
				for range rows {
					v := make([]byte, r.IntN(1200)+8)
					for k := range 8 {
						v[k] = byte(r.Uint32())
					}
					if _, err := tx.Exec(`INSERT INTO a VALUES ($1, $2)`, r.Int64(), v); err != nil {
						return err
					}
				}
				if deletes {
					if _, err := tx.Exec(`DELETE FROM a WHERE k > $1`, r.Int64()); err != nil {
						return err
					}
				}
				if doubles { // The statement takes back a part of itself.
					if _, err := tx.Exec(`INSERT INTO a SELECT k - 1, v || zeroblob(3000) FROM a UNION ALL SELECT k, v FROM a`); err == nil {
						t.Error("doubled")
					}
				}
				if fails {
					return bad
				}
				detoured, _ := sqldb.Detour(db)
				if detoured {
					detours++
				}
				return nil
			}
		}
		together(t, db, fns...)
		if _, behind := sqldb.Detour(db); len(behind) > 0 {
			t.Fatalf("after commit %d, %d pages are behind the end, the first is %d", n, len(behind), behind[0])
		}
	}
	if detours == 0 {
		t.Error("no tree was balanced by way of the page")
	}
	if err := db.Integrity(ctx, func(p string) { t.Error(p) }); err != nil {
		t.Error(err)
	}
}
