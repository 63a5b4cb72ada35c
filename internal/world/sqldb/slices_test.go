//go:build !postgres

package sqldb_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"yubin/internal/world/sqldb"
)

func openSlices(t *testing.T, slice time.Duration) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(ctx, sqldb.Options{Path: filepath.Join(t.TempDir(), "s.db"), Slice: slice, CheckLocks: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Migrate(ctx, "test", []string{`CREATE TABLE content (id {id}, octets {blob} NOT NULL)`}); err != nil {
		t.Fatal(err)
	}
	return db
}

// TestSlicesLetOthersIn: three long operations run side by side, and somebody
// else writes during each slice of theirs. That write is in the very next batch,
// or behind one slice if nobody had a slice before.
func TestSlicesLetOthersIn(t *testing.T) {
	db := openSlices(t, time.Nanosecond)
	const operations, slices = 3, 20
	var wg sync.WaitGroup
	var ran, late, others int // touched by closures alone
	long := func() {
		op := db.Slices()
		for n := range slices {
			err := op.Write(ctx, func(tx *sqldb.Tx) error {
				may := ran + 1
				if n > 0 {
					ran++
					may = ran
				}
				before := sqldb.Waiting(db)
				wg.Go(func() {
					_ = db.Write(ctx, func(tx *sqldb.Tx) error {
						others++
						if ran > may {
							late++
						}
						return put(tx, "other")
					})
				})
				for sqldb.Waiting(db) == before {
				}
				return put(tx, "slice")
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
	for range operations {
		wg.Go(long)
	}
	wg.Wait()
	if late > 0 || others != operations*slices {
		t.Errorf("%d of %d writes waited for a slice too many", late, others)
	}
}

// TestLongSlicesGoLast: what waits goes before the first slice of an operation that
// is known to be long, though it came later; two of those do not run in one batch.
func TestLongSlicesGoLast(t *testing.T) {
	db := openSlices(t, time.Hour)
	var order []string
	var wg sync.WaitGroup
	start := func(name string, write func(context.Context, func(*sqldb.Tx) error) error, waiting func(*sqldb.DB) int) {
		before := waiting(db)
		wg.Go(func() {
			if err := write(ctx, func(tx *sqldb.Tx) error {
				order = append(order, name)
				return put(tx, name)
			}); err != nil {
				t.Error(err)
			}
		})
		for waiting(db) == before {
		}
	}
	err := db.Write(ctx, func(tx *sqldb.Tx) error {
		for range 2 {
			start("long", db.LongSlices().Write, sqldb.WaitingLong)
		}
		for range 2 {
			start("other", db.Write, sqldb.Waiting)
		}
		return put(tx, "first")
	})
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	// The writes alternate with long slices, whoever came first.
	if got := fmt.Sprint(order); got != "[long other other long]" && got != "[other other long long]" {
		t.Error(got)
	}
}

// TestEnough: a slice ends when its time is over, on the writer or a snapshot.
func TestEnough(t *testing.T) {
	for _, c := range []struct {
		slice time.Duration
		want  string
	}{{time.Nanosecond, "true true true"}, {time.Hour, "false false false"}} {
		db := openSlices(t, c.slice)
		var first, second, read bool
		op := db.Slices()
		for _, enough := range []*bool{&first, &second} {
			if err := op.Write(ctx, func(tx *sqldb.Tx) error { *enough = tx.Enough(); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Read(ctx, func(tx *sqldb.Tx) error { read = tx.Enough(); return nil }); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(first, second, read); got != c.want {
			t.Errorf("slices of %v: enough %s, want %s", c.slice, got, c.want)
		}
	}
}

// TestSlicesFitTheDisk: where commits take long, slices do less, but something.
func TestSlicesFitTheDisk(t *testing.T) {
	const slice = 20 * time.Millisecond
	db := openSlices(t, slice)
	for range 20 {
		sqldb.Adapt(db, 10*slice)
	}
	if got := sqldb.Room(db); got != slice/20 {
		t.Errorf("on a slow disk: %v", got)
	}
	for range 100 {
		sqldb.Adapt(db, slice/2)
	}
	if got := sqldb.Room(db); got != slice {
		t.Errorf("on a fast disk: %v", got)
	}
}
