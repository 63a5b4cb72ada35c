//go:build !linux

package files

// Free is not known here.
func Free(string) (octets uint64, ok bool) { return 0, false }

// Disk is not known here.
func Disk(string) (free, total uint64, ok bool) { return 0, 0, false }
