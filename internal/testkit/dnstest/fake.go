package dnstest

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	wire "github.com/miekg/dns"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/world/resolver/record"
)

// Asked is one lookup that was made.
type Asked struct {
	Name dns.Name
	Type dns.Type
}

// Fake answers from a Zone. It remembers nothing: changes of the zone show at
// once. It is for any number of goroutines.
type Fake struct {
	*Zone
	now func() time.Time

	mu     sync.Mutex
	fails  map[Asked]dns.Failure
	delays map[dns.Name]time.Duration
	asked  []Asked
}

var _ dns.Resolver = (*Fake)(nil)

// anyType stands for all types of a name.
const anyType dns.Type = 0

// NewFake returns a Fake over a zone in text, as NewZone reads it.
func NewFake(zone string) *Fake {
	return &Fake{Zone: NewZone(zone), now: time.Now, fails: map[Asked]dns.Failure{}, delays: map[dns.Name]time.Duration{}}
}

// Fail makes lookups of n fail; type 0 stands for all types, dns.None ends it.
// A failure of one type goes before one of all.
func (f *Fake) Fail(n dns.Name, t dns.Type, failure dns.Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails[Asked{n, t}] = failure
}

// Delay makes lookups of n take so long, unless their context ends before.
func (f *Fake) Delay(n dns.Name, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delays[n] = d
}

// Lookups returns what was looked up so far, in order.
func (f *Fake) Lookups() []Asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// note records a lookup and returns what was ordered for it.
func (f *Fake) note(n dns.Name, t dns.Type) (dns.Failure, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, Asked{n, t})
	failure, ok := f.fails[Asked{n, t}]
	if !ok {
		failure = f.fails[Asked{n, anyType}]
	}
	return failure, f.delays[n]
}

func wait(ctx context.Context, d time.Duration) error {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

func lookup[T any](ctx context.Context, f *Fake, n dns.Name, t dns.Type, read func(wire.RR) (T, bool)) (dns.Answer[T], error) {
	fail := func(failure dns.Failure, err error) (dns.Answer[T], error) {
		return dns.Answer[T]{}, &dns.Error{Failure: failure, Name: n, Type: t, Err: err}
	}
	if n.IsRoot() {
		return fail(dns.BadName, nil)
	}
	failure, delay := f.note(n, t)
	if err := wait(ctx, delay); err != nil {
		return fail(dns.Canceled, err)
	}
	if failure != dns.None {
		return fail(failure, nil)
	}
	got := f.find(n, t, maxAliases)
	switch {
	case got.failure != dns.None:
		return dns.Answer[T]{}, &dns.Error{Failure: got.failure, Name: n, Type: t, Authentic: got.authentic, Expires: f.negative(got.soa)}
	case len(got.records) == 0:
		return fail(dns.Loop, nil)
	}
	return dns.Answer[T]{
		Records: record.All(got.records, read), Name: got.name, Authentic: got.authentic, Expires: f.expires(got),
	}, nil
}

func (f *Fake) expires(got found) time.Time {
	least := got.records[0].Header().Ttl
	for _, rr := range slices.Concat(got.aliases, got.records) {
		least = min(least, rr.Header().Ttl)
	}
	return f.now().Add(time.Duration(least) * time.Second)
}

func (f *Fake) negative(soa *wire.SOA) time.Time {
	if soa == nil {
		return f.now()
	}
	return f.now().Add(time.Duration(min(soa.Hdr.Ttl, soa.Minttl)) * time.Second)
}

// MX implements dns.Resolver.
func (f *Fake) MX(ctx context.Context, d mail.Domain) (dns.Answer[dns.MX], error) {
	n, err := dns.NameOf(d)
	if err != nil {
		return dns.Answer[dns.MX]{}, &dns.Error{Failure: dns.BadName, Type: dns.TypeMX, Err: err}
	}
	return lookup(ctx, f, n, dns.TypeMX, record.MX)
}

// A implements dns.Resolver.
func (f *Fake) A(ctx context.Context, host dns.Name) (dns.Answer[netip.Addr], error) {
	return lookup(ctx, f, host, dns.TypeA, record.Addr)
}

// AAAA implements dns.Resolver.
func (f *Fake) AAAA(ctx context.Context, host dns.Name) (dns.Answer[netip.Addr], error) {
	return lookup(ctx, f, host, dns.TypeAAAA, record.Addr)
}

// Addresses implements dns.Resolver. It asks for one family after the other.
func (f *Fake) Addresses(ctx context.Context, host dns.Name) (dns.Answer[netip.Addr], error) {
	v6, err6 := f.AAAA(ctx, host)
	v4, err4 := f.A(ctx, host)
	return dns.MergeAddresses(v6, err6, v4, err4)
}

// TXT implements dns.Resolver.
func (f *Fake) TXT(ctx context.Context, n dns.Name) (dns.Answer[string], error) {
	return lookup(ctx, f, n, dns.TypeTXT, record.TXT)
}

// PTR implements dns.Resolver.
func (f *Fake) PTR(ctx context.Context, addr netip.Addr) (dns.Answer[dns.Name], error) {
	return lookup(ctx, f, dns.Reverse(addr), dns.TypePTR, record.Target)
}

// TLSA implements dns.Resolver.
func (f *Fake) TLSA(ctx context.Context, n dns.Name) (dns.Answer[dns.TLSA], error) {
	return lookup(ctx, f, n, dns.TypeTLSA, record.TLSA)
}

// CNAME implements dns.Resolver.
func (f *Fake) CNAME(ctx context.Context, n dns.Name) (dns.Answer[dns.Name], error) {
	return lookup(ctx, f, n, dns.TypeCNAME, record.Target)
}

// SRV implements dns.Resolver.
func (f *Fake) SRV(ctx context.Context, n dns.Name) (dns.Answer[dns.SRV], error) {
	return lookup(ctx, f, n, dns.TypeSRV, record.SRV)
}

// Records is as that of resolver.Resolver.
func (f *Fake) Records(ctx context.Context, n dns.Name, t dns.Type) (dns.Answer[string], error) {
	return lookup(ctx, f, n, t, record.Text)
}
