package zone

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/clients"
	"yubin/internal/engine/directory"
	"yubin/internal/engine/signing"
	"yubin/internal/mail"
	"yubin/internal/mailauth/mtasts"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/certs/certstest"
)

// site is a Zone with all that it asks in the hands of a test.
type site struct {
	*Zone
	t        testing.TB
	names    *dnstest.Fake                // as the resolver has it
	at       map[netip.Addr]*dnstest.Fake // what name servers say that say something else
	settings Settings
	own      []netip.Addr
	keys     []signing.Record
	keysErr  error
	services []clients.Service
	cert     certstest.Cert
	next     [][]byte
	seen     Seen
	fetched  string // the policy that others get; "" is the right one
	fetchErr error
	now      time.Time

	updates []string
	failing error
	local   []mail.Domain
	issuers []Issuer
}

const (
	four = "192.0.2.10"
	six  = "2001:db8::10"
)

// newSite is the site of mail.example.org with the domain example.org, on which all is
// offered.
func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{
		t: t, names: dnstest.NewFake(""), at: map[netip.Addr]*dnstest.Fake{}, keys: keysOf("example.org"),
		cert: certstest.New("mail.example.org", "mta-sts.example.org"), now: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC),
		services: []clients.Service{
			{Protocol: clients.Submission, Host: "mail.example.org", Port: 465, Security: clients.TLS},
			{Protocol: clients.Submission, Host: "mail.example.org", Port: 587, Security: clients.StartTLS},
			{Protocol: clients.IMAP, Host: "mail.example.org", Port: 993, Security: clients.TLS},
		},
		settings: Settings{
			Host: "mail.example.org", Addresses: []netip.Addr{netip.MustParseAddr(four), netip.MustParseAddr(six)}, TakesMail: true, Web: true,
			DMARCReports: "dmarc-reports", TLSReports: "tls-reports", STS: mtasts.Testing, STSAge: 7 * 24 * time.Hour,
			Zones: []dns.Name{"example.org"}, Server: netip.MustParseAddrPort("192.0.2.53:53"), Automatic: true,
		},
		local: []mail.Domain{"example.org"}, issuers: []Issuer{{"ca.example", "https://ca.example/acct/1"}},
	}
	s.seen = Seen{TLS: "TLS 1.3", Chain: []*x509.Certificate{s.cert.Leaf()}}
	var err error
	s.Zone, err = Open(t.Context(), Options{
		DB: dbtest.Open(t), Directory: s, Keys: s, Clients: s, Certificates: s, Resolvers: s, Hosts: s, Updater: s,
		Settings: func() Settings { return s.settings }, Own: func() []netip.Addr { return s.own },
		Roots: s.cert.Client("", 0).RootCAs, Now: func() time.Time { return s.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// keyMaterial is made once: RSA takes its time.
var keyMaterial = sync.OnceValues(func() ([]byte, []byte) {
	private, err := rsa.GenerateKey(rand.Reader, signing.Bits)
	if err != nil {
		panic(err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		panic(err)
	}
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return public, edwards
})

func keysOf(d mail.Domain) (list []signing.Record) {
	public, edwards := keyMaterial()
	for i, k := range []signing.Key{
		{Selector: "y20261201r", Algorithm: signing.RSA, State: signing.Active, Public: public},
		{Selector: "y20261201e", Algorithm: signing.Ed25519, State: signing.Active, Public: edwards},
	} {
		k.ID, k.Owner = int64(i+1), signing.Owner{Name: d}
		list = append(list, signing.Record{Name: k.Selector + "._domainkey." + string(d), Type: dns.TypeTXT, Text: k.Record(), Key: k})
	}
	return list
}

func (s *site) Domain(_ context.Context, d mail.Domain) (directory.Domain, error) {
	if !slices.Contains(s.local, d) {
		return directory.Domain{}, mail.Errorf(mail.NotFound, "there is no domain %s here", d)
	}
	out := directory.Domain{Name: d}
	if d != s.local[0] {
		out.AliasOf = s.local[0]
	}
	return out, nil
}

func (s *site) Names(context.Context) ([]mail.Domain, error) { return s.local, nil }

func (s *site) IsLocal(_ context.Context, d mail.Domain) (bool, error) {
	return slices.Contains(s.local, d), nil
}

// Wanted of the keys; that of the Zone is s.Zone.Wanted.
func (s *site) Wanted(_ context.Context, d mail.Domain) ([]signing.Record, error) {
	if d != "example.org" && s.keysErr == nil {
		return keysOf(d), nil
	}
	return s.keys, s.keysErr
}

func (s *site) Settings(_ context.Context, d mail.Domain) (clients.Settings, error) {
	return clients.Settings{Domain: d, Services: s.services}, nil
}

func (s *site) Shown(string) []*x509.Certificate {
	if s.cert.Leaf() == nil {
		return nil
	}
	return []*x509.Certificate{s.cert.Leaf()}
}

func (s *site) Issuers(context.Context) ([]Issuer, error) { return s.issuers, nil }

func (s *site) Next() [][]byte { return s.next }

func (s *site) Ask(server string) (Names, error) {
	if server != "" {
		return nil, mail.Errorf(mail.Invalid, "no server but the usual one is asked here")
	}
	return s.names, nil
}

func (s *site) At(server netip.AddrPort) (Names, error) {
	if other, ok := s.at[server.Addr()]; ok {
		return other, nil
	}
	return s.names, nil
}

func (s *site) Look(context.Context, netip.Addr, dns.Name) Seen { return s.seen }

func (s *site) Policy(ctx context.Context, _ Names, d mail.Domain) (mtasts.Policy, error) {
	switch {
	case s.fetchErr != nil:
		return mtasts.Policy{}, s.fetchErr
	case s.fetched != "":
		return mtasts.Parse([]byte(s.fetched))
	}
	return s.Zone.Policy(ctx, d)
}

// Update does to the zone that the fake resolver has what a name server does.
func (s *site) Update(_ context.Context, zone dns.Name, add, remove []dns.ZoneRecord) error {
	if s.failing != nil {
		return s.failing
	}
	s.updates = append(s.updates, fmt.Sprintf("%s: %d added, %d removed", zone, len(add), len(remove)))
	for _, r := range remove {
		s.names.Without(r.Line())
	}
	for _, r := range add {
		if err := s.names.Add(r.Line()); err != nil {
			return err
		}
	}
	return nil
}

// wanted is what there should be.
func (s *site) want(d mail.Domain) Wanted {
	s.t.Helper()
	w, err := s.Zone.Wanted(s.t.Context(), d)
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

// published has the DNS hold all that there should be, and what is around it.
func (s *site) published() *site {
	s.t.Helper()
	text := "example.org. NS ns1.example.net.\nexample.org. NS ns2.example.net.\nns1.example.net. A 192.0.2.53\nns2.example.net. A 192.0.2.54\n"
	for _, r := range s.want("example.org").Records {
		text += r.Line() + "\n"
	}
	s.names = dnstest.NewFake(text)
	s.names.Sign("example.org")
	return s
}

// check returns what a check finds that is not right.
func (s *site) check() (all Checked, faults []Finding) {
	s.t.Helper()
	all, err := s.Check(s.t.Context(), "example.org", "")
	if err != nil {
		s.t.Fatal(err)
	}
	return all, slices.DeleteFunc(slices.Clone(all.Findings), func(f Finding) bool { return f.State == Right })
}

// golden compares with a file of testdata, in which keys are left out.
func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s", path, got)
	}
}

// shape is records as lines, without what is random.
func shape(w Wanted) string {
	var b strings.Builder
	for _, r := range w.Records {
		line := r.Line()
		if r.Kind == DKIM {
			line, _, _ = strings.Cut(line, "p=")
			line += "…"
		}
		if r.Kind == TLSA {
			line = strings.Join(strings.Fields(line)[:7], " ") + " …"
		}
		fmt.Fprintf(&b, "%-11s %-13s %s", r.Need, r.Kind, line)
		if r.Note != "" {
			fmt.Fprintf(&b, " ; %s", r.Note)
		}
		b.WriteString("\n")
	}
	for _, n := range w.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	return b.String()
}

// TestWanted: all that a domain should have, of sites that differ.
func TestWanted(t *testing.T) {
	for file, change := range map[string]func(*site){
		"whole.txt": func(*site) {},
		"small.txt": func(s *site) { // Nothing but mail, with a certificate of its own making.
			s.settings.Web, s.issuers, s.settings.DMARCReports, s.settings.TLSReports = false, nil, "", ""
			s.settings.Addresses = s.settings.Addresses[:1]
			s.o.Roots = x509.NewCertPool()
		},
		"host.txt": func(s *site) { s.settings.Host = "example.org" },
		"outside.txt": func(s *site) { // The host and the reports are in another zone.
			s.settings.Host, s.settings.DMARCReports = "mx.example.net", "reports@example.net"
			s.cert = certstest.New("mx.example.net", "mta-sts.example.org")
			s.o.Roots = s.cert.Client("", 0).RootCAs
		},
		"unsigned.txt": func(s *site) { s.keys = nil; s.settings.TakesMail = false; s.services = nil },
		"off.txt": func(s *site) {
			s.settings.STSOff = true
			s.next = [][]byte{[]byte("next"), s.cert.Leaf().RawSubjectPublicKeyInfo}
		},
	} {
		t.Run(file, func(t *testing.T) {
			s := newSite(t)
			change(s)
			golden(t, file, shape(s.want("example.org")))
		})
	}
}

// TestWantedOfOthers: what there is no answer for.
func TestWantedOfOthers(t *testing.T) {
	s := newSite(t)
	if _, err := s.Zone.Wanted(t.Context(), "example.com"); mail.KindOf(err) != mail.NotFound {
		t.Errorf("a domain of others: %v", err)
	}
	s.settings.Host = ""
	if _, err := s.Zone.Wanted(t.Context(), "example.org"); mail.KindOf(err) != mail.Invalid {
		t.Errorf("without a host name: %v", err)
	}
	long := mail.Domain(strings.Repeat("a23456789.", 24) + "org")
	s.settings.Host, s.local = "mail.example.org", append(s.local, long)
	if _, err := s.Zone.Wanted(t.Context(), long); mail.KindOf(err) != mail.Invalid {
		t.Errorf("a domain without room below it: %v", err)
	}
}

// TestAliasDomain: a domain that stands for another has records of its own.
func TestAliasDomain(t *testing.T) {
	s := newSite(t)
	s.local = append(s.local, "example.com")
	w := s.want("example.com")
	if w.AliasOf != "example.org" || len(w.values(MX, "example.com", dns.TypeMX)) != 1 || len(w.values(DMARC, "_dmarc.example.com", dns.TypeTXT)) != 1 {
		t.Errorf("%+v", w)
	}
	if !slices.ContainsFunc(w.Records, func(r Record) bool { return r.Kind == DKIM && r.Name.Within("example.com") }) {
		t.Error("it has no key of its own")
	}
}

// TestAddresses: what is configured counts, then what the interfaces have, then the DNS.
func TestAddresses(t *testing.T) {
	a := netip.MustParseAddr
	for name, c := range map[string]struct {
		configured, own []netip.Addr
		zone            string
		want            []netip.Addr
	}{
		"configured":    {[]netip.Addr{a("192.0.2.1")}, []netip.Addr{a("192.0.2.2")}, "mail.example.org. A 192.0.2.3", []netip.Addr{a("192.0.2.1")}},
		"of interfaces": {nil, []netip.Addr{a("127.0.0.1"), a("192.0.2.2"), a("fe80::1"), a("2001:db8::2")}, "mail.example.org. A 192.0.2.3", []netip.Addr{a("192.0.2.2"), a("2001:db8::2")}},
		"behind a router": {nil, []netip.Addr{a("10.0.0.2"), a("100.64.0.1"), a("fd00::1"), a("2001:db8::2")}, "mail.example.org. A 192.0.2.3\nmail.example.org. AAAA 2001:db8::3",
			[]netip.Addr{a("2001:db8::2"), a("192.0.2.3")}},
		"of the DNS": {nil, nil, "mail.example.org. A 192.0.2.3\nmail.example.org. AAAA 2001:db8::3", []netip.Addr{a("192.0.2.3"), a("2001:db8::3")}},
		"nowhere":    {nil, []netip.Addr{a("10.0.0.2")}, "", nil},
	} {
		s := newSite(t)
		s.settings.Addresses, s.own, s.names = c.configured, c.own, dnstest.NewFake(c.zone)
		w := s.want("example.org")
		if !slices.Equal(w.Addresses, c.want) {
			t.Errorf("%s: %v, want %v", name, w.Addresses, c.want)
		}
		if noted := slices.ContainsFunc(w.Notes, func(n string) bool { return strings.Contains(n, "are not known") }); noted != (len(c.want) == 0) {
			t.Errorf("%s: notes %q", name, w.Notes)
		}
	}
}

// TestPolicy: there is one only where others believe what it stands on.
func TestPolicy(t *testing.T) {
	p, err := newSite(t).Zone.Policy(t.Context(), "example.org")
	if err != nil || p.Mode != mtasts.Testing || !p.Matches("mail.example.org") || p.MaxAge != 7*24*time.Hour {
		t.Errorf("%+v, %v", p, err)
	}
	for says, change := range map[string]func(*site){
		"there is no domain example.org here":                    func(s *site) { s.local = nil },
		"it is switched off":                                     func(s *site) { s.settings.STSOff = true },
		"no listener takes mail":                                 func(s *site) { s.settings.TakesMail = false },
		"no listener speaks HTTPS":                               func(s *site) { s.settings.Web = false },
		"for mta-sts.example.org: there is none":                 func(s *site) { s.cert = certstest.Cert{} },
		"for mta-sts.example.org: it was signed by nobody":       func(s *site) { s.o.Roots = x509.NewCertPool() },
		"for mail.example.org: it is for another name":           func(s *site) { s.cert = certstest.New("mta-sts.example.org"); s.o.Roots = s.cert.Client("", 0).RootCAs },
		"for mta-sts.example.org: it has ended, on 2099-01-01":   func(s *site) { s.now = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC) },
		"for mta-sts.example.org: it is good from 1999-01-01 on": func(s *site) { s.now = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		s := newSite(t)
		change(s)
		if _, err := s.Zone.Policy(t.Context(), "example.org"); mail.KindOf(err) != mail.NotFound || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %s", err, says)
		}
	}
}
