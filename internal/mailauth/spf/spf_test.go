package spf

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/testkit/dnstest"
)

var client = netip.MustParseAddr("192.0.2.3")

// checked evaluates mail of bob@example.com from client.
func checked(t *testing.T, zone string) (Verdict, *dnstest.Fake) {
	t.Helper()
	fake := dnstest.NewFake(zone)
	return Check(t.Context(), fake, Query{IP: client, Helo: "mx.example.org",
		Sender: mail.ReversePath{Local: "bob", Domain: "example.com"}, Receiver: "mx.here.test", Now: time.Unix(1700000000, 0)}), fake
}

func txt(name, record string) string { return fmt.Sprintf("%s. TXT %s\n", name, quoted(record)) }

// TestReasons: each cause comes with its result and says so in a sentence.
func TestReasons(t *testing.T) {
	terms := func(n int, term string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, " "+term, i)
		}
		return b.String()
	}
	hosts := func(n int) (zone string) {
		for i := range n {
			zone += fmt.Sprintf("h%d.example.net. A 203.0.113.%d\nmany.example.net. MX 1 h%d.example.net.\n", i, i, i)
		}
		return zone
	}
	for _, c := range []struct {
		zone, want string
	}{
		{"", "none example.com does not exist"},
		{"example.com. A 192.0.2.1\n", "none example.com has no SPF record"},
		{txt("example.com", "v=spf10 -all"), "none example.com has no SPF record"},
		{txt("example.com", "V=SPF1 ip4:192.0.2.0/24 -all"), `pass the term "ip4:192.0.2.0/24" of example.com matches`},
		{txt("example.com", "v=spf1 ip4:192.0.2.0/32"), "neutral no term of example.com matches, and it does not say what is then"},
		{txt("example.com", "v=spf1 redirect=_spf.example.com") + txt("_spf.example.com", "v=spf1 ~all"),
			`softfail the term "~all" of _spf.example.com matches`},
		{txt("example.com", "v=spf1 -all") + txt("example.com", "v=spf1 +all"),
			"permerror example.com has more than one SPF record; it must have one"},
		{txt("example.com", "v=spf1 "+strings.Repeat("ip4:192.0.2.1 ", MaxRecord/14)+"-all"), "permerror the SPF record of example.com is over 8192 octets"},
		{txt("example.com", "v=spf1 a:mail.example.com:25 -all"), `permerror the term "a:mail.example.com:25" of example.com is not valid`},
		{txt("example.com", "v=spf1 ip4:\x1b[2J -all"), `permerror the term "ip4:\x1b[2J" of example.com is not valid`},
		{hosts(11) + txt("example.com", "v=spf1"+terms(10, "a:h%d.example.net")+" ?all"), `neutral the term "?all" of example.com matches`},
		{hosts(11) + txt("example.com", "v=spf1"+terms(11, "a:h%d.example.net")+" ?all"),
			`permerror the SPF records need more than 10 lookups; the term "a:h10.example.net" of example.com is one too many`},
		{txt("example.com", "v=spf1 include:example.com -all"),
			`permerror the SPF records need more than 10 lookups; the term "include:example.com" of example.com is one too many`},
		{txt("example.com", "v=spf1 redirect=example.com"),
			`permerror the SPF records need more than 10 lookups; the term "redirect" of example.com is one too many`},
		{txt("example.com", "v=spf1"+terms(2, "exists:v%d.example.net")+" ?all"), `neutral the term "?all" of example.com matches`},
		{txt("example.com", "v=spf1"+terms(3, "exists:v%d.example.net")+" ?all"),
			`permerror more than 2 terms lead to names that the DNS does not have; the term "exists:v2.example.net" of example.com is one too many`},
		{txt("example.com", "v=spf1 ptr ptr ptr ?all"),
			`permerror more than 2 terms lead to names that the DNS does not have; the term "ptr" of example.com is one too many`},
		{hosts(10) + txt("example.com", "v=spf1 mx:many.example.net ?all"), `neutral the term "?all" of example.com matches`},
		{hosts(11) + txt("example.com", "v=spf1 mx:many.example.net ?all"),
			`permerror the term "mx:many.example.net" of example.com leads to more than 10 mail exchangers`},
		{txt("example.com", "v=spf1 include:none.example.net -all"),
			`permerror the term "include:none.example.net" of example.com leads to a domain without an SPF record`},
		{txt("example.com", "v=spf1 include:%{l}..example.net -all"),
			`permerror the term "include:%{l}..example.net" of example.com leads to a domain without an SPF record`},
		{txt("example.com", "v=spf1 redirect=none.example.net"),
			"permerror the redirect of example.com leads to a domain without an SPF record"},
		{txt("example.com", "v=spf1 a:%{l}..example.net -all"), `fail the term "-all" of example.com matches`},
	} {
		got, fake := checked(t, c.zone)
		if s := got.Result.String() + " " + got.Reason.String(); s != c.want {
			t.Errorf("%.200s:\n got %s\nwant %s", c.zone, s, c.want)
		}
		if n := len(fake.Lookups()); n > 1+MaxLookups*(1+MaxExchangers) {
			t.Errorf("%.200s: %d lookups", c.zone, n)
		}
	}
}

// TestTroubleIsTemporary: whatever fails at the DNS, nobody is refused for it.
func TestTroubleIsTemporary(t *testing.T) {
	zone := txt("example.com", "v=spf1 include:i.example.com a:a.example.com mx:m.example.com exists:e.example.com redirect=r.example.com") +
		txt("i.example.com", "v=spf1 ?all") + "a.example.com. A 203.0.113.1\nm.example.com. MX 1 h.example.com.\nh.example.com. A 203.0.113.2\n" +
		"e.example.com. AAAA 2001:db8::1\n" + txt("r.example.com", "v=spf1 -all")
	q := Query{IP: client, Sender: mail.ReversePath{Local: "bob", Domain: "example.com"}}
	if v := Check(t.Context(), dnstest.NewFake(zone), q); v.Result != Fail {
		t.Fatalf("with nothing wrong: %s, %s", v.Result, v.Reason)
	}
	for _, failing := range []dnstest.Asked{{Name: "example.com", Type: dns.TypeTXT}, {Name: "i.example.com", Type: dns.TypeTXT},
		{Name: "a.example.com", Type: dns.TypeA}, {Name: "m.example.com", Type: dns.TypeMX}, {Name: "h.example.com", Type: dns.TypeA},
		{Name: "e.example.com", Type: dns.TypeA}, {Name: "r.example.com", Type: dns.TypeTXT}} {
		for _, failure := range []dns.Failure{dns.Timeout, dns.ServFail, dns.Refused, dns.Malformed, dns.Loop, dns.Unreachable, dns.Canceled} {
			fake := dnstest.NewFake(zone)
			fake.Fail(failing.Name, failing.Type, failure)
			v := Check(t.Context(), fake, q)
			if v.Result != TempError || v.Reason.Cause != LookupFailed || v.Reason.Failure != failure {
				t.Errorf("%s of %s: %s, %s", failure, failing.Name, v.Result, v.Reason)
			}
		}
	}
}

// TestDeadline: a check ends with its context, whatever it waits for.
func TestDeadline(t *testing.T) {
	zone := "slow.example.com. A 192.0.2.3\nslow.example.com. MX 1 slow.example.com.\n3.2.0.192.in-addr.arpa. PTR slow.example.com.\n" +
		txt("slow.example.com", "v=spf1 +all")
	for _, terms := range []string{"a:slow.example.com", "mx:slow.example.com", "include:slow.example.com", "exists:slow.example.com", "ptr",
		"exists:%{p}.example.com", "redirect=slow.example.com"} {
		synctest.Test(t, func(t *testing.T) {
			record := "v=spf1 " + terms + " -all"
			if strings.HasPrefix(terms, "redirect") {
				record = "v=spf1 " + terms
			}
			fake := dnstest.NewFake(zone + txt("example.com", record))
			fake.Delay("slow.example.com", time.Hour)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			began := time.Now()
			v := Check(ctx, fake, Query{IP: client, Sender: mail.ReversePath{Local: "bob", Domain: "example.com"}})
			if took := time.Since(began); v.Result != TempError || took != 5*time.Second {
				t.Errorf("%s: %s, %s after %s", terms, v.Result, v.Reason, took)
			}
		})
	}
}

// TestExplanation: what the owner says, or nothing at all.
func TestExplanation(t *testing.T) {
	for said, want := range map[string]string{
		"%{i} is not one of %{d}'s designated mail servers.":      "192.0.2.3 is not one of example.com's designated mail servers.",
		"See http://%{d}/why.html?s=%{S}&i=%{I}":                  "See http://example.com/why.html?s=bob%40example.com&i=192.0.2.3",
		"%{c} at %{t} by %{r}, who said %{h}, named %{p}%-%{o}%_": "192.0.2.3 at 1700000000 by mx.here.test, who said mx.example.org, named unknown%20example.com ",
		"a\x00b":                     "",
		"caf\xc3\xa9":                "",
		"100%":                       "",
		"%{x}":                       "",
		"%{d0}":                      "",
		strings.Repeat("x", 401):     "",
		strings.Repeat("x", 400):     strings.Repeat("x", 400),
		strings.Repeat("%{S}", 2000): "",
	} {
		v, _ := checked(t, txt("example.com", "v=spf1 -all exp=why.%{d}")+txt("why.example.com", said))
		if v.Result != Fail || v.Explanation != want {
			t.Errorf("%.80q: %s %q, want %q", said, v.Result, v.Explanation, want)
		}
	}
	for name, zone := range map[string]string{
		"two texts":          txt("why.example.com", "a") + txt("why.example.com", "b"),
		"no text":            "",
		"that of an include": txt("i.example.com", "v=spf1 -all exp=why.example.com") + txt("why.example.com", "a"),
	} {
		record := "v=spf1 -all exp=why.example.com"
		if strings.HasPrefix(name, "that") {
			record = "v=spf1 include:i.example.com -all"
		}
		if v, _ := checked(t, txt("example.com", record)+zone); v.Result != Fail || v.Explanation != "" {
			t.Errorf("%s: %s %q", name, v.Result, v.Explanation)
		}
	}
	v, _ := checked(t, txt("example.com", "v=spf1 redirect=r.example.com exp=no.example.com")+
		txt("r.example.com", "v=spf1 -all exp=why.example.com")+txt("why.example.com", "of %{d}")+txt("no.example.com", "no"))
	if v.Explanation != "of r.example.com" {
		t.Errorf("through a redirect: %q", v.Explanation)
	}
}

// TestOwnName: %{p} is the domain itself, else a name below it, else any; it counts
// as a lookup, but not in an explanation.
func TestOwnName(t *testing.T) {
	const reverse = "3.2.0.192.in-addr.arpa. PTR "
	others := reverse + "other.example.net.\nother.example.net. A 192.0.2.3\n" + reverse + "false.example.com.\nfalse.example.com. A 192.0.2.4\n"
	under := others + reverse + "mx.example.com.\nmx.example.com. A 192.0.2.3\n"
	itself := under + reverse + "example.com.\nexample.com. A 192.0.2.3\n"
	why := txt("why.example.com", "%{p}")
	for zone, want := range map[string]string{"": "unknown", others: "other.example.net", under: "mx.example.com", itself: "example.com"} {
		if v, _ := checked(t, zone+why+txt("example.com", "v=spf1 -all exp=why.example.com")); v.Explanation != want {
			t.Errorf("%s is named %q, want %q", zone, v.Explanation, want)
		}
	}
	ten := strings.Repeat("a:other.example.net/32 ", 9)
	zone := strings.ReplaceAll(others, "A 192.0.2.3", "A 192.0.2.4")
	if v, _ := checked(t, zone+txt("example.com", "v=spf1 "+ten+"a:other.example.net -all exp=%{p}.why.example.com")+
		txt("unknown.why.example.com", "so")); v.Explanation != "so" {
		t.Errorf("after ten lookups: %s, %s, %q", v.Result, v.Reason, v.Explanation)
	}
	if v, _ := checked(t, zone+txt("example.com", "v=spf1 "+ten+"exists:%{p}.example.net -all")); v.Reason.Cause != TooManyLookups {
		t.Errorf("ten lookups and a name: %s, %s", v.Result, v.Reason)
	}
}

// TestExpansionEnds: no more of a text is expanded than is used.
func TestExpansionEnds(t *testing.T) {
	m, ok := parseMacros(strings.Repeat("%{s}", 1000)+"end", inTerm)
	asked := 0
	got := m.expand(func(byte) string { asked++; return "0123456789" }, 20)
	if !ok || asked != 2 || got != "01234567890123456789end" {
		t.Errorf("%q after %d values", got, asked)
	}
}

// TestExpansions is the table of RFC 7208 §7.4.
func TestExpansions(t *testing.T) {
	c := &check{query: Query{Helo: "mx.example.org"}, local: "strong-bad", domain: "email.example.com", ip: client}
	six := *c
	six.ip = netip.MustParseAddr("2001:db8::cb01")
	for text, want := range map[string]string{
		"%{s}": "strong-bad@email.example.com", "%{o}": "email.example.com", "%{d}": "email.example.com", "%{d4}": "email.example.com",
		"%{d3}": "email.example.com", "%{d2}": "example.com", "%{d1}": "com", "%{dr}": "com.example.email", "%{d2r}": "example.email",
		"%{l}": "strong-bad", "%{l-}": "strong.bad", "%{lr}": "strong-bad", "%{lr-}": "bad.strong", "%{l1r-}": "strong",
		"%{ir}.%{v}._spf.%{d2}":             "3.2.0.192.in-addr._spf.example.com",
		"%{lr-}.lp._spf.%{d2}":              "bad.strong.lp._spf.example.com",
		"%{lr-}.lp.%{ir}.%{v}._spf.%{d2}":   "bad.strong.lp.3.2.0.192.in-addr._spf.example.com",
		"%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}":  "3.2.0.192.in-addr.strong.lp._spf.example.com",
		"%{d2}.trusted-domains.example.net": "example.com.trusted-domains.example.net",
		"%{d99999999999999999999}":          "email.example.com",
		"6 %{ir}.%{v}._spf.%{d2}":           "1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6._spf.example.com",
	} {
		of := c
		rest, isSix := strings.CutPrefix(text, "6 ")
		if isSix {
			of = &six
		}
		m, ok := parseMacros(rest, inTerm)
		if got := m.expand(func(l byte) string { return of.value(l, target{text: "email.example.com"}) }, 1000); !ok || got != want {
			t.Errorf("%s = %q, %v, want %q", text, got, ok, want)
		}
	}
}

// TestLongNames: the left side of a name that is too long is left out (§7.3), and
// what is expanded again and again costs no more than it gives.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("a2345678.", 30) // 270 octets
	name := shorten(long + "example.com")
	_, fake := checked(t, txt("example.com", "v=spf1 exists:"+long+"%{d} -all"))
	if asked := fake.Lookups(); len(name) > 253 || len(asked) != 2 || string(asked[1].Name) != name || !strings.HasPrefix(name, "a2345678.") {
		t.Errorf("asked for %v", asked)
	}
	v, fake := checked(t, txt("example.com", "v=spf1 exists:"+strings.Repeat("%{s}.", 1600)+"%{d} -all"))
	if asked := fake.Lookups(); v.Result != Fail || len(asked) != 2 || len(asked[1].Name) > 253+40 {
		t.Errorf("%s %s, asked for %v", v.Result, v.Reason, asked)
	}
}

// TestInternationalized: RFC 8616 §4.
func TestInternationalized(t *testing.T) {
	d, err := mail.ParseDomain("bücher.example")
	if err != nil {
		t.Fatal(err)
	}
	fake := dnstest.NewFake(txt("xn--bcher-kva.example", "v=spf1 include:%{l}.i.example exists:%{L}.e.example exists:%{s} a:%{o} redirect=%{s}.example") +
		"xn--bcher-kva.example. A 192.0.2.9\n")
	q := Query{IP: client, Sender: mail.ReversePath{Local: "jürgen", Domain: d}}
	v := Check(t.Context(), fake, q)
	if v.Result != Neutral || v.Reason.Cause != NothingMatched || len(fake.Lookups()) != 2 {
		t.Errorf("%s, %s, %v", v.Result, v.Reason, fake.Lookups())
	}
	q.IP = netip.MustParseAddr("::ffff:192.0.2.9")
	if v := Check(t.Context(), fake, q); v.Result != Pass || v.Domain != "xn--bcher-kva.example" {
		t.Errorf("by its address: %s, %s", v.Result, v.Reason)
	}
}

// TestIdentities: the null sender is postmaster at HELO; what is no name has no record.
func TestIdentities(t *testing.T) {
	zone := txt("mx.example.org", "v=spf1 exists:%{l}.%{o} -all") + "postmaster.mx.example.org. A 192.0.2.1\n"
	for helo, want := range map[string]Result{"mx.example.org": Pass, "MX.Example.Org.": Pass, "[192.0.2.3]": None, "localhost": None, "": None,
		"a..example.org": None, strings.Repeat("x", 64) + ".example.org": None, "büro.example.org": None, "\x00\xff.example": None} {
		v := Check(t.Context(), dnstest.NewFake(zone), Query{IP: client, Helo: helo})
		if v.Result != want {
			t.Errorf("%q: %s, %s", helo, v.Result, v.Reason)
		}
	}
	zoned := Query{Helo: "six.example.org", IP: netip.MustParseAddr("fe80::1%eth0")}
	if v := Check(t.Context(), dnstest.NewFake(txt("six.example.org", "v=spf1 ip6:fe80::/10 -all")), zoned); v.Result != Pass {
		t.Errorf("an address with a zone: %s, %s", v.Result, v.Reason)
	}
	if v := Check(t.Context(), dnstest.NewFake(zone), Query{Helo: "mx.example.org"}); v.Result != None {
		t.Errorf("no address: %s", v.Result)
	}
}

// TestNames: ptr and %{p} look at ten names, and once.
func TestNames(t *testing.T) {
	var zone strings.Builder
	for i := range 12 {
		fmt.Fprintf(&zone, "3.2.0.192.in-addr.arpa. PTR h%d.example.com.\nh%d.example.com. A 192.0.2.3\n", i, i)
	}
	v, fake := checked(t, zone.String()+txt("example.com", "v=spf1 ptr:h11.example.com exists:%{p}.none.example.com ptr:example.com"))
	if v.Result != Pass || len(fake.Lookups()) != 2+1+MaxNames {
		t.Errorf("%s, %s after %d lookups", v.Result, v.Reason, len(fake.Lookups()))
	}
}

func TestParseResult(t *testing.T) {
	for r := None; r <= PermError; r++ {
		if got, ok := ParseResult(strings.ToUpper(r.String())); !ok || got != r {
			t.Errorf("%s reads back as %s, %v", r, got, ok)
		}
	}
	if _, ok := ParseResult("passed"); ok {
		t.Error("taken")
	}
}

// FuzzRecord: no record, whatever it refers to, brings the evaluation down or
// makes it ask more than it may; what is said about it is printable ASCII.
func FuzzRecord(f *testing.F) {
	f.Add("v=spf1 a mx/24 a:%{l1r-}.%{d}/8//64 ptr exists:%{ir}.%{v}.%{p} include:example.com ~all redirect=%{o} exp=%{d}", "bob", "mx.example.org", false)
	f.Add("v=spf1 -all exp=example.com", "jürgen", "[192.0.2.3]", true)
	f.Add("%{C} %{T} %{R} %{p2r.-+,/_=}%%%_%-", "", "", true)
	f.Fuzz(func(t *testing.T, record, local, helo string, six bool) {
		q := Query{IP: client, Helo: helo, Sender: mail.ReversePath{Local: local, Domain: "example.com"}}
		if six {
			q.IP = netip.MustParseAddr("2001:db8::cb01")
		}
		e := &echo{record: record}
		v := Check(t.Context(), e, q)
		if e.asked > 3+MaxLookups*(1+MaxExchangers)+1+MaxNames {
			t.Fatalf("%d lookups", e.asked)
		}
		for _, s := range []string{v.Reason.String(), v.Explanation} {
			if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) || len(s) > 1200 {
				t.Fatalf("it says %q", s)
			}
		}
	})
}

// echo has the same record at every name, and ten of all others.
type echo struct {
	record string
	asked  int
}

func (e *echo) TXT(context.Context, dns.Name) (dns.Answer[string], error) {
	e.asked++
	return dns.Answer[string]{Records: []string{e.record}}, nil
}

func (e *echo) A(context.Context, dns.Name) (dns.Answer[netip.Addr], error) {
	e.asked++
	return dns.Answer[netip.Addr]{Records: []netip.Addr{netip.MustParseAddr("203.0.113.1")}}, nil
}

func (e *echo) AAAA(context.Context, dns.Name) (dns.Answer[netip.Addr], error) {
	e.asked++
	return dns.Answer[netip.Addr]{Records: []netip.Addr{netip.MustParseAddr("2001:db8::1")}}, nil
}

func (e *echo) MX(context.Context, mail.Domain) (dns.Answer[dns.MX], error) {
	e.asked++
	return dns.Answer[dns.MX]{Records: make([]dns.MX, MaxExchangers)}, nil
}

func (e *echo) PTR(context.Context, netip.Addr) (dns.Answer[dns.Name], error) {
	e.asked++
	return dns.Answer[dns.Name]{Records: make([]dns.Name, 2*MaxNames)}, nil
}

// BenchmarkWorst are the records that cost most, evaluated eleven times: they must
// stay far below 50 ms.
func BenchmarkWorst(b *testing.B) {
	for name, macro := range map[string]string{"long": "%{Sr-}", "empty": "%{l1r-}"} {
		b.Run(name, func(b *testing.B) {
			e := &echo{record: "v=spf1 include:%{d1}" + strings.Repeat(macro, 600) + "%{d1} " + strings.Repeat("ip4:192.0.2.77 ", 250) + "-all"}
			q := Query{IP: client, Sender: mail.ReversePath{Local: strings.Repeat("-", 255), Domain: "example.com"}}
			for b.Loop() {
				Check(b.Context(), e, q)
			}
		})
	}
}
