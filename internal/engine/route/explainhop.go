package route

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/hosts"
	"yubin/internal/engine/tlspolicy"
	"yubin/internal/mail"
)

// hop tells how the queue would carry mail by h.
func (x *explainer) hop(ctx context.Context, h mail.NextHop) {
	switch {
	case h.Kind == mail.HopLocal:
		x.say("result", "filed in mailboxes here")
		return
	case h.Kind != mail.HopMX:
		x.say("next hop", "%s to %s", protocolOf(h), hostList(h.Hosts))
	case h.Domain.IsLiteral():
		x.say("next hop", "the host that the address itself names (RFC 5321 §4.1.3)")
	default:
		x.say("next hop", "SMTP to the mail exchangers of %s", h.Domain)
	}
	if x.dns == nil {
		x.say("result", "not looked up: there is no resolver")
		return
	}
	x.find(ctx, h)
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

// find asks the courier's finder for the hosts, and tells what it decides.
func (x *explainer) find(ctx context.Context, h mail.NextHop) {
	finder := hosts.Finder{Resolver: x.dns, Ourselves: x.r.o.Ourselves, Policies: x.r.o.Policies, Shuffle: hosts.InOrder, Port: x.r.o.Port}
	search := finder.Find(ctx, h, mail.TLSUnsaid)
	x.exchangers(h, search)
	x.policy(search.Policy)
	var faults []*hosts.Fault
	var tried []hosts.Host
	candidates := 0
	for !search.Done() {
		t := search.Next(ctx)
		x.leftOut(t.LeftOut)
		for _, host := range t.Hosts {
			x.host(host)
			if host.Fault == nil {
				tried = append(tried, host)
			}
		}
		faults = append(faults, t.Faults()...)
		candidates += len(t.Candidates())
	}
	if candidates > 0 {
		x.offered(h, tried, candidates)
		return
	}
	switch f := hosts.Decisive(faults); f.Outcome {
	case mail.Failed:
		x.say("result", "returned to the sender: %s %s", f.Enhanced, f.Text)
	default:
		x.say("result", "deferred: %s %s; it is tried again until the message expires", f.Enhanced, f.Text)
	}
}

// policy tells what the domain asks for by MTA-STS.
func (x *explainer) policy(f tlspolicy.Found) {
	switch {
	case f.Domain == "" || x.r.o.Policies == nil:
		return
	case !f.Holds && f.Trouble != tlspolicy.NoTrouble:
		x.say("MTA-STS", "%s says that it has a policy, which cannot be fetched, so none is applied: %s", f.Domain, f.Why)
		return
	case !f.Holds:
		x.say("MTA-STS", "%s has no policy", f.Domain)
		return
	}
	x.say("MTA-STS", "%s has a policy: %s, for %s; fetched %s, holds until %s", f.Domain, f.Policy.Mode, cmp.Or(shortList(f.Policy.MX, hosts.MaxHosts), "no host"),
		f.Fetched.Format(time.DateTime), f.Expires.Format(time.DateTime))
	if f.Trouble != tlspolicy.NoTrouble {
		x.say("", "it could not be fetched anew since %s: %s", f.Failed.Format(time.DateTime), f.Why)
	}
}

// exchangers tells what the DNS says of a domain, and which of its exchangers are
// not looked up.
func (x *explainer) exchangers(h mail.NextHop, s *hosts.Search) {
	switch {
	case s.Err != nil:
		x.say("MX", "%s%s", s.Err, x.proof(s.Proof))
	case s.Implicit:
		x.say("MX", "%s has no MX record, so it is its own exchanger%s", h.Domain, x.proof(s.Proof))
	case len(s.MX) > 0:
		x.say("MX", "%s%s", mxList(s.MX), x.proof(s.Proof))
	}
	if dns.IsNullMX(s.MX) {
		x.say("", "the root, \".\", as the only exchanger says that the domain takes no mail (RFC 7505)")
	}
	x.leftOut(s.LeftOut)
	for i, m := range s.MX {
		if i > 0 && m.Preference == s.MX[i-1].Preference {
			x.say("", "exchangers of equal preference are tried in random order")
			return
		}
	}
}

func mxList(records []dns.MX) string {
	list := make([]string, len(records))
	for i, m := range records {
		list[i] = strconv.Itoa(int(m.Preference)) + " " + m.Host.String()
	}
	return shortList(list, hosts.MaxHosts)
}

// shortList is the first of list, at most most, and how many there are more.
func shortList(list []string, most int) string {
	if more := len(list) - most; more > 0 {
		list = append(slices.Clone(list[:most]), fmt.Sprintf("... and %d more", more))
	}
	return strings.Join(list, ", ")
}

func (x *explainer) leftOut(list []hosts.LeftOut) {
	for i, l := range list {
		if i == hosts.MaxHosts {
			x.say("", "... and %d more are left out", len(list)-i)
			return
		}
		x.say("", "%s is left out: %s", l.Host, l.Why)
	}
}

// host tells what was found of one host.
func (x *explainer) host(h hosts.Host) {
	name := h.Name
	if h.Canonical != "" {
		name += ", an alias of " + h.Canonical.String()
	}
	addresses := make([]string, len(h.Addresses))
	for i, a := range h.Addresses {
		addresses[i] = a.String()
	}
	said := shortList(addresses, hosts.MaxAddresses) + x.proof(h.Proof)
	switch {
	case h.Fault != nil:
		x.say("host", "%s%s", h.Fault.Text, x.proof(h.Proof))
	case len(h.Addresses) == 1 && h.Name == h.Addresses[0].Addr().String():
		x.say("host", "%s", said)
	default:
		x.say("host", "%s: %s", name, said)
	}
}

// proof says how long an answer is good for and whether DNSSEC proved it; nothing
// of what is not remembered.
func (x *explainer) proof(p hosts.Proof) string {
	if p.Expires.IsZero() {
		return ""
	}
	s := " (TTL " + strconv.Itoa(int(max(0, p.Expires.Sub(x.now)).Round(time.Second)/time.Second)) + " s"
	if p.Authentic {
		return s + ", proved by DNSSEC)"
	}
	return s + ", not proved)"
}

// offered tells how the hosts, which have so many addresses, are spoken to.
func (x *explainer) offered(h mail.NextHop, tried []hosts.Host, candidates int) {
	for _, a := range []netip.Addr{h.SourceIPv6, h.SourceIPv4} {
		if a.IsValid() {
			x.say("from", "%s", a)
		}
	}
	x.tls(h, tried)
	if h.Auth != nil {
		x.say("login", "as %s", h.Auth.User)
	}
	if candidates > hosts.MaxAddresses {
		x.say("", "one attempt tries at most %d addresses", hosts.MaxAddresses)
	}
	if to := x.r.o.Captured; !to.IsZero() {
		x.say("result", "captured for %s: this server lets no mail out", to)
		return
	}
	x.say("result", "queued, and offered to these hosts in this order until one takes it or refuses it for good")
}

// tls tells how hosts are spoken to: once if it is the same of all.
func (x *explainer) tls(h mail.NextHop, tried []hosts.Host) {
	first := ""
	if h.ImplicitTLS {
		first = ", from the first octet"
	}
	text := tried[0].Terms.Explain()
	if !slices.ContainsFunc(tried, func(t hosts.Host) bool { return t.Terms.Explain() != text }) {
		x.say("TLS", "%s%s", text, first)
		return
	}
	for _, t := range tried {
		x.say("TLS", "%s: %s%s", t.Name, t.Terms.Explain(), first)
	}
}
