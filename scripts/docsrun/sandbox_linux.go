package main

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// sandbox is run in mount and host name namespaces of its own. It makes the machine look as
// the unit says, becomes the unit's user, and runs the program in its own place.
func sandbox(name string, argv []string) error {
	u, err := loadUnit("/", name)
	if err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("/: %w", err)
	}
	for _, step := range []func(*unit) error{protectSystem, privateTmp, protectHome, privateDevices, protectProc} {
		if err := step(u); err != nil {
			return err
		}
	}
	if n, err := strconv.ParseUint(u.last("LimitNOFILE"), 10, 64); err == nil {
		// Root of a container may not raise it, and its own will do.
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n})
	}
	unix.Umask(int(u.mode("UMask", 0o022)))
	if err := os.Chdir("/"); err != nil {
		return err
	}
	as := []string{"setpriv", "--reuid=" + u.last("User"), "--regid=" + u.last("Group"), "--init-groups"}
	if caps, ok := u.capabilities("CapabilityBoundingSet"); ok {
		as = append(as, "--bounding-set=-all"+caps)
	}
	if caps, ok := u.capabilities("AmbientCapabilities"); ok {
		as = append(as, "--inh-caps=-all"+caps, "--ambient-caps=-all"+caps)
	}
	if u.yes("NoNewPrivileges") {
		as = append(as, "--no-new-privs")
	}
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "USER=" + u.last("User"), "LANG=C.UTF-8"}
	if s := os.Getenv("NOTIFY_SOCKET"); s != "" {
		env = append(env, "NOTIFY_SOCKET="+s)
	}
	for _, key := range []string{"State", "Runtime", "Configuration"} {
		if dirs := u.folders(key); len(dirs) > 0 {
			env = append(env, strings.ToUpper(key)+"_DIRECTORY="+strings.Join(dirs, ":"))
		}
	}
	env = append(env, u.words("Environment")...)
	return syscall.Exec("/usr/bin/setpriv", append(append(as, "--"), argv...), env)
}

// capabilities writes a set as setpriv wants it.
func (u *unit) capabilities(key string) (string, bool) {
	if len(u.values[key]) == 0 {
		return "", false
	}
	var b strings.Builder
	for _, c := range u.words(key) {
		b.WriteString(",+" + strings.ToLower(strings.TrimPrefix(c, "CAP_")))
	}
	return b.String(), true
}

// folders are those of StateDirectory and its like, as paths.
func (u *unit) folders(kind string) []string {
	below := map[string]string{"State": "/var/lib", "Runtime": "/run", "Configuration": "/etc"}[kind]
	var paths []string
	for _, d := range u.words(kind + "Directory") {
		paths = append(paths, filepath.Join(below, d))
	}
	return paths
}

// makeFolders makes them; the configuration's belong to root.
func (u *unit) makeFolders() error {
	for _, kind := range []string{"State", "Runtime", "Configuration"} {
		for _, path := range u.folders(kind) {
			mode := u.mode(kind+"DirectoryMode", 0o755)
			if err := os.MkdirAll(path, mode); err != nil {
				return err
			}
			if kind == "Configuration" {
				continue
			}
			uid, gid, err := u.ids()
			if err != nil {
				return err
			}
			if err := os.Chown(path, uid, gid); err != nil {
				return err
			}
			if err := os.Chmod(path, mode); err != nil {
				return err
			}
		}
	}
	return nil
}

func (u *unit) ids() (uid, gid int, err error) {
	who, err := user.Lookup(u.last("User"))
	if err != nil {
		return 0, 0, err
	}
	if uid, err = strconv.Atoi(who.Uid); err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(who.Gid)
	return uid, gid, err
}

// protectSystem makes everything read-only but what the unit may write.
func protectSystem(u *unit) error {
	read := u.words("ReadOnlyPaths")
	switch u.last("ProtectSystem") {
	case "strict":
		read = append([]string{"/"}, read...)
	case "full":
		read = append([]string{"/usr", "/boot", "/etc"}, read...)
	case "yes", "true":
		read = append([]string{"/usr", "/boot"}, read...)
	}
	write := append(append(u.folders("State"), u.folders("Runtime")...), u.words("ReadWritePaths")...)
	for _, pair := range append(u.words("BindPaths"), u.words("BindReadOnlyPaths")...) {
		from, to, ok := strings.Cut(pair, ":")
		if !ok {
			to = from
		}
		if err := bind(from, to); err != nil {
			return err
		}
	}
	for _, path := range append(write, read...) {
		if path == "/" {
			continue
		}
		if err := bind(path, path); err != nil {
			return err
		}
	}
	for _, path := range read {
		if err := readOnly(path, true); err != nil {
			return err
		}
	}
	for _, path := range write {
		if err := readOnly(strings.TrimLeft(path, "-+"), false); err != nil {
			return err
		}
	}
	return nil
}

func bind(from, to string) error {
	optional := strings.HasPrefix(from, "-")
	from, to = strings.TrimLeft(from, "-+"), strings.TrimLeft(to, "-+")
	if _, err := os.Stat(from); err != nil && optional {
		return nil
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("%s: %w", to, err)
	}
	return nil
}

// readOnly changes a mount and all below it.
func readOnly(path string, yes bool) error {
	attr := &unix.MountAttr{}
	if yes {
		attr.Attr_set = unix.MOUNT_ATTR_RDONLY
	} else {
		attr.Attr_clr = unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, path, unix.AT_RECURSIVE, attr); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func tmpfs(path, options string) error {
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, options); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func privateTmp(u *unit) error {
	if !u.yes("PrivateTmp") {
		return nil
	}
	for _, path := range []string{"/tmp", "/var/tmp"} {
		if err := tmpfs(path, "mode=1777"); err != nil {
			return err
		}
	}
	return nil
}

func protectHome(u *unit) error {
	how := u.last("ProtectHome")
	for _, path := range []string{"/home", "/root", "/run/user"} {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		switch how {
		case "yes", "true":
			if err := tmpfs(path, "mode=0"); err != nil {
				return err
			}
		case "read-only":
			if err := bind(path, path); err != nil {
				return err
			}
		default:
			continue
		}
		if err := readOnly(path, true); err != nil {
			return err
		}
	}
	return nil
}

// privateDevices leaves the devices that are no hardware.
func privateDevices(u *unit) error {
	if !u.yes("PrivateDevices") {
		return nil
	}
	devices := []string{"null", "zero", "full", "random", "urandom", "tty"}
	if err := tmpfs("/mnt", "mode=755"); err != nil {
		return err
	}
	for _, d := range devices {
		if err := os.WriteFile("/mnt/"+d, nil, 0o666); err != nil {
			return err
		}
		if err := bind("/dev/"+d, "/mnt/"+d); err != nil {
			return err
		}
	}
	if err := os.Mkdir("/mnt/shm", 0o1777); err != nil {
		return err
	}
	if err := unix.Mount("/mnt", "/dev", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("/dev: %w", err)
	}
	return nil
}

func protectProc(u *unit) error {
	var options []string
	if u.last("ProtectProc") == "invisible" {
		options = append(options, "hidepid=invisible")
	}
	if u.last("ProcSubset") == "pid" {
		options = append(options, "subset=pid")
	}
	if len(options) == 0 {
		return nil
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, strings.Join(options, ",")); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	return nil
}
