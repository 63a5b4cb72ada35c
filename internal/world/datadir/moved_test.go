package datadir

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMove: at every moment of a move a server starts on one of the two folders and
// not on the other, which says why; and a move that was cut short goes on.
func TestMove(t *testing.T) {
	ctx := context.Background()
	top := t.TempDir()
	old, fresh := filepath.Join(top, "old"), filepath.Join(top, "new")
	d, err := Make(ctx, old, 0)
	if err != nil {
		t.Fatal(err)
	}
	var f *Filling
	begin := func() error {
		if f, err = Continue(fresh, old); err == nil {
			err = os.WriteFile(f.Path("half"), nil, 0o600)
		}
		return err
	}
	again := func() error {
		if err := f.Close(); err != nil {
			return err
		}
		if f, err = Continue(fresh, old); err == nil {
			_, err = os.Stat(f.Path("half"))
		}
		return err
	}
	steps := []struct {
		name  string
		do    func() error
		moved bool
	}{
		{"begun", begin, false},
		{"begun again", again, false},
		{"ready", func() error { return f.Ready(old) }, false},
		{"begun after it was ready", again, false},
		{"ready again", func() error { return f.Ready(old) }, false},
		{"marked", func() error { return d.MarkMoved(fresh) }, true},
		{"done", func() error { return f.Done() }, true},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		// Whoever comes after a crash finds neither locked.
		for path, opens := range map[string]bool{old: !s.moved, fresh: s.moved} {
			err := prepare(path, func(string) error { return errors.New("no data folder") })
			if (err == nil) != opens {
				t.Errorf("%s: %s: %v", s.name, path, err)
			}
			if err != nil && !strings.Contains(err.Error(), "has moved to "+realPath(fresh)) && !strings.Contains(err.Error(), "the post office is at "+realPath(old)) {
				t.Errorf("%s: %s says %v", s.name, path, err)
			}
		}
	}
	if err := errors.Join(f.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Continue(fresh, old); err == nil || !strings.Contains(err.Error(), "is a data folder already") {
		t.Errorf("a move onto a data folder: %v", err)
	}
	now, err := Open(ctx, fresh, 0)
	if err != nil {
		t.Fatal(err)
	}
	if now.Unsettled() {
		t.Error("it is not settled")
	}
	_ = now.Close()
}

// TestMoveUnsettled: a move that was cut short at the last moment is ended by whoever
// opens the new folder.
func TestMoveUnsettled(t *testing.T) {
	ctx := context.Background()
	top := t.TempDir()
	old, fresh := filepath.Join(top, "old"), filepath.Join(top, "new")
	d, err := Make(ctx, old, 0)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Continue(fresh, old)
	if err == nil {
		err = errors.Join(f.Ready(old), d.MarkMoved(fresh), f.Close(), d.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	now, err := Open(ctx, fresh, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer now.Close()
	if !now.Unsettled() {
		t.Error("nothing tells that it is to be settled")
	}
	if err := now.Settle(); err != nil || now.Unsettled() {
		t.Errorf("settled: %v", err)
	}
	other := filepath.Join(top, "other")
	if f, err = Continue(other, old); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Continue(other, fresh); err == nil || !strings.Contains(err.Error(), "a move from "+realPath(old)) {
		t.Errorf("a move from elsewhere: %v", err)
	}
}
