// Package dns holds what the rest of yubin asks of the domain name system: the
// names and records, the answer with its proof and its age, the closed list of
// failures, and the rules of mail that need no network (RFC 5321 §5.1, RFC
// 7505). The network is asked by internal/world/resolver; tests use
// internal/testkit/dnstest.
//
// It does no I/O, reads no clock and starts nothing.
package dns

import (
	"context"
	"net/netip"
	"strconv"
	"time"

	"yubin/internal/mail"
)

// Resolver asks. Every error is an *Error. Aliases (CNAME, RFC 1034 §3.6.2) are
// followed, save by CNAME itself; names are asked as they are, never with a
// search domain. What is returned belongs to the caller.
//
// A caller that needs a part declares its own interface with just that part.
type Resolver interface {
	// MX returns the mail exchangers of d, in no order.
	MX(ctx context.Context, d mail.Domain) (Answer[MX], error)
	// A and AAAA return the addresses of one family, in the order of the server.
	A(ctx context.Context, host Name) (Answer[netip.Addr], error)
	AAAA(ctx context.Context, host Name) (Answer[netip.Addr], error)
	// Addresses asks for both families at once: see MergeAddresses.
	Addresses(ctx context.Context, host Name) (Answer[netip.Addr], error)
	// TXT returns one string a record: its parts are joined without anything
	// between them (RFC 7208 §3.3, RFC 6376 §3.6.2.2). They may hold any octets.
	TXT(ctx context.Context, n Name) (Answer[string], error)
	// PTR returns the names that the reverse zone gives to an address. They
	// prove nothing until their addresses are looked up too.
	PTR(ctx context.Context, addr netip.Addr) (Answer[Name], error)
	// TLSA returns the records at exactly n: see TLSAName.
	TLSA(ctx context.Context, n Name) (Answer[TLSA], error)
	// CNAME returns what n is an alias of, one step (RFC 7672 §2.1.3).
	CNAME(ctx context.Context, n Name) (Answer[Name], error)
	SRV(ctx context.Context, n Name) (Answer[SRV], error)
}

// Answer is what was found. Records is never empty when the error is nil.
type Answer[T any] struct {
	Records []T
	// Name owns the records: the name asked for, or what it is an alias of.
	Name Name
	// Authentic says that a validating resolver that we trust proved the whole
	// chain from the name asked for to the records by DNSSEC (the AD bit, RFC
	// 4035 §3.2.3).
	Authentic bool
	// Expires is when the answer is no longer to be used.
	Expires time.Time
}

// MX is a mail exchanger (RFC 5321 §5.1). The lowest Preference is tried first.
type MX struct {
	Preference uint16
	Host       Name
}

// TLSA is what a certificate must match (RFC 6698 §2.1).
type TLSA struct {
	Usage    uint8
	Selector uint8
	Matching uint8
	Data     []byte
}

// SRV is where a service is (RFC 2782). A Target of the root says that there is
// no such service.
type SRV struct {
	Priority uint16
	Weight   uint16
	Port     uint16
	Target   Name
}

// Type is a type of record, by its number in the protocol.
type Type uint16

// The types that are asked for.
const (
	TypeA     Type = 1
	TypeNS    Type = 2
	TypeCNAME Type = 5
	TypePTR   Type = 12
	TypeMX    Type = 15
	TypeTXT   Type = 16
	TypeAAAA  Type = 28
	TypeSRV   Type = 33
	TypeTLSA  Type = 52
	TypeCAA   Type = 257
)

var typeNames = map[Type]string{TypeA: "A", TypeNS: "NS", TypeCNAME: "CNAME", TypePTR: "PTR", TypeMX: "MX", TypeTXT: "TXT",
	TypeAAAA: "AAAA", TypeSRV: "SRV", TypeTLSA: "TLSA", TypeCAA: "CAA"}

func (t Type) String() string {
	if s, ok := typeNames[t]; ok {
		return s
	}
	return "TYPE" + strconv.Itoa(int(t)) // RFC 3597 §5
}

// MarshalText is String.
func (t Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText writes. The error is of kind mail.Invalid.
func (t *Type) UnmarshalText(text []byte) error {
	for known, name := range typeNames {
		if name == string(text) {
			*t = known
			return nil
		}
	}
	return mail.Errorf(mail.Invalid, "%.20q is no type of record that is known here", text)
}
