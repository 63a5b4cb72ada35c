package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Users of these tests: the server's, and one who calls it.
const (
	serverUser = 64001
	callerUser = 64002
)

// startShutIn starts a server as a user of its own that sees what one sees under
// deploy/yubin.service: everything is read-only but its data folder, /home and /tmp are
// empty.
func startShutIn(t *testing.T) *server {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("LEFT OUT: this test needs root, for a server in a mount namespace and as another user")
	}
	top, err := os.MkdirTemp("/var/tmp", "yubin-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(top) })
	s := &server{t: t, data: filepath.Join(top, "data"), offset: freeOffset(t), log: &lockedBuffer{}}
	program, err := os.ReadFile(binary)
	for _, step := range []error{
		err, os.Chmod(top, 0o755), os.WriteFile(filepath.Join(top, "yubin"), program, 0o755), os.Mkdir(s.data, 0o700),
		os.Chown(s.data, serverUser, serverUser),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	script := fmt.Sprintf(`mount --make-rprivate / && mount --bind %[1]s/data %[1]s/data && mount -o remount,bind,ro / &&
		mount -t tmpfs -o mode=1777 none /tmp && mount -t tmpfs none /home &&
		exec setpriv --reuid %[2]d --regid %[2]d --clear-groups %[1]s/yubin localserve --data %[1]s/data --listen-offset %[3]d`, top, serverUser, s.offset)
	s.cmd = exec.Command("unshare", "--mount", "sh", "-c", script)
	s.cmd.Dir = "/"
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", tail(s.log.String(), 4000))
		}
	})
	if err := s.waitForPort(portPOP3S); err != nil {
		t.Fatalf("the server did not start: %v\n%s", err, tail(s.log.String(), 2000))
	}
	for _, dir := range []string{top, "/home", "/tmp"} { // It is shut in.
		name := fmt.Sprintf("/proc/%d/root%s/x", s.cmd.Process.Pid, dir)
		if err := os.WriteFile(name, nil, 0o600); dir == top && !errors.Is(err, syscall.EROFS) {
			t.Fatalf("the server can write %s: %v", dir, err)
		}
		if _, err := os.Stat(dir + "/x"); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("the server sees %s: %v", dir, err)
		}
	}
	return s
}

// tempIn is a new folder in dir of a user.
func tempIn(t *testing.T, dir string, user int) string {
	t.Helper()
	path, err := os.MkdirTemp(dir, "yubin-e2e-")
	if err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(path) })
		err = os.Chown(path, user, user)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// as runs a command as a user, from the root of the file system, which all can enter.
func (s *server) as(user int, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(filepath.Dir(s.data), "yubin"), append(args, "--data", s.data)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestShutInServer: backups, imports, exports and lessons are of the files of who calls,
// where that user sees them, whatever the server may do and see.
func TestShutInServer(t *testing.T) {
	s := startShutIn(t)
	c := s.smtp()
	rng := rand.New(rand.NewPCG(1, 2))
	const sent = 20
	for n := range sent {
		if err := deliver(c, []string{"alice"}, testMessage(fmt.Sprintf("s%d", n), rng)); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.Close()
	for _, top := range []string{"/home", "/tmp", "/var/tmp"} {
		t.Run(strings.ReplaceAll(top[1:], "/", "-"), func(t *testing.T) { s.useFiles(t, tempIn(t, top, 0), 0, sent) })
	}
	// Another one than root is let in here, which no installation does.
	for path, mode := range map[string]fs.FileMode{s.data: 0o711, filepath.Join(s.data, "admin.sock"): 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("another user", func(t *testing.T) { s.useFiles(t, tempIn(t, "/home", callerUser), callerUser, sent) })
	t.Run("refused", func(t *testing.T) { s.refuseFiles(t) })
	s.check()
}

// useFiles has a user do all that is done with files, in dir.
func (s *server) useFiles(t *testing.T, dir string, user, sent int) {
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"export", "maildir", at("made/m"), "--account", "alice@yubin.test", "--mailbox", "INBOX"}, fmt.Sprintf("%d messages written", sent)},
		{[]string{"export", "maildir", at("made/m"), "--account", "alice@yubin.test", "--mailbox", "INBOX"}, fmt.Sprintf("0 messages written (0 B), %d were there", sent)},
		{[]string{"export", "mbox", at("b"), "--account", "alice@yubin.test", "--mailbox", "INBOX"}, fmt.Sprintf("%d messages written", sent)},
		{[]string{"export", "maildir", at("all")}, "bob@yubin.test: "},
		{[]string{"import", "maildir", "carol@yubin.test", at("made/m")}, "messages taken"},
		{[]string{"import", "mbox", "carol@yubin.test", at("b")}, "messages taken"},
		{[]string{"junk", "train", at("b"), "--as", "junk"}, fmt.Sprintf("%d messages learned as junk", sent)},
		{[]string{"junk", "test", at("made/m")}, fmt.Sprintf("%d messages: ", sent)},
		{[]string{"junk", "untrain", at("made/m")}, "unlearned"},
		{[]string{"backup", at("s")}, " in " + at("s")},
		{[]string{"restore", at("s"), "--account", "alice@yubin.test", "--mailbox", "INBOX", "--into", "Back" + filepath.Base(dir)}, fmt.Sprintf("%d messages put into Back", sent)},
	} {
		out, err := s.as(user, c.args...)
		if err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%v: %v, want %q in\n%s", c.args, err, c.want, out)
		}
	}
	verify := exec.Command(filepath.Join(filepath.Dir(s.data), "yubin"), "backup", "verify", at("s"))
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && (info.Sys().(*syscall.Stat_t).Uid != uint32(user) || info.Mode().Perm()&0o077 != 0) {
			t.Errorf("%s: %v of user %d", path, info.Mode(), info.Sys().(*syscall.Stat_t).Uid)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(s.data, "scratch")); err != nil || len(left) > 0 {
		t.Errorf("the scratch folder has %v, %v", left, err)
	}
}

// refuseFiles: what only the server may read or write, or sees, is not for who calls it.
func (s *server) refuseFiles(t *testing.T) {
	theirs := tempIn(t, "/var/tmp", serverUser)
	letter := "From a Tue Nov 22 01:02:03 2026\nSubject: not yours\n\ntext\n"
	for _, err := range []error{
		os.Mkdir(filepath.Join(theirs, "cur"), 0o755), os.WriteFile(filepath.Join(theirs, "box"), []byte(letter), 0o600),
		os.Chown(filepath.Join(theirs, "box"), serverUser, serverUser),
		os.MkdirAll(fmt.Sprintf("/proc/%d/root/tmp/inside/cur", s.cmd.Process.Pid), 0o777),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	open := tempIn(t, "/var/tmp", serverUser)
	if err := errors.Join(os.Chmod(open, 0o755), os.Rename(filepath.Join(theirs, "box"), filepath.Join(open, "box"))); err != nil {
		t.Fatal(err)
	}
	denied := "permission denied for user 64002"
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"import", "maildir", "bob@yubin.test", theirs}, []string{theirs, denied}},
		{[]string{"import", "mbox", "bob@yubin.test", theirs}, []string{theirs, denied}},
		{[]string{"import", "mbox", "bob@yubin.test", filepath.Join(open, "box")}, []string{filepath.Join(open, "box"), denied}},
		{[]string{"import", "mbox", "bob@yubin.test", open}, []string{filepath.Join(open, "box"), denied}},
		{[]string{"junk", "train", theirs, "--as", "junk"}, []string{theirs, denied}},
		{[]string{"export", "maildir", filepath.Join(theirs, "m"), "--account", "alice@yubin.test"}, []string{theirs, denied}},
		{[]string{"export", "mbox", filepath.Join(open, "m"), "--account", "alice@yubin.test"}, []string{open, denied}},
		{[]string{"backup", filepath.Join(open, "s")}, []string{open, denied}},
		{[]string{"restore", theirs, "--account", "alice@yubin.test"}, []string{theirs, denied}},
		{[]string{"import", "maildir", "bob@yubin.test", "/tmp/inside"}, []string{"there is no folder /tmp/inside"}},
		{[]string{"import", "mbox", "bob@yubin.test", s.data}, []string{"must not be in each other"}},
	} {
		out, err := s.as(callerUser, c.args...)
		for _, want := range c.want {
			if err == nil || !strings.Contains(out, want) {
				t.Errorf("%v: %v, want %q in\n%s", c.args, err, want, out)
			}
		}
	}
}

// TestImportCutShort: a command that is killed while the server works on its files ends
// that work, which the log tells, and another one goes on with it.
func TestImportCutShort(t *testing.T) {
	s := startServer(t)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "cur"), 0o700); err != nil {
		t.Fatal(err)
	}
	const many = 4000
	for n := range many {
		text := fmt.Sprintf("Subject: %d\nMessage-ID: <%d@cut.test>\n\ntext\n", n, n)
		if err := os.WriteFile(filepath.Join(dir, "cur", fmt.Sprintf("%d.x:2,", n)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	there := func() (n int64) {
		out, err := s.yubin("account", "show", "carol@yubin.test", "--json")
		var a struct{ Usage struct{ Messages int64 } }
		if err == nil {
			err = json.Unmarshal([]byte(out), &a)
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return a.Usage.Messages
	}
	before := there()
	cmd := exec.Command(binary, "import", "maildir", "carol@yubin.test", dir, "--data", s.data)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for there() == before {
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(30 * time.Second); !strings.Contains(s.log.String(), "administration cut short"); {
		select {
		case <-limit:
			t.Fatalf("the log does not tell, %d messages are there", there())
		case <-tick.C:
		}
	}
	got := there() - before
	if got >= many {
		t.Errorf("all %d are there", got)
	}
	out, err := s.yubin("import", "maildir", "carol@yubin.test", dir)
	if want := fmt.Sprintf("%d messages taken", many-got); err != nil || !strings.Contains(out, want) || there()-before != many {
		t.Errorf("%v, %d are there, want %q in\n%s", err, there()-before, want, out)
	}
	s.check()
}
