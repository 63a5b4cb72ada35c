package hosts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/tlspolicy"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dane"
	"yubin/internal/mailauth/mtasts"
	"yubin/internal/mailauth/tlsrpt"
	"yubin/internal/testkit/dnstest"
)

const (
	digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	good   = " TLSA 3 1 1 " + digest + "\n"
	odd    = " TLSA 1 1 1 " + digest + "\n" // by public authorities
)

// terms is a zone with all that TLS can depend on. What ends in signed.example is proved.
const terms = `
signed.example.             MX 10 mx.signed.example.
mx.signed.example.          A 198.51.100.1
_25._tcp.mx.signed.example.` + good + `
_587._tcp.mx.signed.example.` + odd + `
odd.signed.example.         MX 10 mx2.signed.example.
mx2.signed.example.         A 198.51.100.2
_25._tcp.mx2.signed.example.` + odd + `
bare.signed.example.        MX 10 mx3.signed.example.
mx3.signed.example.         A 198.51.100.3
elsewhere.signed.example.   MX 10 mx.plain.example.
ta.signed.example.          CNAME real.signed.example.
real.signed.example.        MX 10 mxta.signed.example.
mxta.signed.example.        A 198.51.100.4
_25._tcp.mxta.signed.example. TLSA 2 0 1 ` + digest + `
alias.signed.example.       MX 10 a1.signed.example.
a1.signed.example.          CNAME mx.signed.example.
alias2.signed.example.      MX 10 a2.signed.example.
a2.signed.example.          CNAME mx3.signed.example.
_25._tcp.a2.signed.example.` + good + `
alias3.signed.example.      MX 10 a3.signed.example.
a3.signed.example.          CNAME mx.plain.example.
_25._tcp.a3.signed.example.` + good + `
self.signed.example.        A 198.51.100.6
_25._tcp.self.signed.example.` + good + `
away.signed.example.        MX 10 mx4.signed.example.
mx4.signed.example.         A 198.51.100.7
_25._tcp.mx4.signed.example. CNAME _25._tcp.mx.plain.example.
plain.example.              MX 10 mx.plain.example.
mx.plain.example.           A 198.51.100.8
_25._tcp.mx.plain.example.` + good + `
hosted.example.             MX 10 mx.signed.example.
both.example.               MX 10 mx.plain.example.
both.example.               MX 20 mx.signed.example.
`

// known is what Policies know.
type known map[mail.Domain]tlspolicy.Found

func (k known) Policy(_ context.Context, d mail.Domain) (tlspolicy.Found, error) {
	f, ok := k[d]
	f.Domain = d
	if !ok {
		return f, nil
	}
	if f.ID == "broken" {
		return f, errors.New("the database is gone")
	}
	return f, nil
}

func sts(mode mtasts.Mode, patterns ...string) tlspolicy.Found {
	return tlspolicy.Found{Holds: true, Policy: mtasts.Policy{Mode: mode, MX: patterns, MaxAge: time.Hour}}
}

// told is what is told for reports.
func told(o *tlsrpt.Observation) string {
	if o == nil {
		return ""
	}
	s := " | " + o.Policy.Type.String() + " " + string(o.Policy.Domain)
	if o.For != "" && o.For != o.Policy.Domain {
		s += " for " + string(o.For)
	}
	if o.Failure != nil {
		s += " " + string(o.Failure.Result)
	}
	return s
}

// TestPolicies: RFC 7672 §2.2, RFC 8461 §2, §5, RFC 8689 §4.2.
func TestPolicies(t *testing.T) {
	const (
		dane1     = "mx.signed.example verified by mx.signed.example signed.example: DANE | tlsa mx.signed.example for signed.example"
		plain     = "mx.plain.example opportunistic: "
		unlisted  = "deferred 4.7.5 the policy of plain.example (MTA-STS) does not list mx.plain.example | sts plain.example validation-failure"
		unproved  = "failed 5.7.10 the message demands TLS, and nothing proves the mail servers of plain.example"
		nothing   = " | no-policy-found plain.example"
		unlooked  = " has TLSA records could not be looked up: "
		requires  = "mx.plain.example verified: REQUIRETLS"
		otherHost = "mx.other.example"
	)
	mx := func(d mail.Domain) mail.NextHop { return mail.NextHop{Domain: d} }
	named := func(host mail.Domain, port uint16) mail.NextHop {
		return mail.NextHop{Kind: mail.HopHosts, Hosts: []mail.HostPort{{Host: host, Port: port}}}
	}
	enforce, testing, none := sts(mtasts.Enforce, "mx.plain.example"), sts(mtasts.Testing, "mx.plain.example"), sts(mtasts.None)
	for _, c := range []struct {
		name   string
		hop    mail.NextHop
		policy tlspolicy.Found // of the domain of the hop, or the host
		demand mail.TLSDemand
		fails  dns.Name // the look-up of TLSA, CNAME there
		want   string
	}{
		{name: "DANE", hop: mx("signed.example"), want: dane1},
		{name: "DANE goes before an enforced policy", hop: mx("signed.example"), policy: sts(mtasts.Enforce, otherHost), want: dane1},
		{name: "DANE goes before a tested policy", hop: mx("signed.example"), policy: sts(mtasts.Testing, otherHost), want: dane1},
		{name: "DANE, no record can be used", hop: mx("odd.signed.example"),
			want: "mx2.signed.example required by mx2.signed.example: DANE without usable records | tlsa mx2.signed.example for odd.signed.example tlsa-invalid"},
		{name: "no record can be used, and a policy changes nothing", hop: mx("odd.signed.example"), policy: sts(mtasts.Enforce, "*.signed.example"),
			want: "mx2.signed.example required by mx2.signed.example: DANE without usable records | tlsa mx2.signed.example for odd.signed.example tlsa-invalid"},
		{name: "no records", hop: mx("bare.signed.example"), want: "mx3.signed.example opportunistic:  | no-policy-found bare.signed.example"},
		{name: "no records, and a policy", hop: mx("bare.signed.example"), policy: sts(mtasts.Enforce, "*.signed.example"),
			want: "mx3.signed.example verified: MTA-STS | sts bare.signed.example"},
		{name: "a look-up that fails", hop: mx("signed.example"), fails: "_25._tcp.mx.signed.example",
			want: "deferred 4.7.5 whether mx.signed.example" + unlooked + "the name server failed | tlsa signed.example dnssec-invalid"},
		{name: "a look-up that fails, and a policy", hop: mx("signed.example"), policy: sts(mtasts.Enforce, "mx.signed.example"), fails: "_25._tcp.mx.signed.example",
			want: "deferred 4.7.5 whether mx.signed.example" + unlooked + "the name server failed | tlsa signed.example dnssec-invalid"},
		{name: "records that are not proved", hop: mx("elsewhere.signed.example"), want: plain + " | no-policy-found elsewhere.signed.example"},
		{name: "records behind an alias that is not proved", hop: mx("away.signed.example"), want: "mx4.signed.example opportunistic:  | no-policy-found away.signed.example"},
		{name: "an authority", hop: mx("ta.signed.example"),
			want: "mxta.signed.example verified by mxta.signed.example ta.signed.example real.signed.example: DANE | tlsa mxta.signed.example for ta.signed.example"},
		{name: "an alias: first where it leads", hop: mx("alias.signed.example"),
			want: "a1.signed.example verified by mx.signed.example alias.signed.example: DANE | tlsa mx.signed.example for alias.signed.example"},
		{name: "an alias: then its own name", hop: mx("alias2.signed.example"),
			want: "a2.signed.example verified by a2.signed.example alias2.signed.example: DANE | tlsa a2.signed.example for alias2.signed.example"},
		{name: "an alias of what is not proved", hop: mx("alias3.signed.example"),
			want: "a3.signed.example verified by a3.signed.example alias3.signed.example: DANE | tlsa a3.signed.example for alias3.signed.example"},
		{name: "an alias of which nobody knows whether it is proved", hop: mx("alias3.signed.example"), fails: "a3.signed.example",
			want: "deferred 4.7.5 whether a3.signed.example" + unlooked + "the name server failed | tlsa alias3.signed.example dnssec-invalid"},
		{name: "no MX record", hop: mx("self.signed.example"),
			want: "self.signed.example verified by self.signed.example: DANE | tlsa self.signed.example"},
		{name: "exchangers that are not proved", hop: mx("hosted.example"),
			want: "mx.signed.example verified by mx.signed.example: DANE | tlsa mx.signed.example for hosted.example"},
		{name: "exchangers that are not proved, and a policy that lists them", hop: mx("hosted.example"), policy: sts(mtasts.Enforce, "mx.signed.example"),
			want: "mx.signed.example verified: MTA-STS | sts hosted.example"},
		{name: "exchangers that are not proved, and a policy that lists others", hop: mx("hosted.example"), policy: sts(mtasts.Enforce, otherHost),
			want: "deferred 4.7.5 the policy of hosted.example (MTA-STS) does not list mx.signed.example | sts hosted.example validation-failure"},
		{name: "exchangers that are not proved, and a policy that is tested", hop: mx("hosted.example"), policy: sts(mtasts.Testing, otherHost),
			want: "mx.signed.example verified by mx.signed.example: DANE | tlsa mx.signed.example for hosted.example"},
		{name: "nothing", hop: mx("plain.example"), want: plain + nothing},
		{name: "enforced", hop: mx("plain.example"), policy: enforce, want: "mx.plain.example verified: MTA-STS | sts plain.example"},
		{name: "enforced, not listed", hop: mx("plain.example"), policy: sts(mtasts.Enforce, otherHost, "*.a.plain.example"), want: unlisted},
		{name: "tested", hop: mx("plain.example"), policy: testing, want: plain + "MTA-STS testing | sts plain.example"},
		{name: "tested, not listed", hop: mx("plain.example"), policy: sts(mtasts.Testing, otherHost), want: plain + "MTA-STS testing, not listed | sts plain.example"},
		{name: "none", hop: mx("plain.example"), policy: none, want: plain + nothing},
		{name: "over", hop: mx("plain.example"), policy: tlspolicy.Found{Policy: enforce.Policy}, want: plain + nothing},
		{name: "not to be had", hop: mx("plain.example"), policy: tlspolicy.Found{Trouble: tlspolicy.Uncertified, Why: "x", Unsure: true},
			want: plain + " | sts plain.example sts-webpki-invalid"},
		{name: "we cannot look", hop: mx("plain.example"), policy: tlspolicy.Found{ID: "broken"},
			want: "deferred 4.3.0 what the policy of plain.example (MTA-STS) asks for could not be found out"},
		{name: "one of two is listed", hop: mx("both.example"), policy: sts(mtasts.Enforce, "mx.signed.example"),
			want: "deferred 4.7.5 the policy of both.example (MTA-STS) does not list mx.plain.example | sts both.example validation-failure\n" +
				"mx.signed.example verified: MTA-STS | sts both.example"},

		{name: "the route goes before DANE", hop: mail.NextHop{Domain: "signed.example", TLS: mail.TLSRequired}, want: "mx.signed.example required: route: required"},
		{name: "the route goes before a policy", hop: mail.NextHop{Domain: "plain.example", TLS: mail.TLSNone}, policy: sts(mtasts.Enforce, otherHost),
			want: "mx.plain.example none: route: none"},
		{name: "a smarthost, DANE", hop: named("mx.signed.example", 0), want: "mx.signed.example verified by mx.signed.example: DANE | tlsa mx.signed.example"},
		{name: "a smarthost at another port", hop: named("mx.signed.example", 587),
			want: "mx.signed.example required by mx.signed.example: DANE without usable records | tlsa mx.signed.example tlsa-invalid"},
		{name: "a smarthost, no records there", hop: named("mx.signed.example", 2525), want: "mx.signed.example opportunistic: "},
		{name: "a smarthost, an alias", hop: named("a1.signed.example", 0),
			want: "a1.signed.example verified by mx.signed.example a1.signed.example: DANE | tlsa mx.signed.example"},
		{name: "a smarthost with a policy", hop: named("mx.plain.example", 0), policy: enforce, want: "mx.plain.example verified: MTA-STS | sts mx.plain.example"},
		{name: "a smarthost whose policy cannot be read", hop: named("mx.plain.example", 0), policy: tlspolicy.Found{ID: "broken"},
			want: "deferred 4.3.0 what the policy of mx.plain.example (MTA-STS) asks for could not be found out"},
		{name: "a smarthost by address", hop: named("[198.51.100.1]", 0), want: "198.51.100.1 opportunistic: "},
		{name: "LMTP", hop: mail.NextHop{Kind: mail.HopLMTP, Hosts: []mail.HostPort{{Host: "mx.signed.example", Port: 25}}}, want: "mx.signed.example opportunistic: "},
		{name: "an address literal", hop: mx("[198.51.100.1]"), want: "198.51.100.1 opportunistic: "},

		{name: "waived, DANE", hop: mx("signed.example"), demand: mail.TLSWaived, want: "mx.signed.example opportunistic: TLS-Required: No"},
		{name: "waived, a policy", hop: mx("plain.example"), policy: sts(mtasts.Enforce, otherHost), demand: mail.TLSWaived, want: plain + "TLS-Required: No"},
		{name: "waived, nobody can look", hop: mx("plain.example"), policy: tlspolicy.Found{ID: "broken"}, demand: mail.TLSWaived, want: plain + "TLS-Required: No"},

		{name: "demanded, DANE", hop: mx("signed.example"), demand: mail.TLSDemanded,
			want: "mx.signed.example verified by mx.signed.example signed.example: REQUIRETLS, DANE | tlsa mx.signed.example for signed.example"},
		{name: "demanded, no record can be used", hop: mx("odd.signed.example"), demand: mail.TLSDemanded,
			want: "mx2.signed.example verified by mx2.signed.example: REQUIRETLS, DANE without usable records | tlsa mx2.signed.example for odd.signed.example tlsa-invalid"},
		{name: "demanded, proved", hop: mx("bare.signed.example"), demand: mail.TLSDemanded, want: "mx3.signed.example verified: REQUIRETLS | no-policy-found bare.signed.example"},
		{name: "demanded, not proved", hop: mx("plain.example"), demand: mail.TLSDemanded, want: unproved},
		{name: "demanded, none", hop: mx("plain.example"), policy: none, demand: mail.TLSDemanded, want: unproved},
		{name: "demanded, over", hop: mx("plain.example"), policy: tlspolicy.Found{Policy: enforce.Policy}, demand: mail.TLSDemanded, want: unproved},
		{name: "demanded, perhaps", hop: mx("plain.example"), policy: tlspolicy.Found{Unsure: true}, demand: mail.TLSDemanded,
			want: "deferred 4.7.10 the message demands TLS, and what would prove the mail servers of plain.example could not be fetched"},
		{name: "demanded, listed", hop: mx("plain.example"), policy: enforce, demand: mail.TLSDemanded, want: requires + ", MTA-STS | sts plain.example"},
		{name: "demanded, listed in a test", hop: mx("plain.example"), policy: testing, demand: mail.TLSDemanded, want: requires + ", MTA-STS testing | sts plain.example"},
		{name: "demanded, not listed", hop: mx("plain.example"), policy: sts(mtasts.Testing, otherHost), demand: mail.TLSDemanded,
			want: "failed 5.7.10 the message demands TLS, and nothing proves that mx.plain.example takes mail for plain.example"},
		{name: "demanded, and the route says how", hop: mail.NextHop{Domain: "plain.example", TLS: mail.TLSRequired}, policy: enforce, demand: mail.TLSDemanded, want: requires},
		{name: "demanded, and the route says how, not proved", hop: mail.NextHop{Domain: "plain.example", TLS: mail.TLSVerified}, demand: mail.TLSDemanded, want: unproved},
		{name: "demanded, a smarthost", hop: named("mx.plain.example", 0), demand: mail.TLSDemanded, want: requires},
	} {
		fake := dnstest.NewFake(terms)
		fake.Sign("signed.example")
		if c.fails != "" {
			fake.Fail(c.fails, dns.TypeTLSA, dns.ServFail)
			fake.Fail(c.fails, dns.TypeCNAME, dns.ServFail)
		}
		f := finder(fake)
		k := known{}
		f.Policies = k
		k[c.hop.Domain] = c.policy
		if len(c.hop.Hosts) > 0 {
			k[c.hop.Hosts[0].Host] = c.policy
		}
		if got := tellTerms(t, f.Find(t.Context(), c.hop, c.demand)); got != c.want {
			t.Errorf("%s:\n got: %s\nwant: %s", c.name, got, c.want)
		}
	}
}

// tellTerms writes, a line for each host, how it is to be spoken to, or why it is not
// tried, and what is told for reports.
func tellTerms(t *testing.T, s *Search) string {
	var lines []string
	for !s.Done() {
		tier := s.Next(t.Context())
		if f := tier.Fault; f != nil {
			lines = append(lines, fmt.Sprintf("%s %s %s", f.Outcome, f.Enhanced, f.Text))
		}
		for _, h := range tier.Hosts {
			if f := h.Fault; f != nil {
				lines = append(lines, fmt.Sprintf("%s %s %s%s", f.Outcome, f.Enhanced, f.Text, told(h.Told)))
				continue
			}
			line := h.Name + " " + h.Terms.TLS.String()
			if trust, ok := h.Terms.Trust.(dane.Trust); ok {
				line += " by " + strings.Join(trust.Names, " ")
				if len(trust.Records) != h.Terms.Records {
					t.Errorf("%s: %d records, not %d", h.Name, h.Terms.Records, len(trust.Records))
				}
			} else if h.Terms.ServerName != "" {
				line += " by " + h.Terms.ServerName
			}
			line += ": " + h.Terms.String()
			if h.Terms.Unlisted {
				line += ", not listed"
			}
			lines = append(lines, line+told(h.Terms.Report))
		}
	}
	return strings.Join(lines, "\n")
}

// TestUnprovedIsNotAsked: name servers of zones that are not signed fail when they are
// asked for TLSA records (RFC 7672 §2.2.2).
func TestUnprovedIsNotAsked(t *testing.T) {
	fake := dnstest.NewFake(terms)
	s := finder(fake).Find(t.Context(), mail.NextHop{Domain: "plain.example"}, mail.TLSUnsaid)
	s.Next(t.Context())
	for _, asked := range fake.Lookups() {
		if asked.Type == dns.TypeTLSA {
			t.Errorf("asked for %v", asked)
		}
	}
}

// TestReportSaysThePolicy as a report is to have it (RFC 8460 §4.5).
func TestReportSaysThePolicy(t *testing.T) {
	fake := dnstest.NewFake(terms)
	fake.Sign("signed.example")
	f := finder(fake)
	f.Policies = known{"plain.example": sts(mtasts.Enforce, "mx.plain.example", "*.b.example")}
	for d, want := range map[mail.Domain]tlsrpt.Policy{
		"signed.example": {Strings: []string{"3 1 1 " + digest}},
		"plain.example": {Strings: []string{"version: STSv1", "mode: enforce", "mx: mx.plain.example", "mx: *.b.example", "max_age: 3600"},
			MXHosts: []string{"mx.plain.example", "*.b.example"}},
	} {
		got := f.Find(t.Context(), mail.NextHop{Domain: d}, mail.TLSUnsaid).Next(t.Context()).Hosts[0].Terms.Report.Policy
		if !slices.Equal(got.Strings, want.Strings) || !slices.Equal(got.MXHosts, want.MXHosts) {
			t.Errorf("%s: %q, %q", d, got.Strings, got.MXHosts)
		}
	}
}

// TestExplain: how a host is spoken to and why.
func TestExplain(t *testing.T) {
	for want, terms := range map[string]Terms{
		"if the host offers it, with any certificate; else in clear": {},
		"never": {TLS: mail.TLSNone, Source: ByRoute},
		"always, with a valid certificate for the name of the host, as the policy of a.example asks (MTA-STS)":         {TLS: mail.TLSVerified, Source: BySTS, Domain: "a.example"},
		"if the host offers it, with any certificate; else in clear; the policy of a.example (MTA-STS) is only tested": {Source: BySTS, Domain: "a.example", Testing: true},
		"if the host offers it, with any certificate; else in clear; the policy of a.example (MTA-STS), which is only tested, does not list the host": {
			Source: BySTS, Domain: "a.example", Testing: true, Unlisted: true},
		"always, with any certificate; none of the TLSA records of the host can be used (DANE)": {TLS: mail.TLSRequired, Source: ByDANE, ServerName: "mx.a.example"},
		"always, with a certificate that the TLSA record of mx.a.example names (DANE)": {
			TLS: mail.TLSVerified, Source: ByDANE, ServerName: "mx.a.example", Records: 1, Proved: true},
		"always, with a certificate that one of 2 TLSA records of mx.a.example names (DANE); nothing proves that the host is the domain's": {
			TLS: mail.TLSVerified, Source: ByDANE, ServerName: "mx.a.example", Records: 2},
	} {
		if got := terms.Explain(); got != want {
			t.Errorf("%+v:\n got: %s\nwant: %s", terms, got, want)
		}
	}
}
