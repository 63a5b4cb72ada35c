package courier

import (
	"context"
	"net/netip"

	"yubin/internal/dns"
	"yubin/internal/mail"
)

// candidate is one address of one host.
type candidate struct {
	host string // its name, or its address
	addr netip.AddrPort
}

// tier is what is tried together: the hosts of one preference, or one host of
// a fixed list.
type tier struct {
	hosts []mail.HostPort
	named bool // by the operator
	over  bool // no hosts, but word that there are more than MaxHosts
}

// tiers returns where the hop leads, best first.
func (c *Courier) tiers(ctx context.Context, hop mail.NextHop, demandsTLS bool) ([]tier, *routeFault) {
	port := defaultPort(hop)
	switch {
	case hop.Kind != mail.HopMX && len(hop.Hosts) == 0:
		return nil, noHosts()
	case hop.Kind != mail.HopMX:
		return namedTiers(hop.Hosts, port), nil
	case hop.Domain.IsLiteral(): // RFC 5321 §4.1.3
		return []tier{{hosts: []mail.HostPort{{Host: hop.Domain, Port: port}}}}, nil
	}
	a, err := c.cfg.Resolver.MX(ctx, hop.Domain)
	a, err = dns.WithImplicitMX(hop.Domain, a, err)
	switch {
	case err != nil:
		return nil, mxFault(hop.Domain, dns.FailureOf(err))
	case dns.IsNullMX(a.Records):
		return nil, nullMX(hop.Domain)
	case demandsTLS && !a.Authentic:
		return nil, noProof(hop.Domain)
	}
	return c.rank(hop.Domain, a.Records, port)
}

func defaultPort(hop mail.NextHop) uint16 {
	switch {
	case hop.Port != 0:
		return hop.Port
	case hop.Kind == mail.HopLMTP:
		return PortLMTP
	}
	return PortSMTP
}

func namedTiers(hosts []mail.HostPort, port uint16) []tier {
	var all []tier
	for _, h := range hosts {
		if h.Port == 0 {
			h.Port = port
		}
		all = append(all, tier{hosts: []mail.HostPort{h}, named: true})
	}
	return all
}

// rank makes a tier of each preference.
func (c *Courier) rank(d mail.Domain, records []dns.MX, port uint16) ([]tier, *routeFault) {
	ranked := dns.Rank(records, c.cfg.Shuffle)
	if len(ranked) == 0 {
		return nil, noExchanger(d)
	}
	ranked, found := dns.BeforeUs(ranked, c.cfg.Ourselves.IsOurName)
	if found && len(ranked) == 0 {
		return nil, backToUs(d)
	}
	var all []tier
	for i, m := range ranked[:min(len(ranked), MaxHosts)] {
		if i == 0 || m.Preference != ranked[i-1].Preference {
			all = append(all, tier{})
		}
		host, _ := m.Host.Domain() // Rank keeps only what is one.
		last := &all[len(all)-1]
		last.hosts = append(last.hosts, mail.HostPort{Host: host, Port: port})
	}
	if len(ranked) > MaxHosts {
		all = append(all, tier{over: true})
	}
	return all, nil
}

// addresses looks up the hosts of a tier. With found, one of them is ourselves:
// then neither it nor what comes after may be tried.
func (c *Courier) addresses(ctx context.Context, t tier) (all []candidate, faults []*routeFault, found bool) {
	for _, h := range t.hosts {
		addrs, fault := c.lookup(ctx, h.Host, t.named)
		if fault != nil {
			faults = append(faults, fault)
		}
		for _, a := range addrs {
			to := netip.AddrPortFrom(a.Unmap(), h.Port)
			if !t.named && (a.IsUnspecified() || a.IsMulticast() || c.cfg.Ourselves.IsOurAddress(to)) {
				return nil, faults, true
			}
			all = append(all, candidate{hostName(h.Host), to})
		}
	}
	return all, faults, false
}

func (c *Courier) lookup(ctx context.Context, host mail.Domain, named bool) ([]netip.Addr, *routeFault) {
	if host.IsLiteral() {
		return []netip.Addr{host.IP()}, nil
	}
	name, err := dns.NameOf(host)
	if err != nil {
		return nil, hostFault(host.String(), dns.BadName, named)
	}
	a, err := c.cfg.Resolver.Addresses(ctx, name)
	if err != nil {
		return nil, hostFault(host.String(), dns.FailureOf(err), named)
	}
	return a.Records, nil
}

// hostName is what a certificate calls a host.
func hostName(h mail.Domain) string {
	if h.IsLiteral() {
		return h.IP().String()
	}
	return h.String()
}

// source is our own address for a connection to addr; it may be invalid.
func source(hop mail.NextHop, addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return hop.SourceIPv4
	}
	return hop.SourceIPv6
}
