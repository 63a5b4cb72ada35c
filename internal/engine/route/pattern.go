package route

import (
	"cmp"
	"strings"

	"yubin/internal/mail"
)

// Pattern is what a route matches addresses with: one address, all of a domain
// (Local is ""), all of all domains below one (Below), or all there are (the
// zero value). Local is in the form of mail.Address.Key.
type Pattern struct {
	Local  string
	Domain mail.Domain
	Below  bool
}

// ParsePattern reads "bob@example.org", "example.org", ".example.org" or "*".
// The error is of kind Invalid.
func ParsePattern(s string) (Pattern, error) {
	switch {
	case s == "*":
		return Pattern{}, nil
	case strings.HasPrefix(s, "@"):
		return Pattern{}, mail.Errorf(mail.Invalid, "for all addresses of a domain write %s, without the @", s[1:])
	case strings.Contains(s, "@"):
		a, err := mail.ParseAddress(s)
		return addressPattern(a), err
	}
	name, below := strings.CutPrefix(s, ".")
	d, err := mail.ParseDomain(name)
	if err == nil && below && d.IsLiteral() {
		err = mail.Errorf(mail.Invalid, "there is nothing below %s", d)
	}
	if err != nil {
		return Pattern{}, err
	}
	return Pattern{Domain: d, Below: below}, nil
}

func addressPattern(a mail.Address) Pattern {
	k := a.Key()
	return Pattern{Local: k.Local, Domain: k.Domain}
}

// String is what ParsePattern reads.
func (p Pattern) String() string {
	switch {
	case p == Pattern{}:
		return "*"
	case p.Below:
		return "." + string(p.Domain)
	case p.Local != "":
		return mail.Address{Local: p.Local, Domain: p.Domain}.String()
	}
	return string(p.Domain)
}

// isAddress reports whether p is one address.
func (p Pattern) isAddress() bool { return p.Local != "" }

// isDomain reports whether p is one domain.
func (p Pattern) isDomain() bool { return p.Local == "" && p.Domain != "" && !p.Below }

// compare orders patterns for people: by domain, the narrowest first.
func (p Pattern) compare(o Pattern) int {
	return cmp.Or(cmp.Compare(p.rank(), o.rank()), cmp.Compare(p.Domain, o.Domain), cmp.Compare(p.Local, o.Local))
}

func (p Pattern) rank() int {
	switch {
	case p.isAddress():
		return 0
	case p.isDomain():
		return 1
	case p.Below:
		return 2
	}
	return 3
}

// place is where a pattern is looked for. The order is that of precedence.
type place uint8

const (
	byRecipient place = iota + 1
	byDomain
	byParent
	bySender
	bySenderDomain
	byDefault
)

// whatIs says what a place matches.
var whatIs = [...]string{"", "the recipient", "the recipient's domain", "the domains above the recipient's", "the sender",
	"the sender's domain", "all mail"}

func (p place) String() string { return whatIs[p] }

// ofSender reports whether the pattern is one of senders.
func (p place) ofSender() bool { return p == bySender || p == bySenderDomain }

// probe is one look into the tables.
type probe struct {
	place   place
	pattern Pattern
}

// separator divides a name from its subaddress (RFC 5233 §1).
const separator = "+"

// probes lists where a route for to and from is looked for, best first.
func probes(to mail.Address, from mail.ReversePath) []probe {
	list := make([]probe, 0, 12)
	list = appendAddress(list, byRecipient, to)
	list = append(list, probe{byDomain, Pattern{Domain: to.Domain}})
	for _, rest, more := strings.Cut(parentOf(to.Domain), "."); more; _, rest, more = strings.Cut(rest, ".") {
		list = append(list, probe{byParent, Pattern{Domain: mail.Domain(rest), Below: true}})
	}
	if !from.IsNull() {
		list = appendAddress(list, bySender, mail.Address(from))
		list = append(list, probe{bySenderDomain, Pattern{Domain: from.Domain}})
	}
	return append(list, probe{byDefault, Pattern{}})
}

// parentOf is the name to take parents of; a literal has none.
func parentOf(d mail.Domain) string {
	if d.IsLiteral() {
		return ""
	}
	return string(d)
}

// appendAddress looks for a and then for a without its subaddress.
func appendAddress(list []probe, p place, a mail.Address) []probe {
	whole := addressPattern(a)
	list = append(list, probe{p, whole})
	if base, _, ok := strings.Cut(whole.Local, separator); ok && base != "" {
		list = append(list, probe{p, Pattern{Local: base, Domain: whole.Domain}})
	}
	return list
}
