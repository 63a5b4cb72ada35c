package dns

import (
	"net/netip"
	"strconv"
	"strings"

	"yubin/internal/mail"
)

// ListCode says which answers of a list in the DNS are meant (RFC 5782 §2.1).
type ListCode struct {
	From, To netip.Addr // inclusive; of 127.0.0.0/8
	Bits     uint8      // if not zero: one of these bits of the last octet, and From and To are not looked at
}

var listCodes = netip.MustParsePrefix("127.0.0.0/8")

// ParseListCode reads "127.0.0.2", "127.0.0.4-127.0.0.7", "&8" for a bit of the last
// octet, as combined lists have, or "any". The error is of kind mail.Invalid.
func ParseListCode(s string) (ListCode, error) {
	if s == "any" {
		return ListCode{From: netip.AddrFrom4([4]byte{127, 0, 0, 2}), To: netip.AddrFrom4([4]byte{127, 255, 254, 255})}, nil
	}
	if bits, is := strings.CutPrefix(s, "&"); is {
		n, err := strconv.ParseUint(bits, 10, 8)
		if err != nil || n == 0 {
			return ListCode{}, mail.Errorf(mail.Invalid, "%q is not & and a number from 1 to 255", s)
		}
		return ListCode{Bits: uint8(n)}, nil
	}
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	a, errA := netip.ParseAddr(from)
	b, errB := netip.ParseAddr(to)
	if errA != nil || errB != nil || !listCodes.Contains(a) || !listCodes.Contains(b) || b.Less(a) {
		return ListCode{}, mail.Errorf(mail.Invalid, "%q is not an address of 127.0.0.0/8, a range of such, & and a number, or any", s)
	}
	return ListCode{From: a, To: b}, nil
}

// Matches reports whether an answer is meant.
func (c ListCode) Matches(a netip.Addr) bool {
	a = a.Unmap()
	switch {
	case !a.Is4():
		return false
	case c.Bits != 0:
		return a.As4()[3]&c.Bits != 0
	}
	return !a.Less(c.From) && !c.To.Less(a)
}
