package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A machine is what a page is tried on: a computer without anything but the programs of
// this one, in namespaces of its own. Its files are in memory and go with it, its
// network reaches nobody. All its processes end with the first.
type machine struct {
	root string
	cmd  *exec.Cmd
}

// boot makes a machine. house is the folder of the repository, yubin the binary.
func boot(root, house, yubin string) (*machine, error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	hear, tell, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer hear.Close()
	cmd := exec.Command("/proc/self/exe", "machine", root, house, yubin)
	cmd.Stderr, cmd.ExtraFiles = os.Stderr, []*os.File{tell}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	err = cmd.Start()
	tell.Close()
	if err != nil {
		return nil, err
	}
	m := &machine{root: root, cmd: cmd}
	buf := make([]byte, 1)
	if n, _ := hear.Read(buf); n == 0 {
		m.end()
		return nil, fmt.Errorf("the machine for the pages does not come up")
	}
	return m, nil
}

func (m *machine) end() {
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
	_ = os.RemoveAll(m.root)
}

// patience bounds one command of a page.
const patience = 3 * time.Minute

// run runs shell commands in the machine as root, and returns what they print.
func (m *machine) run(ctx context.Context, text string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--target", strconv.Itoa(m.cmd.Process.Pid), "--mount", "--net", "--pid", "--uts", "--ipc", "--root", "/usr/bin/env", "-i", "--chdir=/",
		"PATH=/standins:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root", "LANG=C.UTF-8", "TZ=UTC",
		"bash", "-c", `cd "$(cat /run/cwd)" && trap 'pwd >/run/cwd' EXIT; `+"\n"+text)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("not done after %v", patience)
	}
	return string(out), err
}

// first is the first process of a machine: it makes it and waits for its orphans.
func first(root, house, yubin string) error {
	for _, step := range []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return tmpfs(root, "mode=755,size=1g") },
		func() error { return furnish(root, house, yubin) },
		func() error { return unix.Sethostname([]byte("mail.example.org")) },
		network,
		func() error { return unix.Chroot(root) },
		func() error { return os.Chdir("/root") },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	tell := os.NewFile(3, "tell")
	_, _ = tell.WriteString("up")
	tell.Close()
	for {
		if _, err := unix.Wait4(-1, nil, 0, nil); err != nil {
			time.Sleep(20 * time.Millisecond) // No children now.
		}
	}
}

// network brings up the loopback interface, with the addresses that pages use (RFC 5737,
// RFC 3849): all of them are this machine.
func network() error {
	out, err := exec.Command("sh", "-ec", `
		ip link set lo up
		for net in 192.0.2.1/24 198.51.100.1/24 203.0.113.1/24; do ip addr add $net dev lo; done
		ip -6 addr add 2001:db8::1/64 dev lo 2>/dev/null || true`).CombinedOutput()
	if err != nil {
		return fmt.Errorf("network: %w: %s", err, out)
	}
	return nil
}

// furnish puts together the files of a machine below root.
func furnish(root, house, yubin string) error {
	at := func(path string) string { return filepath.Join(root, path) }
	for _, dir := range []string{
		"usr", "etc/systemd/system", "etc/default", "etc/ssl/certs", "etc/alternatives", "dev", "proc", "sys", "run/systemd", "run/lock", "var/lib", "var/log", "var/mail",
		"var/spool", "var/cache", "home", "srv", "opt", "mnt", "standins", "root",
	} {
		if err := os.MkdirAll(at(dir), 0o755); err != nil {
			return err
		}
	}
	for _, dir := range []string{"tmp", "var/tmp"} {
		if err := os.MkdirAll(at(dir), 0o755); err != nil {
			return err
		}
		if err := os.Chmod(at(dir), 0o777|os.ModeSticky); err != nil {
			return err
		}
	}
	if err := os.Chmod(at("root"), 0o700); err != nil {
		return err
	}
	for _, link := range []string{"bin", "sbin", "lib", "lib64"} {
		if to, err := os.Readlink("/" + link); err == nil {
			if err := os.Symlink(to, at(link)); err != nil {
				return err
			}
		}
	}
	if err := os.Symlink("/run", at("var/run")); err != nil {
		return err
	}
	for _, dir := range []string{"/usr", "/dev", "/sys", "/etc/alternatives"} {
		if err := bind(dir, at(dir)); err != nil {
			return err
		}
	}
	for _, dir := range []string{"usr", "sys", "etc/alternatives"} {
		if err := readOnly(at(dir), true); err != nil {
			return err
		}
	}
	if err := tmpfs(at("usr/local"), "mode=755"); err != nil {
		return err
	}
	if err := unix.Mount("proc", at("proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	for _, dir := range []string{"usr/local/bin", "usr/local/sbin", "usr/local/share", "usr/local/lib"} {
		if err := os.Mkdir(at(dir), 0o755); err != nil {
			return err
		}
	}
	return files(at, house, yubin)
}

// files are those that a machine begins with.
func files(at func(string) string, house, yubin string) error {
	accounts := "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
	groups := "root:x:0:\nnogroup:x:65534:\nmail:x:8:\nadm:x:4:\n"
	for name, text := range map[string]string{
		"etc/passwd":        accounts,
		"etc/group":         groups,
		"etc/shadow":        "root:*:1::::::\n",
		"etc/gshadow":       "root:*::\n",
		"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
		"etc/hosts":         "127.0.0.1 localhost\n::1 localhost\n",
		"etc/resolv.conf":   "nameserver 127.0.0.1\n",
		"etc/login.defs":    "UID_MIN 1000\nUID_MAX 60000\nSYS_UID_MIN 100\nSYS_UID_MAX 999\nSYS_GID_MIN 100\nSYS_GID_MAX 999\nUSERGROUPS_ENAB yes\n",
		"etc/profile":       "",
		"run/cwd":           "/root\n",
	} {
		if err := os.WriteFile(at(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	pages := filepath.Join(house, "scripts/docsrun")
	copies := [][2]string{
		{"/etc/ssl/openssl.cnf", "etc/ssl/openssl.cnf"},
		{yubin, "root/yubin"},
		{self, "standins/systemctl"},
		{filepath.Join(pages, "pages") + "/.", "standins/pages"},
		{filepath.Join(pages, "standins") + "/.", "standins"},
		{filepath.Join(house, "deploy"), "root/deploy"},
	}
	for _, c := range copies {
		out, err := exec.Command("cp", "-r", c[0], at(c[1])).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w", strings.TrimSpace(string(out)), err)
		}
	}
	for _, name := range []string{"journalctl", "names", "peer", "ldapd"} {
		if err := os.Symlink("systemctl", at("standins/"+name)); err != nil {
			return err
		}
	}
	return nil
}
