package hosts

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"yubin/internal/dns"
	"yubin/internal/engine/tlspolicy"
	"yubin/internal/mail"
)

// Search is the search for the hosts of one next hop. The exported fields say what
// the DNS told of a domain's exchangers.
type Search struct {
	MX       []dns.MX // by preference, equal ones by name
	Implicit bool     // the domain has no MX record and is its own exchanger
	Proof    Proof
	Err      error     // of the lookup of the exchangers; a *dns.Error
	LeftOut  []LeftOut // exchangers that are not looked up
	// Policy is what is known of the domain's policy (MTA-STS); zero if nobody asked.
	Policy tlspolicy.Found

	finder *Finder
	hop    mail.NextHop
	port   uint16
	own    Terms    // of all hosts, before they are asked
	asks   bool     // hosts and domain are asked for theirs
	owner  dns.Name // of the MX records: the domain, or what it is an alias of
	named  bool     // the operator named the hosts
	tiers  []tier   // that Next has not given yet
	begun  bool     // it has given one
}

// tier is hosts to look up together, or the fault that stands in their place.
type tier struct {
	hosts []mail.HostPort
	fault *Fault
}

// Find begins a search: it looks up the exchangers if the hop has them, and ranks
// them. It is for a message that says so of TLS (RFC 8689).
func (f *Finder) Find(ctx context.Context, hop mail.NextHop, demand mail.TLSDemand) *Search {
	s := &Search{finder: f, hop: hop, port: f.port(hop)}
	s.own, s.asks = own(hop, demand)
	switch {
	case hop.Kind == mail.HopMX && hop.Domain.IsLiteral(): // RFC 5321 §4.1.3
		s.tiers = []tier{{hosts: []mail.HostPort{{Host: hop.Domain, Port: s.port}}}}
	case hop.Kind == mail.HopMX:
		s.exchangers(ctx)
	case len(hop.Hosts) == 0:
		s.tiers = []tier{{fault: noHosts()}}
	default:
		s.named = true
		for _, h := range hop.Hosts {
			h.Port = cmp.Or(h.Port, s.port)
			s.tiers = append(s.tiers, tier{hosts: []mail.HostPort{h}})
		}
	}
	return s
}

// port is that of hosts of hop for which none is named.
func (f *Finder) port(hop mail.NextHop) uint16 {
	if hop.Kind == mail.HopLMTP {
		return cmp.Or(hop.Port, PortLMTP)
	}
	return cmp.Or(hop.Port, f.Port, PortSMTP)
}

// exchangers asks the DNS who takes mail for the domain.
func (s *Search) exchangers(ctx context.Context) {
	d := s.hop.Domain
	a, err := s.finder.Resolver.MX(ctx, d)
	s.Implicit, s.owner = dns.FailureOf(err) == dns.NoData, a.Name
	a, err = dns.WithImplicitMX(d, a, err)
	s.Proof, s.Err = proofOf(a, err), err
	s.MX = slices.Clone(a.Records)
	slices.SortFunc(s.MX, func(a, b dns.MX) int {
		return cmp.Or(cmp.Compare(a.Preference, b.Preference), cmp.Compare(a.Host, b.Host))
	})
	var fault *Fault
	switch {
	case err != nil:
		fault = mxFault(d, dns.FailureOf(err))
	case dns.IsNullMX(a.Records):
		fault = nullMX(d)
	default:
		fault = s.askDomain(ctx)
	}
	if fault == nil {
		fault = s.rank()
	}
	if fault != nil {
		s.tiers = []tier{{fault: fault}}
	}
}

// rank makes a tier of each preference, leaves out what must not be tried, and
// returns a fault if nothing is left.
func (s *Search) rank() *Fault {
	ranked := slices.Clone(s.MX)
	s.finder.Shuffle(len(ranked), func(i, j int) { ranked[i], ranked[j] = ranked[j], ranked[i] })
	slices.SortStableFunc(ranked, func(a, b dns.MX) int { return cmp.Compare(a.Preference, b.Preference) })
	us := slices.IndexFunc(ranked, func(m dns.MX) bool { return s.finder.Ourselves.IsOurName(m.Host) })
	seen := map[dns.Name]bool{}
	var kept []dns.MX
	more := false
	for _, m := range ranked {
		host, isHost := m.Host.Domain()
		why := ""
		switch {
		case !isHost:
			why = notHost
		case seen[m.Host]:
			why = twice
		case us >= 0 && s.finder.Ourselves.IsOurName(m.Host):
			why = isUs
		case us >= 0 && m.Preference >= ranked[us].Preference:
			why = notPreferred
		case len(kept) == MaxHosts:
			why, more = tooMany, true
		}
		seen[m.Host] = true
		if why != "" {
			s.LeftOut = append(s.LeftOut, LeftOut{m.Host.String(), why})
			continue
		}
		if len(kept) == 0 || m.Preference != kept[len(kept)-1].Preference {
			s.tiers = append(s.tiers, tier{})
		}
		kept = append(kept, m)
		last := &s.tiers[len(s.tiers)-1]
		last.hosts = append(last.hosts, mail.HostPort{Host: host, Port: s.port})
	}
	switch {
	case len(kept) == 0 && us >= 0:
		return backToUs(s.hop.Domain)
	case len(kept) == 0:
		return noExchanger(s.hop.Domain)
	case more:
		s.tiers = append(s.tiers, tier{fault: NotTried()})
	}
	return nil
}

// Done reports whether Next has given all tiers. A new search has one at least.
func (s *Search) Done() bool { return len(s.tiers) == 0 }

// Next looks up the hosts of the next tier, the best of those that were not given
// yet. It must not be called when the search is Done.
func (s *Search) Next(ctx context.Context) (t Tier) {
	first := !s.begun
	next := s.tiers[0]
	s.tiers, s.begun = s.tiers[1:], true
	t.Fault = next.fault
	for _, at := range next.hosts {
		h := s.lookup(ctx, at)
		if ours, found := s.addressOfOurs(h); found {
			return s.stop(next, h.Name, ours, first)
		}
		t.Hosts = append(t.Hosts, h)
	}
	return t
}

// lookup finds the addresses of a host, and how it is to be spoken to.
func (s *Search) lookup(ctx context.Context, at mail.HostPort) Host {
	h := Host{Name: nameOf(at.Host)}
	if at.Host.IsLiteral() {
		h.Addresses = []netip.AddrPort{netip.AddrPortFrom(at.Host.IP().Unmap(), at.Port)}
		s.terms(ctx, at, "", &h)
		return h
	}
	name, err := dns.NameOf(at.Host)
	if err != nil {
		h.Fault = hostFault(h.Name, dns.BadName, s.named)
		return h
	}
	a, err := s.finder.Resolver.Addresses(ctx, name)
	h.Proof = proofOf(a, err)
	if err != nil {
		h.Fault = hostFault(h.Name, dns.FailureOf(err), s.named)
		return h
	}
	if a.Name != name {
		h.Canonical = a.Name
	}
	for _, ip := range a.Records {
		h.Addresses = append(h.Addresses, netip.AddrPortFrom(ip.Unmap(), at.Port))
	}
	s.terms(ctx, at, name, &h)
	return h
}

// addressOfOurs is an address of h at which we would speak to ourselves, or to
// nobody in particular.
func (s *Search) addressOfOurs(h Host) (ours netip.Addr, found bool) {
	if s.named {
		return netip.Addr{}, false
	}
	for _, to := range h.Addresses {
		if a := to.Addr(); a.IsUnspecified() || a.IsMulticast() || s.finder.Ourselves.IsOurAddress(to) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// stop ends the search at a tier in which a host has an address of ours. If there
// was none before it, the domain's mail is meant for us, who do not take it.
func (s *Search) stop(at tier, host string, ours netip.Addr, first bool) (t Tier) {
	for _, rest := range append([]tier{at}, s.tiers...) {
		for _, h := range rest.hosts {
			why := notPreferred
			switch name := nameOf(h.Host); {
			case name != host:
			case name == ours.String():
				why = isUs
			default:
				why = hasOurs + ours.String()
			}
			t.LeftOut = append(t.LeftOut, LeftOut{nameOf(h.Host), why})
		}
	}
	s.tiers = nil
	if first {
		t.Fault = backToUs(s.hop.Domain)
	}
	return t
}

// nameOf is what a certificate calls a host.
func nameOf(host mail.Domain) string {
	if host.IsLiteral() {
		return host.IP().String()
	}
	return host.String()
}
