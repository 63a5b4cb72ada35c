package dns

import (
	"net/netip"
	"strconv"
	"strings"

	"yubin/internal/mail"
)

// Limits of RFC 1035 §2.3.4, in octets on the wire.
const (
	MaxName  = 255 // with the octet of length before each label and the root
	MaxLabel = 63
)

// Name is a name in the DNS, in the one form in which equal names are equal
// strings: lower-case, without the dot at the end, octets other than printable
// ASCII and the dot and backslash within a label as \DDD (RFC 1035 §5.1). The
// zero value is the root, which as a host means "none" (RFC 7505, RFC 2782).
//
// A label may hold any octets, since strangers' records do; Domain says
// whether the name is one of a host.
type Name string

// ParseName reads a name as it stands in zone files (RFC 1035 §5.1): \X and
// \DDD escape, a dot at the end changes nothing, "." is the root. U-labels are
// not converted: mail.ParseDomain does that. The error is of kind mail.Invalid.
func ParseName(s string) (Name, error) {
	if s == "." {
		return "", nil
	}
	p := nameParser{rest: s, out: make([]byte, 0, len(s))}
	for p.fault == "" && p.rest != "" {
		p.octet()
	}
	if p.label > 0 || p.wire == 0 {
		p.endLabel()
	}
	if p.wire+1 > MaxName {
		p.fail("is over 255 octets")
	}
	if p.fault != "" {
		return "", mail.Errorf(mail.Invalid, "name %q %s", s, p.fault)
	}
	return Name(p.out), nil
}

// nameParser holds the canonical form so far; the first fault sticks.
type nameParser struct {
	rest  string
	out   []byte
	label int // octets of the label so far
	wire  int // octets of the finished labels on the wire
	fault string
}

func (p *nameParser) fail(fault string) {
	if p.fault == "" {
		p.fault = fault
	}
}

// octet takes one octet, escaped or not, or the dot that ends a label.
func (p *nameParser) octet() {
	c := p.rest[0]
	p.rest = p.rest[1:]
	switch {
	case c == '.':
		p.endLabel()
		if p.rest != "" {
			p.out = append(p.out, '.')
		}
		return
	case c == '\\':
		c = p.escape()
	case c >= 0x80:
		p.fail("has an octet that is not ASCII")
	}
	if p.label++; p.label > MaxLabel {
		p.fail("has a label over 63 octets")
	}
	p.out = appendOctet(p.out, c)
}

// escape reads what follows a backslash: three digits, or any octet.
func (p *nameParser) escape() byte {
	if p.rest == "" {
		p.fail("ends in a backslash")
		return 0
	}
	if c := p.rest[0]; c < '0' || c > '9' {
		p.rest = p.rest[1:]
		return c
	}
	n, err := strconv.ParseUint(p.rest[:min(3, len(p.rest))], 10, 8)
	if err != nil || len(p.rest) < 3 {
		p.fail(`has an escape that is not \DDD`)
		return 0
	}
	p.rest = p.rest[3:]
	return byte(n)
}

func (p *nameParser) endLabel() {
	if p.label == 0 {
		p.fail("has an empty label")
	}
	p.wire += p.label + 1
	p.label = 0
}

func appendOctet(dst []byte, c byte) []byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return append(dst, c+'a'-'A')
	case c <= ' ' || c >= 0x7f || c == '.' || c == '\\':
		return append(dst, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
	}
	return append(dst, c)
}

// NameOf returns the name of a mail domain. An address literal has none: the
// error is then of kind mail.Invalid.
func NameOf(d mail.Domain) (Name, error) {
	if d.IsLiteral() {
		return "", mail.Errorf(mail.Invalid, "%s is an address, not a name", d)
	}
	return ParseName(string(d))
}

// Domain returns n as the domain of a host, or false if no host can have that
// name.
func (n Name) Domain() (mail.Domain, bool) {
	d, err := mail.ParseDomain(string(n))
	return d, err == nil && !d.IsLiteral()
}

// IsRoot reports whether n is the root, which is no host.
func (n Name) IsRoot() bool { return n == "" }

// String is n without the dot at the end; the root is ".".
func (n Name) String() string {
	if n == "" {
		return "."
	}
	return string(n)
}

// FQDN is n as zone files and most DNS libraries want it, with the dot.
func (n Name) FQDN() string { return string(n) + "." }

// Under returns the name below n that begins with prefix, one or more labels:
// Name("example.org").Under("_dmarc"). The error is of kind mail.Invalid.
func (n Name) Under(prefix string) (Name, error) {
	if n.IsRoot() {
		return ParseName(prefix)
	}
	return ParseName(prefix + "." + string(n))
}

// Within reports whether n is zone or a name below it.
func (n Name) Within(zone Name) bool {
	return zone == "" || n == zone || strings.HasSuffix(string(n), "."+string(zone))
}

// TLSAName is where the TLSA records of a TCP service are (RFC 6698 §3).
func TLSAName(port uint16, host Name) (Name, error) {
	return host.Under("_" + strconv.Itoa(int(port)) + "._tcp")
}

// Reverse is where the PTR records of an address are (RFC 1035 §3.5, RFC 3596
// §2.5). An IPv4 address in an IPv6 one counts as IPv4. There is none for an
// address that is not valid: the root.
func Reverse(addr netip.Addr) Name {
	addr = addr.Unmap()
	switch {
	case addr.Is4():
		return Name(reverseLabels(addr) + ".in-addr.arpa")
	case addr.Is6():
		return Name(reverseLabels(addr) + ".ip6.arpa")
	}
	return ""
}

// ListedName is where a list of addresses in the DNS says something about addr
// (RFC 5782 §2.1, §2.4). The error is of kind mail.Invalid.
func ListedName(addr netip.Addr, list Name) (Name, error) {
	if !addr.IsValid() {
		return "", mail.Errorf(mail.Invalid, "no address to look up in %s", list)
	}
	return list.Under(reverseLabels(addr.Unmap()))
}

// reverseLabels writes the octets of an IPv4 address or the nibbles of an IPv6
// one, last first.
func reverseLabels(addr netip.Addr) string {
	const hex = "0123456789abcdef"
	var labels []string
	octets := addr.AsSlice()
	for i := len(octets) - 1; i >= 0; i-- {
		if addr.Is4() {
			labels = append(labels, strconv.Itoa(int(octets[i])))
			continue
		}
		labels = append(labels, hex[octets[i]&15:][:1], hex[octets[i]>>4:][:1])
	}
	return strings.Join(labels, ".")
}
