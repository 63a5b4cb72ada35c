package judge

import (
	"context"
	"net/netip"
	"strings"

	"yubin/internal/dns"
	"yubin/internal/mail"
)

// reverse is what the reverse zone says of an address.
type reverse struct {
	answer Reverse
	name   dns.Name // that leads back, or the first that does not
}

// maxReverse is how many names of an address are looked up (as of mechanism "ptr", RFC
// 7208 §4.6.4, and of RFC 8601 §3).
const maxReverse = 5

// findReverse looks for a name of the client that leads back to it (RFC 8601 §3).
func (c *Case) findReverse(ctx context.Context) reverse {
	addr := c.client.Remote.Unmap()
	names, err := c.j.o.Resolver.PTR(ctx, addr)
	switch {
	case err != nil && dns.FailureOf(err).NotFound():
		return reverse{answer: ReverseMissing}
	case err != nil:
		return reverse{}
	case len(names.Records) == 0:
		return reverse{answer: ReverseMissing}
	}
	out := reverse{answer: ReverseFail, name: names.Records[0]}
	for _, name := range names.Records[:min(len(names.Records), maxReverse)] {
		back, err := addresses(ctx, c.j.o.Resolver, name, addr)
		if err != nil && !dns.FailureOf(err).NotFound() {
			out.answer = ReverseUnknown
			continue
		}
		for _, a := range back {
			if a.Unmap() == addr {
				return reverse{answer: ReversePass, name: name}
			}
		}
	}
	return out
}

// addresses are those of name in the family of addr.
func addresses(ctx context.Context, r Resolver, name dns.Name, addr netip.Addr) ([]netip.Addr, error) {
	lookup := r.AAAA
	if addr.Is4() {
		lookup = r.A
	}
	a, err := lookup(ctx, name)
	return a.Records, err
}

// sendsNothing reports whether the SPF record of a domain is "v=spf1 -all" and nothing
// else.
func sendsNothing(ctx context.Context, r Resolver, domain string) bool {
	d, err := mail.ParseDomain(domain)
	if err != nil {
		return false
	}
	n, err := dns.NameOf(d)
	if err != nil {
		return false
	}
	records, err := r.TXT(ctx, n)
	if err != nil {
		return false
	}
	found := 0
	for _, txt := range records.Records {
		if words := strings.Fields(txt); len(words) > 0 && strings.EqualFold(words[0], "v=spf1") {
			if found++; len(words) != 2 || words[1] != "-all" {
				return false
			}
		}
	}
	return found == 1
}
