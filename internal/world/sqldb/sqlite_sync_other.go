//go:build !linux

package sqldb

import "syscall"

// syncOctets makes a file durable.
func syncOctets(fd int) error { return syscall.Fsync(fd) }
