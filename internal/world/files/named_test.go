package files

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"yubin/internal/mail"
)

// TestReadFile: what the operator named is read over links, if it is a regular file
// within its bound; a FIFO does not hold anybody up.
func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.WriteFile(at("file"), []byte("12345"), 0o600))
	must(t, os.Symlink("file", at("link")))
	must(t, syscall.Mkfifo(at("fifo"), 0o600))
	for name, limit := range map[string]int64{"file": 5, "link": 6} {
		if text, err := ReadFile(at(name), limit); err != nil || string(text) != "12345" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if text, err := ReadFile(at("file"), 4); err == nil || mail.KindOf(err) != mail.TooLarge || text != nil {
		t.Errorf("a file over the bound: %q, %v", text, err)
	}
	for name, text := range map[string]string{at("fifo"): "no regular file", dir: "is a folder", "/dev/zero": "no regular file"} {
		_, err := ReadFile(name, 5)
		wantForbidden(t, err, text)
	}
	if _, err := ReadFile(at("none"), 5); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestWriteFile: the new file takes the place of the old one when it is whole; a
// link and what it leads to stay as they are.
func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(text string, err error) func(io.Writer) error {
		return func(w io.Writer) error {
			_, _ = io.WriteString(w, text)
			return err
		}
	}
	must(t, os.WriteFile(at("other"), []byte("theirs"), 0o644))
	must(t, os.Symlink("other", at("link")))
	wantForbidden(t, WriteFile(at("link"), write("x", nil)), "is a link")
	wantForbidden(t, WriteFile("/dev/null", write("x", nil)), "no regular file")
	must(t, WriteFile(at("new"), write("first", nil)))
	if err := WriteFile(at("new"), write("half", io.ErrUnexpectedEOF)); err != io.ErrUnexpectedEOF && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	for name, want := range map[string]string{"new": "first", "other": "theirs"} {
		if got, err := os.ReadFile(at(name)); err != nil || string(got) != want {
			t.Errorf("%s has %q, %v", name, got, err)
		}
	}
	if info, err := os.Stat(at("new")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("%v are left, %v", left, err)
	}
}
