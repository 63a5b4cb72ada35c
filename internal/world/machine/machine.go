// Package machine looks at the machine that a post office runs on, and changes what only
// its administrator may: who listens at which port, whether something keeps the clock right,
// users, and the services of systemd.
//
// What a system does not tell is said to be unknown; it is never guessed.
package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// Clock says whether something keeps the clock of this machine right.
type Clock uint8

// The answers.
const (
	ClockUnknown Clock = iota // the system does not tell
	ClockKept
	ClockLeft // nothing keeps it
)

// Addresses are those of the interfaces of this machine that others may reach: no loopback,
// no link-local ones. None if the system does not tell.
func Addresses() (list []netip.Addr) {
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap().IsGlobalUnicast() {
			list = append(list, ip.Unmap())
		}
	}
	return list
}

// User finds a user by name.
func User(name string) (uid, gid int, found bool, err error) {
	u, err := user.Lookup(name)
	if unknown := user.UnknownUserError(""); errors.As(err, &unknown) {
		return 0, 0, false, nil
	}
	if err != nil {
		return 0, 0, false, err
	}
	uid, uidErr := strconv.Atoi(u.Uid)
	gid, gidErr := strconv.Atoi(u.Gid)
	return uid, gid, true, errors.Join(uidErr, gidErr)
}

// MakeUser makes a user of the system, who cannot log in, with a group of its name.
func MakeUser(ctx context.Context, name, home string) error {
	_, err := run(exec.CommandContext(ctx, "useradd", "--system", "--user-group", "--home-dir", home, "--shell", "/usr/sbin/nologin", name))
	return err
}

// systemdFolder is there if systemd manages this machine (sd_booted(3)).
const systemdFolder = "/run/systemd/system"

// Systemd reports whether systemd manages this machine.
func Systemd() bool {
	info, err := os.Lstat(systemdFolder)
	return err == nil && info.IsDir()
}

// Systemctl runs systemctl.
func Systemctl(ctx context.Context, args ...string) error {
	_, err := run(exec.CommandContext(ctx, "systemctl", args...))
	return err
}

// As runs a program as a user and returns what it wrote to its standard output. in is its
// standard input: no secret stands in its arguments. The error has what it said.
func As(ctx context.Context, uid, gid int, in []byte, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin, cmd.Dir = bytes.NewReader(in), "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if uid != os.Geteuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	return run(cmd)
}

// maxSaid is how much of what a program says on its standard error is told.
const maxSaid = 2000

func run(cmd *exec.Cmd) ([]byte, error) {
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	if err == nil {
		return out.Bytes(), nil
	}
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("there is no program %s on this machine: %w", cmd.Path, fs.ErrNotExist)
	}
	if text := strings.TrimSpace(said.String()); text != "" {
		return out.Bytes(), fmt.Errorf("%s", strings.ToValidUTF8(text[:min(len(text), maxSaid)], "?"))
	}
	return out.Bytes(), fmt.Errorf("%s: %w", cmd.Path, err)
}
