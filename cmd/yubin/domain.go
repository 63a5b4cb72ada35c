package main

import (
	"cmp"
	"context"
	"io"
	"strconv"
	"strings"

	"yubin/internal/server/admin"
)

type domainCmd struct {
	Add     domainAddCmd     `cmd:"" help:"Keep the mail of a domain here."`
	Alias   domainAliasCmd   `cmd:"" help:"Domains that are other names of one: their addresses are its."`
	List    domainListCmd    `cmd:"" help:"List the domains."`
	Import  domainImportCmd  `cmd:"" help:"Keep the mail of many domains here, from a file."`
	Quota   domainQuotaCmd   `cmd:"" help:"Show or set how much each account of a domain may hold, if it has no quota of its own."`
	Sending domainSendingCmd `cmd:"" help:"Show or set how much each account of a domain may send."`
	Remove  domainRemoveCmd  `cmd:"" help:"Stop keeping the mail of a domain that has no accounts and aliases left."`
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
		if !strings.Contains(d.Domain, ".") && !e.json {
			e.tell("%s has no dot, so nobody elsewhere can write to it: is it spelled right?", d.Domain)
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
				rest := cmp.Or(strings.Join(d.CatchAll, ", "), "none")
				if d.AliasOf != "" {
					rest = "all as at " + d.AliasOf
				}
				t.add(d.Domain, strconv.Itoa(d.Accounts), strconv.Itoa(d.Aliases), rest, given(d.Quota, aboveDomain)+unreadable(d.Unreadable))
			}
			t.write(w)
		})
	})
}

type domainAliasCmd struct {
	Add    domainAliasAddCmd    `cmd:"" help:"Make a domain another name of one that is here."`
	Remove domainAliasRemoveCmd `cmd:"" help:"Undo it; what the domain has itself stays."`
}

type domainAliasAddCmd struct {
	place
	Domain string `arg:"" help:"The other name: old.example."`
	Of     string `arg:"" help:"The domain whose addresses it has: example.org."`
}

func (c *domainAliasAddCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		d, err := client.AliasDomain(ctx, c.Domain, c.Of)
		if err != nil {
			return err
		}
		if own := d.Accounts + d.Aliases; own > 0 {
			return e.did(d, "domain %s is an alias of %s now, but for what it has itself: %s, %s", d.Domain, d.AliasOf,
				count(d.Accounts, "account", "accounts"), count(d.Aliases, "alias", "aliases"))
		}
		return e.did(d, "domain %s is an alias of %s now", d.Domain, d.AliasOf)
	})
}

type domainAliasRemoveCmd struct {
	place
	Domain string `arg:"" help:"The other name."`
}

func (c *domainAliasRemoveCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		done, err := client.UnaliasDomain(ctx, c.Domain)
		if err != nil {
			return err
		}
		if done.Kept {
			return e.did(done, "domain %s is no alias any more, and keeps what it has itself", done.Domain)
		}
		return e.did(done, "domain %s removed: it was an alias and had nothing itself", done.Domain)
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
