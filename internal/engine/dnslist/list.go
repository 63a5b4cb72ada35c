package dnslist

import (
	"fmt"
	"math"
	"net/netip"

	"yubin/internal/dns"
	"yubin/internal/mail"
)

// List is a list as it is configured.
type List struct {
	Name  string // in reasons, the log and metrics
	Zone  dns.Name
	About About // what it is asked about
	Codes []Code
	// Test is a domain that a list of domains always has; "" is TEST (RFC 5782 §5).
	// "-" is none: the list is then only tried for what it must not have.
	Test string
}

// Code is what an answer means.
type Code struct {
	dns.ListCode
	Weight  float64 // positive is junk
	Meaning string  // a few words for people
}

var (
	codes    = netip.MustParsePrefix("127.0.0.0/8")      // RFC 5782 §2.1
	refusals = netip.MustParsePrefix("127.255.255.0/24") // of operators, to those whom they do not answer
	never    = netip.MustParseAddr("127.0.0.1")          // RFC 5782 §5; to others "you may not ask"
)

// refusal says why an answer is no listing, or "".
func refusal(a netip.Addr) string {
	switch {
	case !codes.Contains(a.Unmap()):
		return "it answers " + a.String() + ", which is no code of a list: its zone may belong to somebody else now"
	case refusals.Contains(a.Unmap()), a.Unmap() == never:
		return "it answers " + a.String() + ", by which lists refuse to answer: too many questions, or a resolver that they do not serve"
	}
	return ""
}

func (l List) check() error {
	fault := ""
	switch {
	case l.Name == "":
		fault = "it has no name"
	case l.Zone.IsRoot():
		fault = "it has no zone"
	case l.About == 0:
		fault = "it is about nothing"
	case len(l.Codes) == 0:
		fault = "no answer of it means anything"
	}
	for _, c := range l.Codes {
		if math.IsNaN(c.Weight) || math.Abs(c.Weight) > 100 {
			fault = "a weight is not between -100 and 100"
		}
	}
	if fault != "" {
		return mail.Errorf(mail.Invalid, "the list %q cannot be used: %s", l.Name, fault)
	}
	return nil
}

// name is where the list says something about a subject.
func (l List) name(s Subject) (dns.Name, error) {
	if s.Addr.IsValid() {
		return dns.ListedName(s.Addr, l.Zone)
	}
	if s.Domain == "" || s.Domain.IsLiteral() {
		return "", mail.Errorf(mail.Invalid, "no domain to look up in %s", l.Zone)
	}
	return l.Zone.Under(string(s.Domain))
}

// trial is an entry that a list must have, or must not.
type trial struct {
	name   string // below the zone
	listed bool
}

// trials are those of a list (RFC 5782 §5). Lists of IPv6 addresses alone are tried
// as lists of IPv4 ones: those we know have both.
func (l List) trials() (all []trial) {
	if l.About&Client != 0 {
		all = append(all, trial{"2.0.0.127", true}, trial{"1.0.0.127", false})
	}
	if l.About&(Sender|Link) != 0 {
		switch l.Test {
		case "-":
		case "":
			all = append(all, trial{"test", true})
		default:
			all = append(all, trial{l.Test, true})
		}
		all = append(all, trial{"invalid", false})
	}
	return all
}

func (t trial) String() string {
	if t.listed {
		return fmt.Sprintf("%s, which it must list", t.name)
	}
	return fmt.Sprintf("%s, which it must not list", t.name)
}
