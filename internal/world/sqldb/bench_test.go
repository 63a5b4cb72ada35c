package sqldb_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"

	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// BenchmarkReadRow reads one row in a Read of its own.
func BenchmarkReadRow(b *testing.B) {
	db := openTest(b)
	var id int64
	err := db.Write(ctx, func(tx *sqldb.Tx) (err error) {
		id, err = tx.Insert(insert, []byte("hello"))
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		err := db.Read(ctx, func(tx *sqldb.Tx) error {
			var octets sqldb.Borrowed
			return tx.QueryRow(`SELECT octets FROM content WHERE id = $1`, id).Scan(&octets)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadRows reads ten thousand rows in one query.
func BenchmarkReadRows(b *testing.B) {
	db := openTest(b)
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		for range 10_000 {
			tx.Do(insert, []byte("hello"))
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		err := db.Read(ctx, func(tx *sqldb.Tx) error {
			rows, err := tx.Query(`SELECT id, octets FROM content`)
			if err != nil {
				return err
			}
			for rows.Next() {
				var id int64
				var octets sqldb.Borrowed
				if err := rows.Scan(&id, &octets); err != nil {
					return err
				}
			}
			return rows.Err()
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRawCommit is the limit that group commit on this disk sets: one
// insert of 4 KiB per caller and nothing else.
func BenchmarkRawCommit(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			db := openTest(b)
			content := make([]byte, 4096)
			rand.Read(content)
			b.ReportAllocs()
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
