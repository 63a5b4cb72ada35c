package depot_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"yubin/internal/world/depot"
	"yubin/internal/world/files"
)

const emptyName = "00000000000000000000000000000000.pack"

// packOf is a pack as somebody else may write it: stored behind the head, then
// a table of one object.
func packOf(h depot.Hash, stored []byte, offset, kept, size uint32) []byte {
	table := append([]byte{}, h[:]...)
	for _, n := range []uint32{offset, kept, size} {
		table = binary.BigEndian.AppendUint32(table, n)
	}
	sum := sha256.Sum256(table)
	pack := append([]byte("yubinpk1"), stored...)
	pack = append(pack, table...)
	pack = binary.BigEndian.AppendUint32(pack, 1)
	return append(append(pack, sum[:]...), "yubinpk1"...)
}

// with opens a depot that has one pack.
func with(t *testing.T, pack []byte) *depot.Depot {
	t.Helper()
	path := t.TempDir()
	d, err := depot.Open(depot.Options{Place: files.Into(path), Write: true, Make: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "packs", emptyName), pack, 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err = depot.Open(depot.Options{Place: files.From(path)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// TestBomb: an object that unpacks to more than it says, or than an object can
// have, is damaged, and costs no more memory than one that is right.
func TestBomb(t *testing.T) {
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	bomb := encoder.EncodeAll(make([]byte, 512<<20), nil)
	frames := bytes.Repeat(encoder.EncodeAll(make([]byte, depot.MaxObject), nil), 128)
	for name, stored := range map[string][]byte{"one frame": bomb, "many frames": frames} {
		h := depot.Hash{1}
		for _, size := range []uint32{depot.MaxObject, uint32(len(stored)) + 1} {
			d := with(t, packOf(h, stored, 8, uint32(len(stored)), size))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := d.Get(h, nil)
			runtime.ReadMemStats(&after)
			if bad := (*depot.Damaged)(nil); !errors.As(err, &bad) {
				t.Errorf("%s, %d: %v", name, size, err)
			}
			if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 32 {
				t.Errorf("%s, %d: %d MiB of memory", name, size, n)
			}
		}
	}
}

// TestTables: what a table claims is not believed.
func TestTables(t *testing.T) {
	octets := []byte("octets")
	h := depot.Hash(sha256.Sum256(octets))
	for name, pack := range map[string][]byte{
		"behind the end":         packOf(h, octets, 1<<31, 6, 6),
		"over the end":           packOf(h, octets, 8, 1<<30, 1<<22),
		"kept longer than it is": packOf(h, octets, 8, 6, 5),
		"larger than an object":  packOf(h, octets, 8, 6, depot.MaxObject+1),
		"no table":               []byte("yubinpk1yubinpk1"),
	} {
		d := with(t, pack)
		if d.Has(h) || len(d.Faults()) != 1 {
			t.Errorf("%s: has it: %v; %q", name, d.Has(h), d.Faults())
		}
	}
	d := with(t, packOf(h, octets, 8, 6, 6))
	if got, err := d.Get(h, nil); err != nil || !bytes.Equal(got, octets) {
		t.Errorf("%q, %v", got, err)
	}
	// A pack of a size that only a sparse file has is not read.
	path := filepath.Join(t.TempDir(), "depot")
	if err := open(t, depot.Options{Place: files.Into(path), Write: true, Make: true}).Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(path, "packs", emptyName)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 1<<40); err != nil {
		t.Fatal(err)
	}
	if d, err := depot.Open(depot.Options{Place: files.From(path)}); err != nil || len(d.Faults()) != 1 || !strings.Contains(d.Faults()[0], "it has over") {
		t.Errorf("a huge pack: %v", err)
	}
}

// TestNames: a Name leads nowhere else, also one that was read from JSON.
func TestNames(t *testing.T) {
	for _, s := range []string{"", ".", "..", "/", "/a", "a/", "a//b", "./a", "a/..", "../a", "a/../b", "a\x00", "a\nb", "a\u009bb",
		"a\u202eb", "a\\b", "a\xff", strings.Repeat("a", 256), strings.Repeat("a/", 40) + "a", strings.Repeat("abcdefgh/", 200) + "a"} {
		if n, err := depot.ParseName(s); err == nil {
			t.Errorf("%q is a name: %v", s, n)
		}
	}
	n, err := depot.ParseName("blobs/a b/ä..郵")
	if err != nil || n.Folder() != "blobs/a b" || n.Base() != "ä..郵" || n.Single() || !n.In("blobs") || n.In("blob") {
		t.Errorf("%v, %v", n, err)
	}
}

func FuzzName(f *testing.F) {
	f.Add("blobs/ab/abcdef")
	f.Add("../outside")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := depot.ParseName(s)
		if err == nil && (n.String() != s || !filepath.IsLocal(s) || filepath.Clean(s) != s) {
			t.Errorf("%q", s)
		}
	})
}

// FuzzRecord: any text in place of a record is what was saved, or damaged.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("{}\nsha256 ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356\n"))
	f.Add([]byte("sha256 \n"))
	path := f.TempDir()
	d, err := depot.Open(depot.Options{Place: files.Into(path), Write: true, Make: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = d.Close() })
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(path, "records", "one.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := d.Load("one")
		if bad := (*depot.Damaged)(nil); err != nil && !errors.As(err, &bad) {
			t.Error(err)
		}
		if err == nil && !bytes.HasPrefix(text, got) {
			t.Errorf("%q of %q", got, text)
		}
	})
}
