package main

import (
	"context"
	"strings"

	"yubin/internal/server/admin"
)

type accountForwardCmd struct {
	place
	Address string   `arg:"" help:"The address."`
	To      []string `help:"Send the mail on to this address, and only to those given so." placeholder:"ADDRESS"`
	Keep    bool     `help:"Keep a copy in the account."`
	None    bool     `help:"Send nothing on any more."`
}

func (c *accountForwardCmd) Run(e *env) error {
	switch {
	case c.None && (len(c.To) > 0 || c.Keep):
		return usagef("give --none, or --to and maybe --keep")
	case c.Keep && len(c.To) == 0:
		return usagef("--keep goes with --to; without a forward all mail is kept")
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		var a admin.Account
		var err error
		if c.None || len(c.To) > 0 {
			a, err = client.ForwardAccount(ctx, c.Address, admin.Forward{To: c.To, Keep: c.Keep})
		} else {
			a, err = client.Account(ctx, c.Address)
		}
		if err != nil {
			return err
		}
		return e.did(a, "mail for %s goes to %s", a.Address, forwardText(a.Forward))
	})
}

// forwardText says where mail for an account goes.
func forwardText(f *admin.Forward) string {
	switch {
	case f == nil:
		return "its mailbox"
	case f.Keep:
		return "its mailbox and " + strings.Join(f.To, ", ")
	}
	return strings.Join(f.To, ", ") + " only"
}

type accountRenameCmd struct {
	place
	Address   string `arg:"" help:"The address it has."`
	New       string `arg:"" help:"The address it gets."`
	KeepAlias bool   `help:"Leave the old address as an alias of the new one."`
}

func (c *accountRenameCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		a, err := client.RenameAccount(ctx, c.Address, admin.Rename{To: c.New, Alias: c.KeepAlias})
		if err != nil {
			return err
		}
		switch {
		case a.Address == c.Address:
			return e.did(a, "account %s is called so already", a.Address)
		case c.KeepAlias:
			return e.did(a, "account %s is %s now; mail for the old address goes there", c.Address, a.Address)
		}
		return e.did(a, "account %s is %s now; the old address is free", c.Address, a.Address)
	})
}
