package sqldb_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
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

// BenchmarkDelivery does what a delivery does: it locks and reads a row of each
// account, reads what all share, then writes three rows for each.
func BenchmarkDelivery(b *testing.B) {
	for _, accounts := range []int{1, 20} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			db := openTest(b)
			if err := db.Migrate(ctx, "tally", []string{`CREATE TABLE tally (account {int} NOT NULL PRIMARY KEY, n {int} NOT NULL, size {int} NOT NULL) {clustered};
				CREATE TABLE email (id {id}, account {int} NOT NULL, size {int} NOT NULL)`}); err != nil {
				b.Fatal(err)
			}
			err := db.Write(ctx, func(tx *sqldb.Tx) error {
				for a := range 1000 {
					tx.Do(`INSERT INTO tally (account, n, size) VALUES ($1, 0, 0)`, a)
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			octets := make([]byte, 4096)
			rand.Read(octets)
			var next atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			each(16, b.N, func() {
				first := int(next.Add(1)) * 7 % (1000 - accounts)
				if err := db.Write(ctx, func(tx *sqldb.Tx) error { return deliver(tx, first, accounts, octets) }); err != nil {
					b.Error(err)
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// deliver delivers to so many accounts from first on.
func deliver(tx *sqldb.Tx, first, accounts int, octets []byte) error {
	tallies := make([]*sqldb.Answer, accounts)
	for i := range tallies {
		tallies[i] = tx.Ask(`SELECT n, size FROM tally WHERE account = $1 {lock account}`, first+i)
	}
	counts, sizes := make([]int64, accounts), make([]int64, accounts)
	for i, t := range tallies {
		if err := t.Scan(&counts[i], &sizes[i]); err != nil {
			return err
		}
	}
	ids, err := tx.NewIDs("email", accounts)
	if err != nil {
		return err
	}
	known := tx.Ask(`SELECT count(*) FROM content WHERE id = $1`, ids[0])
	if err := known.Scan(new(int)); err != nil {
		return err
	}
	tx.Do(insert, octets)
	for i := range counts {
		tx.Do(`INSERT INTO email (id, account, size) VALUES ($1, $2, $3)`, ids[i], first+i, len(octets))
		tx.Do(`UPDATE tally SET n = $2, size = $3 WHERE account = $1`, first+i, counts[i]+1, sizes[i]+int64(len(octets)))
	}
	return nil
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
