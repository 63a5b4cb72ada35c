package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/resolver"
)

const timed = `
example.org.       3600 SOA ns. host. 1 2 3 4 60
host.example.org.  100 A   192.0.2.1
zero.example.org.  0 A     192.0.2.2
ages.example.org.  4294967295 A 192.0.2.3
year.example.org.  31536000 A 192.0.2.4
short.example.org. 10 CNAME host.example.org.
to.example.org.    20 CNAME none.example.org.
slow.example.      86400 SOA ns. host. 1 2 3 4 86400
fast.example.      30 SOA ns. host. 1 2 3 4 86400
a.nosoa.test.      A 192.0.2.9
`

// TestExpiry: how long each outcome is remembered, to the second.
func TestExpiry(t *testing.T) {
	for _, c := range []struct {
		name dns.Name
		want string
		life time.Duration
	}{
		{"host.example.org", "[192.0.2.1]", 100 * time.Second},
		{"zero.example.org", "[192.0.2.2]", 0},
		{"ages.example.org", "[192.0.2.3]", 0}, // RFC 2181 §8
		{"year.example.org", "[192.0.2.4]", resolver.MaxTTL},
		{"short.example.org", "[192.0.2.1]", 10 * time.Second},
		{"none.example.org", "no such domain", 60 * time.Second}, // the SOA record's minimum
		{"to.example.org", "no such domain", 20 * time.Second},   // the alias
		{"example.org", "no such record", 60 * time.Second},
		{"x.fast.example", "no such domain", 30 * time.Second}, // the SOA record's own TTL
		{"x.slow.example", "no such domain", resolver.MaxNegativeTTL},
		{"b.nosoa.test", "no such domain", 0}, // RFC 2308 §5
		{"nosoa.test", "no such record", 0},
		{"fails.example.org", "the name server failed", resolver.FailureTTL},
	} {
		s, now := listen(t, timed), newClock()
		s.Misbehave("fails.example.org", dnstest.ServFail, -1)
		r := newResolver(t, resolver.Options{Now: now.Now}, s)
		check := func(at time.Duration, asked int) {
			t.Helper()
			if got := addresses(r, c.name); got != c.want {
				t.Errorf("%s after %s: %s, want %s", c.name, at, got, c.want)
			}
			if got := len(s.Queries()); got != asked {
				t.Errorf("%s after %s: the server was asked %d times, want %d", c.name, at, got, asked)
			}
		}
		if c.life == 0 {
			check(0, 1)
			check(0, 2)
			continue
		}
		check(0, 1)
		now.pass(c.life - time.Second)
		check(c.life-time.Second, 1)
		now.pass(time.Second)
		check(c.life, 2)
	}
}

// TestAnswerExpires: callers are told the same moment.
func TestAnswerExpires(t *testing.T) {
	s, now := listen(t, timed), newClock()
	r := newResolver(t, resolver.Options{Now: now.Now}, s)
	start := now.Now()
	for range 2 {
		if a, err := r.A(t.Context(), "short.example.org"); err != nil || a.Expires != start.Add(10*time.Second) {
			t.Errorf("expires %s, %v", a.Expires.Sub(start), err)
		}
		var e *dns.Error
		if _, err := r.A(t.Context(), "none.example.org"); !errors.As(err, &e) || e.Expires != start.Add(time.Minute) {
			t.Errorf("absence: %+v", e)
		}
		now.pass(time.Second)
	}
}

// TestNegativeScope: that a name does not exist is true for all types; that it
// has no record of a type, for that type (RFC 2308 §5).
func TestNegativeScope(t *testing.T) {
	s := listen(t, timed)
	r := newResolver(t, resolver.Options{Now: newClock().Now}, s)
	ask := func(n dns.Name, asked int, want dns.Failure) {
		t.Helper()
		_, errTXT := r.TXT(t.Context(), n)
		_, errMX := r.MX(t.Context(), mail.Domain(n))
		if dns.FailureOf(errTXT) != want || dns.FailureOf(errMX) != want {
			t.Errorf("%s: %v, %v", n, errTXT, errMX)
		}
		var e *dns.Error
		if errors.As(errMX, &e); e.Type != dns.TypeMX {
			t.Errorf("the failure of an MX lookup speaks of %s", e.Type)
		}
		if got := len(s.Queries()); got != asked {
			t.Errorf("%s: %d questions in all, want %d", n, got, asked)
		}
	}
	ask("none.example.org", 1, dns.NXDomain)
	ask("host.example.org", 3, dns.NoData)
	ask("to.example.org", 5, dns.NXDomain) // Only the alias' target does not exist.
}

// TestOwnRecords: what one caller does with an answer is not seen by the next.
func TestOwnRecords(t *testing.T) {
	r := newResolver(t, resolver.Options{}, listen(t, timed))
	a, err := r.A(t.Context(), "host.example.org")
	if err != nil {
		t.Fatal(err)
	}
	a.Records[0] = netip.Addr{}
	if got := addresses(r, "host.example.org"); got != "[192.0.2.1]" {
		t.Error(got)
	}
}

// TestUse: other servers, and nothing of what the former ones said; bad ones
// are refused.
func TestUse(t *testing.T) {
	old, fresh := listen(t, "h.example. A 192.0.2.1\n"), listen(t, "h.example. A 192.0.2.2\n")
	r := newResolver(t, resolver.Options{}, old)
	if got := addresses(r, "h.example"); got != "[192.0.2.1]" {
		t.Fatal(got)
	}
	good := fresh.Addr()
	for _, bad := range []resolver.Upstream{
		{}, {Servers: make([]netip.AddrPort, resolver.MaxServers+1)}, {Servers: []netip.AddrPort{{}}},
		{Servers: []netip.AddrPort{netip.AddrPortFrom(good.Addr(), 0)}},
		{Servers: []netip.AddrPort{good}, Attempts: resolver.MaxAttempts + 1},
		{Servers: []netip.AddrPort{good}, Timeout: resolver.MaxTimeout + 1},
	} {
		if err := r.Use(bad); mail.KindOf(err) != mail.Invalid || err == nil {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if got := addresses(r, "h.example"); got != "[192.0.2.1]" {
		t.Error("a refused change changed something:", got)
	}
	if err := r.Use(resolver.Upstream{Servers: []netip.AddrPort{good}}); err != nil {
		t.Fatal(err)
	}
	if got := addresses(r, "h.example"); got != "[192.0.2.2]" {
		t.Error(got)
	}
}

// TestPenalty: a silent server is asked last for a while.
func TestPenalty(t *testing.T) {
	first, second, now := listen(t, timed), listen(t, timed), newClock()
	first.Misbehave("year.example.org", dnstest.Drop, 1)
	o := impatient()
	o.Now = now.Now
	r := newResolver(t, o, first, second)
	for i, want := range []struct {
		name          dns.Name
		first, second int
		pass          time.Duration
	}{
		{"year.example.org", 1, 1, 0},
		{"host.example.org", 1, 2, resolver.Penalty - time.Second},
		{"short.example.org", 1, 3, time.Second},
		{"example.org", 2, 3, 0},
	} {
		addresses(r, want.name)
		if a, b := len(first.Queries()), len(second.Queries()); a != want.first || b != want.second {
			t.Errorf("step %d: the servers were asked %d and %d times, want %+v", i, a, b, want)
		}
		now.pass(want.pass)
	}
}

// TestForgiven: one that answers again is no longer asked last.
func TestForgiven(t *testing.T) {
	first, second := listen(t, timed), listen(t, timed)
	first.Misbehave("year.example.org", dnstest.Drop, 2)
	second.Misbehave("year.example.org", dnstest.Drop, 1)
	o := impatient()
	o.Now = newClock().Now
	r := newResolver(t, o, first, second)
	for _, n := range []dns.Name{"year.example.org", "host.example.org"} {
		addresses(r, n)
	}
	if a, b := len(first.Queries()), len(second.Queries()); a != 2 || b != 3 {
		t.Errorf("the servers were asked %d and %d times", a, b)
	}
}

// TestUseMeanwhile: what a former server says late is for those who waited for
// it only.
func TestUseMeanwhile(t *testing.T) {
	old, fresh := listen(t, "h.example. A 192.0.2.1\n"), listen(t, "h.example. A 192.0.2.2\n")
	dialing, release := make(chan struct{}, 1), make(chan struct{})
	o := resolver.Options{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == old.Addr().String() {
			dialing <- struct{}{}
			<-release
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	r := newResolver(t, o, old)
	late := make(chan string)
	go func() { late <- addresses(r, "h.example") }()
	<-dialing
	if err := r.Use(resolver.Upstream{Servers: []netip.AddrPort{fresh.Addr()}}); err != nil {
		t.Fatal(err)
	}
	close(release)
	if got := <-late; got != "[192.0.2.1]" {
		t.Error("who waited got", got)
	}
	if got := addresses(r, "h.example"); got != "[192.0.2.2]" {
		t.Error("who asked later got", got)
	}
}

// silent is a Dial whose connections never say a word.
type silent struct {
	dials, open, most atomic.Int32
}

func (s *silent) dial(context.Context, string, string) (net.Conn, error) {
	s.dials.Add(1)
	n := s.open.Add(1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	here, there := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, there) }()
	return &counted{Conn: here, closed: sync.OnceFunc(func() { s.open.Add(-1) })}, nil
}

// counted is a connection whose end is counted once.
type counted struct {
	net.Conn
	closed func()
}

func (c *counted) Close() error {
	c.closed()
	return c.Conn.Close()
}

var somewhere = resolver.Upstream{Servers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}}

// TestPatience: a silent server is waited for as long as is said, and the time
// of each round is twice that of the one before.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s silent
		r := newResolver(t, resolver.Options{Upstream: somewhere, Dial: s.dial})
		start := time.Now()
		if got := addresses(r, "a.example"); got != "no answer in time" || time.Since(start) != 3*resolver.DefaultTimeout {
			t.Errorf("%s after %s", got, time.Since(start))
		}
		up := somewhere
		up.Attempts, up.Timeout = resolver.MaxAttempts, resolver.MaxTimeout
		if err := r.Use(up); err != nil {
			t.Fatal(err)
		}
		start = time.Now()
		if got := addresses(r, "b.example"); got != "no answer in time" || time.Since(start) != resolver.MaxLookup {
			t.Errorf("%s after %s", got, time.Since(start))
		}
		synctest.Wait()
		if s.open.Load() != 0 {
			t.Errorf("%d sockets are still open", s.open.Load())
		}
	})
}

// TestShared: many who ask the same at once are one question; it ends when the
// last of them gives up, and not before.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s silent
		seen := map[resolver.Source]int{}
		var mu sync.Mutex
		o := resolver.Options{Upstream: somewhere, Dial: s.dial, Observe: func(l resolver.Lookup) {
			mu.Lock()
			defer mu.Unlock()
			if l.Name == "a.example" && l.Type == dns.TypeA && l.Failure == dns.Canceled {
				seen[l.Source]++
			}
		}}
		r := newResolver(t, o)
		const callers = 50
		var wg sync.WaitGroup
		var leaves []<-chan struct{}
		for i := range callers {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*10*time.Millisecond)
			defer cancel()
			leaves = append(leaves, ctx.Done())
			wg.Go(func() {
				start := time.Now()
				_, err := r.A(ctx, "a.example")
				if dns.FailureOf(err) != dns.Canceled || !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				if took := time.Since(start); took != time.Duration(i+1)*10*time.Millisecond {
					t.Errorf("caller %d waited for %s", i, took)
				}
			})
		}
		<-leaves[callers-2] // All but one have left.
		synctest.Wait()
		if s.dials.Load() != 1 || s.open.Load() != 1 {
			t.Errorf("%d questions, %d sockets open", s.dials.Load(), s.open.Load())
		}
		wg.Wait()
		synctest.Wait()
		if s.dials.Load() != 1 || s.open.Load() != 0 {
			t.Errorf("all have left: %d questions, %d sockets open", s.dials.Load(), s.open.Load())
		}
		if seen[resolver.Asked] != 1 || seen[resolver.Shared] != callers-1 {
			t.Errorf("sources %v", seen)
		}
		// What ended so is not remembered.
		if got := addresses(r, "a.example"); got != "no answer in time" || s.dials.Load() != 3 {
			t.Errorf("%s, %d questions", got, s.dials.Load())
		}
	})
}

// TestMaxInFlight: there are never more sockets than that; who waits too long
// for one fails in time.
func TestMaxInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s silent
		r := newResolver(t, resolver.Options{Upstream: somewhere, Dial: s.dial})
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 3 * resolver.MaxInFlight {
			wg.Go(func() {
				if got := addresses(r, dns.Name(fmt.Sprintf("n%d.example", i))); got != "no answer in time" {
					t.Error(got)
				}
			})
		}
		wg.Wait()
		if most := s.most.Load(); most != resolver.MaxInFlight {
			t.Errorf("%d sockets at once", most)
		}
		if took := time.Since(start); took > resolver.MaxLookup {
			t.Errorf("it took %s", took)
		}
	})
}

// TestCanceledBefore: nothing is asked for one who has given up already.
func TestCanceledBefore(t *testing.T) {
	s := listen(t, timed)
	r := newResolver(t, resolver.Options{}, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.A(ctx, "host.example.org"); dns.FailureOf(err) != dns.Canceled || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if q := s.Queries(); len(q) != 0 {
		t.Errorf("asked %+v", q)
	}
}

// TestTogether is for -race: many callers, few names, all kinds of answers.
func TestTogether(t *testing.T) {
	s, now := listen(t, timed), newClock()
	s.Misbehave("fails.example.org", dnstest.ServFail, -1)
	var tries, lookups atomic.Int32
	o := resolver.Options{Now: now.Now, Tried: func(resolver.Try) { tries.Add(1) }, Observe: func(resolver.Lookup) { lookups.Add(1) }}
	r := newResolver(t, o, s)
	names := []dns.Name{"host.example.org", "zero.example.org", "none.example.org", "fails.example.org", "short.example.org"}
	var wg sync.WaitGroup
	const callers, rounds = 8, 50
	for c := range callers {
		wg.Go(func() {
			for i := range rounds {
				n := names[(c+i)%len(names)]
				a, err := r.Addresses(t.Context(), n)
				if err == nil != strings.Contains("host zero short", strings.Split(string(n), ".")[0]) {
					t.Errorf("%s: %v, %v", n, a, err)
				}
				now.pass(time.Second)
			}
		})
	}
	wg.Go(func() {
		for range 10 {
			if err := r.Use(resolver.Upstream{Servers: []netip.AddrPort{s.Addr()}}); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if got := int(tries.Load()); got != len(s.Queries()) {
		t.Errorf("%d tries, %d questions", got, len(s.Queries()))
	}
	if got := lookups.Load(); got != callers*rounds*2 {
		t.Errorf("%d lookups", got)
	}
}

func TestReadUpstream(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "[127.0.0.1:53] trust 0, 0s, 0"},
		{"# nothing\nsearch example.org\nnameserver nonsense\n", "[127.0.0.1:53] trust 0, 0s, 0"},
		{"nameserver 192.0.2.1\nnameserver\t2001:db8::1 # second\nnameserver fe80::1%eth0\n",
			"[192.0.2.1:53 [2001:db8::1]:53 [fe80::1%eth0]:53] trust 0, 0s, 0"},
		{"nameserver 192.0.2.1\noptions edns0 trust-ad timeout:3 attempts:4 ndots:5\n", "[192.0.2.1:53] trust 1, 3s, 4"},
		{"nameserver 192.0.2.1\noptions timeout:600 attempts:99\n", "[192.0.2.1:53] trust 0, 15s, 5"},
		{"nameserver 192.0.2.1\noptions timeout:0 attempts:-1 timeout:x\n", "[192.0.2.1:53] trust 0, 0s, 0"},
		{strings.Repeat("nameserver 192.0.2.1\n", 9), "[" + strings.TrimSpace(strings.Repeat("192.0.2.1:53 ", resolver.MaxServers)) + "] trust 0, 0s, 0"},
	} {
		u, err := resolver.ReadUpstream(strings.NewReader(c.text))
		if got := fmt.Sprintf("%v trust %d, %s, %d", u.Servers, u.Trust, u.Timeout, u.Attempts); err != nil || got != c.want {
			t.Errorf("%q: got %s, %v; want %s", c.text, got, err, c.want)
		}
		if _, err := resolver.New(resolver.Options{Upstream: u}); err != nil {
			t.Errorf("%q: %v", c.text, err)
		}
	}
	if _, err := resolver.ReadUpstream(strings.NewReader(strings.Repeat("x", 1<<20))); err == nil {
		t.Error("an endless line was read")
	}
}
