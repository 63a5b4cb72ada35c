package courier

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dane"
	"yubin/internal/mailauth/mtasts"
	"yubin/internal/world/certs/certstest"
)

// TestTerms: what TLSA records and policies ask for is met by the host that gets the
// message, and by every session what came of it is told.
func TestTerms(t *testing.T) {
	var (
		key    = dane.FromCertificate(dane.EE, dane.SPKI, dane.SHA256, cert.Leaf()).String()
		wrong  = dane.FromCertificate(dane.EE, dane.SPKI, dane.SHA256, certstest.New("signed.example").Leaf()).String()
		public = dane.FromCertificate(dane.PKIXEE, dane.SPKI, dane.SHA256, cert.Leaf()).String()
	)
	policy := func(m mtasts.Mode, patterns ...string) *mtasts.Policy {
		return &mtasts.Policy{Mode: m, MX: patterns, MaxAge: time.Hour}
	}
	const (
		broken  = offersTLS + "C: STARTTLS\nS: 220 go\nnottls"
		refused = offersTLS + "C: STARTTLS\nS: 454 4.3.0 not now\n" + bye
		clear   = "S: 220 x\nC~ EHLO.*\nS: 250 x\n" + bye
		taken   = "answer 250 2.0.0"
		second  = "; 192.0.2.2 " + taken
	)
	both := func(first string) map[string][]string {
		return map[string][]string{"192.0.2.1": {first}, "192.0.2.2": {inTLS}}
	}
	only := func(scripts ...string) map[string][]string { return map[string][]string{"192.0.2.1": scripts} }
	listed := policy(mtasts.Enforce, "*.example.net")
	for _, c := range []struct {
		name   string
		to     mail.Domain // signed.example, unless it is said
		tlsa   string
		policy *mtasts.Policy
		hosts  map[string][]string
		change func(*mail.Transaction)
		want   string
		terms  string // of the last attempt
		told   string
	}{
		{name: "DANE", tlsa: key, hosts: only(inTLS), want: "delivered; 192.0.2.1 " + taken, terms: "DANE", told: "tlsa"},
		{name: "DANE, a certificate for another name", to: "implicit.example", tlsa: key, hosts: only(inTLS), want: "delivered; 192.0.2.1 " + taken, terms: "DANE", told: "tlsa"},
		{name: "DANE, another certificate", tlsa: wrong, hosts: only(broken), want: "deferred; 192.0.2.1 tls 4.7.5 deferred", terms: "DANE",
			told: "tlsa certificate-not-trusted (none of the TLSA records of the host names it)"},
		{name: "DANE, no TLS", tlsa: key, hosts: only(clear), want: "deferred; 192.0.2.1 tls 4.7.10 deferred", terms: "DANE", told: "tlsa starttls-not-supported"},
		{name: "DANE, TLS is refused", tlsa: key, hosts: only(refused), want: "deferred; 192.0.2.1 tls 454 4.3.0 deferred", terms: "DANE", told: "tlsa validation-failure (not now)"},
		{name: "DANE, no record can be used", tlsa: public, to: "implicit.example", hosts: only(inTLS), want: "delivered; 192.0.2.1 " + taken,
			terms: "DANE without usable records", told: "tlsa tlsa-invalid (no record can be used)"},
		{name: "DANE, no record can be used, no TLS", tlsa: public, hosts: only(clear), want: "deferred; 192.0.2.1 tls 4.7.10 deferred",
			terms: "DANE without usable records", told: "tlsa starttls-not-supported"},
		{name: "DANE, waived", tlsa: wrong, hosts: only(takes), change: func(m *mail.Transaction) { m.TLSOptional = true },
			want: "delivered; 192.0.2.1 " + taken, terms: "TLS-Required: No"},
		{name: "DANE, the session ends before TLS", tlsa: key, hosts: only("S: 554 no"), want: "failed; 192.0.2.1 greeting 554 failed", terms: "DANE"},
		{name: "DANE, nobody is there", tlsa: key, want: "deferred; 192.0.2.1 connect 4.4.1 deferred", terms: "DANE"},

		{name: "enforced", to: "example.net", policy: listed, hosts: both(inTLS), want: "delivered; 192.0.2.1 " + taken, terms: "MTA-STS", told: "sts"},
		{name: "enforced, the first has no TLS", to: "example.net", policy: listed, hosts: both(clear),
			want: "delivered; 192.0.2.1 tls 4.7.10 deferred" + second, terms: "MTA-STS", told: "sts starttls-not-supported; sts"},
		{name: "enforced, only the second is listed", to: "example.net", policy: policy(mtasts.Enforce, "mx2.example.net"), hosts: both(inTLS),
			want: "delivered; route 4.7.5 deferred" + second, terms: "MTA-STS", told: "sts validation-failure (the policy does not list the host); sts"},
		{name: "enforced, none is listed", to: "example.net", policy: policy(mtasts.Enforce, "mx.example.org"), hosts: both(inTLS),
			want: "deferred; route 4.7.5 deferred; route 4.7.5 deferred",
			told: "sts validation-failure (the policy does not list the host); sts validation-failure (the policy does not list the host)"},
		{name: "enforced, a certificate for another name", to: "implicit.example", policy: policy(mtasts.Enforce, "implicit.example"), hosts: only(broken),
			want: "deferred; 192.0.2.1 tls 4.7.5 deferred", terms: "MTA-STS", told: "sts certificate-host-mismatch (it is for another name)"},
		{name: "enforced, waived", to: "implicit.example", policy: policy(mtasts.Enforce, "mx.example.org"), hosts: only(inTLS),
			change: func(m *mail.Transaction) { m.TLSOptional = true }, want: "delivered; 192.0.2.1 " + taken, terms: "TLS-Required: No"},
		{name: "tested", to: "example.net", policy: policy(mtasts.Testing, "*.example.net"), hosts: both(inTLS),
			want: "delivered; 192.0.2.1 " + taken, terms: "MTA-STS testing: met", told: "sts"},
		{name: "tested, no TLS", to: "example.net", policy: policy(mtasts.Testing, "*.example.net"), hosts: both(takes),
			want: "delivered; 192.0.2.1 " + taken, terms: "MTA-STS testing: not met, no TLS", told: "sts starttls-not-supported (no TLS)"},
		{name: "tested, not listed", to: "example.net", policy: policy(mtasts.Testing, "mx2.example.net"), hosts: both(inTLS),
			want: "delivered; 192.0.2.1 " + taken, terms: "MTA-STS testing: not met, the policy does not list the host",
			told: "sts validation-failure (the policy does not list the host)"},
		{name: "tested, a certificate for another name", to: "implicit.example", policy: policy(mtasts.Testing, "implicit.example"), hosts: only(inTLS),
			want: "delivered; 192.0.2.1 " + taken, terms: "MTA-STS testing: not met, certificate: it is for another name",
			told: "sts certificate-host-mismatch (certificate: it is for another name)"},
		{name: "tested, TLS breaks", to: "implicit.example", policy: policy(mtasts.Testing, "implicit.example"),
			hosts: only(offersTLS+"C: STARTTLS\nS: 220 go\nclose", takes),
			want:  "delivered; 192.0.2.1 tls 4.7.5 deferred; 192.0.2.1 " + taken, terms: "MTA-STS testing: not met, no TLS",
			told: "sts validation-failure (the TLS handshake failed)"},
		{name: "nobody asks, TLS", to: "implicit.example", hosts: only(inTLS), want: "delivered; 192.0.2.1 " + taken, told: "no-policy-found"},
		{name: "nobody asks, no TLS", to: "implicit.example", hosts: only(takes), want: "delivered; 192.0.2.1 " + taken,
			told: "no-policy-found starttls-not-supported (no TLS)"},
		{name: "demanded, and the policy lists the host", to: "example.net", policy: listed, change: func(m *mail.Transaction) { m.RequireTLS = true },
			hosts: both(toTLS + "C~ EHLO.*\nS: 250-x\nS: 250-REQUIRETLS\nS: 250 PIPELINING\n" + strings.ReplaceAll(one, "C~ MAIL.*", "C~ MAIL.* REQUIRETLS") + "S: 250 2.0.0 taken\nhold"),
			want:  "delivered; 192.0.2.1 " + taken, terms: "REQUIRETLS, MTA-STS", told: "sts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				if c.to == "" {
					c.to = "signed.example"
				}
				if c.policy != nil {
					w.policies = policies{c.to: *c.policy}
				}
				if c.tlsa != "" {
					w.dns.Sign(dns.Name(c.to))
					if err := w.dns.Add("_25._tcp." + string(c.to) + ". TLSA " + c.tlsa); err != nil {
						t.Fatal(err)
					}
				}
				for addr, scripts := range c.hosts {
					w.host(addr, scripts...)
				}
				m := post("b")
				if c.change != nil {
					c.change(&m)
				}
				courier := w.courier(IdleLimits{Time: time.Second})
				r := courier.Carry(t.Context(), mx(c.to), m)[0]
				for _, s := range courier.idle.sweep(func(*session) bool { return true }) {
					s.Quit(t.Context())
				}
				if got := tell(r); got != c.want {
					t.Errorf("\n got: %s\nwant: %s", got, c.want)
				}
				if got := r.Attempts[len(r.Attempts)-1].TLSTerms; got != c.terms {
					t.Errorf("terms: %q, want %q", got, c.terms)
				}
				if got := w.told(t, c.to); got != c.told {
					t.Errorf("told:\n got: %s\nwant: %s", got, c.told)
				}
			})
		})
	}
}

// told is what was observed, and checks that it says where.
func (w *world) told(t *testing.T, d mail.Domain) string {
	var list []string
	for _, o := range w.observed {
		s := o.Policy.Type.String()
		if o.For != d {
			t.Errorf("the report is for %q", o.For)
		}
		if f := o.Failure; f != nil {
			s += " " + string(f.Result)
			if f.ReasonCode != "" {
				s += " (" + f.ReasonCode + ")"
			}
			if f.MXHostname == "" || f.ReasonCode != "the policy does not list the host" && (!f.ReceivingIP.IsValid() || !f.SendingIP.IsValid()) {
				t.Errorf("where? %+v", f)
			}
		}
		list = append(list, s)
	}
	return strings.Join(list, "; ")
}

// TestSessionsAreOfTheirTerms: what was opened under one policy is not used under another.
func TestSessionsAreOfTheirTerms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("192.0.2.1", inTLS)
		c := w.courier(IdleLimits{})
		carry := func() {
			t.Helper()
			if r := c.Carry(t.Context(), mx("signed.example"), post("b"))[0]; r.Outcome != mail.Delivered {
				t.Error(tell(r))
			}
		}
		carry()
		record := dane.FromCertificate(dane.EE, dane.SPKI, dane.SHA256, cert.Leaf())
		if err := w.dns.Add("_25._tcp.signed.example. TLSA " + record.String()); err != nil {
			t.Fatal(err)
		}
		carry()
		record = dane.FromCertificate(dane.EE, dane.Cert, dane.SHA256, cert.Leaf())
		if err := w.dns.Add("_25._tcp.signed.example. TLSA " + record.String()); err != nil {
			t.Fatal(err)
		}
		carry()
		if len(w.dialed) != 3 {
			t.Errorf("dialed %v", w.dialed)
		}
		for _, s := range c.idle.sweep(func(*session) bool { return true }) {
			s.Quit(t.Context())
		}
	})
}
