//go:build !linux

package netx

import "syscall"

func userOf(syscall.RawConn) (uid uint32, ok bool) { return 0, false }
