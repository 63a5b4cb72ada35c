package resolver_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/resolver"
)

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_000_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func listen(t testing.TB, zone string) *dnstest.Server {
	t.Helper()
	s, err := dnstest.Listen(dnstest.NewZone(zone))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newResolver(t testing.TB, o resolver.Options, servers ...*dnstest.Server) *resolver.Resolver {
	t.Helper()
	for _, s := range servers {
		o.Servers = append(o.Servers, s.Addr())
	}
	r, err := resolver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// impatient is for tests in which a server stays silent.
func impatient() resolver.Options {
	return resolver.Options{Upstream: resolver.Upstream{Timeout: 200 * time.Millisecond}}
}

// patience is impatient if a fault makes a server silent, so that the other
// tests do not depend on how busy the computer is.
func patience(outcome string) resolver.Options {
	if outcome == dns.Timeout.String() {
		return impatient()
	}
	return resolver.Options{}
}

// addresses shows the outcome of a lookup in one line.
func addresses(r *resolver.Resolver, n dns.Name) string {
	return show(r.A(context.Background(), n))
}

func show(a dns.Answer[netip.Addr], err error) string {
	if err != nil {
		return dns.FailureOf(err).String()
	}
	return fmt.Sprint(a.Records)
}
