package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/mail"
)

func TestParseName(t *testing.T) {
	long := strings.Repeat("a", 63)
	cases := []struct{ in, want string }{
		{"example.org", "example.org"},
		{"Example.ORG.", "example.org"},
		{".", ""},
		{"_25._tcp.mx.example.org", "_25._tcp.mx.example.org"},
		{`a\.b.example`, `a\046b.example`},
		{`a\046b.example`, `a\046b.example`},
		{`a\\b.example`, `a\092b.example`},
		{`\065bc.example`, "abc.example"},
		{`a b.example`, `a\032b.example`},
		{`\"x\;.example`, `"x;.example`},
		{`x\200.example`, `x\200.example`},
		{`x\.`, `x\046`},
		{`x\\.`, `x\092`},
		{strings.Join([]string{long, long, long, long[:61]}, "."), strings.Join([]string{long, long, long, long[:61]}, ".")},
	}
	for _, c := range cases {
		got, err := ParseName(c.in)
		if err != nil || string(got) != c.want {
			t.Errorf("ParseName(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
	}
	for _, bad := range []string{"", "..", ".a", "a..b", "a..", `a\`, `a\25`, `a\256`, `a\2x5`, "é.example", long + "a",
		strings.Join([]string{long, long, long, long[:62]}, ".")} {
		if got, err := ParseName(bad); mail.KindOf(err) != mail.Invalid || err == nil {
			t.Errorf("ParseName(%q) = %q, %v; want Invalid", bad, got, err)
		}
	}
}

// FuzzName: what is accepted is its own canonical form, and fits the wire.
func FuzzName(f *testing.F) {
	for _, s := range []string{"example.org", `a\.b.`, `\000\255.x`, ".", `x\.`, strings.Repeat("a.", 127)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseName(s)
		if err != nil {
			return
		}
		again, err := ParseName(n.FQDN())
		if err != nil || again != n {
			t.Fatalf("%q: %q reads back as %q, %v", s, n, again, err)
		}
		if len(n) > 4*MaxName {
			t.Fatalf("%q: canonical form of %d octets", s, len(n))
		}
	})
}

func TestNameOfDomain(t *testing.T) {
	if _, err := NameOf("[192.0.2.1]"); mail.KindOf(err) != mail.Invalid {
		t.Errorf("NameOf of a literal: %v", err)
	}
	if n, err := NameOf("mail.example.org"); err != nil || n != "mail.example.org" {
		t.Errorf("NameOf = %q, %v", n, err)
	}
	for name, want := range map[Name]bool{"mx.example.org": true, "": false, "[192.0.2.1]": false, `a\032b.example`: false,
		"mx_1.example.org": true, "-x.example": false} {
		if _, got := name.Domain(); got != want {
			t.Errorf("Name(%q).Domain() ok = %v, want %v", name, got, want)
		}
	}
}

func TestUnderAndWithin(t *testing.T) {
	if n, err := Name("Example.org").Under("_dmarc"); err != nil || n != "_dmarc.example.org" {
		t.Errorf("Under = %q, %v", n, err)
	}
	if n, err := TLSAName(25, "mx.example.org"); err != nil || n != "_25._tcp.mx.example.org" {
		t.Errorf("TLSAName = %q, %v", n, err)
	}
	if _, err := Name("example.org").Under(""); err == nil {
		t.Error("an empty label was taken")
	}
	for _, c := range []struct {
		n, zone Name
		want    bool
	}{{"a.example", "example", true}, {"example", "example", true}, {"aexample", "example", false}, {"x", "", true}, {"example", "a.example", false}} {
		if got := c.n.Within(c.zone); got != c.want {
			t.Errorf("%q within %q = %v", c.n, c.zone, got)
		}
	}
}

func TestReverse(t *testing.T) {
	for addr, want := range map[string]Name{
		"192.0.2.10":        "10.2.0.192.in-addr.arpa",
		"::ffff:192.0.2.10": "10.2.0.192.in-addr.arpa",
		"4321:0:1:2:3:4:567:89ab": "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4" +
			".ip6.arpa", // RFC 3596 §2.5
	} {
		if got := Reverse(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Reverse(%s) = %s", addr, got)
		}
	}
	if got := Reverse(netip.Addr{}); !got.IsRoot() {
		t.Errorf("Reverse of no address = %s", got)
	}
	if n, err := ListedName(netip.MustParseAddr("192.0.2.99"), "bad.example.com"); err != nil || n != "99.2.0.192.bad.example.com" {
		t.Errorf("ListedName = %s, %v", n, err)
	}
	if _, err := ListedName(netip.Addr{}, "bad.example.com"); mail.KindOf(err) != mail.Invalid {
		t.Errorf("ListedName of no address: %v", err)
	}
}

func TestFailures(t *testing.T) {
	want := map[Failure][2]bool{ // NotFound, Temporary
		None: {false, false}, NXDomain: {true, false}, NoData: {true, false}, BadName: {false, false},
		Timeout: {false, true}, ServFail: {false, true}, Refused: {false, true}, Malformed: {false, true},
		Loop: {false, true}, Unreachable: {false, true}, Canceled: {false, true},
	}
	if len(want) != len(failureNames) {
		t.Fatalf("%d failures are named, %d are tested", len(failureNames), len(want))
	}
	for f, w := range want {
		if got := [2]bool{f.NotFound(), f.Temporary()}; got != w {
			t.Errorf("%s: NotFound, Temporary = %v", f, got)
		}
	}
	err := error(&Error{Failure: Timeout, Name: "example.org", Type: TypeMX, Detail: "2 servers asked", Err: context.DeadlineExceeded})
	if got := err.Error(); got != "MX of example.org: no answer in time: 2 servers asked" {
		t.Error(got)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error("the cause is lost")
	}
	if got := FailureOf(fmt.Errorf("wrapped: %w", err)); got != Timeout {
		t.Error(got)
	}
	if FailureOf(nil) != None || !FailureOf(errors.New("x")).Temporary() {
		t.Error("FailureOf of nil or of a stranger is wrong")
	}
	if Type(65280).String() != "TYPE65280" || TypeCAA.String() != "CAA" || TypeTLSA.String() != "TLSA" {
		t.Error("names of types are wrong")
	}
}

func TestWithImplicitMX(t *testing.T) {
	expires := time.Unix(1000, 0)
	fail := func(f Failure) error { return &Error{Failure: f, Authentic: true, Expires: expires} }
	got, err := WithImplicitMX("example.org", Answer[MX]{}, fail(NoData))
	if err != nil || !slices.Equal(got.Records, []MX{{0, "example.org"}}) || !got.Authentic || got.Expires != expires {
		t.Errorf("no MX record: %+v, %v", got, err)
	}
	for _, f := range []Failure{NXDomain, BadName, Timeout, ServFail, Refused, Malformed, Loop, Unreachable, Canceled} {
		if got, err := WithImplicitMX("example.org", Answer[MX]{}, fail(f)); FailureOf(err) != f || got.Records != nil {
			t.Errorf("%s became %+v, %v", f, got, err)
		}
	}
	// Records that cannot be used are not replaced.
	null := Answer[MX]{Records: []MX{{}}}
	if got, err := WithImplicitMX("example.org", null, nil); err != nil || !IsNullMX(got.Records) {
		t.Errorf("null MX became %+v, %v", got, err)
	}
	if _, err := WithImplicitMX("[192.0.2.1]", Answer[MX]{}, fail(NoData)); FailureOf(err) != BadName {
		t.Errorf("a literal: %v", err)
	}
}

func TestIsNullMX(t *testing.T) {
	for _, c := range []struct {
		records []MX
		want    bool
	}{
		{[]MX{{0, ""}}, true},
		{[]MX{{10, ""}}, true},
		{nil, false},
		{[]MX{{0, "mx.example"}}, false},
		{[]MX{{0, ""}, {10, "mx.example"}}, false}, // RFC 7505 §3 forbids it: no null MX then
	} {
		if got := IsNullMX(c.records); got != c.want {
			t.Errorf("IsNullMX(%v) = %v", c.records, got)
		}
	}
}

func TestMergeAddresses(t *testing.T) {
	soon, late := time.Unix(10, 0), time.Unix(20, 0)
	six := Answer[netip.Addr]{[]netip.Addr{netip.MustParseAddr("2001:db8::1")}, "h", true, late}
	four := Answer[netip.Addr]{[]netip.Addr{netip.MustParseAddr("192.0.2.1")}, "h", true, soon}
	none := Answer[netip.Addr]{}
	got, err := MergeAddresses(six, nil, four, nil)
	if err != nil || len(got.Records) != 2 || got.Records[0] != six.Records[0] || got.Expires != soon || !got.Authentic {
		t.Errorf("both: %+v, %v", got, err)
	}
	unproved := four
	unproved.Authentic = false
	if got, _ := MergeAddresses(six, nil, unproved, nil); got.Authentic {
		t.Error("authentic though one family is not")
	}
	fail := func(f Failure) error { return &Error{Failure: f, Authentic: f == NoData} }
	for _, f := range []Failure{NXDomain, NoData, Timeout} {
		if got, err := MergeAddresses(none, fail(f), four, nil); err != nil || len(got.Records) != 1 {
			t.Errorf("IPv6 %s: %+v, %v", f, got, err)
		}
		if got, err := MergeAddresses(six, nil, none, fail(f)); err != nil || len(got.Records) != 1 {
			t.Errorf("IPv4 %s: %+v, %v", f, got, err)
		}
	}
	for _, c := range []struct{ six, four, want Failure }{
		{NXDomain, NXDomain, NXDomain}, {NXDomain, NoData, NoData}, {NoData, NXDomain, NoData}, {NoData, NoData, NoData},
		{NoData, Timeout, Timeout}, {ServFail, NoData, ServFail}, {NXDomain, Canceled, Canceled},
	} {
		_, err := MergeAddresses(none, fail(c.six), none, fail(c.four))
		if got := FailureOf(err); got != c.want {
			t.Errorf("IPv6 %s, IPv4 %s: %s", c.six, c.four, got)
		}
	}
	var e *Error
	if _, err := MergeAddresses(none, fail(NoData), none, fail(NoData)); !errors.As(err, &e) || !e.Authentic {
		t.Errorf("absence proved twice is not authentic: %v", err)
	}
}

func TestTypeText(t *testing.T) {
	for want := range typeNames {
		text, err := want.MarshalText()
		var got Type
		if err != nil || got.UnmarshalText(text) != nil || got != want {
			t.Errorf("%s reads back as %s", want, got)
		}
	}
	var got Type
	if err := got.UnmarshalText([]byte("HINFO")); mail.KindOf(err) != mail.Invalid {
		t.Error(err)
	}
}
