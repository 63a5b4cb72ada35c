package dnslist

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/testkit/dnstest"
)

const zone = `
2.0.0.127.bl.test.     A 127.0.0.2
9.2.0.192.bl.test.     A 127.0.0.2
8.2.0.192.bl.test.     A 127.0.0.4
8.2.0.192.bl.test.     A 127.0.0.9
7.2.0.192.bl.test.     A 127.0.0.77
b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.bl.test. A 127.0.0.2
test.dbl.test.         A 127.0.1.2
evil.example.dbl.test. A 127.0.1.2
evil.co.uk.dbl.test.   A 127.0.1.2
test.multi.test.       A 127.0.0.10
evil.example.multi.test. A 127.0.0.10
9.2.0.192.multi.test.  A 127.0.0.2
2.0.0.127.wl.test.     A 127.0.0.2
5.2.0.192.wl.test.     A 127.0.10.3
`

// code is ParseCode with a weight and a meaning.
func code(t testing.TB, s string, weight float64, meaning string) Code {
	t.Helper()
	c, err := dns.ParseListCode(s)
	if err != nil {
		t.Fatal(err)
	}
	return Code{c, weight, meaning}
}

func lists(t testing.TB) []List {
	return []List{
		{Name: "bl", Zone: "bl.test", About: Client, Codes: []Code{code(t, "127.0.0.2", 4, "sends spam"), code(t, "127.0.0.4-127.0.0.7", 2, "open proxy"), code(t, "127.0.0.9", 1, "dropped")}},
		{Name: "dbl", Zone: "dbl.test", About: Sender | Link, Codes: []Code{code(t, "any", 5, "spam domain")}},
		{Name: "multi", Zone: "multi.test", About: Link, Codes: []Code{code(t, "&2", 3, "black"), code(t, "&8", 1, "phishing"), code(t, "&64", 9, "never")}},
		{Name: "wl", Zone: "wl.test", About: Client, Codes: []Code{code(t, "127.0.10.3", -3, "known sender")}},
	}
}

// house is lists over a zone, with what they told.
type house struct {
	*Lists
	dns  *dnstest.Fake
	mu   sync.Mutex
	told []string
	seen map[string]int
}

func newHouse(t testing.TB, text string, all ...List) *house {
	t.Helper()
	h := &house{dns: dnstest.NewFake(text), seen: map[string]int{}}
	var err error
	h.Lists, err = New(Options{Lists: all, Resolver: h.dns,
		Observe: func(list string, o Outcome) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.seen[list+" "+o.String()]++
		},
		Changed: func(list string, asked bool, reason string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.told = append(h.told, fmt.Sprint(list, " ", asked, " ", reason))
		}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func client(s string) Subject { return Subject{About: Client, Addr: netip.MustParseAddr(s)} }

func show(f Findings) string {
	var b strings.Builder
	for _, x := range f.Found {
		fmt.Fprintf(&b, "%s %s %s %+g %s\n", x.List, x.Subject.About, x.Subject, x.Weight, x.Meaning)
	}
	for _, u := range f.Unknown {
		fmt.Fprintln(&b, "unknown", u)
	}
	return b.String()
}

func TestAsk(t *testing.T) {
	links := OfLinks([]string{"www.evil.example", "EVIL.example.", "a.b.evil.co.uk", "192.0.2.9", "localhost", "bad host", ""})
	for _, c := range []struct {
		name     string
		subjects []Subject
		want     string
	}{
		{"listed", []Subject{client("192.0.2.9")}, "bl client 192.0.2.9 +4 sends spam\n"},
		{"two codes", []Subject{client("192.0.2.8")}, "bl client 192.0.2.8 +3 open proxy; dropped\n"},
		{"a code without a meaning", []Subject{client("192.0.2.7")}, ""},
		{"IPv6", []Subject{client("4321:0:1:2:3:4:567:89ab")}, "bl client 4321:0:1:2:3:4:567:89ab +4 sends spam\n"},
		{"good", []Subject{client("192.0.2.5")}, "wl client 192.0.2.5 -3 known sender\n"},
		{"sender", []Subject{{About: Sender, Domain: "evil.example"}, {About: Sender, Domain: "evil.example"}, {About: Sender, Domain: "[192.0.2.9]"}},
			"dbl sender evil.example +5 spam domain\n"},
		{"links", links, "dbl link evil.example +5 spam domain\ndbl link evil.co.uk +5 spam domain\n" +
			"multi link evil.example +4 black; phishing\nmulti link 192.0.2.9 +3 black\n"},
		{"sender and link", []Subject{{About: Sender, Domain: "evil.example"}, {About: Link, Domain: "evil.example"}},
			"dbl sender evil.example +5 spam domain\nmulti link evil.example +4 black; phishing\n"},
		{"nothing", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, zone, lists(t)...)
			if got := h.Ask(t.Context(), c.subjects...); len(got.Found)+len(h.dns.Lookups()) > 0 {
				t.Errorf("asked before a trial: %v", h.dns.Lookups())
			}
			h.Try(t.Context(), time.Now())
			if got := show(h.Ask(t.Context(), c.subjects...)); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
			if len(h.told) > 0 {
				t.Errorf("told %q", h.told)
			}
		})
	}
}

// TestTrouble: what puts a list out of use, and that nothing of it is a listing.
func TestTrouble(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(h *house)
		want   string // what is told after a trial; "" for nothing
	}{
		{"lists everything", func(h *house) { h.add("1.0.0.127.bl.test. A 127.0.0.2") },
			"bl false it lists 1.0.0.127: it may list everything"},
		{"parked", func(h *house) { h.dns.Remove("2.0.0.127.bl.test"); h.add("2.0.0.127.bl.test. A 198.51.100.1") },
			"bl false it answers 198.51.100.1, which is no code of a list: its zone may belong to somebody else now"},
		{"empty", func(h *house) { h.dns.Remove("2.0.0.127.bl.test") },
			"bl false it does not list 2.0.0.127, which every list has for trials: it may be empty"},
		{"refuses us", func(h *house) {
			h.dns.Remove("2.0.0.127.bl.test")
			h.add("2.0.0.127.bl.test. A 127.255.255.254")
		}, "bl false it answers 127.255.255.254, by which lists refuse to answer: too many questions, or a resolver that they do not serve"},
		{"down", func(h *house) { h.dns.Fail("2.0.0.127.bl.test", dns.TypeA, dns.ServFail) },
			"bl false it does not answer: " + dns.ServFail.String()},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, zone, lists(t)[0])
			c.change(h)
			h.Try(t.Context(), time.Now())
			h.Try(t.Context(), time.Now())
			if got := strings.Join(h.told, "\n"); got != c.want {
				t.Errorf("told %s\nwant %s", got, c.want)
			}
			if f := h.Ask(t.Context(), client("192.0.2.9")); len(f.Found) > 0 {
				t.Errorf("found %+v", f)
			}
		})
	}
}

func (h *house) add(text string) {
	if err := h.dns.Add(text); err != nil {
		panic(err)
	}
}

// TestInUse: a list that fails while messages come is noticed before its next trial,
// and comes back only after several.
func TestInUse(t *testing.T) {
	h := newHouse(t, zone+"66.2.0.192.bl.test. A 127.255.255.255\n", lists(t)[0])
	now := time.Now()
	h.Try(t.Context(), now)
	if f := h.Ask(t.Context(), client("192.0.2.66")); show(f) != "unknown bl\n" {
		t.Errorf("a refusal is %s", show(f))
	}
	if f := h.Ask(t.Context(), client("192.0.2.9")); show(f) != "" {
		t.Errorf("asked after a refusal: %s", show(f))
	}
	for range Passes - 1 {
		h.Try(t.Context(), now)
		if h.States()[0].Asked {
			t.Fatal("it is back too soon")
		}
	}
	h.Try(t.Context(), now)
	if f := h.Ask(t.Context(), client("192.0.2.9")); len(f.Found) != 1 {
		t.Errorf("it is not back: %s", show(f))
	}
	h.dns.Fail("9.2.0.192.bl.test", dns.TypeA, dns.Timeout)
	for range Failures {
		if f := h.Ask(t.Context(), client("192.0.2.9")); show(f) != "unknown bl\n" {
			t.Errorf("no answer is %s", show(f))
		}
	}
	if s := h.States()[0]; s.Asked || s.Reason == "" || !s.Tried.Equal(now) {
		t.Errorf("%+v", s)
	}
	if len(h.told) != 3 || h.seen["bl no answer"] != Failures || h.seen["bl listed"] != 1 || h.seen["bl refused"] != 1 {
		t.Errorf("told %q, counted %v", h.told, h.seen)
	}
}

// TestGivenUp: a message that does not wait says nothing about the list.
func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, zone, lists(t)[0])
		h.Try(t.Context(), time.Now())
		h.dns.Delay("9.2.0.192.bl.test", time.Minute)
		for range 2 * Failures {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if f := h.Ask(ctx, client("192.0.2.9")); show(f) != "unknown bl\n" {
				t.Errorf("got %s", show(f))
			}
			cancel()
		}
		if !h.States()[0].Asked {
			t.Error("the list is out of use")
		}
	})
}

// TestRun: lists are tried on their own, and one that was down is back.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, zone, lists(t)...)
		h.dns.Fail("2.0.0.127.bl.test", dns.TypeA, dns.ServFail)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { h.Run(ctx); close(done) }()
		<-time.After(time.Second)
		h.dns.Fail("2.0.0.127.bl.test", dns.TypeA, dns.None)
		<-time.After(Passes*Doubtful + Interval)
		stop()
		<-done
		if want := []string{"bl false it does not answer: " + dns.ServFail.String(), "bl true "}; !slices.Equal(h.told, want) {
			t.Errorf("told %q", h.told)
		}
		for _, s := range h.States() {
			if !s.Asked || time.Since(s.Tried) > Interval {
				t.Errorf("%+v", s)
			}
		}
	})
}

// TestBounds: however much a message names, lookups are few.
func TestBounds(t *testing.T) {
	var hosts []string
	for i := range 3000 {
		hosts = append(hosts, fmt.Sprintf("x%d.example", i))
	}
	subjects := OfLinks(hosts)
	if len(subjects) != MaxLinks || subjects[0].Domain != "x0.example" || subjects[MaxLinks-1].Domain != "x499.example" {
		t.Errorf("%v", subjects)
	}
	var many []Subject
	for _, h := range hosts {
		many = append(many, Subject{About: Link, Domain: mail.Domain(h)})
	}
	h := newHouse(t, zone, lists(t)...)
	h.Try(t.Context(), time.Now())
	before := len(h.dns.Lookups())
	h.Ask(t.Context(), many...)
	if n := len(h.dns.Lookups()) - before; n != MaxLookups {
		t.Errorf("%d lookups", n)
	}
}

func TestRegistrable(t *testing.T) {
	for d, want := range map[mail.Domain]mail.Domain{"a.b.example": "b.example", "example": "example", "b.example": "b.example", "x.co.uk": "x.co.uk",
		"a.x.co.uk": "x.co.uk", "co.uk": "co.uk", "a.com.example": "com.example", "t.co": "t.co", "a.t.co": "t.co"} {
		if got := Registrable(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestNew(t *testing.T) {
	good := lists(t)
	for name, bad := range map[string][]List{
		"twice":     {good[0], good[0]},
		"no zone":   {{Name: "x", About: Client, Codes: good[0].Codes}},
		"no codes":  {{Name: "x", About: Client, Zone: "x"}},
		"no name":   {{Zone: "x", About: Client, Codes: good[0].Codes}},
		"no about":  {{Name: "x", Zone: "x", Codes: good[0].Codes}},
		"no weight": {{Name: "x", Zone: "x", About: Client, Codes: []Code{code(t, "any", 1e9, "")}}},
	} {
		if _, err := New(Options{Lists: bad}); mail.KindOf(err) != mail.Invalid || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
