package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"yubin/internal/server/admin"
	"yubin/internal/world/config"
)

// quotaFlags are those of commands that set a quota.
type quotaFlags struct {
	Size     string `help:"Of all messages together: 5GB, 500 MiB; none, or default for what stands above." placeholder:"SIZE"`
	Messages string `help:"How many messages: 100000; none, or default." placeholder:"N"`
	None     bool   `help:"No bound at all, whatever stands above."`
	Default  bool   `help:"Leave both to what stands above: an account's domain, a domain's site."`
}

// change reads the flags; given says whether there are any.
func (f quotaFlags) change() (c admin.QuotaChange, given bool, err error) {
	if (f.None || f.Default) && (f.None && f.Default || f.Size+f.Messages != "") {
		return c, false, usagef("give --none, --default, or --size and --messages")
	}
	if f.None {
		f.Size, f.Messages = "none", "none"
	}
	if f.Default {
		f.Size, f.Messages = "default", "default"
	}
	if c.Octets, err = bound(f.Size, config.ParseSize); err != nil {
		return c, false, usagef("--size must be a size like 5GB or 500 MiB, none or default, not %q", f.Size)
	}
	if c.Messages, err = bound(f.Messages, parseCount); err != nil {
		return c, false, usagef("--messages must be a number from 1, none or default, not %q", f.Messages)
	}
	return c, c != admin.QuotaChange{}, nil
}

// bound reads a part of a quota; nil if there is none.
func bound(s string, parse func(string) (int64, error)) (*int64, error) {
	n := int64(0)
	switch s {
	case "":
		return nil, nil
	case "none":
	case "default":
		n = -1
	default:
		var err error
		if n, err = parse(s); err != nil || n == 0 {
			return nil, errUsage
		}
	}
	return &n, nil
}

func parseCount(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(min(n, math.MaxInt64)), err
}

type accountQuotaCmd struct {
	place
	quotaFlags
	Address string `arg:"" help:"The address."`
}

func (c *accountQuotaCmd) Run(e *env) error {
	change, given, err := c.change()
	if err != nil {
		return err
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		call := client.Account
		if given {
			call = func(ctx context.Context, address string) (admin.Account, error) {
				return client.ChangeAccount(ctx, address, admin.AccountChange{Quota: &change})
			}
		}
		a, err := call(ctx, c.Address)
		if err != nil {
			return err
		}
		return e.show(a, func(w io.Writer) {
			fmt.Fprintf(w, "%s may hold %s, and holds %s in %s\n", a.Address, bounds(a.Usage), octets(a.Usage.Octets), messages(a.Usage.Messages))
		})
	})
}

type domainQuotaCmd struct {
	place
	quotaFlags
	Domain string `arg:"" help:"The domain."`
}

func (c *domainQuotaCmd) Run(e *env) error {
	change, set, err := c.change()
	if err != nil {
		return err
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		call := client.Domain
		if set {
			call = func(ctx context.Context, domain string) (admin.Domain, error) {
				return client.SetDomainQuota(ctx, domain, change)
			}
		}
		d, err := call(ctx, c.Domain)
		if err != nil {
			return err
		}
		return e.did(d, "an account of %s may hold %s", d.Domain, given(d.Quota, aboveDomain))
	})
}

type siteQuotaCmd struct {
	place
	quotaFlags
}

func (c *siteQuotaCmd) Run(e *env) error {
	change, set, err := c.change()
	if err != nil {
		return err
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		call := client.SiteQuota
		if set {
			call = func(ctx context.Context) (admin.Quota, error) { return client.SetSiteQuota(ctx, change) }
		}
		q, err := call(ctx)
		if err != nil {
			return err
		}
		return e.did(q, "an account may hold %s", given(q, ""))
	})
}

// aboveDomain is where the quota of a domain's accounts is said if not there.
const aboveDomain = "as the site says"

// bounds writes what an account may hold.
func bounds(u admin.Usage) string {
	q := admin.Quota{Octets: u.MaxOctets, Messages: u.MaxMessages}
	if q.Octets == 0 {
		q.Octets = -1
	}
	if q.Messages == 0 {
		q.Messages = -1
	}
	return given(q, "")
}

// quotaSize writes a size as it is given: in powers of ten what is no power of two.
func quotaSize(n int64) string {
	switch {
	case n%(1<<20) == 0 || n%1_000_000 != 0:
		return octets(n)
	case n%1_000_000_000 == 0:
		return fmt.Sprintf("%d GB", n/1_000_000_000)
	}
	return fmt.Sprintf("%d MB", n/1_000_000)
}

// given writes a quota; above is where the parts that it does not say are said,
// "" for nowhere.
func given(q admin.Quota, above string) string {
	var parts []string
	switch {
	case q.Octets > 0:
		parts = append(parts, quotaSize(q.Octets))
	case q.Octets == 0 && q.Messages != 0:
		parts = append(parts, "any size")
	}
	switch {
	case q.Messages > 0:
		parts = append(parts, messages(q.Messages))
	case q.Messages == 0 && q.Octets != 0:
		parts = append(parts, "any number of messages")
	}
	switch s := strings.Join(parts, ", "); {
	case s == "" && q.Octets < 0 && above != "":
		return above
	case s == "":
		return "anything"
	case (q.Octets < 0 || q.Messages < 0) && above != "":
		return s + ", else " + above
	default:
		return s
	}
}

func messages(n int64) string {
	if n == 1 {
		return "1 message"
	}
	return strconv.FormatInt(n, 10) + " messages"
}
