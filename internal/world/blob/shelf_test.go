package blob

import (
	"crypto/rand"
	"errors"
	"path/filepath"
	"testing"
)

// TestShelfIsSyncedBeforeUse: as long as the name of a subfolder could not be
// synced, nothing is kept in it; later it is not synced again.
func TestShelfIsSyncedBeforeUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blobs")
	d, err := Open(path, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	broken, synced := true, 0
	d.sync = func(folder string) error {
		if folder != d.path {
			return nil
		}
		if synced++; broken {
			return errors.New("input/output error")
		}
		return nil
	}
	shelf := filepath.Join(path, "ab")
	for range 2 {
		if err := d.makeShelf(shelf); err == nil {
			t.Error("a subfolder is used whose name was not synced")
		}
	}
	broken = false
	for range 2 {
		if err := d.makeShelf(shelf); err != nil {
			t.Error(err)
		}
	}
	if synced != 3 {
		t.Errorf("the folder was synced %d times, not three", synced)
	}
	if d, err = Open(path, rand.Reader); err != nil {
		t.Fatal(err)
	}
	d.sync = func(string) error { t.Error("a subfolder that was there at Open is synced again"); return nil }
	if err := d.makeShelf(shelf); err != nil {
		t.Error(err)
	}
}
