package zone

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"yubin/internal/dns"
	"yubin/internal/engine/clients"
	"yubin/internal/engine/signing"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dane"
	"yubin/internal/mailauth/mtasts"
	"yubin/internal/mailauth/tlsrpt"
)

// Wanted is what a domain should have in the DNS.
type Wanted struct {
	Domain    mail.Domain
	AliasOf   mail.Domain // "" if it stands for itself
	Host      mail.Domain
	Addresses []netip.Addr // of the host
	// Records are the domain's own, and those of the host, which all domains here share:
	// what is needed first.
	Records []Record
	Notes   []string // what is left out and why, a sentence each

	policy *mtasts.Policy
	known  map[bool]bool // of IPv4 (true) and IPv6: the addresses are known, not looked up
	unsure map[Kind]bool // what there should be is not known now: nothing of it is outdated
}

// Wanted says what a domain should have in the DNS. It asks the DNS only for the addresses
// of this server, where neither the configuration nor its interfaces have them. Errors:
// NotFound if the domain is not here; Invalid without a host name.
func (z *Zone) Wanted(ctx context.Context, d mail.Domain) (Wanted, error) {
	return z.wanted(ctx, d, nil)
}

// wanted is Wanted with who asks the DNS; nil is the usual one.
func (z *Zone) wanted(ctx context.Context, d mail.Domain, names Names) (Wanted, error) {
	w := Wanted{Domain: d, known: map[bool]bool{}, unsure: map[Kind]bool{}}
	found, err := z.o.Directory.Domain(ctx, d)
	if err != nil {
		return w, err
	}
	s := z.o.Settings()
	if s.Host == "" || s.Host.IsLiteral() {
		return w, mail.Errorf(mail.Invalid, "the host name of this server is not known here: name its configuration with --config")
	}
	w.AliasOf, w.Host = found.AliasOf, s.Host
	b := &builder{Wanted: &w, s: s, domain: dns.Name(d), host: dns.Name(s.Host)}
	if err := z.addresses(ctx, b, names); err != nil {
		return w, err
	}
	b.mail()
	if err := z.keys(ctx, b); err != nil {
		return w, err
	}
	b.reports()
	if err := z.certificate(ctx, b); err != nil {
		return w, err
	}
	if err := z.services(ctx, b); err != nil {
		return w, err
	}
	slices.SortStableFunc(w.Records, func(a, b Record) int { return cmp.Or(cmp.Compare(a.Need, b.Need), cmp.Compare(a.Kind, b.Kind)) })
	return w, b.fault
}

// builder gathers records. The first fault stays: a name that the DNS cannot have.
type builder struct {
	*Wanted
	s            Settings
	domain, host dns.Name
	fault        error
}

// under is the name below one.
func (b *builder) under(label string, n dns.Name) dns.Name {
	below, err := n.Under(label)
	if err != nil && b.fault == nil {
		b.fault = mail.Errorf(mail.Invalid, "%s is too long for a name below it that mail needs: %v", n, err)
	}
	return below
}

func (b *builder) add(r Record) { b.Records = append(b.Records, r) }

func (b *builder) note(format string, values ...any) {
	b.Notes = append(b.Notes, fmt.Sprintf(format, values...))
}

// addresses finds those at which others reach the host: what is configured, else of each
// family what the interfaces have, else what the DNS has.
func (z *Zone) addresses(ctx context.Context, b *builder, names Names) error {
	b.Addresses = slices.Clone(b.s.Addresses)
	if len(b.Addresses) > 0 {
		b.known[true], b.known[false] = true, true
	} else {
		for _, a := range z.o.Own() {
			if a = a.Unmap().WithZone(""); isPublic(a) && !slices.Contains(b.Addresses, a) {
				b.Addresses = append(b.Addresses, a)
				b.known[a.Is4()] = true
			}
		}
	}
	if !b.known[true] || !b.known[false] {
		if err := z.lookUp(ctx, b, names); err != nil {
			return err
		}
	}
	for _, a := range b.Addresses {
		t := dns.TypeAAAA
		if a.Is4() {
			t = dns.TypeA
		}
		b.add(record(Address, Needed, b.host, t, "%s", a))
	}
	for _, a := range b.Addresses {
		b.add(record(Reverse, Needed, dns.Reverse(a), dns.TypePTR, "%s", b.host.FQDN()))
	}
	if len(b.Addresses) == 0 {
		b.note(`the addresses of %s are not known, neither from the interfaces of this machine nor from the DNS: write `+
			`addresses = ["192.0.2.1"] with its own into the configuration`, b.host)
	}
	return nil
}

// lookUp asks the DNS for the addresses of the host, of the families that nobody knows.
func (z *Zone) lookUp(ctx context.Context, b *builder, names Names) error {
	if names == nil {
		var err error
		if names, err = z.o.Resolvers.Ask(""); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, asked)
	defer cancel()
	var found []netip.Addr
	for four, ask := range map[bool]func(context.Context, dns.Name) (dns.Answer[netip.Addr], error){true: names.A, false: names.AAAA} {
		if b.known[four] {
			continue
		}
		if got, err := ask(ctx, b.host); err == nil {
			found = append(found, got.Records...)
		}
	}
	slices.SortFunc(found, netip.Addr.Compare)
	b.Addresses = append(b.Addresses, found[:min(len(found), MaxServers)]...)
	return nil
}

// isPublic reports whether others can reach an address from the Internet.
func isPublic(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

// shared is where carriers have their customers (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// mail are the records by which mail comes, and by which others believe who sends it.
func (b *builder) mail() {
	if b.s.TakesMail {
		b.add(record(MX, Needed, b.domain, dns.TypeMX, "10 %s", b.host.FQDN()))
	} else {
		b.note("no listener takes mail from others, so that there is no MX")
	}
	// Not -all: some refuse by it before they look at signatures (RFC 9989 §7.1).
	b.add(record(SPF, Needed, b.domain, dns.TypeTXT, "v=spf1 mx ~all"))
	if !b.s.TakesMail {
		b.Records[len(b.Records)-1].Value = "v=spf1 a:" + string(b.host) + " ~all"
	}
	if b.host != b.domain {
		b.add(record(SPFHost, Recommended, b.host, dns.TypeTXT, "v=spf1 a -all"))
	}
}

// keys are those of DKIM.
func (z *Zone) keys(ctx context.Context, b *builder) error {
	list, err := z.o.Keys.Wanted(ctx, b.Wanted.Domain)
	if err != nil && mail.KindOf(err) != mail.Unavailable {
		return err
	}
	if len(list) == 0 {
		b.unsure[DKIM] = true // Mail that was signed before may be under way.
		b.note("mail is not signed (DKIM), so that there is no key to publish")
	}
	for _, k := range list {
		n, err := dns.ParseName(k.Name)
		if err != nil {
			return err
		}
		value := k.Text
		if k.Type == dns.TypeCNAME {
			value += "."
		}
		r := record(DKIM, needOfKey(k, list), n, k.Type, "%s", value)
		if k.Key.ID != 0 {
			r.Note = fmt.Sprintf("%s key, %s", k.Key.Algorithm, k.Key.State)
		}
		if k.Type == dns.TypeTXT {
			r.signed = func(records []string) (bool, string) { return k.Key.In(records, k.Name) }
		}
		r.stays = k.Key.State >= signing.Retired
		b.add(r)
	}
	return nil
}

// needOfKey: what everybody verifies signs, or waits to; the rest makes it better, and
// what no longer signs is there for mail under way.
func needOfKey(k signing.Record, all []signing.Record) Need {
	signs := slices.ContainsFunc(all, func(o signing.Record) bool {
		return o.Key.State == signing.Active && o.Key.Algorithm == signing.RSA
	})
	switch {
	case k.Key.State == signing.Revoked || k.Key.ID == 0:
		return Optional
	case k.Key.State == signing.Retired || k.Key.Algorithm != signing.RSA || k.Key.State != signing.Active && signs:
		return Recommended
	}
	return Needed
}

// reports are the records that say who hears what others found.
func (b *builder) reports() {
	at := b.under("_dmarc", b.domain)
	to, elsewhere := reportsTo(b.s.DMARCReports, b.Wanted.Domain)
	if to == "" {
		b.add(record(DMARC, Needed, at, dns.TypeTXT, "v=DMARC1; p=none"))
		b.note("nobody takes reports of DMARC ([reports] in the configuration)")
	} else {
		b.add(record(DMARC, Needed, at, dns.TypeTXT, "v=DMARC1; p=none; rua=mailto:%s", to))
	}
	if elsewhere != "" { // RFC 9990 §4
		b.add(record(DMARCConsent, Recommended, b.under(string(b.domain)+"._report._dmarc", dns.Name(elsewhere)), dns.TypeTXT, "v=DMARC1"))
	}
	if to, _ := reportsTo(b.s.TLSReports, b.Wanted.Domain); to != "" {
		b.add(record(TLSRPT, Recommended, b.under(tlsrpt.Label, b.domain), dns.TypeTXT, "%s", tlsrpt.Record{URIs: []string{"mailto:" + to}}))
	}
}

// reportsTo is who gets the reports about a domain, and the domain of that address if it
// is another one.
func reportsTo(configured string, d mail.Domain) (address string, elsewhere mail.Domain) {
	if configured == "" {
		return "", ""
	}
	a, err := mail.ParseAddress(configured)
	if err != nil {
		return configured + "@" + string(d), ""
	}
	if a.Domain == d {
		return a.String(), ""
	}
	return a.String(), a.Domain
}

// certificate are the records that stand on the certificate: MTA-STS, TLSA, CAA.
func (z *Zone) certificate(ctx context.Context, b *builder) error {
	p, err := z.policy(b.Wanted.Domain, b.s)
	switch {
	case err == nil:
		b.policy = &p
		b.add(record(STS, Recommended, b.under(mtasts.RecordLabel, b.domain), dns.TypeTXT, "%s", mtasts.Record(p.ID())))
		b.add(record(STSHost, Recommended, b.under(mtasts.HostLabel, b.domain), dns.TypeCNAME, "%s", b.host.FQDN()))
	case !b.s.STSOff:
		b.unsure[STS], b.unsure[STSHost] = true, true // Who holds to the last one looks there for the next.
		b.note("there is no policy of MTA-STS: %v", err)
	}
	if b.s.Web && err != nil && !b.s.STSOff { // Without the name there can be no certificate for it.
		b.add(record(STSHost, Recommended, b.under(mtasts.HostLabel, b.domain), dns.TypeCNAME, "%s", b.host.FQDN()))
	}
	at := b.under("_25._tcp", b.host)
	b.unsure[Address] = len(b.Addresses) == 0 || !b.known[true] || !b.known[false]
	if chain := z.o.Certificates.Shown(string(b.host)); b.s.TakesMail && len(chain) > 0 {
		r := record(TLSA, Optional, at, dns.TypeTLSA, "%s", dane.FromCertificate(dane.EE, dane.SPKI, dane.SHA256, chain[0]))
		r.Note = "the key of the certificate"
		b.add(r)
		for _, spki := range z.o.Certificates.Next() {
			if next := record(TLSA, Optional, at, dns.TypeTLSA, "%s", tlsaOf(spki)); next.Value != r.Value {
				next.Note = "the next key: publish it before it is used"
				b.add(next)
			}
		}
	}
	issuers, err := z.o.Certificates.Issuers(ctx)
	for _, i := range issuers {
		value := i.Domain
		if i.Account != "" {
			value += "; accounturi=" + i.Account
		}
		b.add(record(CAA, Optional, b.host, dns.TypeCAA, `0 issue "%s"`, value))
	}
	return err
}

// Policy is the policy of MTA-STS of a domain (RFC 8461 §3.2). Errors: NotFound if there
// is none: the domain is not here, it is switched off, or others would not believe the
// certificates that it stands on.
func (z *Zone) Policy(ctx context.Context, d mail.Domain) (mtasts.Policy, error) {
	local, err := z.o.Directory.IsLocal(ctx, d)
	if err == nil && !local {
		err = mail.Errorf(mail.NotFound, "there is no domain %s here", d)
	}
	if err != nil {
		return mtasts.Policy{}, err
	}
	return z.policy(d, z.o.Settings())
}

// policy is Policy of a domain that is here.
func (z *Zone) policy(d mail.Domain, s Settings) (p mtasts.Policy, err error) {
	none := func(format string, values ...any) (mtasts.Policy, error) {
		return mtasts.Policy{}, mail.Errorf(mail.NotFound, format, values...)
	}
	host, err := mtasts.HostName(d)
	switch {
	case err != nil:
		return none("%v", err)
	case s.STSOff:
		return none("it is switched off in the configuration")
	case s.Host == "" || !s.TakesMail:
		return none("no listener takes mail from others")
	case !s.Web:
		return none("no listener speaks HTTPS on port 443")
	}
	for _, name := range []mail.Domain{host, s.Host} {
		if fault := z.believed(string(name)); fault != "" {
			return none("others do not believe the certificate for %s: %s", name, fault)
		}
	}
	return mtasts.Policy{Mode: s.STS, MX: []string{string(s.Host)}, MaxAge: s.STSAge}, nil
}

// services are the names by which mail clients find their settings.
func (z *Zone) services(ctx context.Context, b *builder) error {
	settings, err := z.o.Clients.Settings(ctx, b.Wanted.Domain)
	if err != nil {
		return err
	}
	offered := map[string]clients.Service{}
	for _, s := range settings.Services { // The best first.
		if _, there := offered[s.SRV()]; !there {
			offered[s.SRV()] = s
		}
	}
	// RFC 6186 §3.4, RFC 8314 §5.1: what is not there is said so; TLS from the first octet
	// goes first.
	for i, label := range []string{"_submissions._tcp", "_submission._tcp", "_imaps._tcp", "_imap._tcp", "_pop3s._tcp", "_pop3._tcp"} {
		at := b.under(label, b.domain)
		if s, there := offered[label]; there {
			b.add(record(Service, Optional, at, dns.TypeSRV, "%d 1 %d %s", 10*(i%2), s.Port, dns.Name(s.Host).FQDN()))
		} else {
			b.add(record(Service, Optional, at, dns.TypeSRV, "0 0 0 ."))
		}
	}
	if b.s.Web {
		b.add(record(Autoconfig, Optional, b.under("autoconfig", b.domain), dns.TypeCNAME, "%s", b.host.FQDN()))
		b.add(record(Autodiscover, Optional, b.under("autodiscover", b.domain), dns.TypeCNAME, "%s", b.host.FQDN()))
		b.add(record(Autodiscover, Optional, b.under("_autodiscover._tcp", b.domain), dns.TypeSRV, "0 1 443 %s", b.host.FQDN()))
	}
	return nil
}

// values are those of the records of a name and type that are wanted.
func (w Wanted) values(k Kind, n dns.Name, t dns.Type) (list []string) {
	for _, r := range w.Records {
		if r.Kind == k && r.Name == n && r.Type == t {
			list = append(list, r.Value)
		}
	}
	return list
}

// failure is why a lookup failed, for people.
func failure(err error) string {
	var e *dns.Error
	if errors.As(err, &e) && e.Detail != "" {
		return e.Failure.String() + " (" + e.Detail + ")"
	}
	return strings.TrimSpace(dns.FailureOf(err).String())
}
