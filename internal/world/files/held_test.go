package files

import (
	"os"
	"path/filepath"
	"testing"
)

// TestHold: what this process works with is opened under no name, neither is a
// folder of it, until it is let go.
func TestHold(t *testing.T) {
	top := t.TempDir()
	at := func(name string) string { return filepath.Join(top, name) }
	must(t, os.MkdirAll(at("data/blobs"), 0o700))
	must(t, os.WriteFile(at("data/db"), []byte("rows"), 0o600))
	must(t, os.Link(at("data/db"), at("linked")))
	must(t, os.Symlink("data/db", at("link")))
	free := Hold(at("data/db"), at("data/blobs"), at("data/none"))
	again := Hold(at("data/db"))
	dir, err := Open(top)
	must(t, err)
	defer dir.Close()
	try := func(each func(name string, err error)) {
		for name, open := range map[string]func() (*os.File, error){
			"by path":       func() (*os.File, error) { return OpenFile(at("data/db")) },
			"linked":        func() (*os.File, error) { return OpenFile(at("linked")) },
			"over a link":   func() (*os.File, error) { return OpenFile(at("link")) },
			"as input":      func() (*os.File, error) { return OpenInput(at("linked")) },
			"in a folder":   func() (*os.File, error) { return dir.Open("data/db") },
			"of its owner":  func() (*os.File, error) { return dir.OpenOwned("linked") },
			"read":          func() (*os.File, error) { _, err := dir.Read("linked", 10); return nil, err },
			"read by path":  func() (*os.File, error) { _, err := ReadFile(at("linked"), 10); return nil, err },
			"folder":        func() (*os.File, error) { d, err := Open(at("data/blobs")); closeFolder(d); return nil, err },
			"folder listed": func() (*os.File, error) { _, err := dir.List("data/blobs"); return nil, err },
		} {
			file, err := open()
			if file != nil {
				must(t, file.Close())
			}
			each(name, err)
		}
	}
	refused := func(name string, err error) {
		t.Helper()
		t.Log(name)
		wantForbidden(t, err, "which this server works with")
	}
	try(refused)
	free()
	if _, err := OpenFile(at("linked")); err == nil {
		t.Error("one of two holds was let go, and the file is opened")
	}
	again()
	again()
	try(func(name string, err error) {
		if err != nil {
			t.Errorf("%s, let go: %v", name, err)
		}
	})
}

func closeFolder(d *Folder) {
	if d != nil {
		_ = d.Close()
	}
}

// TestHeldWhileItIsOpened: a held file that takes the place of another one just
// before it is opened stays open until it is let go, as closing it would undo locks.
func TestHeldWhileItIsOpened(t *testing.T) {
	top := t.TempDir()
	at := func(name string) string { return filepath.Join(top, name) }
	must(t, os.WriteFile(at("db"), []byte("rows"), 0o600))
	must(t, os.WriteFile(at("letter"), []byte("dear"), 0o600))
	free := Hold(at("db"))
	info, err := os.Stat(at("letter"))
	must(t, err)
	file, err := os.Open(at("db"))
	must(t, err)
	_, err = opened("letter", info, file)
	wantForbidden(t, err, "which this server works with")
	if _, err := file.Stat(); err != nil {
		t.Errorf("it was closed: %v", err)
	}
	free()
	if _, err := file.Stat(); err == nil {
		t.Error("it is open although it was let go")
	}
}

// TestOverlap: links are looked through, also of what is not there yet.
func TestOverlap(t *testing.T) {
	top := t.TempDir()
	at := func(name string) string { return filepath.Join(top, name) }
	must(t, os.MkdirAll(at("data/blobs"), 0o700))
	must(t, os.MkdirAll(at("database"), 0o700))
	must(t, os.Symlink("data/blobs", at("link")))
	for path, want := range map[string]bool{
		"data": true, ".": true, "..": true, "data/blobs": true, "data/new/er": true, "link": true, "link/new": true,
		"database": false, "data2": false, "database/data": false,
	} {
		if got := Overlap(at(path), at("data")); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
