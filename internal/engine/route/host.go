package route

import (
	"net/netip"
	"strconv"
	"strings"

	"yubin/internal/mail"
)

// ParseHost reads a host of a route: a name or an IPv4 address, or an address
// in brackets, and then perhaps ":" and a port. Without one the port is 0: the
// usual one. The error is of kind Invalid.
func ParseHost(s string) (mail.HostPort, error) {
	host, port := cutPort(s)
	d, err := parseHostName(host)
	if err != nil {
		return mail.HostPort{}, mail.Errorf(mail.Invalid, "host %q is not a name or address with a port, such as mx.example.org:25 or [2001:db8::1]:25", s)
	}
	if port == "" {
		return mail.HostPort{Host: d}, nil
	}
	n, err := strconv.ParseUint(port[1:], 10, 16)
	if err != nil || n == 0 {
		return mail.HostPort{}, mail.Errorf(mail.Invalid, "host %q: the port must be 1 to 65535", s)
	}
	return mail.HostPort{Host: d, Port: uint16(n)}, nil
}

// cutPort divides s before the last colon that is not within brackets.
func cutPort(s string) (host, port string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || i < strings.LastIndexByte(s, ']') {
		return s, ""
	}
	return s[:i], s[i:]
}

func parseHostName(s string) (mail.Domain, error) {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		ip, err := netip.ParseAddr(strings.TrimPrefix(inner, "IPv6:"))
		if !ok || err != nil || ip.Zone() != "" {
			return "", mail.Errorf(mail.Invalid, "%s is not an address", s)
		}
		return mail.LiteralDomain(ip), nil
	}
	if ip, err := netip.ParseAddr(s); err == nil && ip.Is4() {
		return mail.LiteralDomain(ip), nil
	}
	return mail.ParseDomain(s)
}

// HostText is what ParseHost reads.
func HostText(h mail.HostPort) string {
	s := string(h.Host)
	if h.Host.IsLiteral() {
		s = "[" + h.Host.IP().String() + "]"
	}
	if h.Port != 0 {
		s += ":" + strconv.Itoa(int(h.Port))
	}
	return s
}

// Narrowest networks that may be trusted, in bits: wider ones are a mistake.
const (
	minBits4 = 8
	minBits6 = 7 // fc00::/7 (RFC 4193)
)

// ParseNetwork reads an address or a prefix: "192.0.2.0/24". The error is of
// kind Invalid.
func ParseNetwork(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if a, addrErr := netip.ParseAddr(s); addrErr == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, mail.Errorf(mail.Invalid, "network %q is not an address or a prefix such as 192.0.2.0/24 or 2001:db8::/32", s)
	}
	return p.Masked(), nil
}

// checkNetwork refuses what would trust half of the world.
func checkNetwork(p netip.Prefix) error {
	if p.Addr().Is4() && p.Bits() < minBits4 || p.Bits() < minBits6 {
		return mail.Errorf(mail.Invalid, "network %s is too wide to be trusted: any of its hosts could send mail to anywhere through this server", p)
	}
	return nil
}
