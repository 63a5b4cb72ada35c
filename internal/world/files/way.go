package files

import (
	"errors"
	"syscall"
)

// InTheWay reports whether err is of one name: something else has it, or no file
// can have it. Another file may be written all the same.
func InTheWay(err error) bool {
	for _, of := range [...]error{syscall.EEXIST, syscall.ENOTDIR, syscall.EISDIR, syscall.ENOTEMPTY, syscall.ENAMETOOLONG, syscall.ELOOP} {
		if errors.Is(err, of) {
			return true
		}
	}
	return false
}
