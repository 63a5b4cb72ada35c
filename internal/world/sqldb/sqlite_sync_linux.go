package sqldb

import "syscall"

// syncOctets makes the octets of a file durable, and of its attributes those
// that reading them takes.
func syncOctets(fd int) error {
	for {
		if err := syscall.Fdatasync(fd); err != syscall.EINTR {
			return err
		}
	}
}
