package crashfs

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yubin/internal/testkit/straceread"
)

// day is a trace: a file is written, synced and written again, moved, and the
// folders synced.
const day = `1 openat(AT_FDCWD</>, "/d/tmp/a", O_RDWR|O_CREAT, 0600) = 4</d/tmp/a>
1 write(4</d/tmp/a>, "one", 3) = 3
1 fsync(4</d/tmp/a>) = 0
1 write(4</d/tmp/a>, "two", 3) = 3
1 renameat(AT_FDCWD</>, "/d/tmp/a", AT_FDCWD</>, "/d/kept/a") = 0
1 fsync(5</d/kept>) = 0
1 fsync(4</d/kept/a>) = -1 EIO (Input/output error) (INJECTED)
1 pwrite64(4</d/kept/a>, "x", 1, 0) = 1
1 fsync(4</d/kept/a>) = 0
1 openat(AT_FDCWD</>, "b", O_RDWR|O_CREAT, 0600) = 6</d/b>
1 openat(6</d>, "c", O_RDWR|O_CREAT, 0600) = 6</d/c>
1 fsync(7</d>) = 0
1 unlinkat(AT_FDCWD</>, "/d/c", 0) = 0
`

// play plays a trace on a disk that has the folders of the test.
func play(t *testing.T, text string) *Disk {
	t.Helper()
	calls, err := straceread.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDisk("/d", map[string]*file{"/d": {folder: true}, "/d/tmp": {folder: true}, "/d/kept": {folder: true}}, calls)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// files are what a state has but for the folders.
func files(s *State) map[string]string {
	m := map[string]string{}
	for name, b := range s.files {
		if b != nil {
			m[name] = string(b)
		}
	}
	return m
}

func TestWhatSurvives(t *testing.T) {
	tests := []struct {
		line         int // how many lines have ended
		synced, most map[string]string
	}{
		{1, map[string]string{}, map[string]string{"/d/tmp/a": ""}},
		{2, map[string]string{}, map[string]string{"/d/tmp/a": "one"}},
		{4, map[string]string{}, map[string]string{"/d/tmp/a": "onetwo"}},
		{5, map[string]string{}, map[string]string{"/d/kept/a": "onetwo"}},
		{6, map[string]string{"/d/kept/a": "one"}, map[string]string{"/d/kept/a": "onetwo"}},
		{7, map[string]string{"/d/kept/a": "one"}, map[string]string{"/d/kept/a": "one"}}, // A failed sync forgets.
		{9, map[string]string{"/d/kept/a": "xne"}, map[string]string{"/d/kept/a": "xne"}}, // For good.
		{11, map[string]string{"/d/kept/a": "xne"}, map[string]string{"/d/kept/a": "xne", "/d/c": ""}},
		{12, map[string]string{"/d/kept/a": "xne", "/d/c": ""}, map[string]string{"/d/kept/a": "xne", "/d/c": ""}},
		{13, map[string]string{"/d/kept/a": "xne", "/d/c": ""}, map[string]string{"/d/kept/a": "xne"}},
	}
	for _, tt := range tests {
		for luck, want := range map[Luck]map[string]string{SyncedOnly: tt.synced, All: tt.most} {
			s, err := play(t, day).After(tt.line+1, luck, rand.New(rand.NewPCG(1, 1)))
			if err != nil || !maps.Equal(files(s), want) {
				t.Errorf("after line %d, %s: %q, %v; want %q", tt.line, luck, files(s), err, want)
			}
		}
	}
}

// TestTornWrites: of one write of three sectors and a bit, which is under way
// when the power goes, each kind of luck leaves what it should.
func TestTornWrites(t *testing.T) {
	const size = 3*sector + 100
	text := `1 openat(AT_FDCWD</>, "/d/a", O_RDWR|O_CREAT, 0600) = 4</d/a>
1 fsync(5</d>) = 0
1 pwrite64(4</d/a>, "` + strings.Repeat("x", size) + `", 1636, 0 <unfinished ...>
2 fsync(4</d/a>) = 0
1 <... pwrite64 resumed>) = 1636
`
	want := map[Luck][]int{SyncedOnly: {0}, All: {size}, Writes: {0, size}, Prefix: {0, sector, 2 * sector, 3 * sector, size}}
	d := play(t, text)
	rng := rand.New(rand.NewPCG(1, 1))
	seen := map[Luck]map[string]bool{}
	for i := range 500 {
		luck := Luck(i % int(Lucks))
		s, err := d.After(5, luck, rng)
		if err != nil {
			t.Fatal(err)
		}
		if seen[luck] == nil {
			seen[luck] = map[string]bool{}
		}
		seen[luck][files(s)["/d/a"]] = true
	}
	for luck, sizes := range want {
		var got []int
		for b := range seen[luck] {
			got = append(got, len(b))
		}
		if slices.Sort(got); !slices.Equal(got, sizes) {
			t.Errorf("%s: sizes %v, want %v", luck, got, sizes)
		}
	}
	if n := len(seen[Sectors]); n != 16 {
		t.Errorf("%d ways to lose some of 4 sectors, want 16", n)
	}
}

// TestFolderLost: a file whose folder has no name is gone.
func TestFolderLost(t *testing.T) {
	const text = `1 mkdirat(AT_FDCWD</>, "/d/kept/aa", 0700) = 0
1 openat(AT_FDCWD</>, "/d/kept/aa/f", O_RDWR|O_CREAT, 0600) = 4</d/kept/aa/f>
1 fsync(5</d/kept/aa>) = 0
1 fsync(5</d/kept>) = 0
`
	for line, there := range map[int]bool{4: false, 5: true} {
		s, err := play(t, text).After(line, SyncedOnly, nil)
		if err != nil {
			t.Fatal(err)
		}
		to := t.TempDir()
		if err := s.Write(to); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(to, "kept", "aa", "f")); (err == nil) != there {
			t.Errorf("before line %d: %v", line, err)
		}
	}
}

// TestUnknownCalls: what is not modelled is said, not passed over.
func TestUnknownCalls(t *testing.T) {
	for _, text := range []string{
		`1 copy_file_range(4</d/a>, NULL, 5</d/b>, NULL, 10, 0) = 10`,
		`1 pwrite64(4</d/a>, "x"..., 10, 0) = 10`,
	} {
		calls, err := straceread.Parse(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newDisk("/d", nil, calls); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
