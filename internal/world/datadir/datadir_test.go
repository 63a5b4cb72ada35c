package datadir

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMakesAndLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "data")
	d, err := Make(context.Background(), path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !Is(path) {
		t.Error("the folder is not marked")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	var inUse *InUseError
	if _, err := Open(context.Background(), path, 0); !errors.As(err, &inUse) || inUse.PID == "" {
		t.Errorf("second Open: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if d, err = Open(context.Background(), path, 0); err != nil {
		t.Fatalf("after Close: %v", err)
	}
	_ = d.Close()
}

// TestOpenWaits: a lock that is let go in time is taken.
func TestOpenWaits(t *testing.T) {
	path := t.TempDir()
	d, err := Make(context.Background(), path, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() {
		second, err := Open(context.Background(), path, time.Minute)
		if err == nil {
			err = second.Close()
		}
		got <- err
	}()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	cases := []struct {
		file, text, want string
	}{
		{"letter.txt", "dear", "is not a yubin data folder and not empty"},
		{markerFile, "yubin data folder, format 9\n", "is of a newer yubin"},
		{markerFile, "something else", "is not a yubin data folder"},
	}
	for _, c := range cases {
		path := t.TempDir()
		if err := os.WriteFile(filepath.Join(path, c.file), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Make(context.Background(), path, 0); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: got %v, want %q", c.file, c.text, err, c.want)
		}
		if _, err := os.Stat(filepath.Join(path, c.file)); err != nil {
			t.Errorf("refusal touched the folder: %v", err)
		}
	}
}

// TestOpenMakesNothing: who only looks at a folder does not find a new one.
func TestOpenMakesNothing(t *testing.T) {
	empty := t.TempDir()
	for _, path := range []string{filepath.Join(empty, "none"), empty} {
		var missing *MissingError
		if _, err := Open(context.Background(), path, 0); !errors.As(err, &missing) || missing.Path != path {
			t.Errorf("%s: %v", path, err)
		}
	}
	if entries, err := os.ReadDir(empty); err != nil || len(entries) > 0 {
		t.Errorf("there is %v, %v", entries, err)
	}
}

func TestOpenTightens(t *testing.T) {
	path := t.TempDir()
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := Make(context.Background(), path, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestClear(t *testing.T) {
	path := t.TempDir()
	d, err := Make(context.Background(), path, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := os.MkdirAll(d.Path("blobs/a"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.Clear(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(d.Path("blobs")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
	if !Is(path) {
		t.Error("the folder lost its mark")
	}
}
