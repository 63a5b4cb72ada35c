package main

import (
	"context"
	"io"
	"strings"

	"yubin/internal/server/admin"
)

type aliasCmd struct {
	Add    aliasAddCmd    `cmd:"" help:"Make an address stand for one or more others."`
	List   aliasListCmd   `cmd:"" help:"List the aliases."`
	Remove aliasRemoveCmd `cmd:"" help:"Delete an alias."`
}

type aliasAddCmd struct {
	place
	Address string   `arg:"" help:"The alias: info@example.org, sales+eu@example.org, or @example.org for all that nobody else has."`
	Targets []string `arg:"" help:"Addresses of accounts and aliases here, or of anybody elsewhere."`
}

func (c *aliasAddCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		a, err := client.AddAlias(ctx, admin.Alias{Address: c.Address, Targets: c.Targets})
		if err != nil {
			return err
		}
		return e.did(a, "alias %s goes to %s", a.Address, strings.Join(a.Targets, ", "))
	})
}

type aliasListCmd struct {
	place
	Domain string `help:"Only the aliases of this domain."`
}

func (c *aliasListCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		aliases, err := client.Aliases(ctx, c.Domain)
		if err != nil {
			return err
		}
		return e.show(aliases, func(w io.Writer) {
			t := table{{"ALIAS", "GOES TO"}}
			for _, a := range aliases {
				t.add(a.Address, strings.Join(a.Targets, ", ")+unreadable(a.Unreadable))
			}
			t.write(w)
		})
	})
}

type aliasRemoveCmd struct {
	place
	Address string `arg:"" help:"The alias."`
}

func (c *aliasRemoveCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		if err := client.RemoveAlias(ctx, c.Address); err != nil {
			return err
		}
		return e.did(map[string]string{"address": c.Address}, "alias %s removed", c.Address)
	})
}
