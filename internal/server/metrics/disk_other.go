//go:build !linux

package metrics

// freeOctets is not known here.
func freeOctets(string) (octets uint64, ok bool) { return 0, false }
