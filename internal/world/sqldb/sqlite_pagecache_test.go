//go:build !postgres

package sqldb_test

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"yubin/internal/world/sqldb"
)

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
