package setup

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/world/machine"
)

// lookTime bounds all questions to the DNS together.
const lookTime = 20 * time.Second

// Look says how fit the machine is for what is wanted; known is what Known returned. It
// changes nothing. Where only files are made it says nothing: this is not the machine that they
// are for.
func (s *Setup) Look(ctx context.Context, a Answers, known *Known) {
	if s.o.Files {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	s.ports(a)
	s.clock()
	names, servers, err := s.o.Machine.Names()
	if err != nil {
		s.tell(Step{Name: "resolver", State: Wrong, Text: err.Error(), Mend: "name a resolver in /etc/resolv.conf"})
		return
	}
	s.resolver(ctx, names, servers)
	own := s.addresses(ctx, names, a)
	if known != nil && len(known.Config.DNSLists) > 0 && len(own) > 0 {
		s.lists(ctx, known, own)
	}
}

// ports: those that the listeners want are free, or the service's own.
func (s *Setup) ports(a Answers) {
	ports := []uint16{25, 465, 587, 993, 143, 995, 110}
	switch a.Web {
	case WebDirect:
		ports = append(ports, 80, 443)
	case WebPath:
		ports = append(ports, behindHTTPPort, behindHTTPSPort)
	}
	found, err := s.o.Machine.Listening(ports...)
	if err != nil {
		s.say("ports", Warning, "who listens at which port cannot be seen here: %v", err)
		return
	}
	var taken, ours []string
	web := false
	for _, port := range slices.Sorted(maps.Keys(found)) {
		p := found[port]
		one := fmt.Sprintf("%d by %s", port, p)
		if p.Name == service {
			ours = append(ours, fmt.Sprint(port))
			continue
		}
		taken = append(taken, one)
		web = web || port == 80 || port == 443
	}
	if len(taken) == 0 {
		text := "all free"
		if len(ours) > 0 {
			text = fmt.Sprintf("yubin itself has %s; the others are free", strings.Join(ours, ", "))
		}
		s.say("ports", OK, "%s", text)
		return
	}
	mend := "stop it (for Debian's Exim: systemctl disable --now exim4), then run this again"
	if web {
		mend = "stop it; if it is a web server that is to stay: --web path, if it passes on what is ours, else --web dns or --web none"
	}
	s.taken = strings.Join(taken, ", ")
	s.tell(Step{Name: "ports", State: Wrong, Text: "taken: " + s.taken, Mend: mend})
}

func (s *Setup) clock() {
	switch s.o.Machine.Clock() {
	case machine.ClockKept:
		s.say("clock", OK, "it is kept right")
	case machine.ClockLeft:
		s.tell(Step{Name: "clock", State: Warning, Text: "nothing keeps the clock of this machine right: certificates and signatures of mail stand on it",
			Mend: "apt-get install systemd-timesyncd, or chrony"})
	default:
		s.say("clock", OK, "whether something keeps it right cannot be seen here; timedatectl says it")
	}
}

// resolver: it answers, and proves what is signed.
func (s *Setup) resolver(ctx context.Context, names Names, servers string) {
	validates, err := names.Validates(ctx)
	switch {
	case err != nil:
		s.tell(Step{Name: "resolver", State: Wrong, Text: fmt.Sprintf("the name server (%s) does not answer: %s", servers, dns.FailureOf(err)),
			Mend: "name one that answers in /etc/resolv.conf; apt-get install unbound has one on this machine"})
	case !validates:
		s.tell(Step{Name: "resolver", State: Warning, Text: fmt.Sprintf("the name server (%s) does not validate, or is not believed: DANE does not protect what you send, and block lists may not answer", servers),
			Mend: "apt-get install unbound, and nameserver 127.0.0.1 in /etc/resolv.conf"})
	default:
		s.say("resolver", OK, "%s validates", servers)
	}
}

// lists: no list that is asked about strangers has the machine.
func (s *Setup) lists(ctx context.Context, known *Known, own []netip.Addr) {
	f, err := s.o.Machine.Listed(ctx, known.Config, own)
	if err != nil {
		s.say("lists", Warning, "they could not be asked: %v", err)
		return
	}
	found := false
	for _, one := range f.Found {
		if one.Weight > 0 {
			found = true
			s.tell(Step{Name: "lists", State: Warning, Text: fmt.Sprintf("%s is on the list %s: %s", one.Subject, one.List, one.Meaning),
				Mend: "ask the list on its pages to take it off; whoever had the address before may have sent from it"})
		}
	}
	if !found {
		s.say("lists", OK, "none that is asked has an address of this machine")
	}
}

// addresses: others reach the machine at some, and they lead to its name and back. It
// returns them.
func (s *Setup) addresses(ctx context.Context, names Names, a Answers) (own []netip.Addr) {
	own = s.public(a)
	host, err := dns.NameOf(a.Host)
	if err != nil {
		s.say("addresses", Wrong, "%s is no name that the DNS can have: %v", a.Host, err)
		return nil
	}
	there, err := names.Addresses(ctx, host)
	found := there.Records
	if err != nil {
		found = nil
	}
	if len(own) == 0 {
		own = found
	}
	if len(own) == 0 {
		s.tell(Step{Name: "addresses", State: Warning, Text: "no interface of this machine has an address that others reach, and the DNS has none for " + string(a.Host),
			Mend: "say at which others reach it: --address 192.0.2.1"})
		return nil
	}
	s.say("addresses", OK, "%s", joined(own))
	if !slices.ContainsFunc(own, netip.Addr.Is6) {
		s.say("IPv6", OK, "this machine has none; mail works without")
	}
	var missing []netip.Addr
	for _, one := range own {
		if !slices.Contains(found, one) {
			missing = append(missing, one)
		}
	}
	switch {
	case err != nil && !dns.FailureOf(err).NotFound():
		s.say("host name", Warning, "whether %s leads to this machine could not be found out: %s", a.Host, dns.FailureOf(err))
	case len(missing) > 0:
		s.tell(Step{Name: "host name", State: Warning, Text: fmt.Sprintf("%s does not lead to %s yet", a.Host, joined(missing)), Mend: "write the records below into the DNS"})
	default:
		s.say("host name", OK, "%s leads here", a.Host)
	}
	s.reverse(ctx, names, own, host)
	return own
}

// reverse: an address leads back to the name.
func (s *Setup) reverse(ctx context.Context, names Names, own []netip.Addr, host dns.Name) {
	for _, one := range own {
		back, err := names.PTR(ctx, one)
		switch {
		case err == nil && slices.Contains(back.Records, host):
			s.say("reverse DNS", OK, "%s leads back to %s", one, host)
		case err == nil || dns.FailureOf(err).NotFound():
			what := "no name"
			if len(back.Records) > 0 {
				what = fmt.Sprint(back.Records[0])
			}
			s.tell(Step{Name: "reverse DNS", State: Warning, Text: fmt.Sprintf("%s leads to %s, not to %s: many servers take no mail from it", one, what, host),
				Mend: "have whoever gave you the address set it (often on their web pages)"})
		default:
			s.say("reverse DNS", Warning, "where %s leads could not be found out: %s", one, dns.FailureOf(err))
		}
	}
}

// public are the addresses that others reach, by what was said or by the interfaces.
func (s *Setup) public(a Answers) []netip.Addr {
	if len(a.Addresses) > 0 {
		return a.Addresses
	}
	return slices.DeleteFunc(slices.Clone(s.o.Machine.Addresses()), func(one netip.Addr) bool { return one.IsPrivate() })
}

func joined(list []netip.Addr) string {
	var texts []string
	for _, a := range list {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ", ")
}

// Propose fills in what was not answered, by what is configured and what the machine says.
func Propose(a Answers, hostname string, known *Known) Answers {
	if known != nil {
		if a.Host == "" {
			a.Host = known.Host
		}
		if a.Email.IsZero() {
			a.Email = known.Email
		}
		if a.Web == "" {
			a.Web = known.Web
		}
	}
	if a.Host == "" && strings.Contains(hostname, ".") {
		if d, err := mail.ParseDomain(strings.TrimSuffix(hostname, ".")); err == nil && !d.IsLiteral() {
			a.Host = d
		}
	}
	if a.Web == "" {
		a.Web = WebDirect
	}
	if a.Domain == "" && a.Account.Domain != "" {
		a.Domain = a.Account.Domain
	}
	return a
}
