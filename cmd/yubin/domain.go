package main

import (
	"cmp"
	"context"
	"io"
	"strconv"

	"yubin/internal/server/admin"
)

type domainCmd struct {
	Add    domainAddCmd    `cmd:"" help:"Keep the mail of a domain here."`
	List   domainListCmd   `cmd:"" help:"List the domains."`
	Quota  domainQuotaCmd  `cmd:"" help:"Show or set how much each account of a domain may hold, if it has no quota of its own."`
	Remove domainRemoveCmd `cmd:"" help:"Stop keeping the mail of a domain that has no accounts and aliases left."`
}

type domainAddCmd struct {
	place
	Domain string `arg:"" help:"The domain: example.org."`
}

func (c *domainAddCmd) Run(e *env) error {
	return e.adminMaking(c.place, func(ctx context.Context, client *admin.Client) error {
		d, err := client.AddDomain(ctx, c.Domain)
		if err != nil {
			return err
		}
		return e.did(d, "domain %s added", d.Domain)
	})
}

type domainListCmd struct{ place }

func (c *domainListCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		domains, err := client.Domains(ctx)
		if err != nil {
			return err
		}
		return e.show(domains, func(w io.Writer) {
			t := table{{"DOMAIN", "ACCOUNTS", "ALIASES", "CATCH-ALL", "QUOTA"}}
			for _, d := range domains {
				t.add(d.Domain, strconv.Itoa(d.Accounts), strconv.Itoa(d.Aliases), cmp.Or(d.CatchAll, "none"), given(d.Quota, aboveDomain)+unreadable(d.Unreadable))
			}
			t.write(w)
		})
	})
}

type domainRemoveCmd struct {
	place
	Domain string `arg:"" help:"The domain."`
}

func (c *domainRemoveCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		if err := client.RemoveDomain(ctx, c.Domain); err != nil {
			return err
		}
		return e.did(admin.NewDomain{Domain: c.Domain}, "domain %s removed", c.Domain)
	})
}
