//go:build !linux

package files

// Free is not known here.
func Free(string) (octets uint64, ok bool) { return 0, false }
