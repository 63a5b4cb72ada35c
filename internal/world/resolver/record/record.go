// Package record turns the records of github.com/miekg/dns into the nouns of
// internal/dns. Each function returns false for a record of another type or
// with contents that cannot be right. It is pure.
package record

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	wire "github.com/miekg/dns"

	"yubin/internal/dns"
)

// Name reads a name in the form that the library gives, which escapes.
func Name(s string) (dns.Name, bool) {
	n, err := dns.ParseName(s)
	return n, err == nil
}

// Addr reads A and AAAA.
func Addr(rr wire.RR) (addr netip.Addr, ok bool) {
	switch rr := rr.(type) {
	case *wire.A:
		addr, ok = netip.AddrFromSlice(rr.A.To4())
	case *wire.AAAA:
		addr, ok = netip.AddrFromSlice(rr.AAAA)
	}
	return addr, ok
}

// MX reads MX.
func MX(rr wire.RR) (dns.MX, bool) {
	mx, ok := rr.(*wire.MX)
	if !ok {
		return dns.MX{}, false
	}
	host, ok := Name(mx.Mx)
	return dns.MX{Preference: mx.Preference, Host: host}, ok
}

// TXT reads TXT and joins its strings.
func TXT(rr wire.RR) (string, bool) {
	txt, ok := rr.(*wire.TXT)
	if !ok {
		return "", false
	}
	var b strings.Builder
	for _, part := range txt.Txt {
		unescape(&b, part)
	}
	return b.String(), true
}

// unescape undoes the \X and \DDD that the library puts into strings.
func unescape(b *strings.Builder, s string) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\' || i+1 == len(s):
			b.WriteByte(s[i])
		case i+3 < len(s) && isDigit(s[i+1]) && isDigit(s[i+2]) && isDigit(s[i+3]):
			b.WriteByte((s[i+1]-'0')*100 + (s[i+2]-'0')*10 + s[i+3] - '0')
			i += 3
		default:
			i++
			b.WriteByte(s[i])
		}
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// Target reads the name that a PTR or CNAME points to.
func Target(rr wire.RR) (dns.Name, bool) {
	switch rr := rr.(type) {
	case *wire.PTR:
		return Name(rr.Ptr)
	case *wire.CNAME:
		return Name(rr.Target)
	}
	return "", false
}

// TLSA reads TLSA.
func TLSA(rr wire.RR) (dns.TLSA, bool) {
	t, ok := rr.(*wire.TLSA)
	if !ok {
		return dns.TLSA{}, false
	}
	data, err := hex.DecodeString(t.Certificate)
	return dns.TLSA{Usage: t.Usage, Selector: t.Selector, Matching: t.MatchingType, Data: data}, err == nil
}

// SRV reads SRV.
func SRV(rr wire.RR) (dns.SRV, bool) {
	s, ok := rr.(*wire.SRV)
	if !ok {
		return dns.SRV{}, false
	}
	target, ok := Name(s.Target)
	return dns.SRV{Priority: s.Priority, Weight: s.Weight, Port: s.Port, Target: target}, ok
}

// Text is what a record holds as zone files have it (RFC 1035 §5.1), in the one form in
// which equal records are equal texts: names lower-case with the dot at the end, single
// spaces, hexadecimal in lower case. Of TXT it is the text itself, as TXT returns it.
func Text(rr wire.RR) (string, bool) {
	switch rr := rr.(type) {
	case *wire.A, *wire.AAAA:
		addr, ok := Addr(rr)
		return addr.String(), ok
	case *wire.TXT:
		return TXT(rr)
	case *wire.MX:
		mx, ok := MX(rr)
		return fmt.Sprintf("%d %s", mx.Preference, mx.Host.FQDN()), ok
	case *wire.NS:
		n, ok := Name(rr.Ns)
		return n.FQDN(), ok
	case *wire.PTR, *wire.CNAME:
		n, ok := Target(rr)
		return n.FQDN(), ok
	case *wire.TLSA:
		t, ok := TLSA(rr)
		return fmt.Sprintf("%d %d %d %x", t.Usage, t.Selector, t.Matching, t.Data), ok
	case *wire.SRV:
		s, ok := SRV(rr)
		return fmt.Sprintf("%d %d %d %s", s.Priority, s.Weight, s.Port, s.Target.FQDN()), ok
	case *wire.CAA:
		return fmt.Sprintf(`%d %s "%s"`, rr.Flag, strings.ToLower(rr.Tag), rr.Value), true
	}
	return "", false
}

// All reads every record with read, leaving out what it refuses.
func All[T any](rrs []wire.RR, read func(wire.RR) (T, bool)) []T {
	all := make([]T, 0, len(rrs))
	for _, rr := range rrs {
		if v, ok := read(rr); ok {
			all = append(all, v)
		}
	}
	return all
}
