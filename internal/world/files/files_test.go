package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"yubin/internal/mail"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantForbidden(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || mail.KindOf(err) != mail.Forbidden || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v (%v), want Forbidden with %q", err, mail.KindOf(err), text)
	}
}

// TestOpen: only regular files are opened, and nothing waits for a FIFO.
func TestOpen(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(outside, []byte("secret"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "file"), []byte("mine"), 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	must(t, os.Symlink(outside, filepath.Join(dir, "link")))
	must(t, os.Symlink("file", filepath.Join(dir, "near")))
	must(t, os.Symlink(filepath.Dir(outside), filepath.Join(dir, "away")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	f, err := Open(dir)
	must(t, err)
	defer f.Close()
	for name, why := range map[string]string{"link": "is a link", "near": "is a link", "fifo": "no regular file", "sub": "is a folder"} {
		_, err := f.Open(name)
		wantForbidden(t, err, name+" ")
		wantForbidden(t, err, why)
	}
	for _, name := range []string{"away/secret", "../" + filepath.Base(filepath.Dir(outside)) + "/secret", outside} {
		if file, err := f.Open(name); err == nil {
			t.Errorf("%s was opened: %v", name, file.Name())
		}
	}
	if _, err := f.Open("nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	text, err := f.Read("file", 10)
	if err != nil || string(text) != "mine" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := f.Read("file", 3); mail.KindOf(err) != mail.TooLarge {
		t.Error(err)
	}
	_, err = f.List("away")
	wantForbidden(t, err, "no folder")
	_, err = OpenFile(filepath.Join(dir, "fifo"))
	wantForbidden(t, err, "no regular file")
	file, err := OpenFile(filepath.Join(dir, "near")) // Our own link, named by the operator.
	must(t, err)
	must(t, file.Close())
}

// TestWrite: what stands where a file is to be written is replaced and not
// written through.
func TestWrite(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	must(t, os.WriteFile(outside, []byte("precious"), 0o600))
	must(t, os.Symlink(outside, filepath.Join(dir, "list")))
	must(t, os.Symlink(outside, filepath.Join(dir, "list.tmp")))
	f, err := Make(dir)
	must(t, err)
	defer f.Close()
	must(t, f.Replace("list", []byte("new")))
	if text, err := f.Read("list", 10); err != nil || string(text) != "new" {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := os.ReadFile(outside); err != nil || string(text) != "precious" {
		t.Errorf("the victim has %q, %v", text, err)
	}
}

// TestOwners: a file, or a link in the path, of somebody else does not count.
func TestOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("files get other owners only as root; what needs them is not looked at")
		return
	}
	top := t.TempDir()
	alice, bob := filepath.Join(top, "alice"), filepath.Join(top, "bob")
	for i, dir := range []string{alice, bob} {
		must(t, os.Mkdir(dir, 0o700))
		must(t, os.WriteFile(filepath.Join(dir, "mail"), []byte("x"), 0o600))
		must(t, os.Lchown(dir, 70001+i, 70001+i))
		must(t, os.Lchown(filepath.Join(dir, "mail"), 70001+i, 70001+i))
	}
	must(t, os.Link(filepath.Join(bob, "mail"), filepath.Join(alice, "stolen")))
	must(t, os.Symlink(bob, filepath.Join(alice, "Maildir")))
	must(t, os.Lchown(filepath.Join(alice, "Maildir"), 70001, 70001))
	must(t, os.Symlink(filepath.Join(bob, "mail"), filepath.Join(alice, "mbox")))
	must(t, os.Lchown(filepath.Join(alice, "mbox"), 70001, 70001))
	must(t, os.Symlink(alice, filepath.Join(top, "named"))) // Of root.
	f, err := Open(filepath.Join(top, "named"))
	must(t, err)
	defer f.Close()
	_, err = f.OpenOwned("stolen")
	wantForbidden(t, err, "stolen belongs to user 70002")
	file, err := f.OpenOwned("mail")
	must(t, err)
	must(t, file.Close())
	_, err = Open(filepath.Join(alice, "Maildir"))
	wantForbidden(t, err, "is a link that user 70001 made")
	_, err = OpenFile(filepath.Join(alice, "mbox"))
	wantForbidden(t, err, "is a link that user 70001 made")
}
