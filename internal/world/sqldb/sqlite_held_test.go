//go:build !postgres

package sqldb

import (
	"os"
	"path/filepath"
	"syscall"
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

// TestFilesAreClosedToOthers: whatever the umask, and also where an earlier program left
// them open.
func TestFilesAreClosedToOthers(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(t.TempDir(), "x.db")
	for _, round := range []string{"made", "opened"} {
		db, err := Open(t.Context(), Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{path, path + "-wal", path + "-shm", path + ".lock"} {
			if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %s: %v, %v", round, name, info.Mode(), err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
