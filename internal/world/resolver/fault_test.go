package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/resolver"
)

const zone = `
example.org.      SOA ns. host. 1 2 3 4 60
host.example.org. A   192.0.2.1
host.example.org. TXT "text"
c0.example.org.   CNAME c1.example.org.
c1.example.org.   CNAME c2.example.org.
c2.example.org.   A   192.0.2.2
`

const right = "[192.0.2.1]"

// faults says what each misbehaviour leads to when there is one server, and
// whether it comes from what the server says, so that it is asked but once.
var faults = []struct {
	fault  dnstest.Fault
	name   string
	want   string
	asked  int // questions that reach the server, at least 1
	detail string
}{
	{dnstest.Behaved, "behaved", right, 1, ""},
	{dnstest.Drop, "drop", "no answer in time", 2, ""},
	{dnstest.Garbage, "garbage", "the answer is malformed", 2, "not an answer to us"},
	{dnstest.Noise, "noise", right, 1, ""},
	{dnstest.WrongID, "wrong ID", "no answer in time", 2, ""},
	{dnstest.WrongQuestion, "wrong question", "no answer in time", 2, ""},
	{dnstest.Forge, "forge", right, 1, ""},
	{dnstest.Short, "short", "the answer is malformed", 2, ""},
	{dnstest.Extra, "extra", right, 1, ""},
	{dnstest.ServFail, "SERVFAIL", "the name server failed", 1, "DNSSEC Bogus"},
	{dnstest.Refused, "REFUSED", "the name server refused", 1, "REFUSED"},
	{dnstest.NoEDNS, "no EDNS", right, 2, ""},
	{dnstest.Lame, "lame", "the name server refused", 1, "lame"},
	{dnstest.Empty, "empty", "no such record", 1, ""},
	{dnstest.OneLink, "one link", right, 1, ""},
	{dnstest.Truncate, "truncate", right, 2, ""},
	{dnstest.CutRecord, "cut record", right, 2, ""},
	{dnstest.SlowTCP, "slow TCP", "no answer in time", 4, "by TCP"},
	{dnstest.HangUpTCP, "hang up", "no name server can be reached", 4, "by TCP"},
	{dnstest.TruncateTCP, "truncate TCP", "the answer is malformed", 4, "by TCP"},
}

func TestFaults(t *testing.T) {
	for _, c := range faults {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := listen(t, zone)
			s.Misbehave("host.example.org", c.fault, -1)
			r := newResolver(t, patience(c.want), s)
			a, err := r.A(t.Context(), "host.example.org")
			if got := show(a, err); got != c.want {
				t.Errorf("got %s, want %s (%v)", got, c.want, err)
			}
			if got := len(s.Queries()); got != c.asked {
				t.Errorf("the server was asked %d times, want %d: %+v", got, c.asked, s.Queries())
			}
			var e *dns.Error
			if errors.As(err, &e) && !strings.Contains(e.Detail, c.detail) || err == nil && c.detail != "" {
				t.Errorf("%v does not say %q", err, c.detail)
			}
			if err != nil && strings.Contains(err.Error(), "stranger") {
				t.Errorf("%v quotes a stranger", err)
			}
		})
	}
}

// TestSecondServer: whatever the first server does wrong, the second one helps.
func TestSecondServer(t *testing.T) {
	for _, c := range faults {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			first, second := listen(t, zone), listen(t, zone)
			first.Misbehave("host.example.org", c.fault, -1)
			r := newResolver(t, patience(c.want), first, second)
			want := right
			if c.fault == dnstest.Empty { // An answer like any other: there is no such record.
				want = "no such record"
			}
			if got := addresses(r, "host.example.org"); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// TestPassing: a fault that passes is not noticed, since a silent server is
// asked again.
func TestPassing(t *testing.T) {
	for _, f := range []dnstest.Fault{dnstest.Drop, dnstest.Garbage, dnstest.WrongID, dnstest.HangUpTCP} {
		s := listen(t, zone)
		s.Misbehave("host.example.org", f, 1)
		if got := addresses(newResolver(t, impatient(), s), "host.example.org"); got != right {
			t.Errorf("fault %d once: %s", f, got)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	s := listen(t, zone)
	r := newResolver(t, resolver.Options{}, s)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().(*net.TCPAddr).AddrPort()
	closed.Close()
	if err := r.Use(resolver.Upstream{Servers: []netip.AddrPort{nobody}}); err != nil {
		t.Fatal(err)
	}
	if got := addresses(r, "host.example.org"); got != "no name server can be reached" {
		t.Error(got)
	}
	if err := r.Use(resolver.Upstream{Servers: []netip.AddrPort{nobody, s.Addr()}}); err != nil {
		t.Fatal(err)
	}
	if got := addresses(r, "host.example.org"); got != right {
		t.Error(got)
	}
}

// TestHuge: what does not fit by UDP comes by TCP, in part if it is endless.
func TestHuge(t *testing.T) {
	for _, c := range []struct {
		fault dnstest.Fault
		want  int
	}{{dnstest.Oversize, 240}, {dnstest.Huge, resolver.MaxRecords}} {
		s := listen(t, zone)
		s.Misbehave("host.example.org", c.fault, -1)
		r := newResolver(t, resolver.Options{}, s)
		a, err := r.A(t.Context(), "host.example.org")
		if err != nil || len(a.Records) != c.want {
			t.Errorf("fault %d: %d records, %v; want %d", c.fault, len(a.Records), err, c.want)
		}
		q := s.Queries()
		if len(q) != 2 || q[0].TCP || !q[1].TCP {
			t.Errorf("fault %d: asked %+v", c.fault, q)
		}
	}
}

// TestAliases: chains up to MaxAliases links are followed, in one answer or
// link by link; longer and endless ones are a Loop.
func TestAliases(t *testing.T) {
	var b strings.Builder
	for i := range 12 {
		fmt.Fprintf(&b, "c%d.example.org. %d CNAME c%d.example.org.\n", i, 300-i, i+1)
	}
	b.WriteString("c12.example.org. 300 A 192.0.2.12\nself.example. CNAME self.example.\nodd.example. CNAME even.example.\neven.example. CNAME odd.example.\n")
	names := map[dns.Name]string{
		"c12.example.org": "[192.0.2.12]", "c11.example.org": "[192.0.2.12]", "c2.example.org": "[192.0.2.12]",
		"c1.example.org": "the aliases form a loop", "c0.example.org": "the aliases form a loop",
		"self.example": "the aliases form a loop", "odd.example": "the aliases form a loop",
	}
	for _, fault := range []dnstest.Fault{dnstest.Behaved, dnstest.OneLink} {
		s := listen(t, b.String())
		for n := range names {
			s.Misbehave(n, fault, -1)
		}
		for i := range 12 {
			s.Misbehave(dns.Name(fmt.Sprintf("c%d.example.org", i)), fault, -1)
		}
		r := newResolver(t, resolver.Options{}, s)
		for n, want := range names {
			if got := addresses(r, n); got != want {
				t.Errorf("fault %d, %s: %s, want %s", fault, n, got, want)
			}
		}
		if n := len(s.Queries()); n > len(names)*(resolver.MaxAliases+1) {
			t.Errorf("%d questions", n)
		}
		a, err := r.A(t.Context(), "c2.example.org")
		if err != nil || a.Name != "c12.example.org" {
			t.Errorf("owner %s, %v", a.Name, err)
		}
		if left := time.Until(a.Expires); left > 289*time.Second {
			t.Errorf("lives for %s, longer than its last alias", left)
		}
	}
}

// TestUnforgeable: IDs and ports differ from question to question, and each
// says how much it takes.
func TestUnforgeable(t *testing.T) {
	s := listen(t, zone)
	r := newResolver(t, resolver.Options{}, s)
	const questions = 50
	for i := range questions {
		addresses(r, dns.Name(fmt.Sprintf("n%d.example.org", i)))
	}
	ids, ports := map[uint16]bool{}, map[uint16]bool{}
	for _, q := range s.Queries() {
		ids[q.ID], ports[q.From.Port()] = true, true
		if !q.EDNS {
			t.Error("a question without EDNS")
		}
	}
	if len(ids) < questions-2 || len(ports) < questions/2 {
		t.Errorf("%d questions had %d IDs and %d ports", questions, len(ids), len(ports))
	}
}

// TestComplete: names are asked as they are; what the system says of search
// domains is no matter.
func TestComplete(t *testing.T) {
	s := listen(t, zone)
	up, err := resolver.ReadUpstream(strings.NewReader("search example.org\nnameserver 192.0.2.1\n"))
	if err != nil {
		t.Fatal(err)
	}
	up.Servers = []netip.AddrPort{s.Addr()}
	r := newResolver(t, resolver.Options{Upstream: up})
	if got := addresses(r, "host"); got != "no such domain" {
		t.Error(got)
	}
	if q := s.Queries(); len(q) != 1 || q[0].Name != "host" {
		t.Errorf("asked %+v", q)
	}
}

// TestBadNames: what cannot be asked never reaches a server.
func TestBadNames(t *testing.T) {
	s := listen(t, zone)
	r := newResolver(t, resolver.Options{}, s)
	for _, n := range []dns.Name{"", "a..b", dns.Name(strings.Repeat("a.", 200)), "é"} {
		if got := addresses(r, n); got != dns.BadName.String() {
			t.Errorf("%q: %s", n, got)
		}
	}
	if got := addresses(r, "HOST.Example.org."); got != right {
		t.Errorf("a name that is not canonical: %s", got)
	}
	if q := s.Queries(); len(q) != 1 {
		t.Errorf("asked %+v", q)
	}
}

// flood is a connection on which nothing but datagrams of strangers arrive.
type flood struct {
	net.Conn
	reads int
}

func (f *flood) Read(b []byte) (int, error) {
	f.reads++
	return copy(b, "no DNS message at all"), nil
}
func (f *flood) Write(b []byte) (int, error) { return len(b), nil }
func (f *flood) SetDeadline(time.Time) error { return nil }
func (f *flood) Close() error                { return nil }

func TestFlood(t *testing.T) {
	var conns []*flood
	o := resolver.Options{Upstream: resolver.Upstream{Servers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")}}}
	o.Dial = func(context.Context, string, string) (net.Conn, error) {
		conns = append(conns, &flood{})
		return conns[len(conns)-1], nil
	}
	r := newResolver(t, o)
	if got := addresses(r, "host.example.org"); got != "the answer is malformed" {
		t.Error(got)
	}
	reads := []int{}
	for _, c := range conns {
		reads = append(reads, c.reads)
	}
	if !slices.Equal(reads, []int{resolver.MaxStray, resolver.MaxStray}) {
		t.Errorf("reads %v", reads)
	}
}

// TestTrust: the AD bit counts by who says it and how configuration trusts.
func TestTrust(t *testing.T) {
	z := dnstest.NewZone(zone)
	z.Sign("example.org")
	s, err := dnstest.Listen(z)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []struct {
		trust  resolver.Trust
		server string
		want   bool
	}{
		{resolver.TrustLoopback, "127.0.0.1:53", true},
		{resolver.TrustLoopback, "[::1]:53", true},
		{resolver.TrustLoopback, "[::ffff:127.0.0.53]:53", true},
		{resolver.TrustLoopback, "192.0.2.1:53", false},
		{resolver.TrustAll, "192.0.2.1:53", true},
		{resolver.TrustNone, "127.0.0.1:53", false},
	} {
		o := resolver.Options{Upstream: resolver.Upstream{Servers: []netip.AddrPort{netip.MustParseAddrPort(c.server)}, Trust: c.trust}}
		o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) { // Whatever the address, it is our server.
			return new(net.Dialer).DialContext(ctx, network, s.Addr().String())
		}
		r := newResolver(t, o)
		for range 2 { // From the server and from memory.
			a, err := r.A(t.Context(), "host.example.org")
			if err != nil || a.Authentic != c.want {
				t.Errorf("trust %d of %s: authentic=%v, %v", c.trust, c.server, a.Authentic, err)
			}
		}
		var e *dns.Error
		if _, err := r.A(t.Context(), "none.example.org"); !errors.As(err, &e) || e.Authentic != c.want {
			t.Errorf("trust %d of %s: absence authentic=%v", c.trust, c.server, !c.want)
		}
	}
	r := newResolver(t, resolver.Options{}, s)
	for _, n := range []dns.Name{"x.example.net"} {
		var e *dns.Error
		if _, err := r.A(t.Context(), n); !errors.As(err, &e) || e.Authentic {
			t.Errorf("unsigned absence is authentic: %v", err)
		}
	}
}

// TestPartlyAuthentic: one link that is not proved takes the proof from all,
// also when each link is an answer of its own.
func TestPartlyAuthentic(t *testing.T) {
	for _, fault := range []dnstest.Fault{dnstest.Behaved, dnstest.OneLink} {
		z := dnstest.NewZone(zone + "start.example. CNAME host.example.org.\nback.example.org. CNAME start.example.\nc.example.org. CNAME host.example.org.\n")
		z.Sign("example.org")
		s, err := dnstest.Listen(z)
		if err != nil {
			t.Fatal(err)
		}
		r := newResolver(t, resolver.Options{}, s)
		for n, want := range map[dns.Name]bool{"start.example": false, "back.example.org": false, "c.example.org": true} {
			s.Misbehave(n, fault, -1)
			if a, err := r.A(t.Context(), n); err != nil || a.Authentic != want {
				t.Errorf("fault %d, %s: authentic=%v, %v", fault, n, a.Authentic, err)
			}
		}
		s.Close()
	}
}
