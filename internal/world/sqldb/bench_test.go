package sqldb_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// BenchmarkRawCommit is the limit that group commit on this disk sets: one
// insert of 4 KiB per caller and nothing else.
func BenchmarkRawCommit(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			db := openTest(b)
			content := make([]byte, 4096)
			rand.Read(content)
			b.ResetTimer()
			each(callers, b.N, func() {
				err := db.Write(ctx, func(tx *sqldb.Tx) error {
					_, err := tx.Insert(`INSERT INTO content (octets) VALUES ($1)`, content)
					return err
				})
				if err != nil {
					b.Error(err)
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

// openTest opens a database of the kind that is tested, with a table.
func openTest(t testing.TB) *sqldb.DB {
	t.Helper()
	return ready(t, dbtest.Options(t))
}

// openFile is openTest for what is SQLite's own.
func openFile(t testing.TB) *sqldb.DB {
	t.Helper()
	return ready(t, sqldb.Options{Path: filepath.Join(t.TempDir(), "test.db"), CheckLocks: true})
}

func ready(t testing.TB, o sqldb.Options) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	run, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { _ = db.Run(run) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	migrate(t, db)
	return db
}

// each has callers goroutines call fn n times in all.
func each(callers, n int, fn func()) {
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := c; i < n; i += callers {
				fn()
			}
		})
	}
	wg.Wait()
}
