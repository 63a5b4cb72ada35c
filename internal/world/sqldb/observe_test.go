package sqldb_test

import (
	"crypto/rand"
	"testing"

	"yubin/internal/world/sqldb"
)

// TestSizes: the files of the database as they are.
func TestSizes(t *testing.T) {
	db := openTest(t)
	octets := make([]byte, 1<<20)
	rand.Read(octets)
	if err := db.Migrate(ctx, "sized", []string{`CREATE TABLE sized (octets {blob} NOT NULL)`}); err != nil {
		t.Fatal(err)
	}
	before, err := db.Sizes()
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`INSERT INTO sized (octets) VALUES ($1)`, octets)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	after, err := db.Sizes()
	if err != nil || after.WAL+after.Database < before.WAL+before.Database+1<<20 || after.Database <= 0 {
		t.Errorf("a MiB more: %+v, then %+v, %v", before, after, err)
	}
}
