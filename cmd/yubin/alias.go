package main

import (
	"context"
	"io"
	"strings"

	"yubin/internal/server/admin"
)

type aliasCmd struct {
	Add    aliasAddCmd    `cmd:"" help:"Make an address stand for one or more others, or with --to for more than before."`
	Set    aliasSetCmd    `cmd:"" help:"Make an alias, or give it other targets."`
	Import aliasImportCmd `cmd:"" help:"Make many aliases from a file: CSV, JSON lines, Postfix's tables."`
	List   aliasListCmd   `cmd:"" help:"List the aliases."`
	Remove aliasRemoveCmd `cmd:"" help:"Delete an alias, or with --to some of its targets."`
}

type aliasAddCmd struct {
	place
	Address string   `arg:"" help:"The alias: info@example.org, sales+eu@example.org, or @example.org for all that nobody else has."`
	Targets []string `arg:"" optional:"" help:"Addresses of accounts and aliases here, or of anybody elsewhere, and group:NAME."`
	To      []string `help:"Add this target to those that the alias has." placeholder:"ADDRESS"`
}

func (c *aliasAddCmd) Run(e *env) error {
	if (len(c.Targets) > 0) == (len(c.To) > 0) {
		return usagef("name the targets of a new alias, or with --to those to add to one")
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		if len(c.To) > 0 {
			a, err := client.ChangeAlias(ctx, c.Address, admin.AliasChange{Add: c.To})
			return e.aliasGoes(a, err)
		}
		a, err := client.AddAlias(ctx, admin.Alias{Address: c.Address, Targets: c.Targets})
		return e.aliasGoes(a, err)
	})
}

// aliasGoes says where an alias goes now.
func (e *env) aliasGoes(a admin.Alias, err error) error {
	if err != nil {
		return err
	}
	return e.did(a, "alias %s goes to %s", a.Address, strings.Join(a.Targets, ", "))
}

type aliasSetCmd struct {
	place
	Address string   `arg:"" help:"The alias; @example.org for all that nobody else has."`
	Targets []string `arg:"" help:"All its targets: addresses of accounts and aliases here, or of anybody elsewhere, and group:NAME."`
}

func (c *aliasSetCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		a, err := client.SetAlias(ctx, admin.Alias{Address: c.Address, Targets: c.Targets})
		return e.aliasGoes(a, err)
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
	Address string   `arg:"" help:"The alias."`
	To      []string `help:"Take this target away; the alias stays." placeholder:"ADDRESS"`
}

func (c *aliasRemoveCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		if len(c.To) > 0 {
			a, err := client.ChangeAlias(ctx, c.Address, admin.AliasChange{Drop: c.To})
			return e.aliasGoes(a, err)
		}
		if err := client.RemoveAlias(ctx, c.Address); err != nil {
			return err
		}
		return e.did(map[string]string{"address": c.Address}, "alias %s removed", c.Address)
	})
}
