//go:build !postgres

package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// together runs closures in one batch: a first write holds the writer until all
// of them wait.
func together(t *testing.T, db *sqldb.DB, fns ...func(*sqldb.Tx) error) []error {
	t.Helper()
	errs := make([]error, len(fns))
	var wg sync.WaitGroup
	_ = db.Write(ctx, func(*sqldb.Tx) error {
		for i, fn := range fns {
			wg.Go(func() { errs[i] = db.Write(ctx, fn) })
			for sqldb.Waiting(db) <= i {
			}
		}
		return nil
	})
	wg.Wait()
	return errs
}

func TestOneFailureHarmsNobodyElse(t *testing.T) {
	db := openFile(t)
	bad := errors.New("bad")
	var order []string
	runs := 0
	errs := together(t, db,
		func(tx *sqldb.Tx) error {
			runs++
			tx.OnCommit(func() { order = append(order, "a") })
			return put(tx, "a")
		},
		func(tx *sqldb.Tx) error {
			tx.OnCommit(func() { order = append(order, "never") })
			return errors.Join(put(tx, "b"), bad)
		},
		func(*sqldb.Tx) error { return bad },
		func(tx *sqldb.Tx) error {
			_ = put(tx, "c")
			panic("boom")
		},
		func(tx *sqldb.Tx) error {
			tx.OnCommit(func() { order = append(order, "d") })
			return put(tx, "d")
		},
	)
	if got := contents(t, db); got != "a d" {
		t.Errorf("contents %q", got)
	}
	if fmt.Sprint(order) != "[a d]" {
		t.Errorf("hooks %v", order)
	}
	if errs[0] != nil || !errors.Is(errs[1], bad) || !errors.Is(errs[2], bad) || mail.KindOf(errs[3]) != mail.Internal || errs[4] != nil {
		t.Errorf("errors %v", errs)
	}
	if runs != 2 {
		t.Errorf("the first closure ran %d times; the batch was not rolled back and run again", runs)
	}
}

func TestFailureBeforeAWriteCostsNothing(t *testing.T) {
	db := openFile(t)
	runs := 0
	errs := together(t, db,
		func(tx *sqldb.Tx) error { runs++; return put(tx, "a") },
		func(tx *sqldb.Tx) error { return tx.QueryRow(`SELECT 1 FROM content WHERE id = 77`).Scan(new(int)) })
	if runs != 1 || errs[0] != nil || errs[1] != sqldb.ErrNoRows {
		t.Errorf("ran %d times, errors %v", runs, errs)
	}
}

func TestCanceledBeforeItsTurn(t *testing.T) {
	db := openFile(t)
	gone, cancel := context.WithCancel(ctx)
	var err error
	var wg sync.WaitGroup
	_ = db.Write(ctx, func(*sqldb.Tx) error {
		wg.Go(func() {
			err = db.Write(gone, func(tx *sqldb.Tx) error { return put(tx, "late") })
		})
		for sqldb.Waiting(db) == 0 {
		}
		cancel()
		return nil
	})
	wg.Wait()
	if !errors.Is(err, context.Canceled) || contents(t, db) != "" {
		t.Errorf("error %v, contents %q", err, contents(t, db))
	}
	if err := db.Write(ctx, func(tx *sqldb.Tx) error { return put(tx, "next") }); err != nil {
		t.Error(err)
	}
}

func TestFullThenRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "full.db")
	open := func(size int64) *sqldb.DB {
		db, err := sqldb.Open(ctx, sqldb.Options{Path: path, MaxSize: size})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open(40 * 4096)
	migrate(t, db)
	big := strings.Repeat("x", 10_000)
	accepted := 0
	var err error
	for range 100 {
		if err = db.Write(ctx, func(tx *sqldb.Tx) error { return put(tx, big) }); err != nil {
			break
		}
		accepted++
	}
	if mail.KindOf(err) != mail.Unavailable || accepted == 0 {
		t.Fatalf("%d accepted, then %v", accepted, err)
	}
	errs := together(t, db, func(tx *sqldb.Tx) error { return put(tx, big) }, func(tx *sqldb.Tx) error { return put(tx, big) })
	for _, err := range errs {
		if mail.KindOf(err) != mail.Unavailable {
			t.Errorf("in a batch: %v", err)
		}
	}
	if got := len(strings.Fields(contents(t, db))); got != accepted {
		t.Errorf("%d rows, %d accepted", got, accepted)
	}
	err = db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`DELETE FROM content`)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := db.Write(ctx, func(tx *sqldb.Tx) error { return put(tx, big) }); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if err := db.Write(ctx, func(*sqldb.Tx) error { return nil }); mail.KindOf(err) != mail.Unavailable {
		t.Errorf("after Close: %v", err)
	}
	if err := db.Read(ctx, func(*sqldb.Tx) error { return nil }); mail.KindOf(err) != mail.Unavailable {
		t.Errorf("read after Close: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "good.db")
	db, err := sqldb.Open(ctx, sqldb.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	migrate(t, db)
	for range 50 {
		if err := db.Write(ctx, func(tx *sqldb.Tx) error { return put(tx, strings.Repeat("x", 4000)) }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sqldb.Open(ctx, sqldb.Options{Path: path}); mail.KindOf(err) != mail.Conflict || !strings.Contains(err.Error(), path) {
		t.Errorf("open twice: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	overwrite := func(at int, with string) []byte {
		b := append([]byte(nil), good...)
		copy(b[at:], with)
		return b
	}
	for name, octets := range map[string][]byte{
		"text":      []byte(strings.Repeat("hello ", 1000)),
		"short":     []byte("SQLite"),
		"cut":       good[:len(good)-4096*3],
		"other":     overwrite(68, "\x01\x02\x03\x04"),
		"root page": overwrite(4096, strings.Repeat("\xee", 4096)),
		"leaf":      overwrite(5*4096, strings.Repeat("\xee", 4096)),
		"schema":    overwrite(110, strings.Repeat("\xee", 200)),
	} {
		broken := filepath.Join(dir, name+".db")
		if err := os.WriteFile(broken, octets, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := sqldb.Open(ctx, sqldb.Options{Path: broken})
		if mail.KindOf(err) != mail.Internal || err == nil || !strings.Contains(err.Error(), broken) || !strings.Contains(err.Error(), "backup") {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			db.Close()
		}
	}
	if db, err := sqldb.Open(ctx, sqldb.Options{Path: path}); err != nil {
		t.Errorf("the good one: %v", err)
	} else {
		db.Close()
	}
}

// TestWALStaysBounded writes much more than the bound, without Run, while
// readers follow each other so that there is always one.
func TestWALStaysBounded(t *testing.T) {
	db, err := sqldb.Open(ctx, sqldb.Options{Path: filepath.Join(t.TempDir(), "wal.db"), WALPages: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	migrate(t, db)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { readUntil(t, db, stop) })
	}
	wal := int64(0)
	big := make([]byte, 128<<10)
	for range 120 {
		err := db.Write(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(`DELETE FROM content`)
			if err == nil {
				_, err = tx.Exec(insert, big)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(db.Path() + "-wal"); err == nil {
			wal = max(wal, st.Size())
		}
	}
	close(stop)
	wg.Wait()
	if wal > 6<<20 { // Unbounded it would be over 15 MiB.
		t.Errorf("the WAL grew to %d octets", wal)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(db.Path() + "-wal"); err == nil && st.Size() > 0 {
		t.Errorf("the WAL has %d octets after Close", st.Size())
	}
}

func readUntil(t *testing.T, db *sqldb.DB, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		err := db.Read(ctx, func(tx *sqldb.Tx) error {
			return tx.QueryRow(`SELECT max(length(octets)) FROM content`).Scan(new(int64))
		})
		if err != nil {
			t.Error(err)
			return
		}
	}
}

// openFile is openTest for what is SQLite's own.
func openFile(t testing.TB) *sqldb.DB {
	t.Helper()
	return ready(t, sqldb.Options{Path: filepath.Join(t.TempDir(), "test.db"), CheckLocks: true})
}
