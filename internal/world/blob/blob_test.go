package blob_test

import (
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/world/blob"
)

func open(t *testing.T, path string) *blob.Dir {
	t.Helper()
	d, err := blob.Open(path, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func create(t *testing.T, d *blob.Dir, octets string) *blob.File {
	t.Helper()
	f, err := d.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, octets); err != nil {
		t.Fatal(err)
	}
	return f
}

func names(t *testing.T, d *blob.Dir) (list []string) {
	t.Helper()
	for k, err := range d.Names() {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, k.Name)
	}
	return list
}

func TestKeepAndDrop(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "blobs"))
	f, g := create(t, d, "kept"), create(t, d, "dropped")
	name, err := f.Keep()
	if err != nil {
		t.Fatal(err)
	}
	f.Drop()
	g.Drop()
	if got := names(t, d); len(got) != 1 || got[0] != name {
		t.Errorf("names %v, want %s", got, name)
	}
	r, err := d.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != "kept" {
		t.Errorf("read %q, %v", b, err)
	}
	for range 2 {
		if err := d.Remove(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := d.Open(name); err == nil || mail.KindOf(err) != mail.NotFound {
		t.Errorf("removed: %v", err)
	}
}

func TestOpenRemovesTheUnfinished(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	name, err := create(t, d, "kept").Keep()
	if err != nil {
		t.Fatal(err)
	}
	create(t, d, "lost in a crash")
	d = open(t, path)
	left, err := os.ReadDir(filepath.Join(path, "tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("%d unfinished files are left: %v", len(left), err)
	}
	if got := names(t, d); len(got) != 1 || got[0] != name {
		t.Errorf("names %v", got)
	}
}

func TestNamesFromOutside(t *testing.T) {
	d := open(t, t.TempDir())
	for _, name := range []string{"", "x", "../../etc/passwd", "00112233445566778899aabbccddeef", "zz112233445566778899aabbccddeeff"} {
		if _, err := d.Open(name); err == nil || mail.KindOf(err) != mail.Invalid {
			t.Errorf("open %q: %v", name, err)
		}
		if err := d.Remove(name); mail.KindOf(err) != mail.Invalid {
			t.Errorf("remove %q: %v", name, err)
		}
	}
}

func TestUnwritable(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create(); mail.KindOf(err) != mail.Unavailable {
		t.Errorf("create without a folder: %v", err)
	}
}
