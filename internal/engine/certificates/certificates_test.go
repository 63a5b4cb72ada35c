package certificates

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/testkit/dnstest"
	"yubin/internal/world/acme"
	"yubin/internal/world/secrets"
	"yubin/internal/world/sqldb"
)

const day = 24 * time.Hour

// authority makes certificates, and is as told.
type authority struct {
	now      func() time.Time
	key      *ecdsa.PrivateKey
	root     *x509.Certificate
	lifetime time.Duration
	window   acme.Window // zero: it does not say
	fail     error
	during   func(s acme.Solver) error // called while an order is being made

	orders     []acme.Order
	registered int
	serial     int64
}

func newAuthority(t *testing.T, now func() time.Time) *authority {
	t.Helper()
	a := &authority{now: now, lifetime: 90 * day}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	a.root = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, NotBefore: now().Add(-day), NotAfter: now().AddDate(20, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: []byte{1}}
	return a
}

func (a *authority) Register(_ context.Context, key Signer, _ mail.Address, _ acme.Binding) (acme.Account, error) {
	a.registered++
	return acme.Account{Key: key, URL: "https://ca.example/acct/1", Issuer: "ca.example"}, nil
}

func (a *authority) Issue(ctx context.Context, account acme.Account, o acme.Order, s acme.Solver) ([][]byte, error) {
	a.orders = append(a.orders, o)
	if account.URL == "" || account.Key == nil {
		return nil, errors.New("no account")
	}
	if a.during != nil {
		if err := a.during(s); err != nil {
			return nil, err
		}
	}
	if a.fail != nil {
		return nil, a.fail
	}
	a.serial++
	leaf := &x509.Certificate{SerialNumber: big.NewInt(a.serial), DNSNames: o.Names, NotBefore: a.now(), NotAfter: a.now().Add(a.lifetime), AuthorityKeyId: []byte{1}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, a.root, o.Key.Public(), a.key)
	return [][]byte{der}, err
}

func (a *authority) Window(context.Context, *Leaf) (acme.Window, error) {
	if a.window.Start.IsZero() {
		return acme.Window{}, acme.ErrNoWindow
	}
	return a.window, nil
}

// refusal is what an authority says no with.
func refusal(kind mail.Kind, typ, detail string, again time.Time) error {
	r := &acme.Refusal{Type: typ, Detail: detail, Again: again}
	return &mail.Error{Kind: kind, Text: "the certificate was not made: the authority says: " + r.Error(), Err: r}
}

// site is a post office with its clock, its DNS and an authority; nodes are over it.
type site struct {
	t       *testing.T
	db      *sqldb.DB
	now     time.Time
	fake    *dnstest.Fake
	zone    *dnstest.Zone
	ca      *authority
	domains []mail.Domain
	keyring *secrets.Keyring
	zones   Zones
	set     Settings
	log     bytes.Buffer
}

func (s *site) Names(context.Context) ([]mail.Domain, error) { return s.domains, nil }

const names = `
mx.example.org. A 192.0.2.1
mta-sts.example.org. A 192.0.2.1
mta-sts.example.org. AAAA 2001:db8::1
autoconfig.example.org. A 198.51.100.7
`

func newSite(t *testing.T) *site {
	s := &site{t: t, db: dbtest.Open(t), now: time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC), fake: dnstest.NewFake(names), domains: []mail.Domain{"example.org"}}
	s.zone = s.fake.Zone
	s.ca = newAuthority(t, func() time.Time { return s.now })
	s.keyring = secrets.Open(secrets.Options{Paths: []string{filepath.Join(t.TempDir(), "secrets.key")}})
	s.set = Settings{Directory: "https://ca.example/dir", Kind: acme.HTTP01, Hostname: "mx.example.org"}
	return s
}

func (s *site) node(name string) *Certificates {
	s.t.Helper()
	c, err := Open(s.t.Context(), Options{
		DB: s.db, Secrets: s.keyring, Directory: s, Resolver: func() (Resolver, error) { return s.fake, nil },
		Authority: func(Settings) (Authority, error) { return s.ca, nil }, Zones: s.zones,
		Own: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("2001:db8::1")} },
		Now: func() time.Time { return s.now }, Log: slog.New(slog.NewTextHandler(&s.log, nil)), Name: name, Settings: s.set,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// pass makes one after a while.
func (s *site) pass(c *Certificates, later time.Duration) {
	s.t.Helper()
	s.now = s.now.Add(later)
	if err := c.Pass(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// ordered are the names of the orders since the last call.
func (s *site) ordered() (list []string) {
	for _, o := range s.ca.orders {
		list = append(list, strings.Join(o.Names, " "))
	}
	s.ca.orders = nil
	return list
}

func (s *site) expect(what string, want ...string) {
	s.t.Helper()
	if got := s.ordered(); !slices.Equal(got, want) {
		s.t.Errorf("%s: ordered %q, want %q", what, got, want)
	}
}

func (s *site) show(c *Certificates, name string) Status {
	s.t.Helper()
	st, err := c.Show(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

// TestFirstOrders: what leads here is ordered, once; what does not is left out, and said why.
func TestFirstOrders(t *testing.T) {
	s := newSite(t)
	s.domains = append(s.domains, "mx.example.org", "other.example")
	c := s.node("a")
	s.pass(c, 0)
	s.expect("at first", "mx.example.org", "mta-sts.example.org")
	s.pass(c, time.Minute)
	s.pass(c, 2*time.Hour)
	s.expect("afterwards")
	if s.ca.registered != 1 {
		t.Errorf("%d accounts", s.ca.registered)
	}
	list, err := c.List(t.Context())
	if err != nil || len(list) != 3 || list[0].Name != "mx.example.org" || list[0].State != Valid || list[2].State != Waiting {
		t.Fatalf("%+v, %v", list, err)
	}
	want := []LeftOut{{"autoconfig.example.org", "it leads to 198.51.100.7, which is not this server"}, {"autodiscover.example.org", "it is not in the DNS"}}
	if !slices.Equal(list[1].LeftOut, want) {
		t.Errorf("left out: %q", list[1].LeftOut)
	}
	for name, want := range map[string]string{"": "mx.example.org", "MX.example.org": "mx.example.org", "mta-sts.example.org": "mta-sts.example.org",
		"autoconfig.example.org": "", "bank.example": ""} {
		got := ""
		if cert := c.Certificate(name); cert != nil {
			got = cert.Leaf.DNSNames[0]
		}
		if got != want {
			t.Errorf("a client of %q sees %q, want %q", name, got, want)
		}
	}
	if all := c.All(); len(all) != 2 || all[0].Leaf.DNSNames[0] != "mx.example.org" {
		t.Errorf("%d are shown", len(all))
	}
	if issuer, url := c.Issuer(); url != "https://ca.example/acct/1" || issuer != "ca.example" {
		t.Errorf("account %q with %q", url, issuer)
	}
	if err := c.Check(t.Context(), func(p string) { t.Error(p) }); err != nil {
		t.Error(err)
	}
	if st := s.show(c, "mta-sts.example.org"); st.Name != "example.org" || st.Issuer != "CN=Test CA" {
		t.Errorf("%+v", st)
	}
	if _, err := c.Show(t.Context(), "bank.example"); mail.KindOf(err) != mail.NotFound {
		t.Errorf("%v", err)
	}
}

// TestNamesComeAndGo: a name that comes to lead here is ordered with the others; trouble of the
// DNS takes none away, a domain that is gone takes its certificate along.
func TestNamesComeAndGo(t *testing.T) {
	s := newSite(t)
	c := s.node("a")
	s.pass(c, 0)
	s.ordered()
	if err := s.zone.Add("autodiscover.example.org. A 192.0.2.1\n"); err != nil {
		t.Fatal(err)
	}
	s.pass(c, 30*time.Minute)
	s.expect("it was not looked for yet")
	if err := s.zone.Add("autoconfig.second.example. A 192.0.2.1\n"); err != nil {
		t.Fatal(err)
	}
	s.domains = append(s.domains, "second.example")
	c.Poke()
	s.pass(c, 31*time.Minute)
	s.expect("a new domain, and a new name of the old one", "autoconfig.second.example", "mta-sts.example.org autodiscover.example.org")
	n, _ := dns.ParseName("mta-sts.example.org")
	s.fake.Fail(n, dns.TypeA, dns.ServFail)
	s.fake.Fail(n, dns.TypeAAAA, dns.ServFail)
	s.pass(c, 2*time.Hour)
	s.expect("the DNS has trouble")
	if st := s.show(c, "example.org"); len(st.LeftOut) != 1 || len(st.Missing) != 0 {
		t.Errorf("%+v", st)
	}
	s.domains = []mail.Domain{"second.example"}
	s.pass(c, time.Minute)
	if _, err := c.Show(t.Context(), "example.org"); mail.KindOf(err) != mail.NotFound {
		t.Errorf("it is there still: %v", err)
	}
	if err := c.Refresh(t.Context()); err != nil || c.Certificate("mta-sts.example.org") != nil {
		t.Errorf("it is shown still, %v", err)
	}
}

// TestRenewal: a third of the lifetime is left, of a short one a half; the key stays.
func TestRenewal(t *testing.T) {
	for _, tt := range []struct{ lifetime, before, after time.Duration }{
		{90 * day, 59 * day, 60*day + time.Minute},
		{6 * day, 3*day - time.Hour, 3*day + time.Minute},
	} {
		s := newSite(t)
		s.domains = nil
		s.ca.lifetime = tt.lifetime
		c := s.node("a")
		s.pass(c, 0)
		first := s.show(c, "mx.example.org")
		s.pass(c, tt.before)
		s.expect("before its time", "mx.example.org")
		s.pass(c, tt.after-tt.before)
		if o := s.ca.orders; len(o) != 1 || o[0].Replaces == nil {
			t.Fatalf("%d orders in time", len(o))
		}
		second := s.show(c, "mx.example.org")
		if first.Key == "" || second.Key != first.Key || second.Serial == first.Serial || c.Certificate("").Leaf.SerialNumber.Int64() != 2 {
			t.Errorf("first %+v, second %+v", first, second)
		}
	}
}

// TestWindow: the authority says when, within bounds; it is asked again when it says so.
func TestWindow(t *testing.T) {
	s := newSite(t)
	s.domains = nil
	c := s.node("a")
	s.ca.window = acme.Window{Start: s.now.Add(10 * day), End: s.now.Add(11 * day), Again: s.now.Add(30 * 24 * time.Hour)}
	s.pass(c, 0)
	s.pass(c, time.Minute)
	s.ordered()
	if at := s.show(c, "mx.example.org").Next; at.Before(s.ca.window.Start) || at.After(s.ca.window.End) {
		t.Errorf("renewed at %s, not within the window", at)
	}
	// It changes its mind, as when it has to take back what it made: now.
	s.ca.window = acme.Window{Start: s.now.Add(-2 * day), End: s.now.Add(-day), Reason: "https://ca.example/why"}
	s.pass(c, 12*time.Hour)
	s.expect("it was not to be asked yet")
	s.pass(c, 13*time.Hour)
	s.expect("a window that has passed", "mx.example.org")
	if !strings.Contains(s.log.String(), "https://ca.example/why") {
		t.Error("why is not in the log")
	}
	s.pass(c, time.Minute)
	s.pass(c, time.Hour)
	s.expect("one that was just made is not made again at once")
	// One that never wants it renewed is not believed.
	s.ca.window = acme.Window{Start: s.now.AddDate(50, 0, 0), End: s.now.AddDate(51, 0, 0)}
	s.pass(c, 7*time.Hour)
	if st := s.show(c, "mx.example.org"); st.Next.After(st.Ends.Add(-14 * day)) {
		t.Errorf("renewed at %s, it ends at %s", st.Next, st.Ends)
	}
}

// TestFailures: what fails is tried ever later, when the authority says, and told of: at once
// where there is none, in time where one comes to its end.
func TestFailures(t *testing.T) {
	s := newSite(t)
	s.domains = nil
	c := s.node("a")
	concerns := func() (texts []string) {
		t.Helper()
		list, err := c.Concerns(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range list {
			texts = append(texts, one.Text)
		}
		return texts
	}
	s.pass(c, 0)
	s.ordered()
	if got := concerns(); len(got) != 0 {
		t.Errorf("%q", got)
	}
	s.ca.fail = refusal(mail.Forbidden, "unauthorized", "Invalid response from http://mx.example.org/.well-known/acme-challenge/x: 404", time.Time{})
	s.pass(c, 60*day)
	var waits []time.Duration
	for range 8 {
		st := s.show(c, "mx.example.org")
		waits = append(waits, st.Next.Sub(s.now))
		s.pass(c, st.Next.Sub(s.now)-time.Second)
		s.ordered()
		s.pass(c, time.Second)
		s.expect("when the time has come", "mx.example.org")
	}
	for i, w := range waits {
		least := min(firstRetry<<i, lastRetry)
		if w < least || w > least+least/4 {
			t.Errorf("wait %d: %s, want %s and up to a quarter", i, w, least)
		}
	}
	if got := concerns(); len(got) != 0 {
		t.Errorf("29 days before the end: %q", got)
	}
	st := s.show(c, "mx.example.org")
	if st.State != Failing || st.Failures != 9 || !strings.Contains(st.Fault, "404 (unauthorized)") || !strings.Contains(st.Advice, "Port 80") {
		t.Errorf("%+v", st)
	}
	s.now = st.Ends.Add(-14*day + time.Second)
	if got := concerns(); len(got) != 1 || !strings.Contains(got[0], "ends on 2027-03-01 09:00:00 UTC, and is not renewed yet. It failed 9 times, the last time: ") || !strings.Contains(got[0], "404") {
		t.Errorf("%q", got)
	}
	s.now = st.Ends
	if got := concerns(); len(got) != 1 || !strings.Contains(got[0], "has expired on 2027-03-01") {
		t.Errorf("%q", got)
	}
	// The authority says when.
	s.ca.fail = refusal(mail.RateLimited, "rateLimited", "too many certificates", s.now.Add(30*time.Hour))
	s.pass(c, 0)
	if wait := s.show(c, "mx.example.org").Next.Sub(s.now); wait < 30*time.Hour || wait > 38*time.Hour {
		t.Errorf("wait %s", wait)
	}
	s.ca.fail = nil
	s.ordered()
	if names, err := c.Renew(t.Context(), ""); err != nil || !slices.Equal(names, []string{"mx.example.org"}) {
		t.Errorf("%q, %v", names, err)
	}
	if !s.show(c, "mx.example.org").Asked {
		t.Error("it is not asked for")
	}
	s.pass(c, time.Second)
	s.expect("somebody asks for it", "mx.example.org")
	if st := s.show(c, "mx.example.org"); st.State != Valid || st.Failures != 0 || st.Fault != "" || st.Asked || len(concerns()) != 0 {
		t.Errorf("%+v", st)
	}
}

// TestNone: a first order that fails is told at once.
func TestNone(t *testing.T) {
	s := newSite(t)
	c := s.node("a")
	s.ca.fail = refusal(mail.Forbidden, "caa", "CAA record for mx.example.org prevents issuance", time.Time{})
	s.pass(c, 0)
	list, err := c.Concerns(t.Context())
	if err != nil || len(list) != 2 || !strings.Contains(list[0].Text, "no certificate for example.org yet") || !list[0].Absent || !strings.Contains(list[1].Text, "A CAA record of the domain forbids") {
		t.Errorf("%+v, %v", list, err)
	}
	s.set.Off = true
	c.Set(s.set)
	if list, err := c.Concerns(t.Context()); len(list) != 0 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := c.Renew(t.Context(), ""); mail.KindOf(err) != mail.Invalid {
		t.Errorf("%v", err)
	}
}

// TestRotateKey: the next key is announced before a certificate has it; at once, it is not.
func TestRotateKey(t *testing.T) {
	s := newSite(t)
	s.domains = nil
	c := s.node("a")
	s.pass(c, 0)
	s.ordered()
	first := s.show(c, "mx.example.org")
	st, err := c.RotateKey(t.Context(), "mx.example.org", false)
	if err != nil || st.NextKey == "" || st.NextKey == first.Key || st.Key != first.Key || len(c.Next()) != 1 {
		t.Fatalf("%+v, %v, %d announced", st, err, len(c.Next()))
	}
	if _, err := c.RotateKey(t.Context(), "mx.example.org", false); mail.KindOf(err) != mail.Exists {
		t.Errorf("twice: %v", err)
	}
	if _, err := c.Renew(t.Context(), "mx.example.org"); err != nil {
		t.Fatal(err)
	}
	s.pass(c, time.Hour)
	s.expect("in between", "mx.example.org")
	if now := s.show(c, "mx.example.org"); now.Key != first.Key || now.NextKey != st.NextKey {
		t.Errorf("a renewal takes the next key too early: %+v", now)
	}
	s.pass(c, Announce)
	s.expect("after three days", "mx.example.org")
	if now := s.show(c, "mx.example.org"); now.Key != st.NextKey || now.NextKey != "" || len(c.Next()) != 0 {
		t.Errorf("%+v", now)
	}
	last := c.Certificate("").Leaf.SerialNumber
	at, err := c.RotateKey(t.Context(), "mx.example.org", true)
	if err != nil || c.Certificate("").Leaf.SerialNumber.Cmp(last) != 0 {
		t.Errorf("the old one is not shown any more, %v", err)
	}
	s.pass(c, time.Second)
	s.expect("at once", "mx.example.org")
	if now := s.show(c, "mx.example.org"); now.Key != at.NextKey || c.Certificate("").Leaf.SerialNumber.Cmp(last) == 0 {
		t.Errorf("%+v", now)
	}
	if err := c.Check(t.Context(), func(p string) { t.Error(p) }); err != nil {
		t.Error(err)
	}
}

// TestTwoNodes: one orders, both answer the authority and show the certificate; who loses the
// lease while it orders writes nothing.
func TestTwoNodes(t *testing.T) {
	s := newSite(t)
	s.domains = nil
	a, b := s.node("a"), s.node("b")
	s.ca.during = func(v acme.Solver) error {
		if err := b.Pass(t.Context()); err != nil {
			t.Error(err)
		}
		for _, kind := range []acme.Kind{acme.HTTP01, acme.TLSALPN01} {
			ch := acme.Challenge{Kind: kind, Name: "mx.example.org", Token: "tok", KeyAuthorization: "tok.thumb"}
			if err := v.Present(t.Context(), ch); err != nil {
				return err
			}
			got, err := b.Answer(t.Context(), "tok")
			if kind == acme.TLSALPN01 {
				got, err = b.Handshake(t.Context(), "mx.example.org")
			}
			if got != "tok.thumb" || err != nil {
				t.Errorf("%s: the other node answers %q, %v", kind, got, err)
			}
			v.Withdraw(t.Context(), ch)
			if _, err := b.Answer(t.Context(), "tok"); mail.KindOf(err) != mail.NotFound {
				t.Errorf("%s: it answers still: %v", kind, err)
			}
		}
		return nil
	}
	s.pass(a, 0)
	s.expect("two nodes", "mx.example.org")
	if b.Certificate("") != nil {
		t.Error("b knows it already")
	}
	if err := b.Refresh(t.Context()); err != nil || b.Certificate("") == nil {
		t.Errorf("b does not show it, %v", err)
	}
	s.ca.during = func(acme.Solver) error {
		s.now = s.now.Add(leaseTime + time.Second) // a sleeps
		return b.Pass(t.Context())
	}
	if _, err := a.Renew(t.Context(), "mx.example.org"); err != nil {
		t.Fatal(err)
	}
	before := s.show(b, "mx.example.org").Serial
	s.ca.during, s.ca.fail = func(acme.Solver) error {
		s.ca.during = nil
		s.now = s.now.Add(leaseTime + time.Second)
		return b.Pass(t.Context())
	}, nil
	if err := a.Pass(t.Context()); mail.KindOf(err) != mail.Conflict {
		t.Errorf("who lost the lease: %v", err)
	}
	after := s.show(b, "mx.example.org").Serial
	if len(s.ca.orders) != 2 || after == before {
		t.Errorf("%d orders, serial %s then %s", len(s.ca.orders), before, after)
	}
	// b's is the one that counts: it was asked for once.
	if err := errors.Join(a.Refresh(t.Context()), b.Refresh(t.Context())); err != nil || a.Certificate("").Leaf.SerialNumber.Cmp(b.Certificate("").Leaf.SerialNumber) != 0 {
		t.Errorf("they show different ones, %v", err)
	}
	b.release()
	s.ordered()
	s.pass(a, 61*day)
	s.expect("b is gone", "mx.example.org")
}

// TestSecretsGone: without the right secrets.key nothing is shown and nothing replaced, until
// somebody says so.
func TestSecretsGone(t *testing.T) {
	s := newSite(t)
	s.domains = nil
	s.pass(s.node("a"), 0)
	s.ordered()
	s.keyring = secrets.Open(secrets.Options{Paths: []string{filepath.Join(t.TempDir(), "secrets.key")}})
	if _, err := s.keyring.Seal("other", "", nil); err != nil {
		t.Fatal(err)
	}
	c := s.node("a")
	if c.Certificate("") != nil {
		t.Error("it is shown")
	}
	problems := 0
	if err := c.Check(t.Context(), func(string) { problems++ }); err != nil || problems != 1 {
		t.Errorf("%d problems, %v", problems, err)
	}
	s.pass(c, 61*day)
	s.expect("a renewal without the key")
	if st := s.show(c, "mx.example.org"); !strings.Contains(st.Fault, "Put the right secrets.key there") {
		t.Errorf("%+v", st)
	}
	if _, err := c.RotateKey(t.Context(), "mx.example.org", true); err != nil {
		t.Fatal(err)
	}
	s.pass(c, time.Minute)
	s.expect("begun anew", "mx.example.org")
	if s.ca.registered != 2 || c.Certificate("") == nil {
		t.Errorf("%d accounts", s.ca.registered)
	}
}

// TestCannotAsk: what is wrong with our side is told like what the authority says.
func TestCannotAsk(t *testing.T) {
	s := newSite(t)
	s.domains = nil
	c := s.node("a")
	c.o.Binding = func() (acme.Binding, error) { return acme.Binding{}, mail.Errorf(mail.Invalid, "the key file is gone") }
	s.pass(c, 0)
	if st := s.show(c, "mx.example.org"); st.State != Failing || st.Fault != "the key file is gone" || s.ca.registered != 0 {
		t.Errorf("%+v", st)
	}
	c.o.Authority = func(Settings) (Authority, error) { return nil, mail.Errorf(mail.Invalid, "the root file is gone") }
	s.pass(c, time.Hour)
	if st := s.show(c, "mx.example.org"); st.Failures != 2 || st.Fault != "the root file is gone" {
		t.Errorf("%+v", st)
	}
	s.expect("nobody was asked")
}

// records is a zone that takes updates.
type records struct {
	zone *dnstest.Zone
	put  []string
	gone []string
}

func (r *records) Put(_ context.Context, n dns.Name, text string) error {
	r.put = append(r.put, n.String())
	return r.zone.Add(n.FQDN() + ` TXT "` + text + `"`)
}

func (r *records) Remove(_ context.Context, n dns.Name, text string) error {
	r.gone = append(r.gone, n.String())
	return nil
}

// TestDNS: the record is written where the name leads, seen, and taken away.
func TestDNS(t *testing.T) {
	s := newSite(t)
	s.domains = nil
	z := &records{zone: s.zone}
	s.zones, s.set.Kind, s.set.Names = z, acme.DNS01, []string{"*.mx.example.org"}
	if err := s.zone.Add("_acme-challenge.mx.example.org. CNAME mx.acme.example.\n"); err != nil {
		t.Fatal(err)
	}
	s.ca.during = func(v acme.Solver) error {
		ch := acme.Challenge{Kind: acme.DNS01, Name: "mx.example.org", Token: "tok", KeyAuthorization: "tok.thumb"}
		defer v.Withdraw(t.Context(), ch)
		return v.Present(t.Context(), ch)
	}
	c := s.node("a")
	s.pass(c, 0)
	s.expect("a name and a wildcard", "mx.example.org *.mx.example.org")
	if !slices.Equal(z.put, []string{"mx.acme.example"}) || !slices.Equal(z.gone, z.put) {
		t.Errorf("put %q, gone %q", z.put, z.gone)
	}
	if c.Certificate("imap.mx.example.org") == nil || c.Certificate("a.b.mx.example.org") != nil {
		t.Error("the wildcard is not for one label")
	}
	s.zones = nil
	other := s.node("a")
	other.fence = c.fence
	if _, err := other.Renew(t.Context(), "mx.example.org"); err != nil {
		t.Fatal(err)
	}
	s.pass(other, time.Minute)
	if st := s.show(other, "mx.example.org"); !strings.Contains(st.Fault, "configure [dns_update]") {
		t.Errorf("%+v", st)
	}
}

// TestLeftChallenges: what a crash has left is not answered for ever, and goes.
func TestLeftChallenges(t *testing.T) {
	s := newSite(t)
	c := s.node("a")
	s.pass(c, 0)
	v := solver{c, s.set, c.fence}
	if err := v.Present(t.Context(), acme.Challenge{Kind: acme.HTTP01, Name: "x", Token: "left", KeyAuthorization: "left.x"}); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(acme.IssueTime + time.Second)
	if _, err := c.Answer(t.Context(), "left"); mail.KindOf(err) != mail.NotFound {
		t.Errorf("%v", err)
	}
	s.pass(c, 0)
	n := 0
	err := s.db.Read(t.Context(), func(tx *sqldb.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM certificate_challenge`).Scan(&n)
	})
	if err != nil || n != 0 {
		t.Errorf("%d are left, %v", n, err)
	}
	for _, odd := range []string{"", strings.Repeat("a", acme.MaxToken+1), "'; DROP TABLE certificate; --"} {
		if _, err := c.Answer(t.Context(), odd); mail.KindOf(err) != mail.NotFound {
			t.Errorf("%.20q: %v", odd, err)
		}
		if _, err := c.Handshake(t.Context(), odd); mail.KindOf(err) != mail.NotFound {
			t.Errorf("%.20q: %v", odd, err)
		}
	}
}
