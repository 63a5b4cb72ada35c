package route

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
)

// Ports that are usual, and limits of one attempt: those of the courier.
const (
	portSMTP  = 25
	portLMTP  = 24
	maxLookup = 20 // hosts that are looked up
	maxTried  = 10 // addresses that are connected to
)

// hop tells how the queue would carry mail by h.
func (x *explainer) hop(ctx context.Context, h mail.NextHop) {
	switch {
	case h.Kind == mail.HopLocal:
		x.say("result", "filed in mailboxes here")
	case h.Kind != mail.HopMX:
		x.say("next hop", "%s to %s", protocolOf(h), hostList(h.Hosts))
		x.named(ctx, h)
	case h.Domain.IsLiteral():
		x.say("next hop", "the host that the address itself names (RFC 5321 §4.1.3)")
		x.literal(h)
	default:
		x.say("next hop", "SMTP to the mail exchangers of %s", h.Domain)
		x.exchangers(ctx, h)
	}
}

func protocolOf(h mail.NextHop) string {
	if h.Kind == mail.HopLMTP {
		return "LMTP"
	}
	return "SMTP"
}

func hostList(hosts []mail.HostPort) string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = HostText(h)
	}
	return strings.Join(names, ", then ")
}

// exchangers tells what the DNS says of the domain (RFC 5321 §5.1).
func (x *explainer) exchangers(ctx context.Context, h mail.NextHop) {
	if x.dns == nil {
		x.say("result", "not looked up: there is no resolver")
		return
	}
	a, err := x.dns.MX(ctx, h.Domain)
	explicit := err == nil
	a, err = dns.WithImplicitMX(h.Domain, a, err)
	if err != nil {
		x.noExchangers(h.Domain, err)
		return
	}
	if explicit {
		x.say("MX", "%s (%s)", mxList(a.Records), x.proof(a.Expires, a.Authentic))
	} else {
		x.say("MX", "%s has no MX record, so it is its own exchanger (%s)", h.Domain, x.proof(a.Expires, a.Authentic))
	}
	if dns.IsNullMX(a.Records) {
		x.say("result", "returned to the sender: 5.1.10 the domain takes no mail: its MX is the root, \".\" (RFC 7505)")
		return
	}
	x.rank(ctx, h, a.Records)
}

// noExchangers tells of a failure: only what is certain is final.
func (x *explainer) noExchangers(d mail.Domain, err error) {
	f := dns.FailureOf(err)
	x.say("MX", "%s", err)
	switch {
	case f == dns.NXDomain:
		x.say("result", "returned to the sender: 5.1.2 the domain %s does not exist", d)
	case !f.Temporary():
		x.say("result", "returned to the sender: 5.4.4 there is no way to %s", d)
	default:
		x.say("result", "deferred: 4.4.3 this may pass, so the lookup is made again until the message expires")
	}
}

// proof says how long an answer is good for and whether DNSSEC proved it.
func (x *explainer) proof(expires time.Time, authentic bool) string {
	s := "TTL " + strconv.Itoa(int(max(0, expires.Sub(x.now)).Round(time.Second)/time.Second)) + " s"
	if authentic {
		return s + ", proved by DNSSEC"
	}
	return s + ", not proved"
}

func mxList(records []dns.MX) string {
	records = byPreference(records)
	list := make([]string, len(records))
	for i, m := range records {
		list[i] = strconv.Itoa(int(m.Preference)) + " " + m.Host.String()
	}
	return strings.Join(list, ", ")
}

// byPreference sorts records for people: equal preferences by name.
func byPreference(records []dns.MX) []dns.MX {
	records = slices.Clone(records)
	slices.SortFunc(records, func(a, b dns.MX) int {
		return cmp.Or(cmp.Compare(a.Preference, b.Preference), cmp.Compare(a.Host, b.Host))
	})
	return records
}

// rank tells which exchangers are tried, and looks them up.
func (x *explainer) rank(ctx context.Context, h mail.NextHop, records []dns.MX) {
	for _, m := range records {
		if _, ok := m.Host.Domain(); !ok {
			x.say("", "%s is no name of a host and left out", m.Host)
		}
	}
	ranked := dns.Rank(byPreference(records), func(int, func(i, j int)) {})
	if len(ranked) == 0 {
		x.say("result", "returned to the sender: 5.4.4 none of the exchangers can be used")
		return
	}
	rest, found := dns.BeforeUs(ranked, x.isUs)
	for _, m := range ranked[len(rest):] {
		x.say("", "%s is left out: %s", m.Host, x.whyUs(m))
	}
	if found && len(rest) == 0 {
		x.backToUs(h.Domain)
		return
	}
	if hasEqual(rest) {
		x.say("", "exchangers of equal preference are tried in random order")
	}
	x.tiers(ctx, h, rest)
}

func (x *explainer) isUs(n dns.Name) bool {
	return x.r.o.Ourselves != nil && x.r.o.Ourselves.IsOurName(n)
}

func (x *explainer) whyUs(m dns.MX) string {
	if x.isUs(m.Host) {
		return "it is this server"
	}
	return "it is not preferred to this server"
}

func (x *explainer) backToUs(d mail.Domain) {
	x.say("result", "returned to the sender: 5.4.6 mail for %s leads back to this server, which does not take it", d)
}

func hasEqual(ranked []dns.MX) bool {
	for i := 1; i < len(ranked); i++ {
		if ranked[i].Preference == ranked[i-1].Preference {
			return true
		}
	}
	return false
}

// search is what became of looking for hosts.
type search struct {
	tried   int  // addresses found so far
	unsure  bool // a lookup may succeed later
	stopped bool // at ourselves
}

// tiers looks up the exchangers, those of one preference together: where one of
// them has an address of ours, neither they nor later ones are tried.
func (x *explainer) tiers(ctx context.Context, h mail.NextHop, ranked []dns.MX) {
	var s search
	if len(ranked) > maxLookup {
		x.say("", "one attempt looks up at most %d exchangers", maxLookup)
		ranked, s.unsure = ranked[:maxLookup], true
	}
	for len(ranked) > 0 && !s.stopped {
		n := slices.IndexFunc(ranked, func(m dns.MX) bool { return m.Preference != ranked[0].Preference })
		if n < 0 {
			n = len(ranked)
		}
		x.tier(ctx, h, ranked[:n], &s)
		ranked = ranked[n:]
	}
	switch {
	case s.tried > 0:
		x.offered(h, s)
	case s.stopped:
		x.backToUs(h.Domain)
	case s.unsure:
		x.say("result", "deferred: 4.4.3 no address was found this time; the lookups are made again until the message expires")
	default:
		x.say("result", "returned to the sender: 5.4.4 none of the exchangers has an address")
	}
}

func (x *explainer) tier(ctx context.Context, h mail.NextHop, tier []dns.MX, s *search) {
	lines := len(x.steps)
	before := s.tried
	for _, m := range tier {
		for _, a := range x.lookup(ctx, m.Host, h.Port, s) {
			if x.isOurs(a) {
				s.stopped = true
				x.steps, s.tried = x.steps[:lines], before
				x.say("", "%s has %s, an address of this server: it, its equals and what comes after are left out", m.Host, a.Addr())
				return
			}
		}
	}
}

func (x *explainer) isOurs(a netip.AddrPort) bool {
	return a.Addr().IsUnspecified() || a.Addr().IsMulticast() || x.r.o.Ourselves != nil && x.r.o.Ourselves.IsOurAddress(a)
}

// lookup tells the addresses of a host.
func (x *explainer) lookup(ctx context.Context, host dns.Name, port uint16, s *search) []netip.AddrPort {
	if port == 0 {
		port = portSMTP
	}
	a, err := x.dns.Addresses(ctx, host)
	if err != nil {
		s.unsure = s.unsure || dns.FailureOf(err).Temporary()
		x.say("host", "%s: %s", host, dns.FailureOf(err))
		return nil
	}
	var list []netip.AddrPort
	var texts []string
	for _, addr := range a.Records {
		list = append(list, netip.AddrPortFrom(addr.Unmap(), port))
		texts = append(texts, list[len(list)-1].String())
	}
	s.tried += len(list)
	x.say("host", "%s: %s (%s)", host, strings.Join(texts, ", "), x.proof(a.Expires, a.Authentic))
	return list
}

// named looks up the hosts that a route names.
func (x *explainer) named(ctx context.Context, h mail.NextHop) {
	var s search
	for _, host := range h.Hosts {
		port := cmp.Or(host.Port, usualPort(h))
		if host.Host.IsLiteral() {
			s.tried++
			x.say("host", "%s", netip.AddrPortFrom(host.Host.IP(), port))
			continue
		}
		if name, err := dns.NameOf(host.Host); err == nil && x.dns != nil {
			x.lookup(ctx, name, port, &s)
		}
	}
	if s.tried == 0 {
		x.say("result", "deferred: 4.4.4 no host of the route has an address; mail waits until that is repaired")
		return
	}
	x.offered(h, s)
}

func usualPort(h mail.NextHop) uint16 {
	switch {
	case h.Port != 0:
		return h.Port
	case h.Kind == mail.HopLMTP:
		return portLMTP
	}
	return portSMTP
}

func (x *explainer) literal(h mail.NextHop) {
	to := netip.AddrPortFrom(h.Domain.IP(), usualPort(h))
	x.say("host", "%s", to)
	if x.isOurs(to) {
		x.backToUs(h.Domain)
		return
	}
	x.offered(h, search{tried: 1})
}

// offered tells how the hosts are spoken to.
func (x *explainer) offered(h mail.NextHop, s search) {
	for _, a := range []netip.Addr{h.SourceIPv6, h.SourceIPv4} {
		if a.IsValid() {
			x.say("from", "%s", a)
		}
	}
	x.say("TLS", "%s", tlsText(h))
	if h.Auth != nil {
		x.say("login", "as %s", h.Auth.User)
	}
	if s.tried > maxTried {
		x.say("", "one attempt tries at most %d addresses", maxTried)
	}
	if to := x.r.o.Captured; !to.IsZero() {
		x.say("result", "captured for %s: this server lets no mail out", to)
		return
	}
	x.say("result", "queued, and offered to these hosts in this order until one takes it or refuses it for good")
}

// tlsTexts is in the order of the policies.
var tlsTexts = [...]string{
	"if the host offers it, with any certificate; else in clear",
	"always, with any certificate",
	"always, with a valid certificate for the name of the host",
	"never",
}

func tlsText(h mail.NextHop) string {
	policy := h.TLS
	switch {
	case policy != mail.TLSOpportunistic:
	case h.Auth != nil:
		policy = mail.TLSVerified // As a password goes with it.
	case h.ImplicitTLS:
		policy = mail.TLSRequired
	}
	if h.ImplicitTLS {
		return tlsTexts[policy] + ", from the first octet"
	}
	return tlsTexts[policy]
}
