package netx

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// User is the number of the user of this machine at the other end of a Unix socket, as
// the system knows it since the connection was made. False where it does not say.
func (c *Conn) User() (uid uint32, ok bool) {
	s, ok := c.raw.(*net.UnixConn)
	if !ok {
		return 0, false
	}
	socket, err := s.SyscallConn()
	if err != nil {
		return 0, false
	}
	return userOf(socket)
}

// lookAround bounds how long a server on a socket that is there is waited for.
const lookAround = time.Second

// ListenUnix listens on a Unix socket with a name and mode in the file system. A socket
// that is there and answers is another server's, which is an error; one that does not
// is left from a crash and makes room. Close takes the name away.
func ListenUnix(name string, mode fs.FileMode) (net.Listener, error) {
	switch info, err := os.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSocket == 0:
		return nil, fmt.Errorf("%s is there and is no socket", name)
	default:
		c, err := net.DialTimeout("unix", name, lookAround)
		if err == nil {
			_ = c.Close()
			return nil, fmt.Errorf("another program listens on %s: %w", name, syscall.EADDRINUSE)
		}
		if err := os.Remove(name); err != nil {
			return nil, err
		}
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(name, mode); err != nil {
		_ = ln.Close()
		return nil, err
	}
	return ln, nil
}
