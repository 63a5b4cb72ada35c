package datadir

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFill: the folder is nobody's until it is done, is begun anew after a cut,
// and nothing that is there already is ever touched.
func TestFill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new")
	f, err := Fill(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.Path("half"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Fill(path); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second Fill: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), path, 0); err == nil {
		t.Error("a folder that is half filled was opened")
	}
	if f, err = Fill(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.Path("half")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was left is still there: %v", err)
	}
	if err := errors.Join(f.Done(), f.Close()); err != nil {
		t.Fatal(err)
	}
	d, err := Open(context.Background(), path, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = d.Close()
	for _, name := range []string{"a data folder", "another folder"} {
		if name == "another folder" {
			path = t.TempDir()
			if err := os.WriteFile(filepath.Join(path, "letter"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Fill(path); err == nil || !strings.Contains(err.Error(), "is not empty") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
