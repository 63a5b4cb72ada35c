// Package dnstest is the domain name system for tests: a Zone written as text,
// a Fake that answers from it as internal/dns.Resolver does, without a network
// and at home in a testing/synctest bubble, and a Server that answers from it
// by UDP and TCP on loopback and misbehaves as told.
package dnstest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	wire "github.com/miekg/dns"

	"yubin/internal/dns"
	"yubin/internal/world/resolver/record"
)

// DefaultTTL is the time to live of records that say none, in seconds.
const DefaultTTL = 300

// maxAliases ends the walk along a loop of aliases.
const maxAliases = 20

// Zone is the records that exist. It is for any number of goroutines.
type Zone struct {
	mu      sync.Mutex
	records map[dns.Name][]wire.RR
	signed  []dns.Name
}

// ParseZone reads the master format of RFC 1035 §5. The origin is the root, so
// that one text can hold many zones. $INCLUDE is refused, and $GENERATE makes
// no records.
func ParseZone(text string) (*Zone, error) {
	z := &Zone{records: map[dns.Name][]wire.RR{}}
	return z, z.Add(text)
}

// NewZone is ParseZone for text that is right; it panics if it is not.
func NewZone(text string) *Zone {
	z, err := ParseZone(text)
	if err != nil {
		panic(err)
	}
	return z
}

// Add adds records.
func (z *Zone) Add(text string) error {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 0 && strings.EqualFold(f[0], "$GENERATE") {
			return fmt.Errorf("dnstest: $GENERATE is not for tests")
		}
	}
	parser := wire.NewZoneParser(strings.NewReader(text), ".", "")
	parser.SetDefaultTTL(DefaultTTL)
	z.mu.Lock()
	defer z.mu.Unlock()
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		n, ok := record.Name(rr.Header().Name)
		if !ok {
			return fmt.Errorf("dnstest: owner %q is not a name", rr.Header().Name)
		}
		z.records[n] = append(z.records[n], rr)
	}
	return parser.Err()
}

// Remove takes all records of n away.
func (z *Zone) Remove(n dns.Name) {
	z.mu.Lock()
	defer z.mu.Unlock()
	delete(z.records, n)
}

// Sign makes what is at apex and below it authentic.
func (z *Zone) Sign(apex dns.Name) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.signed = append(z.signed, apex)
}

// found is what a Zone holds of a question.
type found struct {
	aliases   []wire.RR // the chain, in order
	records   []wire.RR
	name      dns.Name // at the end of the chain
	failure   dns.Failure
	authentic bool
	soa       *wire.SOA // of the zone of name, for absence; may be nil
}

// find follows aliases from n to the records of type t, at most links of them.
// If there are more, found has no records and no failure.
func (z *Zone) find(n dns.Name, t dns.Type, links int) found {
	z.mu.Lock()
	defer z.mu.Unlock()
	f := found{name: n, authentic: true}
	for {
		f.authentic = f.authentic && slices.ContainsFunc(z.signed, f.name.Within)
		f.records = z.at(f.name, uint16(t))
		alias := z.at(f.name, wire.TypeCNAME)
		if len(f.records) > 0 || len(alias) == 0 {
			break
		}
		if len(f.aliases) == links {
			return f
		}
		f.aliases = append(f.aliases, alias[0])
		f.name, _ = record.Target(alias[0])
	}
	if len(f.records) == 0 {
		f.failure, f.soa = z.absent(f.name), z.authority(f.name)
	}
	return f
}

func (z *Zone) at(n dns.Name, t uint16) (rrs []wire.RR) {
	for _, rr := range z.records[n] {
		if rr.Header().Rrtype == t {
			rrs = append(rrs, rr)
		}
	}
	return rrs
}

// absent tells a name with other records, or with names below it (RFC 8020),
// from one that does not exist.
func (z *Zone) absent(n dns.Name) dns.Failure {
	for owner := range z.records {
		if owner.Within(n) {
			return dns.NoData
		}
	}
	return dns.NXDomain
}

// authority returns the SOA record nearest to n.
func (z *Zone) authority(n dns.Name) *wire.SOA {
	for {
		if soa := z.at(n, wire.TypeSOA); len(soa) > 0 {
			return soa[0].(*wire.SOA)
		}
		if n.IsRoot() {
			return nil
		}
		_, parent, _ := strings.Cut(string(n), ".")
		n = dns.Name(parent)
	}
}
