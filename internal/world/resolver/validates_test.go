package resolver_test

import (
	"testing"

	"yubin/internal/dns"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/resolver"
)

// TestValidates: what is proved, what is not, by a DNS that has the zone and by one that has
// not; and servers that do not answer.
func TestValidates(t *testing.T) {
	for _, c := range []struct {
		zone   string
		signed dns.Name
		trust  resolver.Trust
		want   bool
	}{
		{"arpa. NS a.ns.arpa.\n", "arpa", resolver.TrustLoopback, true},
		{"arpa. NS a.ns.arpa.\n", "arpa", resolver.TrustNone, false},
		{"arpa. NS a.ns.arpa.\n", "", resolver.TrustLoopback, false},
		{"example. NS ns.example.\n", "", resolver.TrustLoopback, false},
		{"example. NS ns.example.\n", "arpa", resolver.TrustLoopback, true},
	} {
		zone := dnstest.NewZone(c.zone)
		if c.signed != "" {
			zone.Sign(c.signed)
		}
		s, err := dnstest.Listen(zone)
		if err != nil {
			t.Fatal(err)
		}
		o := resolver.Options{Upstream: resolver.Upstream{Trust: c.trust}}
		got, err := newResolver(t, o, s).Validates(t.Context())
		_ = s.Close()
		if err != nil || got != c.want {
			t.Errorf("%q, signed %q, trust %d: %v, %v", c.zone, c.signed, c.trust, got, err)
		}
		if _, err := newResolver(t, impatient(), s).Validates(t.Context()); err == nil {
			t.Error("nobody answers, and it is taken for an answer")
		}
	}
}
