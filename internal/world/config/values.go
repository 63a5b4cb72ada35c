package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

var (
	errSize     = errors.New("not a size")
	errDuration = errors.New("not a number of days")
)

// sizeUnits are the units of sizes, in octets, largest first.
var sizeUnits = [...]struct {
	name   string
	octets int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1}}

// ParseSize reads a whole number of octets with a unit: "50 MiB".
func ParseSize(s string) (int64, error) {
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/u.octets {
			return 0, errSize
		}
		return n * u.octets, nil
	}
	return 0, errSize
}

const day = 24 * time.Hour

// parseDuration reads a number of days, "5d", or what time.ParseDuration does.
func parseDuration(s string) (time.Duration, error) {
	digits, ok := strings.CutSuffix(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > int64(math.MaxInt64/day) {
		return 0, errDuration
	}
	return time.Duration(n) * day, nil
}

// formatSize is the shortest exact form of n that ParseSize reads.
func formatSize(n int64) string {
	for _, u := range sizeUnits {
		if n >= u.octets && n%u.octets == 0 {
			return fmt.Sprintf("%d %s", n/u.octets, u.name)
		}
	}
	return strconv.FormatInt(n, 10) + " B"
}

// splitAddress reads host:port where host is an IP address, localhost or empty.
func splitAddress(s string) (host string, port int, err error) {
	host, digits, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, err
	}
	if host != "" && host != "localhost" {
		if _, err := netip.ParseAddr(host); err != nil {
			return "", 0, err
		}
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	return host, int(n), err
}

// dnsPort is the port of name servers that are given without one.
const dnsPort = 53

// ParseServer reads the address of a name server: an IP address with a port, or
// without one for 53.
func ParseServer(s string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(addr, dnsPort), nil
	}
	return netip.ParseAddrPort(s)
}

// maxDistance is how many typing errors nearest forgives.
const maxDistance = 2

// nearest returns the word closest to s, or "" if none is close.
func nearest(s string, words []string) string {
	best, found := maxDistance+1, ""
	for _, w := range words {
		if d := distance(s, w); d < best && d < len(w) {
			best, found = d, w
		}
	}
	return found
}

// distance is the Levenshtein distance of a and b, octet by octet.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
