// Package hosts finds the hosts that mail for a next hop is offered to (RFC 5321
// §5.1), in the order in which they are tried, and says of each that is left out
// why. The courier asks it to send; `route explain` asks it to tell. What is
// decided here is decided nowhere else.
//
// A next hop is the mail exchangers of a domain, the hosts that a route names, or
// the host of an address literal (§4.1.3). Its hosts come in tiers: the exchangers
// of one preference, or one named host. A tier is looked up when it is asked for, so
// that who takes the mail at the first host costs no lookup of the others.
//
// # Rules
//
//   - A domain that has no MX record, and exists, is its own exchanger. One that
//     has any is not, whether they can be used or not. The root as the only
//     exchanger says that it takes no mail (RFC 7505). Aliases are followed, of the
//     domain and, though RFC 2181 §10.3 forbids them there, of exchangers.
//   - Exchangers are tried by preference, equal ones in random order; the
//     addresses of a host in the order of the resolver, which is IPv6 first.
//   - Where an exchanger is this server, by name or by an address, neither it nor
//     what is not preferred to it is tried, or mail would go in circles. A host that
//     the operator named may be this machine.
//   - One search looks up MaxHosts hosts. What comes after may be right, so the mail
//     waits for it.
//   - Only what the DNS says for certain is final: that there is no such domain, or
//     no such record. Every other failure passes, and the mail waits. A host that
//     the operator named is a mistake to repair, so mail waits for that too.
//
// What the resolver remembers it gives until its time is over and no longer, absence
// too; each answer says until when it holds (Proof).
//
// # Policies
//
// What a policy says of hosts goes into policy.go, which is asked at two moments: of
// the list of exchangers, whether its names may be trusted (proved by DNSSEC or listed
// by MTA-STS), and of each host, once its addresses are known, how it must be spoken
// to (DANE, MTA-STS) or why it must not be tried (MTA-STS, a breaker). Both give a
// Fault where they refuse, and so courier, report, log and explanation say the same.
//
//	who says so                        a host is spoken to
//	REQUIRETLS                         in TLS, and proves its name; see below for how
//	the route: its TLS, a password     as that says; nobody else is asked
//	"TLS-Required: No"                 in TLS if it offers it
//	TLSA records of the host (DANE)    in TLS, with a certificate that they name
//	a policy of the domain, enforced   if it is listed, in TLS, with a valid certificate
//	a policy that is tested; nobody    in TLS if it offers it
//
// The first row that fits counts; DANE and a policy change places where the exchangers
// are not proved (terms). Whoever cannot say what there is makes mail wait: a look-up of
// TLSA records that fails is a fault of the host.
//
// It connects to nothing, reads no clock and starts nothing.
package hosts

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/mailauth/tlsrpt"
)

// Limits of one attempt to send.
const (
	// MaxHosts is how many hosts of one next hop are looked up.
	MaxHosts = 20
	// MaxAddresses is how many connections the courier makes.
	MaxAddresses = 10
)

// Ports that are used when the next hop names none.
const (
	PortSMTP = 25
	PortLMTP = 24 // RFC 2033 §5 forbids 25
)

// Resolver is the part of dns.Resolver that is asked.
type Resolver interface {
	MX(ctx context.Context, d mail.Domain) (dns.Answer[dns.MX], error)
	Addresses(ctx context.Context, host dns.Name) (dns.Answer[netip.Addr], error)
	TLSA(ctx context.Context, n dns.Name) (dns.Answer[dns.TLSA], error)
	CNAME(ctx context.Context, n dns.Name) (dns.Answer[dns.Name], error)
}

// Ourselves knows by which names and addresses mail would come back to us (RFC
// 5321 §5.1). Whoever lets strangers send mail should count loopback addresses
// in: their domains may have an MX there.
type Ourselves interface {
	IsOurName(host dns.Name) bool
	IsOurAddress(addr netip.AddrPort) bool
}

// Finder finds. All fields must be set but Policies and Port. Safe for concurrent use if
// they are.
type Finder struct {
	Resolver  Resolver
	Ourselves Ourselves
	Policies  Policies // of MTA-STS; nil if nobody is asked for them
	// Shuffle puts exchangers of equal preference, which come sorted by name, into
	// the order in which they are tried: rand.Shuffle, or InOrder.
	Shuffle func(n int, swap func(i, j int))
	Port    uint16 // of SMTP hosts where the next hop names none; 0 is PortSMTP
}

// InOrder is a Finder's Shuffle that leaves the order as it is.
func InOrder(int, func(i, j int)) {}

// Proof is how long what the DNS said holds, and whether DNSSEC proved it. Expires
// is zero for what is not remembered.
type Proof struct {
	Expires   time.Time
	Authentic bool
}

// proofOf is the proof of an answer, or of a failure.
func proofOf[T any](a dns.Answer[T], err error) Proof {
	var e *dns.Error
	if errors.As(err, &e) {
		return Proof{e.Expires, e.Authentic}
	}
	return Proof{a.Expires, a.Authentic}
}

// Host is a host that was looked up. It is tried unless it has a fault.
type Host struct {
	Name      string   // as a certificate calls it: a name, or an address
	Canonical dns.Name // what Name is an alias of; "" if it is none
	Addresses []netip.AddrPort
	Proof     Proof               // of the addresses, or of their absence; zero of a literal
	Terms     Terms               // how it is to be spoken to
	Fault     *Fault              // why it cannot be tried
	Told      *tlsrpt.Observation // what reports of TLS say of the Fault; nil for nothing
}

// LeftOut is a host that is not tried, and why.
type LeftOut struct {
	Host string
	Why  string
}

// Reasons of LeftOut; that of a host with an address of ours names it.
const (
	notHost      = "it is no name of a host"
	twice        = "it is listed twice"
	isUs         = "it is this server"
	notPreferred = "it is not preferred to this server"
	hasOurs      = "it has an address of this server, "
)

var tooMany = fmt.Sprintf("one attempt looks up at most %d hosts", MaxHosts)

// Tier is hosts that are tried together.
type Tier struct {
	Hosts   []Host
	LeftOut []LeftOut // of this tier and, where we are in it, of all after it
	Fault   *Fault    // in place of hosts
}

// Candidate is one address of a host.
type Candidate struct {
	Host  string
	Addr  netip.AddrPort
	Terms Terms
}

// Candidates are the addresses of the hosts of the tier that can be tried, in order.
func (t Tier) Candidates() (list []Candidate) {
	for _, h := range t.Hosts {
		if h.Fault != nil {
			continue
		}
		for _, a := range h.Addresses {
			list = append(list, Candidate{h.Name, a, h.Terms})
		}
	}
	return list
}

// Faults are why there is no host, or why some cannot be tried, in order.
func (t Tier) Faults() (list []*Fault) {
	if t.Fault != nil {
		list = append(list, t.Fault)
	}
	for _, h := range t.Hosts {
		if h.Fault != nil {
			list = append(list, h.Fault)
		}
	}
	return list
}
