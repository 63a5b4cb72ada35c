package secrets

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"yubin/internal/mail"
)

func open(t *testing.T, paths ...string) *Keyring {
	t.Helper()
	return Open(Options{Paths: paths})
}

func seal(t *testing.T, k *Keyring, text string) []byte {
	t.Helper()
	sealed, err := k.Seal("dkim", "7", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// TestMake: a key that is made before anything is sealed; none is replaced.
func TestMake(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	if err := Make(path, rand.Reader); err != nil {
		t.Fatal(err)
	}
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if k := open(t, path); k.Err() != nil || k.Current() == "" || len(seal(t, k, "a private key")) == 0 {
		t.Errorf("it seals nothing: %v", k.Err())
	}
	if err := Make(path, rand.Reader); !errors.Is(err, fs.ErrExist) {
		t.Errorf("once more: %v", err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, was) {
		t.Errorf("it was replaced, %v", err)
	}
}

func TestSealOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	var made []string
	k := Open(Options{Paths: []string{path}, Made: func(p string) { made = append(made, p) }})
	if k.Err() != nil || k.Path() != "" || k.Current() != "" {
		t.Fatalf("without a file: %v, %q, %q", k.Err(), k.Path(), k.Current())
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("a file was made though nothing was sealed")
	}
	sealed := seal(t, k, "a private key")
	if len(made) != 1 || made[0] != path || k.Path() != path {
		t.Fatalf("made %q, path %q", made, k.Path())
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("%d files are left, not one", len(entries))
	}
	if bytes.Contains(sealed, []byte("private")) {
		t.Error("what is sealed can be read")
	}
	if KeyID(sealed) != k.Current() {
		t.Errorf("sealed with %q, not %q", KeyID(sealed), k.Current())
	}
	again := open(t, path) // As another node, or after a restart.
	if got, err := again.Open("dkim", "7", sealed); err != nil || string(got) != "a private key" {
		t.Fatalf("%q, %v", got, err)
	}
	if other := seal(t, k, "a private key"); bytes.Equal(sealed, other) {
		t.Error("the same secret is sealed alike twice")
	}
	for _, c := range []struct{ purpose, row string }{{"dkim", "8"}, {"totp", "7"}, {"dkim", ""}, {`dkim"`, `"7`}} {
		if _, err := again.Open(c.purpose, c.row, sealed); mail.KindOf(err) != mail.Internal {
			t.Errorf("%v: %v", c, err)
		}
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := again.Open("dkim", "7", changed); err == nil {
			t.Fatalf("octet %d was changed, and it opens", i)
		}
		if _, err := again.Open("dkim", "7", sealed[:i]); err == nil {
			t.Fatalf("%d octets of it open", i)
		}
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	k := open(t, path)
	old := seal(t, k, "one")
	second := filepath.Join(dir, "second")
	seal(t, open(t, second), "")
	first, _ := os.ReadFile(path)
	other, _ := os.ReadFile(second)
	if err := os.WriteFile(path, append(other, first...), 0o600); err != nil {
		t.Fatal(err)
	}
	k.Reload()
	if got, err := k.Open("dkim", "7", old); err != nil || string(got) != "one" {
		t.Fatalf("the old key does not open any more: %v", err)
	}
	if seal := seal(t, k, "two"); KeyID(seal) == KeyID(old) || KeyID(seal) != k.Current() {
		t.Error("the new key does not seal")
	}
	if err := os.WriteFile(path, other, 0o600); err != nil {
		t.Fatal(err)
	}
	k.Reload()
	_, err := k.Open("dkim", "7", old)
	var foreign *ForeignKeyError
	if !errors.As(err, &foreign) || foreign.ID != KeyID(old) || mail.KindOf(err) != mail.Unavailable {
		t.Errorf("%v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	k.Reload()
	if _, err = k.Open("dkim", "7", old); err == nil || !strings.Contains(err.Error(), "no file of secrets") {
		t.Errorf("%v", err)
	}
}

func TestUnusableFiles(t *testing.T) {
	good := linePrefix + strings.Repeat("A", 43) + "=\n"
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string // in the error; "" for none
	}{
		"good":       {good, 0o600, ""},
		"group":      {good, 0o640, ""},
		"comments":   {"# a\n\n  " + good + "\r\n", 0o600, ""},
		"everybody":  {good, 0o644, "mode 0644"},
		"others":     {good, 0o604, "chmod 600"},
		"group w":    {good, 0o660, "mode 0660"},
		"empty":      {"", 0o600, "no key"},
		"comment":    {"# no key\n", 0o600, "no key"},
		"short":      {linePrefix + "AAAA\n", 0o600, "line 1"},
		"second":     {good + "key\n", 0o600, "line 2"},
		"many":       {strings.Repeat(good, MaxKeys+1), 0o600, "over 16 keys"},
		"large":      {strings.Repeat("#\n", maxFile), 0o600, "octets"},
		"not base64": {linePrefix + strings.Repeat("!", 44), 0o600, "base64"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), FileName)
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			k := open(t, path, filepath.Join(t.TempDir(), FileName))
			_, err := k.Seal("dkim", "7", nil)
			if c.want == "" {
				if err != nil || k.Err() != nil {
					t.Fatalf("%v, %v", err, k.Err())
				}
				return
			}
			for _, err := range []error{err, k.Err()} {
				if mail.KindOf(err) != mail.Unavailable || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("%v; wanted %q", err, c.want)
				}
			}
			if text, _ := os.ReadFile(path); string(text) != c.text {
				t.Error("the file was changed")
			}
		})
	}
	t.Run("folder", func(t *testing.T) {
		path := t.TempDir()
		if err := open(t, path).Err(); err == nil || !strings.Contains(err.Error(), "no regular file") {
			t.Errorf("%v", err)
		}
	})
}

// TestPlaces: the first file counts, and a new one is made where it can be.
func TestPlaces(t *testing.T) {
	a, b := filepath.Join(t.TempDir(), FileName), filepath.Join(t.TempDir(), FileName)
	seal(t, open(t, b), "")
	if k := open(t, a, b); k.Path() != b {
		t.Errorf("%q was read, not %q", k.Path(), b)
	}
	seal(t, open(t, a), "")
	if k := open(t, a, b); k.Path() != a {
		t.Errorf("%q was read, not %q", k.Path(), a)
	}
	if os.Geteuid() == 0 {
		t.Log("root may write everywhere: that a new file is made elsewhere is not tested")
	} else {
		closed := t.TempDir()
		if err := os.Chmod(closed, 0o500); err != nil {
			t.Fatal(err)
		}
		c := filepath.Join(t.TempDir(), FileName)
		k := open(t, filepath.Join(closed, FileName), c)
		seal(t, k, "")
		if k.Path() != c {
			t.Errorf("made at %q", k.Path())
		}
	}
	if _, err := open(t, filepath.Join(t.TempDir(), "none", FileName), b+"x").Seal("dkim", "7", nil); mail.KindOf(err) != mail.Unavailable {
		t.Errorf("a folder that is not there: %v", err)
	}
}

// TestRace: of many that make the file at once all seal with one key.
func TestRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	sealed := make([][]byte, 8)
	var g sync.WaitGroup
	for i := range sealed {
		g.Go(func() {
			var err error
			if sealed[i], err = open(t, path).Seal("dkim", "7", nil); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	for _, s := range sealed {
		if KeyID(s) != KeyID(sealed[0]) {
			t.Errorf("sealed with %s and %s", KeyID(s), KeyID(sealed[0]))
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(fileHead + linePrefix + strings.Repeat("A", 43) + "=\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if keys, err := parse(text); (err == nil) != (len(keys) > 0) || len(keys) > MaxKeys {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), FileName)
	k := Open(Options{Paths: []string{path}})
	good, err := k.Seal("dkim", "7", []byte("text"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if _, err := k.Open("dkim", "7", sealed); err == nil && !bytes.Equal(sealed, good) {
			t.Fatal("a forgery opens")
		}
	})
}
