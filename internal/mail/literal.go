package mail

import (
	"net/netip"
	"strings"
)

// parseLiteral reads "[" IPv4 "]" or "[IPv6:" IPv6 "]" (RFC 5321 §4.1.3).
func parseLiteral(s string) (Domain, error) {
	inner, ok := strings.CutSuffix(s[1:], "]")
	if !ok {
		return "", Errorf(Invalid, "address literal %q has no closing bracket", s)
	}
	v6 := len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:")
	if v6 {
		inner = inner[5:]
	}
	ip, err := netip.ParseAddr(inner)
	if err != nil || ip.Zone() != "" || ip.Is4() == v6 {
		return "", Errorf(Invalid, "address literal %q is not an IP address", s)
	}
	return LiteralDomain(ip), nil
}

// LiteralDomain returns the address literal of ip as a Domain.
func LiteralDomain(ip netip.Addr) Domain {
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return Domain("[" + ip.String() + "]")
	}
	return Domain("[IPv6:" + ip.String() + "]")
}

// IP returns the address of a literal, or an invalid address for a name.
func (d Domain) IP() netip.Addr {
	s := strings.TrimSuffix(strings.TrimPrefix(string(d), "["), "]")
	if !d.IsLiteral() {
		return netip.Addr{}
	}
	ip, _ := netip.ParseAddr(strings.TrimPrefix(s, "IPv6:"))
	return ip
}
