//go:build !postgres

package sqldb_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yubin/internal/world/sqldb"
)

// TestWrittenWhenToldSo: what Write has returned for is in the files, and not in
// some buffer; a copy of them made then has all of it.
func TestWrittenWhenToldSo(t *testing.T) {
	db, err := sqldb.Open(ctx, sqldb.Options{Path: filepath.Join(t.TempDir(), "a.db"), WALPages: 128})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	migrate(t, db)
	var want []string
	for i, n := range []int{1, 5000, 70_000, 600_000, 1, 1_500_000, 30, 4096} {
		text := strings.Repeat(string(rune('a'+i)), n)
		if err := db.Write(ctx, func(tx *sqldb.Tx) error { return put(tx, text) }); err != nil {
			t.Fatal(err)
		}
		want = append(want, text)
		_ = db.Write(ctx, func(tx *sqldb.Tx) error { // Leaves nothing behind.
			if err := put(tx, strings.Repeat("z", 900_000)); err != nil {
				return err
			}
			return os.ErrInvalid
		})
		c := copyOf(t, db.Path())
		if got := contents(t, c); got != strings.Join(want, " ") {
			t.Errorf("after %d writes a copy has %d octets", i+1, len(got))
		}
		if err := c.Integrity(ctx, func(p string) { t.Error(p) }); err != nil {
			t.Error(err)
		}
		c.Close()
	}
	if st, err := os.Stat(db.Path() + "-wal"); err != nil || st.Size() > 8<<20 {
		t.Errorf("the WAL: %v, %v", st, err)
	}
}

// copyOf opens a copy of the files of a database as they are now.
func copyOf(t *testing.T, path string) *sqldb.DB {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy.db")
	for _, suffix := range []string{"", "-wal"} {
		octets, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+suffix, octets, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := sqldb.Open(ctx, sqldb.Options{Path: to})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
