package milter

import "net/netip"

// Address is where a client connects from.
type Address struct {
	IP   netip.Addr // not valid: unknown
	Port uint16
}

// AddressOf is that of an address and port; an IPv4 address in an IPv6 one counts as
// IPv4.
func AddressOf(a netip.AddrPort) Address { return Address{a.Addr().Unmap().WithZone(""), a.Port()} }

// family is the letter of the protocol's families.
func (a Address) family() byte {
	switch {
	case !a.IP.IsValid():
		return 'U'
	case a.IP.Is4():
		return '4'
	}
	return '6'
}
