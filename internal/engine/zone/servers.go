package zone

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"yubin/internal/dns"
)

// authority is an address of a name server of a zone.
type authority struct {
	host  dns.Name
	addr  netip.Addr // not valid: it has none
	names Names
	fault string // why it cannot be asked
}

func (a authority) String() string {
	if !a.addr.IsValid() {
		return a.host.String()
	}
	return fmt.Sprintf("%s (%s)", a.host, a.addr)
}

// servers: all name servers of the zones of the domain and the host say the same of what
// is wanted there.
func (c *check) servers(groups []group) (all []Finding) {
	zones := map[dns.Name][]group{}
	var order []dns.Name
	for _, g := range groups {
		if g.kind == Reverse {
			continue
		}
		apex := dns.Name(c.w.Domain)
		if !g.name.Within(apex) {
			apex = g.name
		}
		if _, known := zones[apex]; !known {
			order = append(order, apex)
		}
		zones[apex] = append(zones[apex], g)
	}
	asked := map[dns.Name]bool{}
	for _, n := range order {
		apex, hosts := c.zoneOf(n)
		if asked[apex] || apex.IsRoot() {
			continue
		}
		asked[apex] = true
		var within []group
		for _, gs := range zones {
			for _, g := range gs {
				if g.name.Within(apex) {
					within = append(within, g)
				}
			}
		}
		slices.SortFunc(within, func(a, b group) int {
			return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name), cmp.Compare(a.kindOf, b.kindOf))
		})
		all = append(all, c.compare(apex, c.authorities(hosts), within)...)
	}
	return all
}

// zoneOf finds the zone that a name is in and its name servers: the root if it is in none
// but that of a top level domain.
func (c *check) zoneOf(n dns.Name) (apex dns.Name, hosts []dns.Name) {
	for strings.Contains(string(n), ".") {
		a, err := c.names.Records(c.ctx, n, dns.TypeNS)
		if err == nil && a.Name == n {
			for _, text := range a.Records {
				if host, err := dns.ParseName(text); err == nil {
					hosts = append(hosts, host)
				}
			}
			slices.Sort(hosts)
			return n, hosts
		}
		_, above, _ := strings.Cut(string(n), ".")
		n = dns.Name(above)
	}
	return "", nil
}

// authorities are the addresses of name servers, at most MaxServers.
func (c *check) authorities(hosts []dns.Name) (list []authority) {
	found := make([][]authority, len(hosts))
	each(atATime, hosts, func(i int, host dns.Name) {
		a, err := c.names.Addresses(c.ctx, host)
		if err != nil {
			found[i] = []authority{{host: host, fault: failure(err)}}
		}
		for _, addr := range a.Records {
			one := authority{host: host, addr: addr}
			if one.names, err = c.o.Resolvers.At(netip.AddrPortFrom(addr, cmp.Or(c.o.Port, dnsPort))); err != nil {
				one.fault = err.Error()
			}
			found[i] = append(found[i], one)
		}
	})
	list = slices.Concat(found...)
	return list[:min(len(list), MaxServers)]
}

// dnsPort is where name servers are.
const dnsPort = 53

// compare asks all name servers of a zone about groups.
func (c *check) compare(apex dns.Name, servers []authority, groups []group) (all []Finding) {
	f := Finding{Kind: Servers, Name: apex, Type: dns.TypeNS, Need: Recommended}
	said := make([][]Said, len(servers)) // by server and group
	each(MaxServers, servers, func(i int, s authority) {
		said[i] = make([]Said, len(groups))
		each(4, groups, func(k int, g group) { said[i][k] = s.say(c, g) })
	})
	var silent []string
	for i, s := range servers {
		if s.fault != "" || len(groups) > 0 && !slices.ContainsFunc(said[i], func(one Said) bool { return one.Fault == "" }) {
			why := s.fault
			if why == "" {
				why = said[i][0].Fault
			}
			silent = append(silent, s.String()+": "+why)
		}
	}
	for k, g := range groups {
		if one, differ := differing(f, g, k, said); differ {
			all = append(all, one)
		}
	}
	f.show(texts(servers))
	switch {
	case len(all) > 0:
		return all
	case len(silent) == len(servers):
		return []Finding{f.be(Unknown, "none of the name servers of %s could be asked from here", apex)}
	case len(silent) > 0:
		f.show(silent)
		return []Finding{f.be(Wrong, "not all name servers of %s answer", apex)}
	}
	return []Finding{f.right("")}
}

// say is what a server says of a group.
func (a authority) say(c *check, g group) Said {
	s := Said{Server: a.String(), Fault: a.fault}
	if s.Fault != "" {
		return s
	}
	got, err := a.names.Records(c.ctx, g.name, g.kindOf)
	if err != nil && !dns.FailureOf(err).NotFound() {
		s.Fault = dns.FailureOf(err).String()
		return s
	}
	s.Records = g.mine(got.Records)
	slices.Sort(s.Records)
	return s
}

// differing is the finding about group k, if those who answer do not say the same.
func differing(f Finding, g group, k int, said [][]Said) (Finding, bool) {
	var answers []Said
	for _, one := range said {
		if one[k].Fault == "" {
			answers = append(answers, one[k])
		}
	}
	differ := slices.ContainsFunc(answers, func(s Said) bool { return !slices.Equal(s.Records, answers[0].Records) })
	if !differ {
		return f, false
	}
	f.Name, f.Type, f.Need, f.Servers = g.name, g.kindOf, g.need(), answers
	return f.be(Wrong, "the name servers do not say the same about %s: wait until all have the change, or have them looked after", g.kind.Title()), true
}
