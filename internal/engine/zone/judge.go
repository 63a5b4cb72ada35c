package zone

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dane"
	"yubin/internal/mailauth/dmarc"
	"yubin/internal/mailauth/mtasts"
	"yubin/internal/mailauth/spf"
	"yubin/internal/mailauth/tlsrpt"
)

// exchangers: mail has to come here first.
func (c *check) exchangers(g group) Finding {
	a, err := c.names.MX(c.ctx, c.w.Domain)
	f := g.finding(nil)
	switch failed := dns.FailureOf(err); {
	case failed == dns.NXDomain:
		return f.be(Missing, "the domain does not exist in the DNS")
	case failed.NotFound():
		return f.be(Missing, "")
	case failed != dns.None:
		return f.be(Unknown, "%s", failure(err))
	}
	slices.SortStableFunc(a.Records, func(a, b dns.MX) int {
		return cmp.Or(cmp.Compare(a.Preference, b.Preference), cmp.Compare(a.Host, b.Host))
	})
	var there []string
	for _, mx := range a.Records {
		there = append(there, fmt.Sprintf("%d %s", mx.Preference, mx.Host.FQDN()))
	}
	f.show(there)
	if dns.IsNullMX(a.Records) {
		return f.be(Wrong, "it says that the domain takes no mail")
	}
	best := -1 // the preference of the first that leads here
	var others, later []string
	for _, mx := range a.Records[:min(len(a.Records), MaxHosts)] {
		here, fault := c.leads(mx.Host)
		switch {
		case here:
			if alias, err := c.names.Records(c.ctx, mx.Host, dns.TypeCNAME); err == nil && len(alias.Records) > 0 {
				return f.be(Wrong, "%s is an alias (CNAME), and some servers deliver to none: name the host itself", mx.Host)
			}
			if best < 0 {
				best = int(mx.Preference)
			}
		case best < 0 || int(mx.Preference) == best:
			others = append(others, name(mx.Host, fault))
		default:
			later = append(later, name(mx.Host, fault))
		}
	}
	switch {
	case best < 0:
		return f.be(Wrong, "mail goes to %s, and not to this server", listed(others))
	case len(others) > 0:
		return f.be(Wrong, "mail goes to %s too, before this server or in turn with it", listed(others))
	case len(later) > 0:
		return f.right(fmt.Sprintf("mail goes to %s while this server cannot be reached: if that is none of yours, remove it", listed(later)))
	}
	return f.right("")
}

// name is a host, with what is the matter with it.
func name(host dns.Name, fault string) string {
	if fault == "" {
		return host.String()
	}
	return host.String() + " (" + fault + ")"
}

func listed(words []string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
	return strings.Join(words, "")
}

// noAddress: nobody knows where this server is.
func (c *check) noAddress() []Finding {
	f := Finding{Kind: Address, Name: dns.Name(c.w.Host), Type: dns.TypeA, Need: Needed}
	return []Finding{f.be(Missing, "the host has no address in the DNS, and this machine has none that others reach: write an A record "+
		"with the address by which it is reached, and addresses into the configuration")}
}

// address: the host has its addresses and no other.
func (c *check) address(f Finding, g group, got got) Finding {
	missing, extra := without(g.values(), got.records), without(got.records, g.values())
	switch {
	case len(missing) > 0 && len(extra) > 0:
		return f.be(Wrong, "%s is no address of this server, and %s is not there", listed(extra), listed(missing))
	case len(missing) > 0:
		return f.be(Wrong, "%s is not there", listed(missing))
	case len(extra) > 0:
		return f.be(Wrong, "%s is no address of this server: part of the mail gets lost there", listed(extra))
	}
	return f.right("")
}

// reverse: the name of an address leads back to it (RFC 8601 §3, iprev).
func (c *check) reverse(g group) Finding {
	f := g.finding(nil)
	f.Want = nil // Whoever gave the address writes it.
	i := slices.IndexFunc(c.w.Addresses, func(a netip.Addr) bool { return dns.Reverse(a) == g.name })
	addr := c.w.Addresses[i]
	got, err := c.names.PTR(c.ctx, addr)
	switch failed := dns.FailureOf(err); {
	case failed.NotFound():
		return f.be(Missing, "the address %s has no name: have whoever gave it to you write %s", addr, c.w.Host)
	case failed != dns.None:
		return f.be(Unknown, "%s", failure(err))
	}
	f.show(texts(got.Records))
	var back []string
	for _, n := range got.Records[:min(len(got.Records), MaxHosts)] {
		ask := c.names.AAAA
		if addr.Is4() {
			ask = c.names.A
		}
		forth, err := ask(c.ctx, n)
		if dns.FailureOf(err).Temporary() {
			return f.be(Unknown, "%s: %s", n, failure(err))
		}
		if slices.Contains(forth.Records, addr) {
			back = append(back, n.String())
		}
	}
	switch {
	case len(back) == 0:
		return f.be(Wrong, "the address %s is called %s, and that has another address: have whoever gave it to you write %s", addr, listed(texts(got.Records)), c.w.Host)
	case !slices.Contains(back, string(c.w.Host)):
		return f.right(fmt.Sprintf("the address %s is called %s; some servers want it to be called %s, as this server calls itself", addr, listed(back), c.w.Host))
	}
	return f.right("")
}

// strangers are addresses that nobody sends mail from (RFC 2544, RFC 5180).
var strangers = []netip.Addr{netip.MustParseAddr("198.18.0.77"), netip.MustParseAddr("2001:2::77")}

// spf: this server may send, and not everybody. It is evaluated as others do.
func (c *check) spf(g group) Finding {
	got := c.get(g)
	f := g.finding(got.records)
	q := spf.Query{Helo: string(c.w.Host), Now: c.o.Now()}
	if g.kind == SPF {
		q.Sender = mail.ReversePath{Local: "postmaster", Domain: c.w.Domain}
	}
	switch {
	case got.fault != "":
		return f.be(Unknown, "%s", got.fault)
	case len(got.records) == 0:
		return f.be(Missing, "")
	}
	for _, q.IP = range c.w.Addresses {
		v := spf.Check(c.ctx, c.names, q)
		switch v.Result {
		case spf.Pass:
		case spf.TempError:
			return f.be(Unknown, "%s", v.Reason)
		case spf.PermError:
			return f.be(Wrong, "nobody can evaluate it: %s", v.Reason)
		default:
			if g.kind == SPF && len(got.records) == 1 { // What else it says may be meant so.
				if merged := withMX(got.records[0]); len(merged) <= MaxText {
					f.Want[0].Value = merged
				}
			}
			return f.be(Wrong, "mail of this server, from %s, comes to %q: %s", q.IP, v.Result, v.Reason)
		}
	}
	advice := ""
	for _, q.IP = range strangers {
		switch v := spf.Check(c.ctx, c.names, q); v.Result {
		case spf.Pass:
			return f.be(Wrong, "it lets anybody send: %s", v.Reason)
		case spf.Neutral, spf.None:
			advice = "it does not say what mail from elsewhere is: end it in ~all"
		}
	}
	return f.right(advice)
}

// withMX is a record that has the mechanism mx first.
func withMX(record string) string {
	version, rest, _ := strings.Cut(record, " ")
	return strings.TrimRight(version+" mx "+strings.TrimLeft(rest, " "), " ")
}

// key: others can verify what a key of DKIM signed.
func (c *check) key(f Finding, g group, got got) Finding {
	r := g.records[0]
	if r.signed == nil {
		return c.same(f, g, got)
	}
	found, note := r.signed(got.records)
	if !found {
		return f.be(Wrong, "%s", note)
	}
	return f.right("")
}

// dmarc: there is a policy, and reports come. A domain above may say it for all below.
func (c *check) dmarc(f Finding, g group, got got) Finding {
	usable := 0
	for _, r := range got.records {
		if _, ok := dmarc.ParseRecord(r); ok {
			usable++
		}
	}
	if usable > 1 {
		return f.be(Wrong, "there is more than one, so that none counts")
	}
	v := dmarc.Check(c.ctx, c.names, c.w.Domain, nil)
	switch {
	case v.Result == dmarc.TempError:
		return f.be(Unknown, "%s", v.Reason)
	case v.Record == nil && len(got.records) > 0:
		return f.be(Wrong, "nobody can read it")
	case v.Record == nil:
		return f.be(Missing, "")
	case v.Record.Unusable != "":
		return f.be(Wrong, "%s", v.Reason)
	}
	_, to, reports := strings.Cut(g.records[0].Value, "rua=")
	switch above := v.Domain != dns.Name(c.w.Domain); {
	case above:
		return f.right(fmt.Sprintf("%s says it for all domains below it; reports go where that one wants", v.Domain))
	case reports && !slices.ContainsFunc(v.Record.Aggregate, func(uri string) bool { return strings.EqualFold(uri, to) }):
		return f.right(fmt.Sprintf("reports do not come to this server: add rua=%s", to))
	case v.Record.Policy == dmarc.NoPolicy:
		return f.right("p=none stops nobody: once the reports (yubin reports dmarc) show that all mail of yours passes, write p=quarantine, then p=reject")
	case v.Record.Test:
		return f.right("t=y says that the policy is only being tested: leave it away once reports show that all mail of yours passes")
	}
	return f.right("")
}

// sts: the record names the policy that is handed out.
func (c *check) sts(f Finding, got got) Finding {
	id, err := mtasts.ParseRecord(got.records)
	switch {
	case err != nil:
		return f.be(Wrong, "%v", err)
	case id != c.w.policy.ID():
		return f.be(Wrong, "it names another policy than this server has: who has that one does not fetch the new one")
	}
	return f.right("")
}

// leadsHere: a name of the domain is one of this server, by an alias or an address.
func (c *check) leadsHere(g group) Finding {
	f := g.finding(nil)
	if alias, err := c.names.Records(c.ctx, g.name, dns.TypeCNAME); err == nil {
		f.show(alias.Records)
	} else if !dns.FailureOf(err).NotFound() {
		return f.be(Unknown, "%s", failure(err))
	}
	a, err := c.names.Addresses(c.ctx, g.name)
	if len(f.There) == 0 {
		f.show(texts(a.Records))
	}
	switch failed := dns.FailureOf(err); {
	case failed.NotFound() && len(f.There) == 0:
		return f.be(Missing, "")
	case failed.NotFound():
		return f.be(Wrong, "it leads to a name without an address")
	case failed != dns.None:
		return f.be(Unknown, "%s", failure(err))
	case !slices.ContainsFunc(a.Records, c.ours):
		return f.be(Wrong, "it leads to %s, and not to this server", listed(texts(a.Records[:min(len(a.Records), 3)])))
	}
	return f.right("")
}

// tlsrpt: somebody hears of trouble with TLS.
func (c *check) tlsrpt(f Finding, g group, got got) Finding {
	there, err := tlsrpt.ParseRecord(got.records)
	if err != nil {
		return f.be(Wrong, "%v", err)
	}
	wanted, err := tlsrpt.ParseRecord([]string{g.records[0].Value})
	if err == nil && !slices.ContainsFunc(there.URIs, func(uri string) bool { return strings.EqualFold(uri, wanted.URIs[0]) }) {
		return f.right("reports do not come to this server: add " + wanted.URIs[0] + " after rua=, behind a comma")
	}
	return f.right("")
}

// tlsa: whoever holds to DANE finds a key that the server shows.
func (c *check) tlsa(f Finding, g group, got got) Finding {
	signed := c.signed(dns.Name(c.w.Host))
	if len(got.records) == 0 {
		if signed {
			f.Need = Recommended
			return f.be(Missing, "")
		}
		return f.be(Missing, "it is of no use before the zone is signed (DNSSEC)")
	}
	var there []dns.TLSA
	for _, text := range got.records {
		if r, err := dane.Parse(text); err == nil {
			there = append(there, dns.TLSA(r))
		}
	}
	usable := dane.Usable(there)
	if fits := c.fits(usable); !fits && len(usable) > 0 {
		if got.authentic {
			f.Need = Needed
		}
		return f.be(Wrong, "it names no key that this server shows: who holds to DANE brings no mail")
	}
	missing, extra := without(g.values(), got.records), without(got.records, g.values())
	switch {
	case len(missing) > 0:
		if got.authentic {
			f.Need = Recommended
		}
		return f.be(Wrong, "a key is not there: mail stops for who holds to DANE when this server shows it")
	case len(extra) > 0:
		return f.right("a record is for no key of this server (any more): remove it when it is sure that the key will not be used")
	case !got.authentic:
		return f.right("it does not count before the zone is signed (DNSSEC)")
	}
	return f.right("")
}

// fits reports whether TLSA records name what the host shows, as far as it can be seen, else
// what it would show.
func (c *check) fits(usable []dane.Record) bool {
	trust := dane.Trust{Records: usable, Names: []string{string(c.w.Host), string(c.w.Domain)}}
	chains := 0
	for _, look := range c.looks {
		if seen := look(); len(seen.Chain) > 0 {
			chains++
			if trust.Verify(seen.Chain, c.o.Now()) != mail.CertGood {
				return false
			}
		}
	}
	return chains > 0 || trust.Verify(c.o.Certificates.Shown(string(c.w.Host)), c.o.Now()) == mail.CertGood
}

// signed reports whether the addresses of a host are proved by DNSSEC.
func (c *check) signed(host dns.Name) bool {
	a, err := c.names.A(c.ctx, host)
	if dns.FailureOf(err).NotFound() {
		a, _ = c.names.AAAA(c.ctx, host)
	}
	return a.Authentic
}

// caa: who issues the certificates of this server may (RFC 8659 §3: the nearest set above
// counts).
func (c *check) caa(f Finding, g group, got got) Finding {
	at := g.name
	for len(got.records) == 0 && got.fault == "" && strings.Contains(string(at), ".") {
		_, above, _ := strings.Cut(string(at), ".")
		at = dns.Name(above)
		got = c.get(group{kind: CAA, name: at, kindOf: dns.TypeCAA})
	}
	f.show(got.records)
	if got.fault != "" {
		return f.be(Unknown, "%s: %s", at, got.fault)
	}
	var issue []string
	for _, r := range got.records {
		if _, value, ok := strings.Cut(r, " issue "); ok {
			issue = append(issue, strings.Trim(value, `"`))
		}
	}
	if len(issue) == 0 {
		return f.be(Missing, "")
	}
	allowed := slices.ContainsFunc(g.records, func(want Record) bool {
		_, value, _ := strings.Cut(want.Value, " issue ")
		return slices.ContainsFunc(issue, func(have string) bool { return allows(have, strings.Trim(value, `"`)) })
	})
	if !allowed {
		f.Need = Recommended
		return f.be(Wrong, "at %s it forbids the authority of this server to issue certificates for it: they cannot be renewed", at)
	}
	return f.right("")
}

// allows reports whether the value of a CAA record lets an issuer issue: the same
// authority, and the same account if it names one (RFC 8657 §3).
func allows(have, want string) bool {
	authority, parameters, _ := strings.Cut(have, ";")
	wanted, account, _ := strings.Cut(want, ";")
	if !strings.EqualFold(strings.TrimSpace(authority), strings.TrimSpace(wanted)) {
		return false
	}
	for p := range strings.SplitSeq(parameters, ";") {
		if p = strings.TrimSpace(p); strings.HasPrefix(p, "accounturi=") && p != strings.TrimSpace(account) {
			return false
		}
	}
	return true
}
