package files

import "golang.org/x/sys/unix"

// Disk is how large the disk is where path is, and how much of it may still be written.
func Disk(path string) (free, total uint64, ok bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, 0, false
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), true
}

// Free is how much may still be written where path is.
func Free(path string) (octets uint64, ok bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, false
	}
	return s.Bavail * uint64(s.Bsize), true
}
