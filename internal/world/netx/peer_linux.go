package netx

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// peerOf asks the system about a socket without waiting.
func peerOf(socket syscall.RawConn) Peer {
	var events int16
	err := socket.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(fds, 0); err == nil && n > 0 {
			events = fds[0].Revents
		}
	})
	switch {
	case err != nil || events&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0:
		return Gone
	case events&unix.POLLRDHUP != 0:
		return Silent
	}
	return Here
}
