package dane

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
)

var now = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// issued is a certificate with its key.
type issued struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

var serial int64

// issue makes a certificate; without by it signs itself.
func issue(by *issued, change func(*x509.Certificate)) *issued {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	serial++
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0)}
	change(c)
	parent, signer := c, key
	if by != nil {
		parent, signer = by.Certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		panic(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &issued{made, key}
}

func authority(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject, c.IsCA, c.BasicConstraintsValid, c.KeyUsage = pkix.Name{CommonName: name}, true, true, x509.KeyUsageCertSign
	}
}

func host(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = names }
}

func old(change func(*x509.Certificate)) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		change(c)
		c.NotAfter = now.AddDate(0, -1, 0)
	}
}

var (
	root       = issue(nil, authority("root"))
	middle     = issue(root, authority("middle"))
	leaf       = issue(middle, host("mx.example.org"))
	expired    = issue(middle, old(host("mx.example.org")))
	star       = issue(middle, host("*.example.org", "mx*.example.com"))
	subject    = issue(middle, func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "mx.example.org"} })
	both       = issue(middle, func(c *x509.Certificate) { host("a.example")(c); c.Subject = pkix.Name{CommonName: "mx.example.org"} })
	alone      = issue(nil, host("other.example"))
	alonePast  = issue(nil, old(host("other.example")))
	pastMiddle = issue(root, old(authority("past")))
	underPast  = issue(pastMiddle, host("mx.example.org"))
	impostor   = issue(nil, authority("middle"))
	forged     = issue(impostor, host("mx.example.org"))
	noCA       = issue(leaf, host("mx.example.org"))
)

func chain(list ...*issued) (c []*x509.Certificate) {
	for _, i := range list {
		c = append(c, i.Certificate)
	}
	return c
}

// TestVerify: RFC 7672 §3.1, §3.2.
func TestVerify(t *testing.T) {
	of := func(usage, selector, matching uint8, c *issued) Record {
		return FromCertificate(usage, selector, matching, c.Certificate)
	}
	mx := []string{"mx.example.org"}
	whole := chain(leaf, middle, root)
	for name, c := range map[string]struct {
		records []Record
		chain   []*x509.Certificate
		names   []string
		want    mail.CertFault
	}{
		"EE, the key":                        {[]Record{of(EE, SPKI, SHA256, leaf)}, whole, mx, mail.CertGood},
		"EE, the certificate":                {[]Record{of(EE, Cert, SHA512, leaf)}, whole, mx, mail.CertGood},
		"EE, in full":                        {[]Record{of(EE, SPKI, Full, leaf)}, whole, mx, mail.CertGood},
		"EE for another name":                {[]Record{of(EE, SPKI, SHA256, alone)}, chain(alone), mx, mail.CertGood},
		"EE that has expired":                {[]Record{of(EE, Cert, SHA256, alonePast)}, chain(alonePast), nil, mail.CertGood},
		"EE of another host":                 {[]Record{of(EE, SPKI, SHA256, alone)}, whole, mx, mail.CertUnnamed},
		"EE that names an authority":         {[]Record{of(EE, SPKI, SHA256, middle)}, whole, mx, mail.CertUnnamed},
		"one of two":                         {[]Record{of(EE, SPKI, SHA256, alone), of(EE, SPKI, SHA256, leaf)}, whole, mx, mail.CertGood},
		"no certificate":                     {[]Record{of(EE, SPKI, SHA256, leaf)}, nil, mx, mail.CertMissing},
		"no record":                          {nil, whole, mx, mail.CertUnnamed},
		"TA, the root":                       {[]Record{of(TA, Cert, SHA256, root)}, whole, mx, mail.CertGood},
		"TA, the one below it":               {[]Record{of(TA, Cert, SHA256, middle)}, chain(leaf, middle), mx, mail.CertGood},
		"TA, its key":                        {[]Record{of(TA, SPKI, SHA512, root)}, whole, mx, mail.CertGood},
		"TA, the order is another":           {[]Record{of(TA, SPKI, SHA512, root)}, chain(leaf, root, alone, middle), mx, mail.CertGood},
		"TA that is not shown":               {[]Record{of(TA, Cert, SHA256, root)}, chain(leaf, middle), mx, mail.CertUnnamed},
		"TA in full that is not shown":       {[]Record{of(TA, Cert, Full, root)}, chain(leaf, middle), mx, mail.CertGood},
		"TA that names the host's own":       {[]Record{of(TA, SPKI, SHA256, leaf)}, whole, mx, mail.CertUnnamed},
		"TA, another name":                   {[]Record{of(TA, Cert, SHA256, root)}, whole, []string{"mx.example.com"}, mail.CertName},
		"TA, no name":                        {[]Record{of(TA, Cert, SHA256, root)}, whole, nil, mail.CertName},
		"TA, the second name":                {[]Record{of(TA, Cert, SHA256, root)}, whole, []string{"example.org", "MX.example.org."}, mail.CertGood},
		"TA, expired":                        {[]Record{of(TA, Cert, SHA256, root)}, chain(expired, middle, root), mx, mail.CertExpired},
		"TA, expired above":                  {[]Record{of(TA, Cert, SHA256, root)}, chain(underPast, pastMiddle, root), mx, mail.CertExpired},
		"TA, a forged chain":                 {[]Record{of(TA, Cert, SHA256, middle)}, chain(forged, middle, root), mx, mail.CertUnknown},
		"TA, issued by who is none":          {[]Record{of(TA, Cert, SHA256, root)}, chain(noCA, leaf, middle, root), mx, mail.CertUnknown},
		"TA fails and EE fits":               {[]Record{of(TA, Cert, SHA256, root), of(EE, SPKI, SHA256, expired)}, chain(expired, middle, root), mx, mail.CertGood},
		"the first fault of an authority":    {[]Record{of(EE, SPKI, SHA256, alone), of(TA, Cert, SHA256, root)}, chain(expired, middle, root), mx, mail.CertExpired},
		"TA, a star":                         {[]Record{of(TA, Cert, SHA256, root)}, chain(star, middle, root), mx, mail.CertGood},
		"TA, a star is one label":            {[]Record{of(TA, Cert, SHA256, root)}, chain(star, middle, root), []string{"a.mx.example.org", "example.org"}, mail.CertName},
		"TA, a star is a whole label":        {[]Record{of(TA, Cert, SHA256, root)}, chain(star, middle, root), []string{"mx1.example.com"}, mail.CertName},
		"TA, the subject":                    {[]Record{of(TA, Cert, SHA256, root)}, chain(subject, middle, root), mx, mail.CertGood},
		"TA, no subject beside names in DNS": {[]Record{of(TA, Cert, SHA256, root)}, chain(both, middle, root), mx, mail.CertName},
		"more than are looked at":            {[]Record{of(TA, Cert, SHA256, root)}, append(slices.Repeat(chain(leaf), MaxChain), chain(middle, root)...), mx, mail.CertUnnamed},
	} {
		if got := (Trust{c.records, c.names}).Verify(c.chain, now); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestUsable: which records a host is held to (RFC 7672 §3.1, RFC 7671 §9).
func TestUsable(t *testing.T) {
	tlsa := func(text string) dns.TLSA {
		r, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return dns.TLSA(r)
	}
	short, long := strings.Repeat("ab", 32), strings.Repeat("cd", 64)
	key := FromCertificate(EE, SPKI, Full, leaf.Certificate).String()
	cert := FromCertificate(TA, Cert, Full, root.Certificate).String()
	for name, c := range map[string]struct{ records, want []string }{
		"the usual":                  {[]string{"3 1 1 " + short, "2 0 1 " + short}, []string{"3 1 1 " + short, "2 0 1 " + short}},
		"by public authorities":      {[]string{"0 0 1 " + short, "1 1 1 " + short}, nil},
		"unknown numbers":            {[]string{"4 1 1 " + short, "255 1 1 " + short, "3 2 1 " + short, "3 1 3 " + short}, nil},
		"a digest of another length": {[]string{"3 1 1 " + long, "3 1 2 " + short, "3 1 1 ab"}, nil},
		"no data that is a key":      {[]string{"3 1 0 " + short, "2 0 0 " + short}, nil},
		"whole keys, certificates":   {[]string{key, cert}, []string{key, cert}},
		"a stronger digest": {[]string{"3 1 1 " + short, "3 1 2 " + long, key, "3 0 1 " + short},
			[]string{"3 1 2 " + long, key, "3 0 1 " + short}},
		"a stronger digest that is broken": {[]string{"3 1 1 " + short, "3 1 2 " + short}, []string{"3 1 1 " + short}},
	} {
		var records []dns.TLSA
		for _, text := range c.records {
			records = append(records, tlsa(text))
		}
		var got []string
		for _, r := range Usable(records) {
			got = append(got, r.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if n := len(Usable(slices.Repeat([]dns.TLSA{tlsa("3 1 1 " + short)}, MaxRecords+5))); n != MaxRecords {
		t.Errorf("%d records are held to", n)
	}
}

func TestFromCertificate(t *testing.T) {
	for _, usage := range []uint8{TA, EE} {
		for _, selector := range []uint8{Cert, SPKI} {
			for _, matching := range []uint8{Full, SHA256, SHA512} {
				r := FromCertificate(usage, selector, matching, leaf.Certificate)
				again, err := Parse(r.String())
				if err != nil || again.String() != r.String() || !r.usable() || !r.names(leaf.Certificate) || r.names(middle.Certificate) {
					t.Errorf("%s: %v, %v", r, again, err)
				}
			}
		}
	}
	if r := FromCertificate(EE, 2, 1, leaf.Certificate); r.Data != nil {
		t.Error(r)
	}
	if r := FromCertificate(EE, 1, 3, leaf.Certificate); r.Data != nil {
		t.Error(r)
	}
}

func TestParse(t *testing.T) {
	r, err := Parse(" 3  1 1 AbC0 \t 01")
	if err != nil || r.Usage != 3 || r.Selector != 1 || r.Matching != 1 || !bytes.Equal(r.Data, []byte{0xab, 0xc0, 1}) {
		t.Errorf("%+v, %v", r, err)
	}
	for _, bad := range []string{"", "3 1 1", "256 1 1 ab", "3 -1 1 ab", "3 1 x ab", "3 1 1 a", "3 1 1 xy"} {
		if _, err := Parse(bad); mail.KindOf(err) != mail.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// FuzzVerify: whatever the DNS says, nothing but a record of the certificate lets it in.
func FuzzVerify(f *testing.F) {
	f.Add(uint8(3), uint8(1), uint8(1), []byte("abc"))
	f.Add(uint8(2), uint8(0), uint8(0), root.Raw)
	f.Add(uint8(3), uint8(1), uint8(0), leaf.RawSubjectPublicKeyInfo)
	f.Fuzz(func(t *testing.T, usage, selector, matching uint8, data []byte) {
		records := Usable([]dns.TLSA{{Usage: usage, Selector: selector, Matching: matching, Data: data}})
		trust := Trust{records, []string{"mx.example.org"}}
		if trust.Verify(chain(leaf, middle, root), now) != mail.CertGood {
			return
		}
		for _, c := range chain(leaf, middle, root) {
			if bytes.Equal(FromCertificate(usage, selector, matching, c).Data, data) {
				return
			}
		}
		t.Fatalf("%v lets it in", records)
	})
}
