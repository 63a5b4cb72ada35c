package dmarc

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/testkit/dnstest"
)

// records is a zone of records: domain, record, domain, record.
func records(pairs ...string) string {
	var zone strings.Builder
	for pair := range slices.Chunk(pairs, 2) {
		fmt.Fprintf(&zone, "_dmarc.%s. TXT \"%s\"\n", pair[0], strings.ReplaceAll(pair[1], `"`, `\"`))
	}
	return zone.String()
}

func passed(m Method, d mail.Domain) Identifier { return Identifier{m, d, Passed} }

func asked(fake *dnstest.Fake) (names []string) {
	for _, l := range fake.Lookups() {
		names = append(names, strings.TrimPrefix(string(l.Name), "_dmarc."))
	}
	return names
}

// TestExamples are those of RFC 9989 §4.10 and Appendix B.
func TestExamples(t *testing.T) {
	plain := records("example.com", "v=DMARC1; p=reject")
	simple := records("example.com", "v=DMARC1; p=reject", "signing.example.com", "v=DMARC1; p=none")
	bank := records("bank.example", "v=DMARC1; p=reject; psd=y", "giant.bank.example", "v=DMARC1; p=quarantine")
	const deep = "a.b.c.d.e.f.g.h.i.j.k.example.com"
	for _, c := range []struct {
		name, zone string
		author     mail.Domain
		ids        []Identifier
		want       Result
		domain     dns.Name
		spf, dkim  bool
	}{
		{"B.1.1 example 1", plain, "example.com", []Identifier{passed(SPF, "example.com")}, Pass, "example.com", true, false},
		{"B.1.1 example 2", plain, "example.com", []Identifier{passed(SPF, "child.example.com")}, Pass, "example.com", true, false},
		{"B.1.1 example 3", plain, "child.example.com", []Identifier{passed(SPF, "example.net")}, Fail, "example.com", false, false},
		{"B.1.2 example 1", plain, "example.com", []Identifier{passed(DKIM, "example.com")}, Pass, "example.com", false, true},
		{"B.1.2 example 2", plain, "child.example.com", []Identifier{passed(DKIM, "example.com")}, Pass, "example.com", false, true},
		{"B.1.2 example 3", plain, "child.example.com", []Identifier{passed(DKIM, "example.net")}, Fail, "example.com", false, false},
		{"B.3.1", records("example.com", "v=DMARC1; p=reject; aspf=r; rua=mailto:dmarc-feedback@example.com"), "example.com",
			[]Identifier{passed(SPF, "mail.example.com"), passed(DKIM, "example.com")}, Pass, "example.com", true, true},
		{"B.4.1", simple, "example.com", []Identifier{passed(SPF, "example.com"), passed(DKIM, "signing.example.com")}, Pass, "example.com", true, true},
		{"B.4.2", simple, deep, []Identifier{passed(SPF, "example.com"), passed(DKIM, "signing.example.com")}, Pass, "example.com", true, true},
		{"B.4.3", bank, "giant.bank.example", []Identifier{passed(SPF, "mail.giant.bank.example"), passed(DKIM, "mail.mega.bank.example")},
			Pass, "giant.bank.example", true, false},
		{"B.4.3 of a neighbour", bank, "giant.bank.example", []Identifier{passed(DKIM, "mail.mega.bank.example")}, Fail, "giant.bank.example", false, false},
	} {
		v := Check(t.Context(), dnstest.NewFake(c.zone), c.author, c.ids)
		if v.Result != c.want || v.Domain != c.domain || v.SPF != c.spf || v.DKIM != c.dkim {
			t.Errorf("%s: %s of %s, SPF %v, DKIM %v: %s", c.name, v.Result, v.Domain, v.SPF, v.DKIM, v.Reason)
		}
	}
}

// TestOrganization: RFC 9989 §4.10.2 with its examples, and what is asked.
func TestOrganization(t *testing.T) {
	const long = "a.b.c.d.e.f.g.h.i.j.mail.example.com"
	walk := []string{long, "g.h.i.j.mail.example.com", "h.i.j.mail.example.com", "i.j.mail.example.com", "j.mail.example.com",
		"mail.example.com", "example.com", "com"}
	for _, c := range []struct {
		zone string
		of   mail.Domain
		want dns.Name
		asks []string
	}{
		{records("mail.example.com", "v=DMARC1", "example.com", "v=DMARC1"), "a.mail.example.com", "example.com", nil},
		{records("mail.example.com", "v=DMARC1; psd=n"), "a.mail.example.com", "mail.example.com", []string{"a.mail.example.com", "mail.example.com"}},
		{records("com", "v=DMARC1; psd=y"), "a.mail.example.com", "example.com", nil},
		{records("com", "v=DMARC1; psd=y"), "com", "com", nil},
		{records("com", "v=DMARC1; psd=y"), "example.com", "example.com", nil},
		{records("co.example", "v=DMARC1; psd=y"), "co.example", "co.example", []string{"co.example"}},
		{records("example.com", "v=DMARC1; psd=y"), "a.mail.example.com", "mail.example.com", nil},
		{records("example.com", "v=DMARC1; psd=y"), "notexample.com", "notexample.com", nil},
		{records("example.com", "v=DMARC1; psd=n", "com", "v=DMARC1; psd=y"), "example.com", "example.com", []string{"example.com"}},
		{"", long, long, walk},
		{"", "a.b.c.d.e.f.g.h", "a.b.c.d.e.f.g.h", []string{"a.b.c.d.e.f.g.h", "b.c.d.e.f.g.h", "c.d.e.f.g.h", "d.e.f.g.h", "e.f.g.h", "f.g.h", "g.h", "h"}},
		{"", "b.c.d.e.f.g.h", "b.c.d.e.f.g.h", []string{"b.c.d.e.f.g.h", "c.d.e.f.g.h", "d.e.f.g.h", "e.f.g.h", "f.g.h", "g.h", "h"}},
		// Several records are none; what is not DMARC's is not counted.
		{records("example.com", "v=DMARC1; p=none", "example.com", "v=DMARC1; p=reject", "com", "v=DMARC1"), "example.com", "com", nil},
		{records("example.com", "v=DMARC1; p=none", "example.com", "v=DMARC1", "example.com", "v=DMARC1; p=reject", "com", "v=DMARC1"), "example.com", "com", nil},
		{records("example.com", "v=DMARC1; p=none", "example.com", "v=spf1 -all", "example.com", "V=dmarc1"), "a.example.com", "example.com", nil},
	} {
		fake := dnstest.NewFake(c.zone)
		o, err := FindOrganization(t.Context(), fake, c.of)
		if err != nil || o.Domain != c.want {
			t.Errorf("of %s: %s, %v, want %s", c.of, o.Domain, err, c.want)
		}
		if got := asked(fake); c.asks != nil && !slices.Equal(got, c.asks) {
			t.Errorf("of %s: asked for %q, want %q", c.of, got, c.asks)
		}
	}
	if _, err := FindOrganization(t.Context(), dnstest.NewFake(""), "[192.0.2.1]"); mail.KindOf(err) != mail.Invalid {
		t.Errorf("of a literal: %v", err)
	}
	fake := dnstest.NewFake(records("example.com", "v=DMARC1"))
	fake.Fail("_dmarc.com", dns.TypeTXT, dns.ServFail)
	if o, err := FindOrganization(t.Context(), fake, "a.example.com"); dns.FailureOf(err) != dns.ServFail {
		t.Errorf("with a failure above: %v, %v", o, err)
	}
	if o, err := FindOrganization(t.Context(), fake, mail.Domain(strings.Repeat("a234567.", 30)+"example")); err != nil || o.Record != "" {
		t.Errorf("of a name to which nothing can be added: %v, %v", o, err)
	}
}

// TestPolicies: which policy applies to mail that fails (RFC 9989 §4.7, §4.10.1).
func TestPolicies(t *testing.T) {
	fake := dnstest.NewFake(records("example.com", "v=DMARC1; p=none; sp=reject; np=none") + "x._dmarc.deep.example.com. A 192.0.2.1\n")
	fake.Fail("deep.example.com", dns.TypeTXT, dns.ServFail)
	if v := Check(t.Context(), fake, "deep.example.com", nil); v.Policy != Reject {
		t.Errorf("with a name below _dmarc it exists: %s, %s", v.Policy, v.Reason)
	}
	const there = "there.example.com. A 192.0.2.1\nbelow.deep.example.com. A 192.0.2.1\n"
	for _, c := range []struct {
		zone              string
		author            mail.Domain
		published, policy Policy
		domain            dns.Name
	}{
		{records("example.com", "v=DMARC1; p=reject; sp=none"), "example.com", Reject, Reject, "example.com"},
		{records("example.com", "v=DMARC1; p=reject"), "there.example.com", Reject, Reject, "example.com"},
		{records("example.com", "v=DMARC1; p=reject; sp=quarantine"), "there.example.com", Quarantine, Quarantine, "example.com"},
		{records("example.com", "v=DMARC1; p=none; sp=quarantine; np=reject"), "there.example.com", Quarantine, Quarantine, "example.com"},
		{records("example.com", "v=DMARC1; p=none; sp=quarantine; np=reject"), "deep.example.com", Quarantine, Quarantine, "example.com"},
		{records("example.com", "v=DMARC1; p=none; sp=quarantine; np=reject"), "nowhere.example.com", Reject, Reject, "example.com"},
		{records("example.com", "v=DMARC1; p=none; np=reject"), "nowhere.example.com", Reject, Reject, "example.com"},
		{records("example.com", "v=DMARC1; p=none; np=reject"), "there.example.com", NoPolicy, NoPolicy, "example.com"},
		{records("example.com", "v=DMARC1; p=reject; sp=none"), "nowhere.example.com", NoPolicy, NoPolicy, "example.com"},
		{records("example.com", "v=DMARC1; p=reject; t=y"), "example.com", Reject, Quarantine, "example.com"},
		{records("example.com", "v=DMARC1; p=quarantine; t=Y"), "example.com", Quarantine, NoPolicy, "example.com"},
		{records("example.com", "v=DMARC1; p=none; t=y"), "example.com", NoPolicy, NoPolicy, "example.com"},
		{records("example.com", "v=DMARC1; rua=mailto:a@example.com"), "example.com", NoPolicy, NoPolicy, "example.com"},
		{records("example.com", "v=DMARC1"), "example.com", NoPolicy, NoPolicy, "example.com"},
		{records("example.com", "v=DMARC1; p=refuse; sp=reject; rua=mailto:a@example.com"), "there.example.com", NoPolicy, NoPolicy, "example.com"},
		// The sp of a record between does not count, nor does that of a public suffix
		// if the organization has one.
		{records("there.example.com", "v=DMARC1; p=none; sp=none", "example.com", "v=DMARC1; p=none; sp=reject"), "x.there.example.com", Reject, Reject, "example.com"},
		{records("com", "v=DMARC1; p=none; sp=reject; np=quarantine; psd=y", "example.com", "v=DMARC1; p=none"), "there.example.com", NoPolicy, NoPolicy, "example.com"},
		{records("com", "v=DMARC1; p=none; sp=reject; np=quarantine; psd=y"), "there.example.com", Reject, Reject, "com"},
		{records("com", "v=DMARC1; p=none; sp=reject; np=quarantine; psd=y"), "nowhere.com", Quarantine, Quarantine, "com"},
		{records("com", "v=DMARC1; p=none; sp=reject; psd=y", "there.example.com", "v=DMARC1; p=none"), "x.there.example.com", Reject, Reject, "com"},
	} {
		v := Check(t.Context(), dnstest.NewFake(there+c.zone), c.author, []Identifier{{SPF, c.author, NotPassed}})
		if v.Result != Fail || v.Published != c.published || v.Policy != c.policy || v.Domain != c.domain {
			t.Errorf("%s%s: %s by %s, published %s, to be applied %s", c.zone, c.author, v.Result, v.Domain, v.Published, v.Policy)
		}
	}
}

// TestResults: each result, with its reason.
func TestResults(t *testing.T) {
	strict := records("example.com", "v=DMARC1; p=reject; aspf=s; adkim=S")
	relaxed := records("example.com", "v=DMARC1; p=reject; np=none")
	for _, c := range []struct {
		zone   string
		fails  string // for now
		author mail.Domain
		ids    []Identifier
		want   string
	}{
		{"", "", "example.com", []Identifier{passed(SPF, "example.com")}, "none: example.com has no policy"},
		{"", "", "[192.0.2.1]", nil, `none: "[192.0.2.1]" is not a domain name with a policy`},
		{"", "", "", nil, `none: "" is not a domain name with a policy`},
		{relaxed, "", "example.com", []Identifier{passed(DKIM, "mx.example.com")}, "pass: DKIM passes for mx.example.com, which is aligned with example.com"},
		{strict, "", "example.com", []Identifier{passed(DKIM, "mx.example.com"), passed(SPF, "mx.example.com"), passed(SPF, "[192.0.2.1]")},
			"fail: neither SPF nor DKIM passes for a domain that is aligned with example.com"},
		{strict, "", "example.com", []Identifier{passed(DKIM, "mx.example.com"), passed(SPF, "example.com")}, "pass: SPF passes for example.com, which is aligned with example.com"},
		{relaxed, "", "example.com", nil, "fail: neither SPF nor DKIM passes for a domain that is aligned with example.com"},
		{records("example.com", "v=DMARC1; p=refuse"), "", "example.com", []Identifier{passed(SPF, "example.com")},
			`permerror: the record of example.com has no valid "p", and nobody to report to`},
		{records("example.com", "v=DMARC1; p=reject; np=x; rua=nobody"), "", "a.example.com", nil,
			`permerror: the record of example.com has no valid "np", and nobody to report to`},
		// What the DNS cannot tell is neither pass nor fail, if it could have been a pass.
		{relaxed, "_dmarc.example.com", "example.com", []Identifier{passed(SPF, "example.com")},
			"temperror: the DNS cannot tell now: TXT of _dmarc.example.com: the name server failed"},
		{relaxed, "_dmarc.com", "example.com", []Identifier{passed(SPF, "example.com")}, "pass: SPF passes for example.com, which is aligned with example.com"},
		{relaxed, "_dmarc.com", "example.com", []Identifier{passed(SPF, "a.example.com")},
			"temperror: the DNS cannot tell now: TXT of _dmarc.com: the name server failed"},
		{relaxed, "_dmarc.a.example.com", "example.com", []Identifier{passed(SPF, "a.example.com")},
			"temperror: the DNS cannot tell now: TXT of _dmarc.a.example.com: the name server failed"},
		{relaxed, "_dmarc.a.example.com", "example.com", []Identifier{passed(SPF, "a.example.com"), passed(DKIM, "b.example.com")},
			"pass: DKIM passes for b.example.com, which is aligned with example.com"},
		{relaxed, "_dmarc.example.net", "example.com", []Identifier{passed(SPF, "example.net")},
			"fail: neither SPF nor DKIM passes for a domain that is aligned with example.com"},
		{relaxed, "", "example.com", []Identifier{{SPF, "example.com", Unknown}}, "temperror: the DNS could not tell SPF about example.com"},
		{relaxed, "", "example.com", []Identifier{{SPF, "example.com", Unknown}, passed(DKIM, "example.com")},
			"pass: DKIM passes for example.com, which is aligned with example.com"},
		{relaxed, "", "example.com", []Identifier{passed(DKIM, "example.com"), {SPF, "example.com", Unknown}},
			"pass: DKIM passes for example.com, which is aligned with example.com"},
		{relaxed, "", "example.com", []Identifier{{DKIM, "example.net", Unknown}}, "fail: neither SPF nor DKIM passes for a domain that is aligned with example.com"},
		{relaxed, "a.example.com", "a.example.com", nil, "temperror: the DNS cannot tell now: TXT of a.example.com: the name server failed"},
	} {
		fake := dnstest.NewFake(c.zone)
		fake.Fail(dns.Name(c.fails), dns.TypeTXT, dns.ServFail)
		v := Check(t.Context(), fake, c.author, c.ids)
		if got := v.Result.String() + ": " + v.Reason; got != c.want {
			t.Errorf("%s%s failing, %s, %v:\n got %s\nwant %s", c.zone, c.fails, c.author, c.ids, got, c.want)
		}
		if v.Result != Fail && v.Policy != NoPolicy {
			t.Errorf("%s with policy %s", v.Result, v.Policy)
		}
	}
}

// TestLookups: the usual message needs one lookup; strangers' domains need none;
// a thousand signatures need no more than MaxLookups.
func TestLookups(t *testing.T) {
	zone := records("example.com", "v=DMARC1; p=reject")
	fake := dnstest.NewFake(zone)
	Check(t.Context(), fake, "example.com", []Identifier{passed(SPF, "example.com"), passed(DKIM, "example.com")})
	if got := asked(fake); !slices.Equal(got, []string{"example.com"}) {
		t.Errorf("the usual message: %q", got)
	}
	fake = dnstest.NewFake(zone)
	var many []Identifier
	for i := range 1000 {
		many = append(many, passed(DKIM, mail.Domain(fmt.Sprintf("a%d.example.net", i))))
	}
	Check(t.Context(), fake, "example.com", many)
	if got := asked(fake); !slices.Equal(got, []string{"example.com", "com"}) {
		t.Errorf("strangers: %q", got)
	}
	fake = dnstest.NewFake(records("example.com", "v=DMARC1; p=reject; psd=y", "a.example.com", "v=DMARC1"))
	many = nil
	for i := range 1000 {
		many = append(many, passed(DKIM, mail.Domain(fmt.Sprintf("a%d.x.example.com", i))))
	}
	if v := Check(t.Context(), dnstest.NewFake(zone), "example.com", many); v.Result != Pass {
		t.Errorf("many that are aligned: %s, %s", v.Result, v.Reason)
	}
	apart := dnstest.NewFake(zone + records("x.example.com", "v=DMARC1; psd=n"))
	if v := Check(t.Context(), apart, "example.com", many); v.Result != Fail || len(asked(apart)) != MaxLookups {
		t.Errorf("many that are apart: %s, %s after %d lookups", v.Result, v.Reason, len(asked(apart)))
	}
	if v := Check(t.Context(), fake, "x.example.com", append(many, passed(SPF, "x.example.com"))); v.Result != Pass || len(asked(fake)) != MaxLookups {
		t.Errorf("many: %s, %s after %d lookups", v.Result, v.Reason, len(asked(fake)))
	}
}

func TestParseRecord(t *testing.T) {
	plain := Record{FailureReports: OnAllFailed}
	with := func(change func(*Record)) *Record { r := plain; change(&r); return &r }
	for text, want := range map[string]*Record{
		"":                       nil,
		"v=DMARC1":               &plain,
		"v=DMARC1;":              &plain,
		"V \t=\tDMARC1 ; ; x=y;": &plain,
		" v=DMARC1":              nil,
		"v=dmarc1":               nil,
		"v=DMARC1 p=reject":      nil,
		"v=DMARC10; p=reject":    nil,
		"p=reject; v=DMARC1":     nil,
		"v=DMARC1; P=Reject; p=none; pct=50; ri=86400": with(func(r *Record) { r.Policy, r.Subdomains, r.Nonexistent = Reject, Reject, Reject }),
		"v=DMARC1;p=none;sp=reject;adkim=s;aspf=s;psd=n;t=y": with(func(r *Record) {
			r.Subdomains, r.Nonexistent, r.StrictDKIM, r.StrictSPF, r.PSD, r.Test = Reject, Reject, true, true, NoPublicSuffix, true
		}),
		"v=DMARC1; adkim=strict; aspf=; psd=yes; t=1; p=caf\xc3\xa9": &plain, // The octets make no value at all.
		"v=DMARC1; p=quarantine; sp=":                                with(func(r *Record) { r.Unusable = "sp" }),
		"v=DMARC1; p=none; rua=mailto:a@example.com!10m , https://example.com/r,, nobody,mailto:b@example.com!x,mailto:c@example.com; ruf=mailto:f@example.com; fo=1:d:s": with(func(r *Record) {
			r.Aggregate = []string{"mailto:a@example.com", "https://example.com/r", "mailto:c@example.com"}
			r.Failure, r.FailureReports = []string{"mailto:f@example.com"}, OnAnyFailed|OnDKIMFailed|OnSPFFailed
		}),
		"v=DMARC1; fo=0:1":   &plain,
		"v=DMARC1; fo=d:d":   &plain,
		"v=DMARC1; fo=0:d:x": &plain,
		"v=DMARC1; fo=D : 0": with(func(r *Record) { r.FailureReports = OnAllFailed | OnDKIMFailed }),
		"v=DMARC1; p=reject" + strings.Repeat(" ", MaxRecord): nil,
	} {
		got, ok := ParseRecord(text)
		if ok != (want != nil) || ok && !reflect.DeepEqual(got, *want) {
			t.Errorf("%.80q: %+v, %v, want %+v", text, got, ok, want)
		}
	}
	r, _ := ParseRecord("v=DMARC1; rua=" + strings.Repeat("mailto:a@example.com,", 100))
	if len(r.Aggregate) != MaxURIs {
		t.Errorf("%d addresses", len(r.Aggregate))
	}
}

// TestNames: domains are compared as names (RFC 8616 §6).
func TestNames(t *testing.T) {
	d, err := mail.ParseDomain("Bücher.Example")
	if err != nil {
		t.Fatal(err)
	}
	v := Check(t.Context(), dnstest.NewFake(records("xn--bcher-kva.example", "v=DMARC1; p=reject")), d, []Identifier{passed(DKIM, "XN--bcher-KVA.example")})
	if v.Result != Pass {
		t.Errorf("%s: %s", v.Result, v.Reason)
	}
}

// FuzzCheck: whatever records say and names are, it ends within its bounds, says
// printable ASCII, and a policy is only there with a fail.
func FuzzCheck(f *testing.F) {
	f.Add("v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; t=y; psd=y; rua=mailto:a@b.example!5m; fo=1:d", "a.b.c.d.e.f.g.h.i.example.com", "b.example.com", true)
	f.Add("v=DMARC1; p=x", "example.com", "x\xff.example.com", false)
	f.Fuzz(func(t *testing.T, record, author, other string, everywhere bool) {
		e := &echo{record: record, everywhere: everywhere}
		v := Check(t.Context(), e, mail.Domain(author), []Identifier{passed(DKIM, mail.Domain(other)), {SPF, mail.Domain(author), Unknown}})
		if e.asked > 2*MaxWalk+1 {
			t.Fatalf("%d lookups", e.asked)
		}
		if strings.ContainsFunc(v.Reason, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("it says %q", v.Reason)
		}
		if v.Policy > v.Published || v.Result != Fail && v.Published != NoPolicy || v.Result == Pass != (v.SPF || v.DKIM) {
			t.Fatalf("%+v", v)
		}
	})
}

// echo has the same record at every name, or at names of two labels.
type echo struct {
	record     string
	everywhere bool
	asked      int
}

func (e *echo) TXT(_ context.Context, n dns.Name) (dns.Answer[string], error) {
	e.asked++
	if e.everywhere || strings.Count(string(n), ".") == 2 {
		return dns.Answer[string]{Records: []string{e.record}}, nil
	}
	return dns.Answer[string]{}, &dns.Error{Failure: dns.NXDomain, Name: n, Type: dns.TypeTXT, Err: errors.ErrUnsupported}
}

// BenchmarkWorst is a message that asks for all it may, of records as costly as
// they can be: it must stay far below 50 ms.
func BenchmarkWorst(b *testing.B) {
	record := "v=DMARC1"
	for i := 0; len(record) < MaxRecord-8; i++ {
		record += ";p" + string(rune('a'+i%26)) + "=x"
	}
	e := &echo{record: record + ";p=none", everywhere: true}
	var many []Identifier
	for i := range 100 {
		many = append(many, passed(DKIM, mail.Domain(fmt.Sprintf("a%d.b.c.d.e.f.example.com", i))))
	}
	for b.Loop() {
		Check(b.Context(), e, "example.com", many)
	}
}
