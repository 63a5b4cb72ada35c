package admin

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// SocketName is the name of the socket in the data folder.
const SocketName = "admin.sock"

// maxSocketPath is how long the path of a Unix socket may be: sun_path has 104
// octets on some systems and 108 on others, and a final NUL.
const maxSocketPath = 103

// Listen opens the socket in folder, for the owner only. The caller has locked
// the folder, so a socket that is there already is left from a crash.
func Listen(folder string) (net.Listener, error) {
	name := filepath.Join(folder, SocketName)
	if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	short, done, err := shorten(folder)
	if err != nil {
		return nil, err
	}
	defer done()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("admin socket %s: %w", name, err)
	}
	ln.SetUnlinkOnClose(false) // It would use the short name.
	if err := os.Chmod(name, 0o600); err != nil {
		_ = ln.Close()
		return nil, err
	}
	return &listener{ln, name}, nil
}

type listener struct {
	*net.UnixListener
	name string
}

// Close closes the socket and takes its name away.
func (l *listener) Close() error {
	_ = os.Remove(l.name)
	return l.UnixListener.Close()
}

// dial connects to the socket in folder.
func dial(ctx context.Context, folder string) (net.Conn, error) {
	short, done, err := shorten(folder)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	return d.DialContext(ctx, "unix", short)
}

// shorten returns a path of the socket in folder that the system accepts. One
// that is too long is reached through the folder's descriptor, where the
// system has /proc (Linux).
func shorten(folder string) (path string, done func(), err error) {
	path = filepath.Join(folder, SocketName)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	f, err := os.Open(folder)
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join("/proc/self/fd", strconv.Itoa(int(f.Fd())), SocketName)
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		_ = f.Close()
		return "", nil, fmt.Errorf("the path of data folder %s is too long for a socket; use one of at most %d octets",
			folder, maxSocketPath-len(SocketName)-1)
	}
	return path, func() { _ = f.Close() }, nil
}
