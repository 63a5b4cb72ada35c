// Package clients says what mail clients are to use for addresses of domains that are
// here: hosts, ports, kinds of TLS, and the name to log in with. What others make of it
// (autoconfig, Autodiscover, profiles, pages, SRV records) is made of this one noun, so
// that all say the same.
//
// It knows domains and never looks for an account: what it says of an address is the same
// whether somebody has it or not.
package clients

import (
	"cmp"
	"context"
	"slices"

	"yubin/internal/mail"
)

// Protocol is what a client speaks.
type Protocol uint8

// The protocols, in the order in which they are recommended.
const (
	IMAP Protocol = iota
	POP3
	Submission
)

func (p Protocol) String() string { return [...]string{"imap", "pop3", "submission"}[p] }

// Security is how a connection comes to TLS. There is none without.
type Security uint8

// The kinds, in the order in which they are recommended (RFC 8314 §4).
const (
	TLS      Security = iota // from the first octet
	StartTLS                 // STARTTLS, or STLS in POP3
)

func (s Security) String() string { return [...]string{"tls", "starttls"}[s] }

// Service is one place to which clients connect.
type Service struct {
	Protocol Protocol
	Host     mail.Domain
	Port     uint16
	Security Security
}

// Name is what the protocol with its kind of TLS is called: "imaps", "submission".
func (s Service) Name() string {
	if s.Security == TLS {
		return s.Protocol.String() + "s"
	}
	return s.Protocol.String()
}

// SRV is the label under which a domain names the service in the DNS: "_imaps._tcp"
// (RFC 6186 §3, RFC 8314 §5.1).
func (s Service) SRV() string { return "_" + s.Name() + "._tcp" }

// standard are the ports of RFC 6186 and RFC 8314, by protocol and security.
var standard = [...][2]uint16{IMAP: {993, 143}, POP3: {995, 110}, Submission: {465, 587}}

// Standard reports whether the port is the one that clients try by themselves.
func (s Service) Standard() bool { return s.Port == standard[s.Protocol][s.Security] }

// Sort puts services in the order in which clients are to try them: the protocols as they
// stand above, TLS before STARTTLS, the usual port before others.
func Sort(list []Service) {
	slices.SortStableFunc(list, func(a, b Service) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Security, b.Security),
			cmp.Compare(unusual(a), unusual(b)), cmp.Compare(a.Port, b.Port))
	})
}

func unusual(s Service) int {
	if s.Standard() {
		return 0
	}
	return 1
}

// Settings is what clients are to use for the addresses of one domain. The login is the
// whole address, and the password that of the account.
type Settings struct {
	Domain   mail.Domain // "" for any that is here
	Services []Service   // the best first
}

// Of returns the services of a protocol, the best first.
func (s Settings) Of(p Protocol) (list []Service) {
	for _, one := range s.Services {
		if one.Protocol == p {
			list = append(list, one)
		}
	}
	return list
}

// Best is the service of a protocol that a client is to use if it takes only one.
func (s Settings) Best(p Protocol) (Service, bool) {
	list := s.Of(p)
	if len(list) == 0 {
		return Service{}, false
	}
	return list[0], true
}

// Domains knows whose mail is here.
type Domains interface {
	IsLocal(context.Context, mail.Domain) (bool, error)
}

// Clients answers for one server. Safe for concurrent use.
type Clients struct {
	domains  Domains
	services func() []Service
}

// New returns what answers for domains; services are those of the moment.
func New(d Domains, services func() []Service) *Clients {
	return &Clients{domains: d, services: services}
}

// Settings says what clients are to use for addresses of a domain; "" stands for any.
// Errors: NotFound if the domain is not here.
func (c *Clients) Settings(ctx context.Context, domain mail.Domain) (Settings, error) {
	if domain != "" {
		local, err := c.domains.IsLocal(ctx, domain)
		if err != nil {
			return Settings{}, err
		}
		if !local {
			return Settings{}, mail.Errorf(mail.NotFound, "%s is not a domain of this server", domain)
		}
	}
	list := slices.Clone(c.services())
	Sort(list)
	return Settings{Domain: domain, Services: list}, nil
}

// IsLocal reports whether mail for the domain is here.
func (c *Clients) IsLocal(ctx context.Context, domain mail.Domain) (bool, error) {
	return c.domains.IsLocal(ctx, domain)
}
