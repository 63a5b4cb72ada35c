package hosts

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/testkit/dnstest"
)

const zone = `
plain.example.     MX 20 b.example.
plain.example.     MX 10 c.example.
plain.example.     MX 10 a.example.
a.example.         A 198.51.100.1
a.example.         AAAA 2001:db8::1
b.example.         A 198.51.100.2
c.example.         A 198.51.100.3
alias.example.     CNAME plain.example.
toalias.example.   MX 10 other.example.
other.example.     CNAME b.example.
implicit.example.  A 198.51.100.4
txt.example.       TXT "no address"
null.example.      MX 0 .
root.example.      MX 0 .
root.example.      MX 10 b.example.
odd.example.       MX 5 bad\032name.example.
odd.example.       MX 10 b.example.
odd.example.       MX 20 b.example.
useless.example.   MX 5 bad\032name.example.
absent.example.    MX 10 nowhere.example.
absent.example.    MX 20 b.example.
us.example.        MX 10 mx.yubin.test.
us.example.        MX 20 b.example.
oddus.example.     MX 5 bad\032name.example.
oddus.example.     MX 10 mx.yubin.test.
behind.example.    MX 10 b.example.
behind.example.    MX 20 mx.yubin.test.
behind.example.    MX 20 c.example.
behind.example.    MX 30 mx.yubin.test.
behind.example.    MX 40 a.example.
sly.example.       MX 10 b.example.
sly.example.       MX 20 c.example.
sly.example.       MX 20 wesly.example.
sly.example.       MX 30 a.example.
wesly.example.     A 192.0.2.25
slyonly.example.   MX 10 b.example.
slyonly.example.   MX 10 wesly.example.
any.example.       A 0.0.0.0
group.example.     A 224.0.0.1
signed.example.    MX 10 signed.example.
signed.example.    A 198.51.100.5
`

// ourselves is mx.yubin.test at 192.0.2.25.
type ourselves struct{}

func (ourselves) IsOurName(n dns.Name) bool { return n == "mx.yubin.test" }
func (ourselves) IsOurAddress(a netip.AddrPort) bool {
	return a.Addr() == netip.MustParseAddr("192.0.2.25") || a.Addr().IsLoopback()
}

func world() *dnstest.Fake {
	fake := dnstest.NewFake(zone)
	fake.Sign("signed.example")
	return fake
}

func finder(fake *dnstest.Fake) *Finder {
	return &Finder{Resolver: fake, Ourselves: ourselves{}, Shuffle: InOrder}
}

// tell searches to the end and writes, a line for each tier, the candidates, the
// faults and the hosts that are left out.
func tell(ctx context.Context, s *Search) string {
	var lines []string
	leftOut := func(list []LeftOut) (words []string) {
		for _, l := range list {
			words = append(words, "-"+l.Host+": "+l.Why)
		}
		return words
	}
	lines = append(lines, leftOut(s.LeftOut)...)
	for !s.Done() {
		t := s.Next(ctx)
		var words []string
		for _, c := range t.Candidates() {
			words = append(words, c.Host+"="+c.Addr.String())
		}
		for _, f := range t.Faults() {
			words = append(words, strings.TrimSpace(fmt.Sprintf("%s %s %s", f.Outcome, f.Enhanced, f.Host)))
		}
		lines = append(lines, strings.TrimSpace(strings.Join(append(words, leftOut(t.LeftOut)...), " ")))
	}
	return strings.Join(lines, "\n")
}

func TestFind(t *testing.T) {
	mx := func(d mail.Domain) mail.NextHop { return mail.NextHop{Domain: d} }
	named := func(kind mail.HopKind, list ...mail.HostPort) mail.NextHop {
		return mail.NextHop{Kind: kind, Hosts: list}
	}
	fails := func(n dns.Name, of dns.Type, f dns.Failure) func(*dnstest.Fake) {
		return func(fake *dnstest.Fake) { fake.Fail(n, of, f) }
	}
	const plain = "a.example=[2001:db8::1]:25 a.example=198.51.100.1:25 c.example=198.51.100.3:25\nb.example=198.51.100.2:25"
	for _, c := range []struct {
		name string
		hop  mail.NextHop
		prep func(*dnstest.Fake)
		want string
	}{
		{"by preference, IPv6 first", mx("plain.example"), nil, plain},
		{"a domain that is an alias", mx("alias.example"), nil, plain},
		{"an exchanger that is an alias", mx("toalias.example"), nil, "other.example=198.51.100.2:25"},
		{"another port", mail.NextHop{Domain: "toalias.example", Port: 2525}, nil, "other.example=198.51.100.2:2525"},
		{"no MX record", mx("implicit.example"), nil, "implicit.example=198.51.100.4:25"},
		{"no MX record and no address", mx("txt.example"), nil, "failed 5.4.4 txt.example"},
		{"no such domain", mx("no.example"), nil, "failed 5.1.2"},
		{"null MX", mx("null.example"), nil, "failed 5.1.10"},
		{"the root among others is no null MX", mx("root.example"), nil, "-.: it is no name of a host\nb.example=198.51.100.2:25"},
		{"no name of a host, and one twice", mx("odd.example"), nil,
			"-bad\\032name.example: it is no name of a host\n-b.example: it is listed twice\nb.example=198.51.100.2:25"},
		{"nothing of use", mx("useless.example"), nil, "-bad\\032name.example: it is no name of a host\nfailed 5.4.4"},
		{"the best has no address", mx("absent.example"), nil, "failed 5.4.4 nowhere.example\nb.example=198.51.100.2:25"},
		{"the best cannot be looked up", mx("absent.example"), fails("nowhere.example", 0, dns.Timeout),
			"deferred 4.4.3 nowhere.example\nb.example=198.51.100.2:25"},
		{"one of two equals cannot be looked up", mx("plain.example"), fails("a.example", 0, dns.ServFail),
			"c.example=198.51.100.3:25 deferred 4.4.3 a.example\nb.example=198.51.100.2:25"},
		{"one family cannot be looked up", mx("plain.example"), fails("a.example", dns.TypeAAAA, dns.ServFail),
			"a.example=198.51.100.1:25 c.example=198.51.100.3:25\nb.example=198.51.100.2:25"},
		{"the exchangers cannot be looked up", mx("plain.example"), fails("plain.example", dns.TypeMX, dns.Timeout), "deferred 4.4.3"},
		{"we are the best", mx("us.example"), nil,
			"-mx.yubin.test: it is this server\n-b.example: it is not preferred to this server\nfailed 5.4.6"},
		{"only what cannot be used is better than us", mx("oddus.example"), nil,
			"-bad\\032name.example: it is no name of a host\n-mx.yubin.test: it is this server\nfailed 5.4.6"},
		{"we are in the middle", mx("behind.example"), nil,
			"-c.example: it is not preferred to this server\n-mx.yubin.test: it is this server\n-mx.yubin.test: it is listed twice\n" +
				"-a.example: it is not preferred to this server\nb.example=198.51.100.2:25"},
		{"we are in the middle, by address", mx("sly.example"), nil, "b.example=198.51.100.2:25\n" +
			"-c.example: it is not preferred to this server -wesly.example: it has an address of this server, 192.0.2.25 " +
			"-a.example: it is not preferred to this server"},
		{"we are among the best, by address", mx("slyonly.example"), nil,
			"failed 5.4.6 -b.example: it is not preferred to this server -wesly.example: it has an address of this server, 192.0.2.25"},
		{"a better one cannot be looked up", mx("sly.example"), fails("b.example", 0, dns.Timeout), "deferred 4.4.3 b.example\n" +
			"-c.example: it is not preferred to this server -wesly.example: it has an address of this server, 192.0.2.25 " +
			"-a.example: it is not preferred to this server"},
		{"no address in particular", mx("any.example"), nil, "failed 5.4.6 -any.example: it has an address of this server, 0.0.0.0"},
		{"a group", mx("group.example"), nil, "failed 5.4.6 -group.example: it has an address of this server, 224.0.0.1"},
		{"an address literal", mx("[IPv6:2001:db8::9]"), nil, "2001:db8::9=[2001:db8::9]:25"},
		{"our own address", mx("[127.0.0.1]"), nil, "failed 5.4.6 -127.0.0.1: it is this server"},
		{"named hosts, in their order", named(mail.HopHosts, mail.HostPort{Host: "c.example", Port: 587}, mail.HostPort{Host: "[192.0.2.25]"}, mail.HostPort{Host: "nowhere.example"}), nil,
			"c.example=198.51.100.3:587\n192.0.2.25=192.0.2.25:25\ndeferred 4.4.4 nowhere.example"},
		{"LMTP", named(mail.HopLMTP, mail.HostPort{Host: "b.example"}), nil, "b.example=198.51.100.2:24"},
		{"a route without hosts", named(mail.HopHosts), nil, "deferred 4.3.5"},
	} {
		fake := world()
		if c.prep != nil {
			c.prep(fake)
		}
		if got := tell(t.Context(), finder(fake).Find(t.Context(), c.hop, mail.TLSUnsaid)); got != c.want {
			t.Errorf("%s:\n got: %s\nwant: %s", c.name, got, c.want)
		}
	}
}

// TestPort: the port that a host names, then that of the hop, of the finder, of the
// protocol. LMTP has no other than those of the first two and the last.
func TestPort(t *testing.T) {
	f := finder(world())
	f.Port = 2525
	for _, c := range []struct {
		hop  mail.NextHop
		want string
	}{
		{mail.NextHop{Domain: "implicit.example"}, "198.51.100.4:2525"},
		{mail.NextHop{Domain: "implicit.example", Port: 26}, "198.51.100.4:26"},
		{mail.NextHop{Domain: "[198.51.100.4]"}, "198.51.100.4:2525"},
		{mail.NextHop{Kind: mail.HopHosts, Hosts: []mail.HostPort{{Host: "implicit.example"}}}, "198.51.100.4:2525"},
		{mail.NextHop{Kind: mail.HopHosts, Port: 26, Hosts: []mail.HostPort{{Host: "implicit.example", Port: 27}}}, "198.51.100.4:27"},
		{mail.NextHop{Kind: mail.HopLMTP, Hosts: []mail.HostPort{{Host: "implicit.example"}}}, "198.51.100.4:24"},
	} {
		if got := f.Find(t.Context(), c.hop, mail.TLSUnsaid).Next(t.Context()).Candidates()[0].Addr.String(); got != c.want {
			t.Errorf("%+v: %s, want %s", c.hop, got, c.want)
		}
	}
}

// TestOnlyWhatIsAskedFor is looked up: the second tier when it is its turn.
func TestOnlyWhatIsAskedFor(t *testing.T) {
	fake := world()
	s := finder(fake).Find(t.Context(), mail.NextHop{Domain: "plain.example"}, mail.TLSUnsaid)
	for i, want := range []int{1, 5, 7} { // The exchangers; two hosts of two families; one.
		if n := len(fake.Lookups()); n != want {
			t.Errorf("%d lookups before tier %d, want %d", n, i, want)
		}
		if s.Done() != (i == 2) {
			t.Errorf("tier %d: done is %v", i, s.Done())
		}
		if !s.Done() {
			s.Next(t.Context())
		}
	}
}

// TestMany: of many hosts the first MaxHosts are looked up, and for the others the
// mail waits.
func TestMany(t *testing.T) {
	fake := world()
	for i := range MaxHosts + 2 {
		if err := fake.Add(fmt.Sprintf("many.example. MX %d h%d.example.\nh%d.example. A 198.51.100.9", i, i, i)); err != nil {
			t.Fatal(err)
		}
	}
	s := finder(fake).Find(t.Context(), mail.NextHop{Domain: "many.example"}, mail.TLSUnsaid)
	lines := strings.Split(tell(t.Context(), s), "\n")
	if len(s.LeftOut) != 2 || s.LeftOut[0] != (LeftOut{"h20.example", "one attempt looks up at most 20 hosts"}) {
		t.Errorf("left out: %v", s.LeftOut)
	}
	if n := len(fake.Lookups()); n != 1+2*MaxHosts || len(lines) != 2+MaxHosts+1 || lines[len(lines)-1] != "deferred 4.4.1" {
		t.Errorf("%d lookups:\n%s", n, strings.Join(lines, "\n"))
	}
}

// TestEqualsAreShuffled, each as often first as the others, and nothing else is.
func TestEqualsAreShuffled(t *testing.T) {
	fake := world()
	f := &Finder{Resolver: fake, Ourselves: ourselves{}, Shuffle: rand.New(rand.NewPCG(1, 2)).Shuffle}
	if err := fake.Add("equal.example. MX 10 a.example.\nequal.example. MX 10 b.example.\nequal.example. MX 10 c.example.\nequal.example. MX 20 d.example.\n"); err != nil {
		t.Fatal(err)
	}
	const rounds = 600
	first := map[string]int{}
	for range rounds {
		s := f.Find(t.Context(), mail.NextHop{Domain: "equal.example"}, mail.TLSUnsaid)
		first[s.Next(t.Context()).Hosts[0].Name]++
		if last := s.Next(t.Context()); !s.Done() || last.Hosts[0].Name != "d.example" {
			t.Fatalf("the last is %v", last)
		}
	}
	for _, host := range []string{"a.example", "b.example", "c.example"} {
		if n := first[host]; n < rounds/5 || n > rounds/2 {
			t.Errorf("%s came first %d times of %d: %v", host, n, rounds, first)
		}
	}
}

// TestSays: what the DNS said, how long it holds, and what stands behind an alias.
func TestSays(t *testing.T) {
	fake := world()
	f := finder(fake)
	for d, want := range map[mail.Domain]string{
		"plain.example":    "[{10 a.example} {10 c.example} {20 b.example}] implicit=false proved=false expires=true none",
		"implicit.example": "[{0 implicit.example}] implicit=true proved=false expires=true none",
		"signed.example":   "[{10 signed.example}] implicit=false proved=true expires=true none",
		"no.example":       "[] implicit=false proved=false expires=true MX of no.example: no such domain",
	} {
		s := f.Find(t.Context(), mail.NextHop{Domain: d}, mail.TLSUnsaid)
		err := "none"
		if s.Err != nil {
			err = s.Err.Error()
		}
		if got := fmt.Sprintf("%v implicit=%v proved=%v expires=%v %s", s.MX, s.Implicit, s.Proof.Authentic, !s.Proof.Expires.IsZero(), err); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
	h := f.Find(t.Context(), mail.NextHop{Domain: "toalias.example"}, mail.TLSUnsaid).Next(t.Context()).Hosts[0]
	if h.Canonical != "b.example" || h.Proof.Expires.IsZero() {
		t.Errorf("%+v", h)
	}
	h = f.Find(t.Context(), mail.NextHop{Domain: "txt.example"}, mail.TLSUnsaid).Next(t.Context()).Hosts[0]
	if h.Fault == nil || h.Fault.Text != "the address of txt.example could not be looked up: no such record" || h.Canonical != "" || h.Proof.Expires.IsZero() {
		t.Errorf("%+v", h)
	}
}

// TestFaultyHostIsNoCandidate: whatever a host is refused for, having addresses, it is
// not tried, and the fault is told.
func TestFaultyHostIsNoCandidate(t *testing.T) {
	at := []netip.AddrPort{netip.MustParseAddrPort("198.51.100.1:25")}
	tier := Tier{Hosts: []Host{{Name: "a.example", Addresses: at, Fault: NotTried()}, {Name: "b.example", Addresses: at}}}
	if c := tier.Candidates(); len(c) != 1 || c[0].Host != "b.example" || len(tier.Faults()) != 1 {
		t.Errorf("%v, %v", c, tier.Faults())
	}
}

// TestOwn: what is demanded of a connection by route and message, and of the names of
// exchangers.
func TestOwn(t *testing.T) {
	login := &mail.Credentials{User: "u", Password: "p"}
	for _, c := range []struct {
		hop    mail.NextHop
		demand mail.TLSDemand
		want   mail.TLSPolicy
		says   string
	}{
		{mail.NextHop{}, mail.TLSUnsaid, mail.TLSOpportunistic, ""},
		{mail.NextHop{}, mail.TLSDemanded, mail.TLSVerified, "REQUIRETLS"},
		{mail.NextHop{}, mail.TLSWaived, mail.TLSOpportunistic, "TLS-Required: No"},
		{mail.NextHop{TLS: mail.TLSNone}, mail.TLSDemanded, mail.TLSVerified, "REQUIRETLS"},
		{mail.NextHop{TLS: mail.TLSVerified}, mail.TLSWaived, mail.TLSVerified, "route: verified"},
		{mail.NextHop{Auth: login}, mail.TLSUnsaid, mail.TLSVerified, "route: verified"},
		{mail.NextHop{Auth: login}, mail.TLSWaived, mail.TLSVerified, "route: verified"},
		{mail.NextHop{Auth: login, TLS: mail.TLSRequired}, mail.TLSUnsaid, mail.TLSRequired, "route: required"},
		{mail.NextHop{Auth: login, TLS: mail.TLSNone}, mail.TLSUnsaid, mail.TLSNone, "route: none"},
		{mail.NextHop{ImplicitTLS: true}, mail.TLSUnsaid, mail.TLSRequired, "route: required"},
		{mail.NextHop{ImplicitTLS: true, Auth: login}, mail.TLSUnsaid, mail.TLSVerified, "route: verified"},
	} {
		c.hop.Domain = "signed.example"
		candidates := finder(world()).Find(t.Context(), c.hop, c.demand).Next(t.Context()).Candidates()
		if len(candidates) != 1 || candidates[0].Terms.TLS != c.want || candidates[0].Terms.String() != c.says {
			t.Errorf("%+v, %v: %+v, want %v, %q", c.hop, c.demand, candidates, c.want, c.says)
		}
	}
	for d, want := range map[mail.Domain]string{
		"plain.example": "failed 5.7.10", "implicit.example": "failed 5.7.10",
		"signed.example": "signed.example=198.51.100.5:25", "null.example": "failed 5.1.10",
	} {
		if got := tell(t.Context(), finder(world()).Find(t.Context(), mail.NextHop{Domain: d}, mail.TLSDemanded)); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

// TestFaults: only what the DNS says for certain is final, and a status says the
// same as its outcome.
func TestFaults(t *testing.T) {
	all := []*Fault{nullMX("x"), noExchanger("x"), backToUs("x"), noProof("x"), noProofYet("x"), noPolicy("x"), noTLSA("x", dns.Timeout),
		notListed("x", "y", mail.Failed), notListed("x", "y", mail.Deferred), noHosts(), NotTried(), GivenUp("x")}
	for f := dns.NXDomain; f <= dns.Canceled; f++ {
		mx, host, named := mxFault("example.org", f), hostFault("mx.example.org", f, false), hostFault("mx.example.org", f, true)
		want := mail.Failed
		if f.Temporary() {
			want = mail.Deferred
		}
		if mx.Outcome != want || host.Outcome != want || named.Outcome != mail.Deferred {
			t.Errorf("%v: %v, %v, %v", f, mx.Outcome, host.Outcome, named.Outcome)
		}
		all = append(all, mx, host, named)
	}
	for _, f := range all {
		if f.Enhanced[0] != map[mail.Outcome]byte{mail.Deferred: '4', mail.Failed: '5'}[f.Outcome] || f.Text == "" {
			t.Errorf("%+v", f)
		}
	}
}

func TestDecisive(t *testing.T) {
	no, later, last := noExchanger("a"), NotTried(), backToUs("b")
	for _, c := range []struct {
		faults []*Fault
		want   *Fault
	}{
		{nil, nil}, {[]*Fault{no}, no}, {[]*Fault{no, last}, last}, {[]*Fault{no, later, last}, later},
		{[]*Fault{later, noHosts(), last}, noHosts()},
	} {
		got := Decisive(c.faults)
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%v: %v, want %v", c.faults, got, c.want)
		}
	}
}
