package reports

import (
	"context"
	"sync"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mailauth/dmarc"
)

// Policies that are not what a record says.
const (
	UnknownPolicy = "?"         // the DNS does not answer, or was not asked
	NoPolicy      = "no record" // none that can be used
)

// Bounds of asking for the policies of domains.
const (
	MaxPolicies    = 100 // domains; of others the policy is unknown
	policiesAtOnce = 10  // asked for at a time
	policyTime     = 3 * time.Second
)

// askPolicies finds what policies stand in the DNS now, as far as it answers soon.
func (r *Reports) askPolicies(ctx context.Context, list []Overview) {
	ctx, cancel := context.WithTimeout(ctx, policyTime)
	defer cancel()
	var g sync.WaitGroup
	places := make(chan struct{}, policiesAtOnce)
	for i := range list {
		o := &list[i]
		o.Policy = UnknownPolicy
		if i >= MaxPolicies {
			continue
		}
		g.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			r.askPolicy(ctx, o)
		})
	}
	g.Wait()
}

// askPolicy finds the policy of a domain; what was reported stays only if it differs.
func (r *Reports) askPolicy(ctx context.Context, o *Overview) {
	v := dmarc.Check(ctx, r.o.Resolver, o.Domain, nil)
	switch {
	case v.Record != nil && v.Record.Unusable == "":
		found := *v.Record
		if n, err := dns.NameOf(o.Domain); err != nil || v.Domain != n { // It stands above, which says what holds below.
			found.Policy = found.Subdomains
		}
		o.stops = found.Policy != dmarc.NoPolicy
		if o.Policy = recordText(found); sameRecord(o.Reported, found) {
			o.Reported = ""
		}
	case v.Record == nil && v.Result == dmarc.TempError:
	default:
		o.Policy = NoPolicy
	}
}

// recordText is a record in the words of policyText.
func recordText(r dmarc.Record) string {
	text := "p=" + r.Policy.String()
	for _, tag := range []struct {
		there bool
		text  string
	}{
		{r.Subdomains != r.Policy, "; sp=" + r.Subdomains.String()}, {r.Nonexistent != r.Subdomains, "; np=" + r.Nonexistent.String()},
		{r.StrictDKIM, "; adkim=s"}, {r.StrictSPF, "; aspf=s"}, {r.Test, "; t=y"},
	} {
		if tag.there {
			text += tag.text
		}
	}
	return text
}

// sameRecord reports whether the text of a policy that was reported means a record.
func sameRecord(reported string, r dmarc.Record) bool {
	said, ok := dmarc.ParseRecord("v=DMARC1; " + reported)
	return ok && said.Unusable == "" && recordText(said) == recordText(r)
}
