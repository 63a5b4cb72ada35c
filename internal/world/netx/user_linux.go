package netx

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// userOf asks the system who made a connection.
func userOf(socket syscall.RawConn) (uid uint32, ok bool) {
	err := socket.Control(func(fd uintptr) {
		if peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			uid, ok = peer.Uid, true
		}
	})
	return uid, ok && err == nil
}
