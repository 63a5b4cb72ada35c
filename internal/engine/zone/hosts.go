package zone

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mailauth/mtasts"
	"yubin/internal/world/certs"
)

// hosts: the MX as others see it who bring mail, at each of its addresses.
func (c *check) hosts() (all []Finding) {
	if !c.o.Settings().TakesMail {
		return nil
	}
	all = make([]Finding, len(c.w.Addresses))
	for i, a := range c.w.Addresses {
		f := Finding{Kind: TLS, Name: dns.Name(c.w.Host), Type: dns.TypeAAAA, Need: Needed}
		if a.Is4() {
			f.Type = dns.TypeA
		}
		all[i] = c.seen(f, fmt.Sprint(a, " port 25"), c.looks[a]())
	}
	return all
}

// seen is what is to be said of a mail host.
func (c *check) seen(f Finding, at string, s Seen) Finding {
	switch {
	case s.Fault != "" && s.Refused:
		return f.be(Wrong, "%s: %s; does the server run, and does nothing stand before it?", at, s.Fault)
	case s.Fault != "":
		return f.be(Unknown, "%s: %s; a machine behind a router may not reach its own address: try it from elsewhere", at, s.Fault)
	case s.TLS == "":
		f.Need = Recommended
		return f.be(Wrong, "%s: %s", at, s.TLSFault)
	}
	leaf := s.Chain[0]
	f.show([]string{fmt.Sprintf("%s: %s, certificate for %s until %s", at, s.TLS, strings.Join(leaf.DNSNames, ", "), leaf.NotAfter.UTC().Format(time.DateOnly))})
	if doubt := c.doubt(s.Chain, string(c.w.Host)); doubt != "" {
		f.Need = Recommended
		return f.be(Wrong, "%s: who looks at the certificate does not believe it: %s", at, doubt)
	}
	if left, all := leaf.NotAfter.Sub(c.o.Now()), leaf.NotAfter.Sub(leaf.NotBefore); left < min(certs.Ending, all/3) {
		return f.right(fmt.Sprintf("the certificate ends on %s: renew it", leaf.NotAfter.UTC().Format(time.DateOnly)))
	}
	return f.right("")
}

// policyAsFetched: the policy of MTA-STS that others fetch lets mail come here.
func (c *check) policyAsFetched() []Finding {
	record, err := mtasts.RecordName(c.w.Domain)
	if err != nil {
		return nil
	}
	txt, err := c.names.TXT(c.ctx, record)
	_, noRecord := mtasts.ParseRecord(txt.Records)
	if c.w.policy == nil && (err != nil || noRecord != nil) {
		return nil // There is none, and none is said to be.
	}
	host, _ := mtasts.HostName(c.w.Domain)
	f := Finding{Kind: STSPolicy, Name: dns.Name(host), Type: dns.TypeA, Need: Recommended}
	p, err := c.o.Hosts.Policy(c.ctx, c.names, c.w.Domain)
	switch {
	case err != nil && c.w.policy == nil:
		return []Finding{f.be(Wrong, "the record %s says that there is one, and it cannot be fetched: %v; take the record away, or have this server hand out a policy", record, err)}
	case err != nil:
		return []Finding{f.be(Wrong, "it cannot be fetched: %v", err)}
	}
	f.show(strings.Split(strings.TrimSuffix(p.String(), "\r\n"), "\r\n"))
	if p.Mode == mtasts.Enforce {
		f.Need = Needed
	}
	mx, _ := c.names.MX(c.ctx, c.w.Domain)
	for _, m := range mx.Records[:min(len(mx.Records), MaxHosts)] {
		if here, _ := c.leads(m.Host); here && p.Mode != mtasts.None && !p.Matches(string(m.Host)) {
			return []Finding{f.be(Wrong, "it does not name the MX %s: who holds to it brings no mail there", m.Host)}
		}
	}
	switch {
	case c.w.policy != nil && p.String() != c.w.policy.String():
		f.Need = Recommended
		return []Finding{f.be(Wrong, "it is another one than this server has: does %s lead to another server?", host)}
	case p.Mode == mtasts.Testing && c.w.policy != nil:
		return []Finding{f.right(`it is being tested: once the reports about TLS are clean, write mode = "enforce" in [mta_sts] of the configuration`)}
	}
	return []Finding{f.right("")}
}

// dnssec: what is said of the domain and the host is proved.
func (c *check) dnssec() (all []Finding) {
	mx, err := c.names.MX(c.ctx, c.w.Domain)
	var absent *dns.Error
	if errors.As(err, &absent) {
		mx.Authentic = absent.Authentic
	}
	f := Finding{Kind: DNSSEC, Name: dns.Name(c.w.Domain), Type: dns.TypeMX, Need: Optional}
	all = append(all, proved(f, mx.Authentic))
	if host := dns.Name(c.w.Host); !host.Within(dns.Name(c.w.Domain)) {
		f.Name, f.Type = host, dns.TypeA
		all = append(all, proved(f, c.signed(host)))
	}
	return all
}

func proved(f Finding, authentic bool) Finding {
	if authentic {
		return f.right("")
	}
	return f.be(Missing, "nothing proves what is said of %s: the zone is not signed, or the name server that was asked does not validate, or is not believed "+
		"([dns] trust in the configuration)", f.Name)
}
