package reports

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"yubin/internal/dns"
	"yubin/internal/engine/intake"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dmarc"
)

// MaxDestinations is how many addresses of one policy get a report; others are
// passed over.
const MaxDestinations = 5

// destinations are those who get a report, and why others do not. The error is
// temporary: the DNS does not answer.
func (r *Reports) destinations(ctx context.Context, t taken) (to []intake.Recipient, refused []string, err error) {
	seen := map[mail.Address]bool{}
	for _, uri := range t.policy.To {
		a, ok := mailto(uri)
		if !ok {
			refused = append(refused, fmt.Sprintf("%.100q is no address of mail", uri))
			continue
		}
		verified, why, err := r.verify(ctx, t.domain, a)
		if err != nil {
			return nil, nil, err
		}
		if why != "" {
			refused = append(refused, why)
		}
		for _, a := range verified {
			if seen[a.Key()] || len(to) == MaxDestinations {
				continue
			}
			seen[a.Key()] = true
			one, why, err := r.way(ctx, a)
			switch {
			case err != nil:
				return nil, nil, err
			case why != nil:
				refused = append(refused, fmt.Sprintf("%s: %v", a, why))
			default:
				to = append(to, one)
			}
		}
	}
	if len(to)+len(refused) == 0 {
		refused = []string{"the policy names nobody"}
	}
	return to, refused, nil
}

// mailto reads a URI of mail (RFC 6068) with one address.
func mailto(uri string) (mail.Address, bool) {
	u, err := url.Parse(uri)
	if err != nil || !strings.EqualFold(u.Scheme, "mailto") {
		return mail.Address{}, false
	}
	text, err := url.PathUnescape(u.Opaque)
	if err != nil {
		return mail.Address{}, false
	}
	a, err := mail.ParseAddress(text)
	return a, err == nil && !a.Domain.IsLiteral()
}

// verify asks whether who has an address wants reports about a domain (RFC 9990 §4),
// and at which addresses instead, if its record says so; why is set if not. The error
// is temporary.
func (r *Reports) verify(ctx context.Context, policy mail.Domain, to mail.Address) (list []mail.Address, why string, err error) {
	within, err := r.sameOrganization(ctx, policy, to.Domain)
	if err != nil {
		return nil, "", err
	}
	if within {
		return []mail.Address{to}, "", nil
	}
	host, err := dns.NameOf(to.Domain)
	if err != nil {
		return nil, fmt.Sprintf("%s is no domain", to.Domain), nil
	}
	name, err := host.Under(string(policy) + "._report._dmarc")
	if err != nil {
		return nil, fmt.Sprintf("the name that would say that %s takes reports about %s is too long", to.Domain, policy), nil
	}
	answer, err := r.o.Resolver.TXT(ctx, name)
	if f := dns.FailureOf(err); err != nil && f.Temporary() {
		return nil, "", fmt.Errorf("the DNS does not say whether %s takes reports about %s: %w", to.Domain, policy, err)
	}
	confirmed := false
	for _, txt := range answer.Records {
		rec, ok := dmarc.ParseRecord(txt)
		if !ok {
			continue
		}
		confirmed = true
		if len(rec.Aggregate) == 0 {
			continue
		}
		for _, uri := range rec.Aggregate {
			a, ok := mailto(uri)
			if !ok {
				continue
			}
			if a.Domain != to.Domain { // Neither the one nor the other then.
				return nil, fmt.Sprintf("%s sends reports about %s on to %s, which nobody may", to.Domain, policy, a.Domain), nil
			}
			list = append(list, a)
		}
		return list, "", nil
	}
	if !confirmed {
		return nil, fmt.Sprintf("%s does not say that it takes reports about %s: there is no record at %s", to.Domain, policy, name), nil
	}
	return []mail.Address{to}, "", nil
}

// sameOrganization reports whether two domains are of one organization.
func (r *Reports) sameOrganization(ctx context.Context, a, b mail.Domain) (bool, error) {
	if a == b {
		return true, nil
	}
	var of [2]dns.Name
	for i, d := range []mail.Domain{a, b} {
		o, err := dmarc.FindOrganization(ctx, r.o.Resolver, d)
		if failed := (*dns.Error)(nil); errors.As(err, &failed) {
			return false, fmt.Errorf("the DNS does not say what organization %s is of: %w", d, err)
		}
		if err != nil {
			return false, nil
		}
		of[i] = o.Domain
	}
	return of[0] == of[1], nil
}
