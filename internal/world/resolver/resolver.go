// Package resolver is internal/dns.Resolver over the network: a stub resolver
// (RFC 1034 §5.3.1) that asks recursive name servers by UDP with EDNS (RFC
// 6891), by TCP when an answer does not fit (RFC 7766 §5), and remembers what
// they say.
//
// Invariants:
//   - An answer is taken only from the server asked, with the random ID and the
//     question sent; each question by UDP has a socket and so a port of its own
//     (RFC 5452 §9). Of an answer only the records of the name asked for and of
//     its chain of aliases are looked at, and of the authority section only the
//     SOA record of a zone above it.
//   - The AD bit counts only from a server on loopback or one that
//     configuration trusts (RFC 6698 §A.3, RFC 4035 §4.9.3).
//   - What is remembered is bound in entries, octets and time; what a failing
//     server says is remembered for a moment only (RFC 2308 §7, RFC 9520 §3.2).
//   - Everything ends in time: see the limits.
//
// It deliberately has no search domains, no hosts file, no DNSSEC validation of
// its own, no DNS over TLS or HTTPS and no random case in questions (0x20, which
// real servers get wrong).
package resolver

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	wire "github.com/miekg/dns"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/world/resolver/record"
)

// Limits of a lookup.
const (
	UDPSize     = 1232             // octets of an answer by UDP that we ask for (RFC 9715 §3)
	MaxAliases  = 10               // links of a chain of CNAME records
	MaxRecords  = 1024             // records of one answer that are looked at; the others are as if not there
	MaxStray    = 64               // datagrams that are no answer to us, before a server is given up
	MaxInFlight = 256              // sockets at once
	MaxLookup   = 30 * time.Second // one lookup with all its tries and aliases
	Penalty     = 30 * time.Second // how long a silent server is asked last
)

// Limits of what is remembered.
const (
	MaxEntries     = 20_000
	MaxOctets      = 16 << 20         // of all entries, about
	MaxTTL         = 6 * time.Hour    // of records
	MaxNegativeTTL = 15 * time.Minute // of their absence; RFC 2308 §5 allows up to 3 hours
	FailureTTL     = 5 * time.Second  // of a failure; RFC 2308 §7.1 allows up to 5 minutes
)

// Options is what a Resolver is made of.
type Options struct {
	Upstream
	Dial    func(ctx context.Context, network, address string) (net.Conn, error) // nil means net.Dialer
	Now     func() time.Time                                                     // nil means time.Now
	Random  io.Reader                                                            // of the IDs; nil means crypto/rand
	Observe func(Lookup)                                                         // called after each lookup, may be nil; must not block
	Tried   func(Try)                                                            // called after each question to a server, may be nil; must not block
}

// Source is where the outcome of a lookup came from.
type Source uint8

// The sources.
const (
	Asked  Source = iota // a server, for this lookup
	Shared               // a server, for another lookup of the same at that moment
	Cached               // memory
)

// Lookup is one finished lookup, for metrics.
type Lookup struct {
	Name    dns.Name
	Type    dns.Type
	Failure dns.Failure
	Source  Source
	Took    time.Duration
}

// Try is one question to one server, for metrics.
type Try struct {
	Server  netip.AddrPort
	TCP     bool
	Failure dns.Failure
	Took    time.Duration
}

// Resolver asks and remembers. It is for any number of goroutines.
type Resolver struct {
	o        Options
	upstream atomic.Pointer[upstream]
	slots    chan struct{} // one for each socket

	mu      sync.Mutex
	cache   *cache
	flights map[question]*flight
}

var _ dns.Resolver = (*Resolver)(nil)

// New makes a Resolver. The error, of kind mail.Invalid, says what is wrong
// with the servers.
func New(o Options) (*Resolver, error) {
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	r := &Resolver{o: o, slots: make(chan struct{}, MaxInFlight)}
	return r, r.Use(o.Upstream)
}

// Use asks other servers from now on, and forgets what the former ones said.
// With an error, of kind mail.Invalid, nothing has changed.
func (r *Resolver) Use(u Upstream) error {
	up, err := newUpstream(u)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.upstream.Store(up)
	r.cache = newCache(MaxEntries, MaxOctets)
	r.flights = map[question]*flight{}
	return nil
}

// newID is a random ID of a question (RFC 5452 §9.2).
func (r *Resolver) newID() (uint16, error) {
	var b [2]byte
	_, err := io.ReadFull(r.o.Random, b[:])
	return binary.BigEndian.Uint16(b[:]), err
}

// lookup asks for one type at n and reads the records.
func lookup[T any](ctx context.Context, r *Resolver, n dns.Name, t dns.Type, read func(wire.RR) (T, bool)) (dns.Answer[T], error) {
	n, err := usable(n)
	if err != nil {
		return dns.Answer[T]{}, &dns.Error{Failure: dns.BadName, Name: n, Type: t, Err: err}
	}
	start := r.o.Now()
	q := question{n, t}
	rep, source := r.resolve(ctx, q)
	records := record.All(rep.records, read)
	if rep.failure == dns.None && len(records) == 0 {
		rep.failure, rep.detail = dns.Malformed, "no record can be read"
	}
	if r.o.Observe != nil {
		r.o.Observe(Lookup{n, t, rep.failure, source, r.o.Now().Sub(start)})
	}
	if rep.failure != dns.None {
		return dns.Answer[T]{}, rep.error(ctx, q)
	}
	return dns.Answer[T]{Records: records, Name: rep.name, Authentic: rep.authentic, Expires: rep.expires}, nil
}

// usable brings n into canonical form, if the caller has not. Nothing that is
// looked up is at the root.
func usable(n dns.Name) (dns.Name, error) {
	if n.IsRoot() {
		return n, mail.Errorf(mail.Invalid, "the root is no host")
	}
	canonical, err := dns.ParseName(string(n))
	if err != nil {
		return n, err
	}
	return canonical, nil
}

// MX implements dns.Resolver.
func (r *Resolver) MX(ctx context.Context, d mail.Domain) (dns.Answer[dns.MX], error) {
	n, err := dns.NameOf(d)
	if err != nil {
		return dns.Answer[dns.MX]{}, &dns.Error{Failure: dns.BadName, Type: dns.TypeMX, Detail: "an address literal", Err: err}
	}
	return lookup(ctx, r, n, dns.TypeMX, record.MX)
}

// A implements dns.Resolver.
func (r *Resolver) A(ctx context.Context, host dns.Name) (dns.Answer[netip.Addr], error) {
	return lookup(ctx, r, host, dns.TypeA, record.Addr)
}

// AAAA implements dns.Resolver.
func (r *Resolver) AAAA(ctx context.Context, host dns.Name) (dns.Answer[netip.Addr], error) {
	return lookup(ctx, r, host, dns.TypeAAAA, record.Addr)
}

// Addresses implements dns.Resolver.
func (r *Resolver) Addresses(ctx context.Context, host dns.Name) (dns.Answer[netip.Addr], error) {
	var v6 dns.Answer[netip.Addr]
	var err6 error
	done := make(chan struct{})
	go func() {
		defer close(done)
		v6, err6 = r.AAAA(ctx, host)
	}()
	v4, err4 := r.A(ctx, host)
	<-done
	return dns.MergeAddresses(v6, err6, v4, err4)
}

// TXT implements dns.Resolver.
func (r *Resolver) TXT(ctx context.Context, n dns.Name) (dns.Answer[string], error) {
	return lookup(ctx, r, n, dns.TypeTXT, record.TXT)
}

// PTR implements dns.Resolver.
func (r *Resolver) PTR(ctx context.Context, addr netip.Addr) (dns.Answer[dns.Name], error) {
	n := dns.Reverse(addr)
	if n.IsRoot() {
		return dns.Answer[dns.Name]{}, &dns.Error{Failure: dns.BadName, Type: dns.TypePTR, Detail: "no address"}
	}
	return lookup(ctx, r, n, dns.TypePTR, record.Target)
}

// TLSA implements dns.Resolver.
func (r *Resolver) TLSA(ctx context.Context, n dns.Name) (dns.Answer[dns.TLSA], error) {
	return lookup(ctx, r, n, dns.TypeTLSA, record.TLSA)
}

// CNAME implements dns.Resolver.
func (r *Resolver) CNAME(ctx context.Context, n dns.Name) (dns.Answer[dns.Name], error) {
	return lookup(ctx, r, n, dns.TypeCNAME, record.Target)
}

// SRV implements dns.Resolver.
func (r *Resolver) SRV(ctx context.Context, n dns.Name) (dns.Answer[dns.SRV], error) {
	return lookup(ctx, r, n, dns.TypeSRV, record.SRV)
}

// Records returns the records of any type of dns.Type at n, each as record.Text has it.
func (r *Resolver) Records(ctx context.Context, n dns.Name, t dns.Type) (dns.Answer[string], error) {
	return lookup(ctx, r, n, t, record.Text)
}
