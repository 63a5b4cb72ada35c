package zone

import (
	"crypto/x509"
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
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/certs/certstest"
)

// TestAllRight: what Wanted says is what Check wants.
func TestAllRight(t *testing.T) {
	s := newSite(t).published()
	all, faults := s.check()
	for _, f := range faults {
		t.Errorf("%s %s %s: %s %s", f.Kind, f.Name, f.Type, f.State, f.Fault)
	}
	if !all.OK() || len(all.Findings) < 20 {
		t.Errorf("OK = %v, %d findings", all.OK(), len(all.Findings))
	}
	for _, f := range all.Findings {
		if len(f.Want) > 0 {
			t.Errorf("%s is right, and there is something to write", f.Kind)
		}
	}
}

// edit changes what the DNS says: "-name" takes all records of a name away, another line
// is a record that is added.
func (s *site) edit(text string) {
	s.t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, gone := strings.CutPrefix(line, "-"); gone {
			s.names.Remove(dns.Name(name))
		} else if err := s.names.Add(line); err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestFaults: each thing that can be wrong is found, with its name, what is the matter and
// whether mail needs it; nothing else is wrong then.
func TestFaults(t *testing.T) {
	const ns = "example.org. NS ns1.example.net.\nexample.org. NS ns2.example.net.\n"
	spf, mx := `example.org. TXT "v=spf1 mx ~all"`+"\n", "example.org. MX 10 mail.example.org.\n"
	host := "mail.example.org. A " + four + "\nmail.example.org. AAAA " + six + "\n" + `mail.example.org. TXT "v=spf1 a -all"` + "\n" +
		`mail.example.org. CAA 0 issue "ca.example; accounturi=https://ca.example/acct/1"` + "\n"
	for _, c := range []struct {
		name, edit string
		change     func(*site)
		also       []Kind // that are not right either, then
		kind       Kind
		state      State
		need       Need
		says       string
	}{
		{name: "no MX", edit: "-example.org\n" + ns + `example.org. TXT "v=spf1 a:mail.example.org ~all"`, kind: MX, state: Missing, need: Needed},
		{name: "null MX", edit: "-example.org\n" + ns + `example.org. TXT "v=spf1 a:mail.example.org ~all"` + "\nexample.org. MX 0 .", kind: MX, state: Wrong, need: Needed, says: "takes no mail"},
		{name: "MX of others first", edit: "example.org. MX 5 mx.example.net.\nmx.example.net. A 203.0.113.5", kind: MX, state: Wrong, need: Needed, says: "mail goes to mx.example.net too, before"},
		{name: "MX of others alone", edit: "-example.org\n" + ns + `example.org. TXT "v=spf1 a:mail.example.org ~all"` + "\nexample.org. MX 5 mx.example.net.\nmx.example.net. A 203.0.113.5", kind: MX, state: Wrong, need: Needed, says: "and not to this server"},
		{name: "MX without an address", edit: "example.org. MX 5 gone.example.net.", kind: MX, state: Wrong, need: Needed, says: "gone.example.net (no such domain)"},
		{name: "MX of others later", edit: "example.org. MX 20 mx.example.net.\nmx.example.net. A 203.0.113.5", kind: MX, state: Right, need: Needed, says: "while this server cannot be reached"},
		{name: "MX is an alias", edit: "-example.org\n" + ns + spf + "example.org. MX 10 mx.example.org.\nmx.example.org. CNAME mail.example.org.", also: []Kind{STSPolicy}, kind: MX, state: Wrong, need: Needed, says: "is an alias (CNAME)"},
		{name: "DNS of the MX fails", change: func(s *site) { s.names.Fail("example.org", dns.TypeMX, dns.ServFail) }, also: []Kind{SPF, DNSSEC}, kind: MX, state: Unknown, need: Needed, says: "the name server failed"},

		{name: "address missing", edit: "-mail.example.org\n" + strings.Replace(host, "mail.example.org. AAAA "+six+"\n", "", 1), also: []Kind{SPF, SPFHost, Reverse}, kind: Address, state: Missing, need: Needed},
		{name: "address of others", edit: "mail.example.org. A 203.0.113.9", kind: Address, state: Wrong, need: Needed, says: "203.0.113.9 is no address of this server"},
		{name: "other address", edit: "-mail.example.org\n" + strings.Replace(host, four, "203.0.113.9", 1), also: []Kind{SPF, SPFHost, Reverse}, kind: Address, state: Wrong, need: Needed, says: "203.0.113.9 is no address of this server, and 192.0.2.10 is not there"},

		{name: "no reverse", edit: "-10.2.0.192.in-addr.arpa", kind: Reverse, state: Missing, need: Needed, says: "have whoever gave it to you write mail.example.org"},
		{name: "reverse leads elsewhere", edit: "-10.2.0.192.in-addr.arpa\n10.2.0.192.in-addr.arpa. PTR host.example.net.\nhost.example.net. A 203.0.113.1", kind: Reverse, state: Wrong, need: Needed, says: "is called host.example.net, and that has another address"},
		{name: "reverse of another name", edit: "-10.2.0.192.in-addr.arpa\n10.2.0.192.in-addr.arpa. PTR host.example.net.\nhost.example.net. A " + four, kind: Reverse, state: Right, need: Needed, says: "some servers want it to be called mail.example.org"},
		{name: "reverse fails", change: func(s *site) { s.names.Fail("10.2.0.192.in-addr.arpa", dns.TypePTR, dns.Timeout) }, kind: Reverse, state: Unknown, need: Needed, says: "no answer in time"},

		{name: "no SPF", edit: "-example.org\n" + ns + mx, kind: SPF, state: Missing, need: Needed},
		{name: "SPF without us", edit: "-example.org\n" + ns + mx + `example.org. TXT "v=spf1 ip4:203.0.113.1 -all"`, kind: SPF, state: Wrong, need: Needed, says: `from 192.0.2.10, comes to "fail"`},
		{name: "SPF without IPv6", edit: "-example.org\n" + ns + mx + `example.org. TXT "v=spf1 ip4:192.0.2.10 ~all"`, kind: SPF, state: Wrong, need: Needed, says: `from 2001:db8::10, comes to "softfail"`},
		{name: "SPF of everybody", edit: "-example.org\n" + ns + mx + `example.org. TXT "v=spf1 mx +all"`, kind: SPF, state: Wrong, need: Needed, says: "it lets anybody send"},
		{name: "SPF open-ended", edit: "-example.org\n" + ns + mx + `example.org. TXT "v=spf1 mx ?all"`, kind: SPF, state: Right, need: Needed, says: "end it in ~all"},
		{name: "two SPF", edit: `example.org. TXT "v=spf1 -all"`, kind: SPF, state: Wrong, need: Needed, says: "more than one SPF record"},
		{name: "SPF with too many lookups", edit: "-example.org\n" + ns + mx + `example.org. TXT "v=spf1` + strings.Repeat(" a:a.example.net", 11) + ` ~all"` + "\na.example.net. A 203.0.113.1\na.example.net. AAAA 2001:db8::99",
			kind: SPF, state: Wrong, need: Needed, says: "need more than 10 lookups"},
		{name: "SPF that is no SPF", edit: "-example.org\n" + ns + mx + `example.org. TXT "v=spf1 mx ip4:x ~all"`, kind: SPF, state: Wrong, need: Needed, says: "is not valid"},
		{name: "no SPF of the host", edit: "-mail.example.org\n" + strings.Replace(host, `mail.example.org. TXT "v=spf1 a -all"`+"\n", "", 1), kind: SPFHost, state: Missing, need: Recommended},

		{name: "no key", edit: "-y20261201r._domainkey.example.org", kind: DKIM, state: Missing, need: Needed},
		{name: "another key", edit: "-y20261201r._domainkey.example.org\n" + `y20261201r._domainkey.example.org. TXT "v=DKIM1; k=ed25519; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`, kind: DKIM, state: Wrong, need: Needed, says: "the record has another key"},
		{name: "a key that was revoked", edit: "-y20261201e._domainkey.example.org\n" + `y20261201e._domainkey.example.org. TXT "v=DKIM1; k=ed25519; p="`, kind: DKIM, state: Wrong, need: Recommended, says: "the key is revoked"},

		{name: "no DMARC", edit: "-_dmarc.example.org", kind: DMARC, state: Missing, need: Needed},
		{name: "DMARC of nobody", edit: "-_dmarc.example.org\n" + `_dmarc.example.org. TXT "v=DMARC2; p=none"`, kind: DMARC, state: Missing, need: Needed},
		{name: "DMARC with a policy that is none", edit: "-_dmarc.example.org\n" + `_dmarc.example.org. TXT "v=DMARC1; p=refuse"`, kind: DMARC, state: Wrong, need: Needed, says: `no valid "p"`},
		{name: "two DMARC", edit: `_dmarc.example.org. TXT "v=DMARC1; p=reject"`, kind: DMARC, state: Wrong, need: Needed, says: "more than one"},
		{name: "DMARC reports elsewhere", edit: "-_dmarc.example.org\n" + `_dmarc.example.org. TXT "v=DMARC1; p=reject; rua=mailto:a@example.net"`, kind: DMARC, state: Right, need: Needed, says: "add rua=mailto:dmarc-reports@example.org"},
		{name: "DMARC of none", kind: DMARC, state: Right, need: Needed, says: "p=none stops nobody"},
		{name: "DMARC being tested", edit: "-_dmarc.example.org\n" + `_dmarc.example.org. TXT "v=DMARC1; p=reject; t=y; rua=mailto:dmarc-reports@example.org"`, kind: DMARC, state: Right, need: Needed, says: "t=y says"},

		{name: "no MTA-STS", edit: "-_mta-sts.example.org", kind: STS, state: Missing, need: Recommended},
		{name: "MTA-STS of another policy", edit: "-_mta-sts.example.org\n" + `_mta-sts.example.org. TXT "v=STSv1; id=1;"`, kind: STS, state: Wrong, need: Recommended, says: "it names another policy"},
		{name: "two MTA-STS", edit: `_mta-sts.example.org. TXT "v=STSv1; id=1;"`, kind: STS, state: Wrong, need: Recommended, says: "more than one record"},
		{name: "no host of the policy", edit: "-mta-sts.example.org", change: func(s *site) { s.fetched = testing1 }, kind: STSHost, state: Missing, need: Recommended},
		{name: "another host of the policy", edit: "-mta-sts.example.org\nmta-sts.example.org. A 203.0.113.1", change: func(s *site) { s.fetched = testing1 }, kind: STSHost, state: Wrong, need: Recommended, says: "it leads to 203.0.113.1, and not to this server"},
		{name: "host of the policy leads nowhere", edit: "-mta-sts.example.org\nmta-sts.example.org. CNAME gone.example.net.", change: func(s *site) { s.fetched = testing1 }, kind: STSHost, state: Wrong, need: Recommended, says: "a name without an address"},
		{name: "host of the policy by its address", edit: "-mta-sts.example.org\nmta-sts.example.org. A " + four, kind: STSHost, state: Right, need: Recommended},
		{name: "policy cannot be fetched", change: func(s *site) { s.fetchErr = errors.New("its host does not answer") }, kind: STSPolicy, state: Wrong, need: Recommended, says: "its host does not answer"},
		{name: "policy without the MX", change: func(s *site) { s.fetched = strings.Replace(testing1, "mail.example.org", "mx.example.net", 1) }, kind: STSPolicy, state: Wrong, need: Recommended, says: "it does not name the MX mail.example.org"},
		{name: "enforced policy without the MX", change: func(s *site) {
			s.fetched = strings.NewReplacer("mail.example.org", "mx.example.net", "testing", "enforce").Replace(testing1)
		}, kind: STSPolicy, state: Wrong, need: Needed, says: "it does not name the MX mail.example.org"},
		{name: "policy of another server", change: func(s *site) { s.fetched = strings.Replace(testing1, "604800", "86400", 1) }, kind: STSPolicy, state: Wrong, need: Recommended, says: "it is another one"},
		{name: "policy being tested", kind: STSPolicy, state: Right, need: Recommended, says: `mode = "enforce"`},

		{name: "no TLSRPT", edit: "-_smtp._tls.example.org", kind: TLSRPT, state: Missing, need: Recommended},
		{name: "two TLSRPT", edit: `_smtp._tls.example.org. TXT "v=TLSRPTv1; rua=mailto:a@example.net"`, kind: TLSRPT, state: Wrong, need: Recommended, says: "there are 2 records of TLSRPT"},
		{name: "TLSRPT elsewhere", edit: "-_smtp._tls.example.org\n" + `_smtp._tls.example.org. TXT "v=TLSRPTv1; rua=mailto:a@example.net"`, kind: TLSRPT, state: Right, need: Recommended, says: "reports do not come to this server"},

		{name: "no TLSA in a signed zone", edit: "-_25._tcp.mail.example.org", kind: TLSA, state: Missing, need: Recommended},
		{name: "TLSA of another key", edit: "-_25._tcp.mail.example.org\n_25._tcp.mail.example.org. TLSA 3 1 1 " + strings.Repeat("0a", 32), kind: TLSA, state: Wrong, need: Needed, says: "it names no key that this server shows"},
		{name: "TLSA of a key too many", edit: "_25._tcp.mail.example.org. TLSA 3 1 1 " + strings.Repeat("0a", 32), kind: TLSA, state: Right, need: Optional, says: "for no key of this server"},
		{name: "TLSA without the next key", change: func(s *site) { s.next = [][]byte{[]byte("next")} }, kind: TLSA, state: Wrong, need: Recommended, says: "a key is not there"},

		{name: "no CAA", edit: "-mail.example.org\n" + strings.Split(host, "mail.example.org. CAA")[0], kind: CAA, state: Missing, need: Optional},
		{name: "CAA of others", edit: "-mail.example.org\n" + strings.Split(host, "mail.example.org. CAA")[0] + `mail.example.org. CAA 0 issue "other.example"`, kind: CAA, state: Wrong, need: Recommended, says: "at mail.example.org it forbids"},
		{name: "CAA of others above", edit: "-mail.example.org\n" + strings.Split(host, "mail.example.org. CAA")[0] + `example.org. CAA 0 issue ";"`, kind: CAA, state: Wrong, need: Recommended, says: "at example.org it forbids"},
		{name: "CAA of another account", edit: "-mail.example.org\n" + strings.Split(host, "mail.example.org. CAA")[0] + `mail.example.org. CAA 0 issue "ca.example; accounturi=https://ca.example/acct/2"`, kind: CAA, state: Wrong, need: Recommended, says: "it forbids"},
		{name: "CAA above", edit: "-mail.example.org\n" + strings.Split(host, "mail.example.org. CAA")[0] + `example.org. CAA 0 issue "ca.example"`, kind: CAA, state: Right, need: Optional},

		{name: "no SRV", edit: "-_imaps._tcp.example.org", kind: Service, state: Missing, need: Optional},
		{name: "SRV of another port", edit: "-_imaps._tcp.example.org\n_imaps._tcp.example.org. SRV 0 1 9993 mail.example.org.", kind: Service, state: Wrong, need: Optional},
		{name: "no autoconfig", edit: "-autoconfig.example.org", kind: Autoconfig, state: Missing, need: Optional},
		{name: "no autodiscover", edit: "-autodiscover.example.org", kind: Autodiscover, state: Missing, need: Optional},

		{name: "nobody at port 25", change: func(s *site) { s.seen = Seen{Fault: "connection refused", Refused: true} }, kind: TLS, state: Wrong, need: Needed, says: "192.0.2.10 port 25: connection refused"},
		{name: "port 25 out of reach", change: func(s *site) { s.seen = Seen{Fault: "no answer in time"} }, kind: TLS, state: Unknown, need: Needed, says: "try it from elsewhere"},
		{name: "no TLS", change: func(s *site) { s.seen = Seen{TLSFault: "it does not offer STARTTLS"} }, kind: TLS, state: Wrong, need: Recommended, says: "it does not offer STARTTLS"},
		{name: "certificate of nobody", edit: "-_25._tcp.mail.example.org", change: func(s *site) {
			s.seen.Chain = []*x509.Certificate{certstest.New("mail.example.org").Leaf()}
		}, also: []Kind{TLSA}, kind: TLS, state: Wrong, need: Recommended, says: "it was signed by nobody whom everybody knows"},
		{name: "certificate that ends", change: func(s *site) { s.now = time.Date(2098, 12, 25, 0, 0, 0, 0, time.UTC) }, kind: TLS, state: Right, need: Needed, says: "the certificate ends on 2099-01-01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t).published()
			s.edit(c.edit)
			if c.change != nil {
				c.change(s)
			}
			all, faults := s.check()
			i := slices.IndexFunc(all.Findings, func(f Finding) bool {
				return f.Kind == c.kind && f.State == c.state && strings.Contains(f.Fault+f.Advice, c.says)
			})
			if i < 0 {
				t.Fatalf("not found; there is %s", told(all.Findings, c.kind))
			}
			f := all.Findings[i]
			if f.Need != c.need {
				t.Errorf("%s is %s", f.Kind, f.Need)
			}
			if c.says == "" && c.state == Right && f.Advice != "" {
				t.Errorf("advice: %s", f.Advice)
			}
			if all.OK() != (c.need != Needed || c.state == Right || c.kind == TLS && c.state == Unknown) {
				t.Errorf("OK = %v", all.OK())
			}
			if c.state == Missing && f.Kind != Reverse && len(f.Want) == 0 {
				t.Error("it does not say what to write")
			}
			for _, other := range faults {
				if other.Kind != c.kind && !slices.Contains(c.also, other.Kind) {
					t.Errorf("%s is %s too: %s", other.Kind, other.State, other.Fault)
				}
			}
		})
	}
}

// testing1 is the policy of the site.
const testing1 = "version: STSv1\r\nmode: testing\r\nmx: mail.example.org\r\nmax_age: 604800\r\n"

func told(list []Finding, k Kind) string {
	var b strings.Builder
	for _, f := range list {
		if f.Kind == k {
			fmt.Fprintf(&b, "%s %s: %s %q %q\n", f.Name, f.Type, f.State, f.Fault, f.Advice)
		}
	}
	return b.String()
}

// TestMergedSPF: where a record says more than ours, what to write keeps that.
func TestMergedSPF(t *testing.T) {
	s := newSite(t).published()
	s.edit("-example.org\nexample.org. MX 10 mail.example.org.\n" + `example.org. TXT "v=spf1 include:news.example.net -all"` + "\n" + `news.example.net. TXT "v=spf1 ip4:203.0.113.0/24 -all"`)
	all, _ := s.check()
	i := slices.IndexFunc(all.Findings, func(f Finding) bool { return f.Kind == SPF })
	if f := all.Findings[i]; f.State != Wrong || f.Want[0].Value != "v=spf1 mx include:news.example.net -all" {
		t.Errorf("%+v", f)
	}
}

// TestUnsigned: without DNSSEC, TLSA is of no use, and said so.
func TestUnsigned(t *testing.T) {
	s := newSite(t).published()
	text := ""
	for _, r := range s.want("example.org").Records {
		text += r.Line() + "\n"
	}
	s.names = dnstest.NewFake(text)
	all, _ := s.check()
	if got := told(all.Findings, DNSSEC); !strings.Contains(got, "missing") {
		t.Error(got)
	}
	if got := told(all.Findings, TLSA); !strings.Contains(got, "it does not count before the zone is signed") {
		t.Error(got)
	}
	s.edit("-_25._tcp.mail.example.org")
	all, _ = s.check()
	if got := told(all.Findings, TLSA); !strings.Contains(got, "of no use before the zone is signed") {
		t.Error(got)
	}
	if !all.OK() {
		t.Error("mail needs DNSSEC")
	}
}

// TestNameServersDiffer: what they say is shown, each with its name.
func TestNameServersDiffer(t *testing.T) {
	s := newSite(t).published()
	text := ""
	for _, r := range s.want("example.org").Records {
		if r.Kind == MX {
			r.Value = "10 old.example.org."
		}
		text += r.Line() + "\n"
	}
	text += `example.org. TXT "somebody else's business"` + "\n"
	s.at[netip.MustParseAddr("192.0.2.54")] = dnstest.NewFake(text)
	all, faults := s.check()
	if len(faults) != 1 || all.OK() {
		t.Fatalf("%+v", faults)
	}
	f := faults[0]
	if f.Kind != Servers || f.Name != "example.org" || f.Type != dns.TypeMX || f.Need != Needed || len(f.Servers) != 2 {
		t.Fatalf("%+v", f)
	}
	if got := fmt.Sprint(f.Servers); got != "[{ns1.example.net (192.0.2.53) [10 mail.example.org.] } {ns2.example.net (192.0.2.54) [10 old.example.org.] }]" {
		t.Error(got)
	}
}

// TestSilentNameServers: one that does not answer is named; if none does, nothing is known.
func TestSilentNameServers(t *testing.T) {
	s := newSite(t).published()
	mute := func() *dnstest.Fake {
		f := dnstest.NewFake("")
		for _, r := range s.want("example.org").Records {
			f.Fail(r.Name, 0, dns.Timeout)
		}
		return f
	}
	s.at[netip.MustParseAddr("192.0.2.54")] = mute()
	all, faults := s.check()
	if len(faults) != 1 || faults[0].State != Wrong || fmt.Sprint(faults[0].There) != "[ns2.example.net (192.0.2.54): no answer in time]" || !all.OK() {
		t.Errorf("%+v", faults)
	}
	s.at[netip.MustParseAddr("192.0.2.53")] = mute()
	all, faults = s.check()
	if len(faults) != 1 || faults[0].State != Unknown || !all.OK() {
		t.Errorf("%+v", faults)
	}
}

// TestCheckEnds: however slow the DNS is.
func TestCheckEnds(t *testing.T) {
	s := newSite(t).published()
	w := s.want("example.org")
	synctest.Test(t, func(t *testing.T) {
		for _, r := range w.Records {
			s.names.Delay(r.Name, time.Hour)
		}
		start := time.Now()
		all, err := s.Check(t.Context(), "example.org", "")
		if err != nil || all.OK() {
			t.Errorf("%v, OK = %v", err, all.OK())
		}
		if took := time.Since(start); took > CheckTime+time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// TestCheckNothing: of a domain of others, and with a name server that is none.
func TestCheckNothing(t *testing.T) {
	s := newSite(t)
	if _, err := s.Check(t.Context(), "example.com", ""); mail.KindOf(err) != mail.NotFound {
		t.Error(err)
	}
	if _, err := s.Check(t.Context(), "example.org", "x"); mail.KindOf(err) != mail.Invalid {
		t.Error(err)
	}
	all, _ := s.check() // The DNS has nothing at all.
	if all.OK() {
		t.Error("nothing is there, and all is right")
	}
}
