package server

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Packages is a folder into which scripts/bench-packages unpacked Debian's
// servers: a folder for each, since some have files of the same name.
type Packages struct {
	Folder string
	users  string // folder of a passwd and a group with their users
}

// Unpack fetches the packages unless they are there, and writes their users to a
// scratch folder.
func Unpack(ctx context.Context, folder, scratch string) (Packages, error) {
	cmd := exec.CommandContext(ctx, "scripts/bench-packages", folder)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return Packages{}, fmt.Errorf("scripts/bench-packages: %w", err)
	}
	p := Packages{Folder: folder, users: filepath.Join(scratch, "users")}
	return p, p.makeUsers()
}

// users are those that the servers change to. In their namespace they hide the
// system's of the same name.
var users = []struct {
	name string
	id   int
}{
	{"postfix", 64101}, {"dovecot", 64102}, {"dovenull", 64103}, {"vmail", 64104}, {"postdrop", 64105},
	{"opensmtpd", 64106}, {"opensmtpq", 64107}, {"Debian-exim", 64108}, {"_rspamd", 64109}, {"unbound", 64110},
}

// ID is the number of a user and group.
func userID(name string) int {
	for _, u := range users {
		if u.name == name {
			return u.id
		}
	}
	return 0
}

func (p Packages) makeUsers() error {
	if err := os.MkdirAll(p.users, 0o755); err != nil {
		return err
	}
	var passwd, group strings.Builder
	for _, u := range users {
		fmt.Fprintf(&passwd, "%s:x:%d:%d::/nonexistent:/bin/false\n", u.name, u.id, u.id)
		fmt.Fprintf(&group, "%s:x:%d:\n", u.name, u.id)
	}
	if err := p.extend("passwd", passwd.String()); err != nil {
		return err
	}
	return p.extend("group", group.String())
}

// extend writes a copy of a file of /etc with our lines instead of those of the same name.
func (p Packages) extend(name, ours string) error {
	b, err := os.ReadFile(filepath.Join("/etc", name))
	if err != nil {
		return err
	}
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		user, _, _ := strings.Cut(line, ":")
		if userID(user) == 0 {
			out.WriteString(line)
		}
	}
	return os.WriteFile(filepath.Join(p.users, name), []byte(out.String()+ours), 0o644)
}

// Command makes a command that sees the package root over /usr.
func (p Packages) Command(ctx context.Context, root, program string, args ...string) *exec.Cmd {
	const enter = `mount -t overlay packages -o "lowerdir=$1/usr:/usr" /usr && ` +
		`mount --bind "$2/passwd" /etc/passwd && mount --bind "$2/group" /etc/group && shift 2 && exec "$@"`
	all := append([]string{"--mount", "--propagation", "private", "sh", "-c", enter, "enter", filepath.Join(p.Folder, root), p.users, program}, args...)
	return exec.CommandContext(ctx, "unshare", all...)
}

// version asks dpkg's record of what was unpacked.
func (p Packages) version(root, pkg string) string {
	b, err := os.ReadFile(filepath.Join(p.Folder, root, "versions"))
	if err != nil {
		return "of unknown version"
	}
	for line := range strings.Lines(string(b)) {
		if name, v, _ := strings.Cut(strings.TrimSpace(line), " "); name == pkg {
			return pkg + " " + v
		}
	}
	return pkg
}
