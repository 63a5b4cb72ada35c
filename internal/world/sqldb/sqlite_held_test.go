//go:build !postgres

package sqldb

import (
	"os"
	"path/filepath"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// TestFilesAreHeld: nothing else in this process opens a file that SQLite has open.
func TestFilesAreHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		linked := filepath.Join(t.TempDir(), "linked")
		if err := os.Link(name, linked); err != nil {
			t.Fatal(err)
		}
		if _, err := files.ReadFile(linked, 1<<30); mail.KindOf(err) != mail.Forbidden {
			t.Errorf("%s is read under another name: %v", name, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := files.ReadFile(path, 1<<30); err != nil {
		t.Errorf("it is closed, and cannot be read: %v", err)
	}
}
