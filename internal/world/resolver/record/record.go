// Package record turns the records of github.com/miekg/dns into the nouns of
// internal/dns. Each function returns false for a record of another type or
// with contents that cannot be right. It is pure.
package record

import (
	"encoding/hex"
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
