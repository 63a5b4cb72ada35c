package resolver

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"yubin/internal/mail"
)

// SystemFile is where the system says which servers to ask (resolv.conf(5)).
const SystemFile = "/etc/resolv.conf"

// Bounds of what configuration may say.
const (
	MaxServers      = 8
	DefaultTimeout  = 5 * time.Second // of the first try of a server; each round doubles it
	MaxTimeout      = 15 * time.Second
	DefaultAttempts = 2
	MaxAttempts     = 5
	dnsPort         = 53
)

// Trust says whose AD bit counts.
type Trust uint8

// The kinds of trust.
const (
	// TrustLoopback believes servers that are on loopback addresses. There it
	// takes control of the machine to change an answer on its way; but the
	// server itself must be one that validates, or asks one over a safe path.
	TrustLoopback Trust = iota
	TrustAll            // also over the network, which must then be safe
	TrustNone
)

// Upstream is which servers are asked, and how patiently.
type Upstream struct {
	Servers  []netip.AddrPort // recursive servers, the preferred one first
	Trust    Trust
	Timeout  time.Duration // of a first try; 0 means DefaultTimeout
	Attempts int           // rounds through the servers; 0 means DefaultAttempts
}

// SystemUpstream reads SystemFile. Without the file, or without a server in it,
// a server on this machine is asked, as resolv.conf(5) says.
func SystemUpstream() (Upstream, error) {
	f, err := os.Open(SystemFile)
	if errors.Is(err, fs.ErrNotExist) {
		return ReadUpstream(strings.NewReader(""))
	}
	if err != nil {
		return Upstream{}, err
	}
	defer f.Close()
	return ReadUpstream(f)
}

// ReadUpstream reads the form of resolv.conf(5): nameserver and the options
// timeout, attempts and trust-ad. What it does not know it passes over, and
// search domains too: mail names are complete (RFC 5321 §5.1).
func ReadUpstream(r io.Reader) (Upstream, error) {
	var u Upstream
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		switch {
		case len(fields) < 2:
		case fields[0] == "nameserver":
			if addr, err := netip.ParseAddr(fields[1]); err == nil && len(u.Servers) < MaxServers {
				u.Servers = append(u.Servers, netip.AddrPortFrom(addr, dnsPort))
			}
		case fields[0] == "options":
			for _, option := range fields[1:] {
				u.option(option)
			}
		}
	}
	if len(u.Servers) == 0 {
		u.Servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort)}
	}
	return u, lines.Err()
}

func (u *Upstream) option(option string) {
	name, value, _ := strings.Cut(option, ":")
	n, err := strconv.Atoi(value)
	switch {
	case name == "trust-ad":
		u.Trust = TrustAll
	case err != nil || n < 1:
	case name == "timeout":
		u.Timeout = min(time.Duration(n)*time.Second, MaxTimeout)
	case name == "attempts":
		u.Attempts = min(n, MaxAttempts)
	}
}

// upstream is an Upstream in use.
type upstream struct {
	servers  []*server
	timeout  time.Duration
	attempts int
}

type server struct {
	addr     netip.AddrPort
	trusted  bool
	badUntil atomic.Int64 // Unix nanoseconds; until then asked last
}

func newUpstream(u Upstream) (*upstream, error) {
	if len(u.Servers) == 0 || len(u.Servers) > MaxServers {
		return nil, mail.Errorf(mail.Invalid, "there must be 1 to %d name servers, not %d", MaxServers, len(u.Servers))
	}
	if u.Timeout < 0 || u.Timeout > MaxTimeout || u.Attempts < 0 || u.Attempts > MaxAttempts {
		return nil, mail.Errorf(mail.Invalid, "a name server is asked up to %d times with at most %s for the first try", MaxAttempts, MaxTimeout)
	}
	up := &upstream{timeout: u.Timeout, attempts: u.Attempts}
	if up.timeout == 0 {
		up.timeout = DefaultTimeout
	}
	if up.attempts == 0 {
		up.attempts = DefaultAttempts
	}
	for _, addr := range u.Servers {
		if !addr.IsValid() || addr.Port() == 0 {
			return nil, mail.Errorf(mail.Invalid, "name server %q needs an address and a port", addr)
		}
		trusted := u.Trust == TrustAll || u.Trust == TrustLoopback && addr.Addr().Unmap().IsLoopback()
		up.servers = append(up.servers, &server{addr: addr, trusted: trusted})
	}
	return up, nil
}

// order returns the servers as they are configured, those that were silent a
// moment ago last.
func (u *upstream) order(now time.Time) []*server {
	var good, bad []*server
	for _, s := range u.servers {
		if now.UnixNano() < s.badUntil.Load() {
			bad = append(bad, s)
		} else {
			good = append(good, s)
		}
	}
	return append(good, bad...)
}
