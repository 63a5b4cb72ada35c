package netx

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Early reports whether the peer has sent something that nobody read yet,
// without waiting and without reading it: on a protocol in which the server
// speaks first, before the greeting. Under TLS it is not known, and false.
func (c *Conn) Early() bool {
	if c.Buffered() > 0 {
		return true
	}
	socket, ok := c.raw.(syscall.Conn)
	if !ok || c.tls != nil {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	var one [1]byte
	err = raw.Control(func(fd uintptr) {
		n, _, err = unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	return err == nil && n > 0
}
