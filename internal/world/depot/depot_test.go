package depot_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/world/depot"
	"yubin/internal/world/files"
)

func open(t *testing.T, o depot.Options) *depot.Depot {
	t.Helper()
	d, err := depot.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func wantKind(t *testing.T, err error, kind mail.Kind, text string) {
	t.Helper()
	if err == nil || mail.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v (%v), want %v with %q", err, mail.KindOf(err), kind, text)
	}
}

// objects makes octets of many sizes; half of them shrink well.
func objects(n int) [][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	list := [][]byte{{}}
	for i := range n {
		b := make([]byte, 1+rng.IntN(100_000))
		if i%2 == 0 {
			for j := range b {
				b[j] = byte(rng.Uint32())
			}
		}
		b[0], b[len(b)-1] = byte(i), byte(i>>8)
		list = append(list, b)
	}
	return list
}

// TestObjects: what is put is got, once and for all, also by who opens the
// folder later and only reads it.
func TestObjects(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	d := open(t, depot.Options{Place: files.Into(path), Write: true, Make: true})
	list := objects(50)
	var names []depot.Hash
	for _, b := range list {
		h, n, err := d.Put(b)
		if err != nil || n == 0 && len(b) > 0 || n > int64(len(b)) || !d.Has(h) {
			t.Fatalf("%d octets: %d written, %v", len(b), n, err)
		}
		names = append(names, h)
		if _, n, err := d.Put(b); n != 0 || err != nil {
			t.Fatalf("again: %d written, %v", n, err)
		}
	}
	if err := d.Save("one", []byte("text\n")); err != nil {
		t.Fatal(err)
	}
	wantKind(t, d.Save("one", []byte("other\n")), mail.Exists, "has a record one already")
	wantKind(t, d.Save("../one", nil), mail.Internal, "cannot be kept")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, depot.Options{Place: files.From(path)})
	var buf []byte
	for i, h := range names {
		got, err := d.Get(h, buf)
		if err != nil || !bytes.Equal(got, list[i]) {
			t.Fatalf("object %d: %d octets, %v", i, len(got), err)
		}
		buf = got
	}
	seen := 0
	if err := d.All(func(_ depot.Hash, _ []byte, err error) error { seen++; return err }); err != nil || seen != len(list) {
		t.Errorf("%d objects of %d, %v", seen, len(list), err)
	}
	if text, err := d.Load("one"); err != nil || string(text) != "text\n" {
		t.Errorf("the record has %q, %v", text, err)
	}
	for _, name := range []string{"two", "../one", ""} {
		if _, err := d.Load(name); mail.KindOf(err) != mail.NotFound || err == nil {
			t.Errorf("record %q: %v", name, err)
		}
	}
	var missing *depot.Damaged
	if _, err := d.Get(depot.Hash{1}, nil); !errors.As(err, &missing) {
		t.Errorf("an object that was never put: %v", err)
	}
	modes(t, path)
}

func modes(t *testing.T, path string) {
	t.Helper()
	for _, pattern := range []string{"*", "*/*"} {
		files, err := filepath.Glob(filepath.Join(path, pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			if info, err := os.Stat(f); err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s: %v, %v", f, info.Mode(), err)
			}
		}
	}
}

// TestKeep: what is not wanted goes, what is wanted stays, whatever packs it is in.
func TestKeep(t *testing.T) {
	path := t.TempDir()
	d := open(t, depot.Options{Place: files.Into(path), Write: true, Make: true})
	list := objects(60)
	wanted := map[depot.Hash][]byte{}
	for i, b := range list {
		h, _, err := d.Put(b)
		if err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 && i < 40 {
			wanted[h] = b
		}
		if i%20 == 19 {
			if err := d.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	_, before := d.Objects()
	freed, err := d.Keep(func(h depot.Hash) bool { return wanted[h] != nil })
	n, after := d.Objects()
	if err != nil || freed != before-after || after > before/2 || n != len(wanted) {
		t.Errorf("%d octets freed of %d, %d left; %d objects, want %d; %v", freed, before, after, n, len(wanted), err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, depot.Options{Place: files.From(path)})
	for h, b := range wanted {
		if got, err := d.Get(h, nil); err != nil || !bytes.Equal(got, b) {
			t.Errorf("a wanted object: %v", err)
		}
	}
}

func TestRefusals(t *testing.T) {
	write := func(name, text string) string {
		path := t.TempDir()
		if err := os.WriteFile(filepath.Join(path, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	used := t.TempDir()
	first := open(t, depot.Options{Place: files.Into(used), Write: true, Make: true})
	cases := []struct {
		o    depot.Options
		kind mail.Kind
		text string
	}{
		{depot.Options{Place: files.Into(write("letter", "dear")), Write: true, Make: true}, mail.Invalid, "is not a backup of yubin and not empty"},
		{depot.Options{Place: files.From(write("letter", "dear"))}, mail.Invalid, "is not a backup of yubin"},
		{depot.Options{Place: files.Into(write("yubin-backup", "something")), Write: true, Make: true}, mail.Invalid, "is not a backup of yubin"},
		{depot.Options{Place: files.From(write("yubin-backup", "yubin backup, format 2\n"))}, mail.Conflict, `written by a newer yubin ("yubin backup, format 2")`},
		{depot.Options{Place: files.From(filepath.Join(t.TempDir(), "none"))}, mail.NotFound, "there is no backup at"},
		{depot.Options{Place: files.Into(filepath.Join(write("file", ""), "file", "below")), Write: true, Make: true}, mail.Unavailable, "not a directory"},
		{depot.Options{Place: files.Into(used), Write: true}, mail.Conflict, "another yubin uses"},
		{depot.Options{Place: files.From(used)}, mail.Conflict, "another yubin uses"},
	}
	for _, c := range cases {
		d, err := depot.Open(c.o)
		wantKind(t, err, c.kind, c.text)
		if err == nil {
			_ = d.Close()
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	a := open(t, depot.Options{Place: files.From(used)})
	b := open(t, depot.Options{Place: files.From(used)}) // Two may read.
	_, err := depot.Open(depot.Options{Place: files.Into(used), Write: true})
	wantKind(t, err, mail.Conflict, "another yubin uses")
	_ = errors.Join(a.Close(), b.Close())
}

// TestUnfinished: what a crash left is cleared by who writes next, and what a
// create that was cut short left is taken for nothing.
func TestUnfinished(t *testing.T) {
	path := t.TempDir()
	for _, name := range []string{"tmp", "packs"} {
		if err := os.Mkdir(filepath.Join(path, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, depot.Options{Place: files.Into(path), Write: true, Make: true})
	work, err := d.Temp()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Put([]byte("never flushed")); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, depot.Options{Place: files.Into(path), Write: true})
	if n, _ := d.Objects(); n != 0 {
		t.Errorf("%d objects were never flushed and are there", n)
	}
	if _, err := os.Stat(work); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the work of one that ended is still there: %v", err)
	}
}

// FuzzPack: whatever stands in a pack, opening and reading it neither panics
// nor gives octets that are not those of the name.
func FuzzPack(f *testing.F) {
	path := f.TempDir()
	d, err := depot.Open(depot.Options{Place: files.Into(path), Write: true, Make: true})
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range [][]byte{[]byte("hello"), bytes.Repeat([]byte("a"), 1000)} {
		if _, _, err := d.Put(b); err != nil {
			f.Fatal(err)
		}
	}
	if err := errors.Join(d.Flush(), d.Close()); err != nil {
		f.Fatal(err)
	}
	packs, _ := filepath.Glob(filepath.Join(path, "packs", "*"))
	good, err := os.ReadFile(packs[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte{})
	f.Add(packOf(depot.Hash{1}, []byte("octets"), 8, 6, 60))
	f.Fuzz(func(t *testing.T, pack []byte) {
		if err := os.WriteFile(packs[0], pack, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := depot.Open(depot.Options{Place: files.From(path)})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		_ = d.All(func(h depot.Hash, octets []byte, err error) error {
			if damaged := (*depot.Damaged)(nil); err != nil && !errors.As(err, &damaged) {
				t.Errorf("%v", err)
			}
			if len(octets) > depot.MaxObject {
				t.Errorf("%d octets", len(octets))
			}
			return nil
		})
	})
}
