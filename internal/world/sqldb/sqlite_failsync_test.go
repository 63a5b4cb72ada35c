//go:build !postgres

package sqldb_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// TestFailedSyncOfTheDatabase: what the system may have dropped when a sync of
// the database file failed is still in the WAL after Close, from its beginning.
func TestFailedSyncOfTheDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db := open(t, path)
	migrate(t, db)
	run := make(chan error, 1)
	go func() { run <- db.Run(ctx) }()
	sqldb.Checkpoint(db)
	safe := read(t, path) // Nothing that is written to the file from here on counts.
	write(t, db, "a")
	again := sqldb.FailSync(db, false)
	sqldb.Checkpoint(db)
	again()
	err := db.Write(ctx, func(tx *sqldb.Tx) error { return put(tx, "b") })
	if mail.KindOf(err) != mail.Unavailable || err == nil {
		t.Errorf("a write afterwards: %v", err)
	}
	if got := contents(t, db); got != "a" {
		t.Errorf("a read afterwards: %q", got)
	}
	select {
	case err := <-run:
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "start again") {
			t.Errorf("Run returned %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("Run goes on")
	}
	sqldb.Checkpoint(db) // Must not.
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, safe, 0o600); err != nil {
		t.Fatal(err)
	}
	soundWith(t, path, "a")
}

// TestFailedSyncAtClose: the last checkpoint fails, and SQLite makes no other.
func TestFailedSyncAtClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db := open(t, path)
	migrate(t, db)
	sqldb.Checkpoint(db)
	safe := read(t, path)
	write(t, db, "a")
	sqldb.FailTruncate(db)
	if err := db.Close(); mail.KindOf(err) != mail.Unavailable || err == nil {
		t.Errorf("Close: %v", err)
	}
	if err := os.WriteFile(path, safe, 0o600); err != nil {
		t.Fatal(err)
	}
	soundWith(t, path, "a")
}

// TestFailedSyncOfTheWAL: the commit fails, and the next one takes its place in
// the WAL: nothing relies on what the system may have dropped.
func TestFailedSyncOfTheWAL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db := open(t, path)
	defer db.Close()
	migrate(t, db)
	write(t, db, "a")
	before := read(t, path+"-wal")
	again := sqldb.FailSync(db, true)
	err := db.Write(ctx, func(tx *sqldb.Tx) error { return put(tx, strings.Repeat("b", 50_000)) })
	if mail.KindOf(err) != mail.Unavailable || err == nil {
		t.Errorf("a commit that is not synced: %v", err)
	}
	again()
	failed := read(t, path+"-wal")
	write(t, db, "c")
	after := read(t, path+"-wal")
	if begun := difference(before, failed); begun < 0 || difference(failed, after) >= begun+4096 {
		t.Error("the next commit does not begin where the failed one did")
	}
	for at := len(after) - 1; after[at] == failed[at]; at-- { // The disk has nothing of the failed one that is behind the next.
		after[at] = before[at]
	}
	to := filepath.Join(t.TempDir(), "copy.db")
	if err := errors.Join(os.WriteFile(to, read(t, path), 0o600), os.WriteFile(to+"-wal", after, 0o600)); err != nil {
		t.Fatal(err)
	}
	soundWith(t, to, "a c")
	if got := contents(t, db); got != "a c" {
		t.Errorf("contents %q", got)
	}
}

// TestWALIsWrittenAgain: Open relies on no octet of the WAL that the process
// before could not sync.
func TestWALIsWrittenAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db := open(t, path)
	defer db.Close()
	migrate(t, db)
	write(t, db, strings.Repeat("a", 3<<20))
	to := filepath.Join(t.TempDir(), "copy.db")
	wal, long := read(t, path+"-wal"), time.Now().Add(-time.Hour)
	if err := errors.Join(os.WriteFile(to, read(t, path), 0o600), os.WriteFile(to+"-wal", wal, 0o600), os.Chtimes(to+"-wal", long, long)); err != nil {
		t.Fatal(err)
	}
	c := open(t, to)
	defer c.Close()
	st, err := os.Stat(to + "-wal")
	if err != nil || st.ModTime().Before(long.Add(time.Minute)) {
		t.Errorf("it was not written again: %v, %v", st.ModTime(), err)
	}
	if !bytes.Equal(read(t, to+"-wal"), wal) {
		t.Error("it is not as it was")
	}
}

// TestWALThatACrashLeft is checkpointed although nothing more is written.
func TestWALThatACrashLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db := open(t, path)
	defer db.Close()
	migrate(t, db)
	const large = 40 << 20
	write(t, db, strings.Repeat("a", large))
	to := filepath.Join(t.TempDir(), "copy.db")
	if err := errors.Join(os.WriteFile(to, read(t, path), 0o600), os.WriteFile(to+"-wal", read(t, path+"-wal"), 0o600)); err != nil {
		t.Fatal(err)
	}
	c := open(t, to)
	defer c.Close()
	run, cancel := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- c.Run(run) }()
	for end := time.Now().Add(30 * time.Second); ; {
		if s, err := c.Sizes(); err != nil || s.Database > large {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it stays in the WAL")
		}
		runtime.Gosched()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// difference is where two files of one length differ first, or -1.
func difference(a, b []byte) int {
	for at := range a {
		if a[at] != b[at] {
			return at
		}
	}
	return -1
}

func open(t *testing.T, path string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(ctx, sqldb.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	octets, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return octets
}

func write(t *testing.T, db *sqldb.DB, s string) {
	t.Helper()
	if err := db.Write(ctx, func(tx *sqldb.Tx) error { return put(tx, s) }); err != nil {
		t.Fatal(err)
	}
}

// soundWith opens the database, which must be sound, hold just that and take more.
func soundWith(t *testing.T, path, want string) {
	t.Helper()
	db := open(t, path)
	defer db.Close()
	if got := contents(t, db); got != want {
		t.Errorf("reopened it has %q, not %q", got, want)
	}
	if err := db.Integrity(ctx, func(p string) { t.Error(p) }); err != nil {
		t.Error(err)
	}
	write(t, db, "z")
}
