//go:build !postgres

package sqldb_test

import (
	"errors"
	"path/filepath"
	"testing"

	"yubin/internal/world/sqldb"
)

// TestObserve: each batch is told once, with how many writes it had, and before
// those who wait for it go on.
func TestObserve(t *testing.T) {
	var seen []sqldb.Commit
	db, err := sqldb.Open(ctx, sqldb.Options{Path: filepath.Join(t.TempDir(), "o.db"),
		Observe: func(c sqldb.Commit) { seen = append(seen, c) }})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(ctx, "test", []string{`CREATE TABLE content (id {id}, octets {blob} NOT NULL)`}); err != nil {
		t.Fatal(err)
	}
	seen = nil
	if err := db.Write(ctx, func(tx *sqldb.Tx) error { return put(tx, "a") }); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 1 {
		t.Fatalf("one write: %+v", seen)
	}
	if c := seen[0]; c.Writes != 1 || c.Sync <= 0 || c.Took < c.Sync || c.Failed {
		t.Errorf("one write: %+v", c)
	}
	seen = nil
	bad := errors.New("bad")
	together(t, db,
		func(tx *sqldb.Tx) error { return put(tx, "b") },
		func(tx *sqldb.Tx) error { return errors.Join(put(tx, "c"), bad) }, // The batch is run again.
		func(tx *sqldb.Tx) error { return put(tx, "d") })
	if len(seen) != 2 || seen[0].Writes != 1 || seen[1].Writes != 3 || seen[1].Failed {
		t.Errorf("a batch of three behind one that does nothing: %+v", seen)
	}
}

// TestObserveFailure: a batch that could not be committed is told as failed.
func TestObserveFailure(t *testing.T) {
	var seen []sqldb.Commit
	db, err := sqldb.Open(ctx, sqldb.Options{Path: filepath.Join(t.TempDir(), "o.db"), MaxSize: 64 << 10,
		Observe: func(c sqldb.Commit) { seen = append(seen, c) }})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(ctx, "test", []string{`CREATE TABLE content (id {id}, octets {blob} NOT NULL)`}); err != nil {
		t.Fatal(err)
	}
	seen = nil
	err = db.Write(ctx, func(tx *sqldb.Tx) error { return put(tx, string(make([]byte, 128<<10))) })
	if err == nil || len(seen) != 1 || !seen[0].Failed || seen[0].Sync != 0 {
		t.Errorf("a full database: error %v, seen %+v", err, seen)
	}
}
