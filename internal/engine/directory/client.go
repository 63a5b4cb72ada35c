package directory

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"yubin/internal/mail"
)

// Client is who asks to log in.
type Client struct {
	Protocol Protocol
	Addr     netip.Addr // the zero Addr is this machine itself
}

// Protocol is what a client speaks.
type Protocol string

// What people log in by. Web is there to be named in a Scope: nothing serves it yet.
const (
	IMAP       Protocol = "imap"
	POP3       Protocol = "pop3"
	Submission Protocol = "submission"
	Web        Protocol = "web"
)

var protocols = []Protocol{IMAP, POP3, Submission, Web}

// ParseProtocol reads the name of one.
func ParseProtocol(s string) (Protocol, error) {
	if p := Protocol(strings.ToLower(s)); slices.Contains(protocols, p) {
		return p, nil
	}
	return "", mail.Errorf(mail.Invalid, "%q is none of imap, pop3, submission, web", s)
}

// MaxScopeNetworks is how many networks a Scope has at most.
const MaxScopeNetworks = 16

// Scope is where, by what and how long a credential counts. The zero Scope is no limit.
type Scope struct {
	Protocols []Protocol     // only these; none for all
	Networks  []netip.Prefix // only from these; none for all
	Until     time.Time      // not from then on; zero for ever
}

// Why a credential that is right did not count: causes (errors.Is) of a Forbidden, for
// the log. The client hears what it hears of a wrong password.
var (
	errWrongProtocol = errors.New("directory: not for this protocol")
	errWrongNetwork  = errors.New("directory: not from this network")
	errExpired       = errors.New("directory: expired")
)

// refuses says why c cannot use a credential of the scope at a time; nil if it can.
func (s Scope) refuses(c Client, now time.Time) error {
	from := c.Addr.Unmap().WithZone("")
	switch {
	case !s.Until.IsZero() && !now.Before(s.Until):
		return errExpired
	case len(s.Protocols) > 0 && !slices.Contains(s.Protocols, c.Protocol):
		return errWrongProtocol
	case len(s.Networks) > 0 && !slices.ContainsFunc(s.Networks, func(p netip.Prefix) bool { return p.Contains(from) }):
		return errWrongNetwork
	}
	return nil
}

// clean brings a scope into the form in which it is kept: each thing once, in order. The
// error is Invalid.
func (s Scope) clean() (Scope, error) {
	out := Scope{Until: s.Until}
	for _, p := range protocols {
		if slices.Contains(s.Protocols, p) {
			out.Protocols = append(out.Protocols, p)
		}
	}
	for _, p := range s.Protocols {
		if _, err := ParseProtocol(string(p)); err != nil {
			return Scope{}, err
		}
	}
	for _, n := range s.Networks {
		if !n.IsValid() || n.Addr().Is4In6() || n.Addr().Zone() != "" {
			return Scope{}, mail.Errorf(mail.Invalid, "%s is no network such as 192.0.2.0/24 or 2001:db8::/32", n)
		}
		if n = n.Masked(); !slices.Contains(out.Networks, n) {
			out.Networks = append(out.Networks, n)
		}
	}
	if len(out.Networks) > MaxScopeNetworks {
		return Scope{}, mail.Errorf(mail.Invalid, "at most %d networks", MaxScopeNetworks)
	}
	return out, nil
}

// columns are the protocols and networks of a scope as they are kept.
func (s Scope) columns() (protocols, networks string) {
	var p, n []string
	for _, one := range s.Protocols {
		p = append(p, string(one))
	}
	for _, one := range s.Networks {
		n = append(n, one.String())
	}
	return strings.Join(p, " "), strings.Join(n, " ")
}

// parseScope reads what columns wrote, and when the scope ends, in seconds; 0 for never.
func parseScope(protocols, networks string, until int64) (s Scope, err error) {
	for name := range strings.FieldsSeq(protocols) {
		p, err := ParseProtocol(name)
		if err != nil {
			return Scope{}, err
		}
		s.Protocols = append(s.Protocols, p)
	}
	for text := range strings.FieldsSeq(networks) {
		n, err := netip.ParsePrefix(text)
		if err != nil {
			return Scope{}, mail.Errorf(mail.Invalid, "%q is no network", text)
		}
		s.Networks = append(s.Networks, n)
	}
	if until != 0 {
		s.Until = time.Unix(until, 0).UTC()
	}
	return s, nil
}
