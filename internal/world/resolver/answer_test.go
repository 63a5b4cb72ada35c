package resolver

import (
	"fmt"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"yubin/internal/dns"
)

// FuzzAnswer: whatever octets come back, they are read without harm, and what
// is taken from them belongs to the question.
func FuzzAnswer(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed, uint16(dns.TypeMX))
		f.Add(seed, uint16(dns.TypeA))
	}
	f.Fuzz(func(t *testing.T, b []byte, kind uint16) {
		q := question{"example.org", dns.Type(kind)}
		m, v := decode(b, 0x1234, q)
		if (v == whole) != (m != nil) {
			t.Fatalf("verdict %d with message %v", v, m)
		}
		if m == nil {
			return
		}
		a := interpret(m, q)
		checkAnswer(t, a, q)
		if a.failure == dns.None && len(a.records) == 0 && !a.more {
			t.Fatalf("neither records nor failure: %+v", a)
		}
		if a.more && (a.links == 0 || len(a.records) > 0) {
			t.Fatalf("to be asked on, without reason: %+v", a)
		}
	})
}

func checkAnswer(t *testing.T, a answer, q question) {
	t.Helper()
	if a.links > MaxAliases || len(a.records) > MaxRecords || a.ttl < 0 || a.ttl > MaxTTL {
		t.Fatalf("over a limit: %+v", a)
	}
	for _, rr := range a.records {
		n, err := dns.ParseName(rr.Header().Name)
		if err != nil || n != a.name || rr.Header().Rrtype != uint16(q.kind) || rr.Header().Class != wire.ClassINET {
			t.Fatalf("took %v as %s of %s", rr, q.kind, a.name)
		}
	}
	if a.links == 0 && a.name != q.name && a.final() && a.failure != dns.Loop {
		t.Fatalf("answers for %q without an alias", a.name)
	}
}

// seeds are answers of all sorts to MX of example.org with ID 0x1234.
func seeds(f *testing.F) (all [][]byte) {
	texts := [][]string{
		{"example.org. 60 MX 10 mx.example.org.", "example.org. 60 MX 20 mx2.example.org."},
		{"example.org. 60 CNAME a.example.", "a.example. 60 CNAME b.example.", "b.example. 5 MX 1 c.example."},
		{"example.org. 60 CNAME example.org."},
		{"other. 1 A 192.0.2.1"},
		{"example.org. 60 A 192.0.2.1", "example.org. 60 TXT \"a\" \"b\"", "example.org. 60 TLSA 3 1 1 00", "example.org. 60 SRV 1 1 1 ."},
		{},
	}
	for i, text := range texts {
		m := new(wire.Msg).SetQuestion("Example.org.", wire.TypeMX)
		m.Id, m.Response, m.RecursionAvailable, m.Compress = 0x1234, true, true, i%2 == 0
		for _, s := range text {
			m.Answer = append(m.Answer, parse(f, s))
		}
		m.Ns = []wire.RR{parse(f, "org. 300 SOA ns. host. 1 2 3 4 60")}
		m.SetEdns0(1232, false)
		for _, rcode := range []int{wire.RcodeSuccess, wire.RcodeNameError, wire.RcodeServerFailure, wire.RcodeFormatError} {
			m.Rcode = rcode
			b, err := m.Pack()
			if err != nil {
				f.Fatal(err)
			}
			all = append(all, b, b[:len(b)-5], b[:12])
		}
	}
	return all
}

func parse(t testing.TB, s string) wire.RR {
	t.Helper()
	rr, err := wire.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

// TestForeignAuthority: the SOA record of another zone says nothing of ours.
func TestForeignAuthority(t *testing.T) {
	q := question{"a.example.org", dns.TypeMX}
	m := new(wire.Msg).SetQuestion("a.example.org.", wire.TypeMX)
	m.Response, m.RecursionAvailable, m.Rcode = true, true, wire.RcodeNameError
	m.Ns = []wire.RR{parse(t, "example.net. 300 SOA ns. host. 1 2 3 4 60")}
	if a := interpret(m, q); a.failure != dns.NXDomain || a.ttl != 0 {
		t.Errorf("with a foreign SOA record: %+v", a)
	}
	m.Ns = append(m.Ns, parse(t, "org. 300 SOA ns. host. 1 2 3 4 60"))
	if a := interpret(m, q); a.failure != dns.NXDomain || a.ttl != time.Minute {
		t.Errorf("with our own too: %+v", a)
	}
}

// TestLame: a server that neither knows nor asks is passed over; one that does
// either is believed.
func TestLame(t *testing.T) {
	for _, c := range []struct {
		aa, ra, ns bool
		want       dns.Failure
	}{{false, false, false, dns.Refused}, {true, false, false, dns.NoData}, {false, true, false, dns.NoData}, {false, true, true, dns.Refused}} {
		m := new(wire.Msg).SetQuestion("a.example.org.", wire.TypeMX)
		m.Response, m.Authoritative, m.RecursionAvailable = true, c.aa, c.ra
		if c.ns {
			m.Ns = []wire.RR{parse(t, "org. 300 NS ns.example.")}
		}
		if a := interpret(m, question{"a.example.org", dns.TypeMX}); a.failure != c.want {
			t.Errorf("%+v: %+v", c, a)
		}
	}
}

// TestCacheBounds: entries and octets are bound, and what is in use stays.
func TestCacheBounds(t *testing.T) {
	now := time.Unix(0, 0)
	life := now.Add(time.Minute)
	q := func(i int) question { return question{dns.Name(fmt.Sprintf("n%d.example", i)), dns.TypeA} }
	c := newCache(10, 1<<20)
	for i := range 100 {
		c.put(q(i), reply{expires: life}, now)
		if _, ok := c.get(q(0), now); !ok {
			t.Fatalf("what is asked for all the time has gone after %d others", i)
		}
	}
	if len(c.entries) != 10 || c.used.Len() != 10 {
		t.Errorf("%d entries", len(c.entries))
	}
	if _, ok := c.get(q(99), now); !ok {
		t.Error("the newest has gone")
	}
	if _, ok := c.get(q(50), now); ok {
		t.Error("an old one is still there")
	}

	big := reply{expires: life, records: []wire.RR{&wire.TXT{Hdr: wire.RR_Header{Name: "x."}, Txt: make([]string, 800)}}}
	c = newCache(1000, 100_000)
	for i := range 100 {
		c.put(q(i), big, now)
		c.put(q(i), big, now) // Twice takes the place of once.
		if c.octets > 100_000 || c.octets < 0 {
			t.Fatalf("%d octets", c.octets)
		}
	}
	if n := len(c.entries); n < 3 || n > 5 {
		t.Errorf("%d entries of 20,000 octets in 100,000", n)
	}
	c.put(q(1000), reply{expires: life, records: append(big.records, big.records[0], big.records[0], big.records[0], big.records[0])}, now)
	if len(c.entries) != 0 || c.octets != 0 {
		t.Errorf("what is over the bound by itself left %d entries, %d octets", len(c.entries), c.octets)
	}
	c.put(q(1), reply{expires: life}, now)
	if _, ok := c.get(q(1), life); ok || len(c.entries) != 0 || c.octets != 0 {
		t.Error("what has expired is still there")
	}
}
