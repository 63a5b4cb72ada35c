package dnstest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/world/resolver"
)

const sample = `
example.org.            3600 SOA  ns.example.org. host.example.org. 1 2 3 4 60
example.org.            MX   10 mx1.example.org.
example.org.            MX   20 mx2.example.org.
example.org.            TXT  "v=spf1 " "mx -all"
example.org.            100 A 192.0.2.80
mx1.example.org.        A    192.0.2.1
mx1.example.org.        AAAA 2001:db8::1
mx2.example.org.        50 CNAME mx1.example.org.
_25._tcp.mx1.example.org. TLSA 3 1 1 0a0b
_imaps._tcp.example.org. SRV 0 1 993 mx1.example.org.
deep.below.example.org. A    192.0.2.9
null.example.           MX   0 .
a.loop.example.         CNAME b.loop.example.
b.loop.example.         CNAME a.loop.example.
gone.example.           CNAME nowhere.example.org.
into.example.           CNAME mx1.example.org.
1.2.0.192.in-addr.arpa. PTR  mx1.example.org.
`

// outcome is what all makers of answers must agree on.
func outcome[T any](a dns.Answer[T], err error) string {
	var e *dns.Error
	if errors.As(err, &e) {
		return fmt.Sprintf("%s %s: %s authentic=%v", e.Type, e.Name, e.Failure, e.Authentic)
	}
	return fmt.Sprintf("%v %s authentic=%v %v", a.Records, a.Name, a.Authentic, err)
}

var lookups = map[string]func(context.Context, dns.Resolver) string{
	"MX":               func(ctx context.Context, r dns.Resolver) string { return outcome(r.MX(ctx, "example.org")) },
	"TXT":              func(ctx context.Context, r dns.Resolver) string { return outcome(r.TXT(ctx, "example.org")) },
	"null MX":          func(ctx context.Context, r dns.Resolver) string { return outcome(r.MX(ctx, "null.example")) },
	"literal":          func(ctx context.Context, r dns.Resolver) string { return outcome(r.MX(ctx, "[192.0.2.1]")) },
	"no MX":            func(ctx context.Context, r dns.Resolver) string { return outcome(r.MX(ctx, "mx1.example.org")) },
	"A":                func(ctx context.Context, r dns.Resolver) string { return outcome(r.A(ctx, "mx1.example.org")) },
	"AAAA":             func(ctx context.Context, r dns.Resolver) string { return outcome(r.AAAA(ctx, "mx1.example.org")) },
	"no AAAA":          func(ctx context.Context, r dns.Resolver) string { return outcome(r.AAAA(ctx, "example.org")) },
	"addresses":        func(ctx context.Context, r dns.Resolver) string { return outcome(r.Addresses(ctx, "mx1.example.org")) },
	"one family":       func(ctx context.Context, r dns.Resolver) string { return outcome(r.Addresses(ctx, "example.org")) },
	"no address":       func(ctx context.Context, r dns.Resolver) string { return outcome(r.Addresses(ctx, "no.example.org")) },
	"root":             func(ctx context.Context, r dns.Resolver) string { return outcome(r.A(ctx, "")) },
	"alias":            func(ctx context.Context, r dns.Resolver) string { return outcome(r.A(ctx, "mx2.example.org")) },
	"alias itself":     func(ctx context.Context, r dns.Resolver) string { return outcome(r.CNAME(ctx, "mx2.example.org")) },
	"no alias":         func(ctx context.Context, r dns.Resolver) string { return outcome(r.CNAME(ctx, "mx1.example.org")) },
	"alias to nothing": func(ctx context.Context, r dns.Resolver) string { return outcome(r.A(ctx, "gone.example")) },
	"insecure alias":   func(ctx context.Context, r dns.Resolver) string { return outcome(r.A(ctx, "into.example")) },
	"loop":             func(ctx context.Context, r dns.Resolver) string { return outcome(r.A(ctx, "a.loop.example")) },
	"TLSA": func(ctx context.Context, r dns.Resolver) string {
		return outcome(r.TLSA(ctx, "_25._tcp.mx1.example.org"))
	},
	"SRV": func(ctx context.Context, r dns.Resolver) string {
		return outcome(r.SRV(ctx, "_imaps._tcp.example.org"))
	},
	"PTR": func(ctx context.Context, r dns.Resolver) string {
		return outcome(r.PTR(ctx, netip.MustParseAddr("192.0.2.1")))
	},
	"no PTR": func(ctx context.Context, r dns.Resolver) string {
		return outcome(r.PTR(ctx, netip.MustParseAddr("192.0.2.2")))
	},
	"PTR of none":   func(ctx context.Context, r dns.Resolver) string { return outcome(r.PTR(ctx, netip.Addr{})) },
	"empty between": func(ctx context.Context, r dns.Resolver) string { return outcome(r.A(ctx, "below.example.org")) },
}

var wanted = map[string]string{
	"MX":               "[{10 mx1.example.org} {20 mx2.example.org}] example.org authentic=true <nil>",
	"TXT":              "[v=spf1 mx -all] example.org authentic=true <nil>",
	"null MX":          "[{0 .}] null.example authentic=false <nil>",
	"literal":          "MX .: not a name that can be looked up authentic=false",
	"no MX":            "MX mx1.example.org: no such record authentic=true",
	"A":                "[192.0.2.1] mx1.example.org authentic=true <nil>",
	"AAAA":             "[2001:db8::1] mx1.example.org authentic=true <nil>",
	"no AAAA":          "AAAA example.org: no such record authentic=true",
	"addresses":        "[2001:db8::1 192.0.2.1] mx1.example.org authentic=true <nil>",
	"one family":       "[192.0.2.80] example.org authentic=true <nil>",
	"no address":       "A no.example.org: no such domain authentic=true",
	"root":             "A .: not a name that can be looked up authentic=false",
	"alias":            "[192.0.2.1] mx1.example.org authentic=true <nil>",
	"alias itself":     "[mx1.example.org] mx2.example.org authentic=true <nil>",
	"no alias":         "CNAME mx1.example.org: no such record authentic=true",
	"alias to nothing": "A gone.example: no such domain authentic=false",
	"insecure alias":   "[192.0.2.1] mx1.example.org authentic=false <nil>",
	"loop":             "A a.loop.example: the aliases form a loop authentic=false",
	"TLSA":             "[{3 1 1 [10 11]}] _25._tcp.mx1.example.org authentic=true <nil>",
	"SRV":              "[{0 1 993 mx1.example.org}] _imaps._tcp.example.org authentic=true <nil>",
	"PTR":              "[mx1.example.org] 1.2.0.192.in-addr.arpa authentic=false <nil>",
	"no PTR":           "PTR 2.2.0.192.in-addr.arpa: no such domain authentic=false",
	"PTR of none":      "PTR .: not a name that can be looked up authentic=false",
	"empty between":    "A below.example.org: no such record authentic=true",
}

// TestSame: the Fake and the real resolver over the Server answer alike.
func TestSame(t *testing.T) {
	fake := NewFake(sample)
	fake.Sign("example.org")
	server, err := Listen(fake.Zone)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	real, err := resolver.New(resolver.Options{Upstream: resolver.Upstream{Servers: []netip.AddrPort{server.Addr()}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, look := range lookups {
		for maker, r := range map[string]dns.Resolver{"fake": fake, "real": real} {
			if got := look(t.Context(), r); got != wanted[name] {
				t.Errorf("%s by the %s:\n got %s\nwant %s", name, maker, got, wanted[name])
			}
		}
	}
}

func TestFakeExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := NewFake(sample)
		a, err := fake.A(t.Context(), "mx2.example.org")
		if left := time.Until(a.Expires); err != nil || left != 50*time.Second {
			t.Errorf("the alias lives for 50 s, the answer for %s, %v", left, err)
		}
		var e *dns.Error
		_, err = fake.A(t.Context(), "none.example.org")
		if !errors.As(err, &e) || time.Until(e.Expires) != 60*time.Second {
			t.Errorf("absence: %+v", e)
		}
	})
}

func TestFakeOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := NewFake(sample)
		fake.Fail("example.org", dns.TypeMX, dns.Timeout)
		fake.Fail("example.org", anyType, dns.ServFail)
		fake.Delay("mx1.example.org", time.Minute)
		ctx := t.Context()
		if _, err := fake.MX(ctx, "example.org"); dns.FailureOf(err) != dns.Timeout {
			t.Error(err)
		}
		if _, err := fake.TXT(ctx, "example.org"); dns.FailureOf(err) != dns.ServFail {
			t.Error(err)
		}
		fake.Fail("example.org", dns.TypeMX, dns.None)
		if _, err := fake.MX(ctx, "example.org"); err != nil {
			t.Error(err)
		}
		start := time.Now()
		if _, err := fake.A(ctx, "mx1.example.org"); err != nil || time.Since(start) != time.Minute {
			t.Errorf("a delay of a minute took %s, %v", time.Since(start), err)
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := fake.A(short, "mx1.example.org")
		if dns.FailureOf(err) != dns.Canceled || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 61*time.Second {
			t.Errorf("given up: %v after %s", err, time.Since(start))
		}
		want := []Asked{{"example.org", dns.TypeMX}, {"example.org", dns.TypeTXT}, {"example.org", dns.TypeMX},
			{"mx1.example.org", dns.TypeA}, {"mx1.example.org", dns.TypeA}}
		if got := fake.Lookups(); !slices.Equal(got, want) {
			t.Errorf("looked up %v", got)
		}
	})
}

func TestZoneChanges(t *testing.T) {
	fake := NewFake(sample)
	fake.Remove("example.org")
	if err := fake.Add("example.org. MX 5 new.example."); err != nil {
		t.Fatal(err)
	}
	a, err := fake.MX(t.Context(), "example.org")
	if err != nil || !slices.Equal(a.Records, []dns.MX{{Preference: 5, Host: "new.example"}}) {
		t.Errorf("%v, %v", a, err)
	}
	for _, bad := range []string{"example.org. MX ten mx.", "$INCLUDE /etc/passwd", "$GENERATE 1-9999 a$ A 192.0.2.1", "x. BOGUS 1"} {
		if err := fake.Add(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if _, err := fake.MX(t.Context(), mail.Domain("null.example")); err != nil {
		t.Error(err)
	}
}

// FuzzZone: no text brings the reader down, and all it takes can be asked for
// and written to the wire.
func FuzzZone(f *testing.F) {
	f.Add(sample)
	f.Add("$TTL 5\n$ORIGIN x.\n@ MX ( 1\n y ) ; c\n TXT \"\\000\\\"\" a\n\\.. A 192.0.2.1\n")
	f.Add("a. TLSA 3 1 1 0\nb. TXT \"" + strings.Repeat("x", 300) + "\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<12 {
			return
		}
		z, err := ParseZone(text)
		if err != nil {
			return
		}
		fake := &Fake{Zone: z, now: time.Now}
		for n := range z.records {
			if _, err := fake.TXT(t.Context(), n); dns.FailureOf(err) == dns.NXDomain {
				// Only as the end of an alias.
				if _, err := fake.CNAME(t.Context(), n); err != nil {
					t.Fatalf("%q has records and does not exist", n)
				}
			}
		}
	})
}
