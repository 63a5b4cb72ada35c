package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"yubin/internal/proto/dsn"
	"yubin/internal/server/admin"
)

type accountCmd struct {
	Add      accountAddCmd      `cmd:"" help:"Make an account."`
	List     accountListCmd     `cmd:"" help:"List the accounts."`
	Show     accountShowCmd     `cmd:"" help:"Show one account and what it holds."`
	Password accountPasswordCmd `cmd:"" help:"Set and limit the password of an account; make app passwords for its devices."`
	TOTP     accountTOTPCmd     `cmd:"" name:"totp" help:"A second factor: one-time codes of an app, for the web."`
	Language accountLanguageCmd `cmd:"" help:"Set the language in which this server writes to the owner."`
	Quota    accountQuotaCmd    `cmd:"" help:"Show or set how much an account may hold."`
	Sending  accountSendingCmd  `cmd:"" help:"Show what an account sends and what is usual, or set how much it may send."`
	Release  accountReleaseCmd  `cmd:"" help:"Let go what is held of an account's mail because it sent unlike it does otherwise, or remove it."`
	Forward  accountForwardCmd  `cmd:"" help:"Show or set to whom an account sends its mail on."`
	Rename   accountRenameCmd   `cmd:"" help:"Give an account another address; its mail and password stay."`
	Grant    accountGrantCmd    `cmd:"" help:"Let an account write as others."`
	Grants   accountGrantsCmd   `cmd:"" help:"List as whom else an account may write, by itself and by its groups."`
	Revoke   accountRevokeCmd   `cmd:"" help:"Take back what was granted."`
	Disable  accountDisableCmd  `cmd:"" help:"Let an account neither log in nor receive; its mail stays."`
	Enable   accountEnableCmd   `cmd:"" help:"Undo disable."`
	Remove   accountRemoveCmd   `cmd:"" help:"Delete an account and all its mail."`
	Import   accountImportCmd   `cmd:"" help:"Make many accounts from a file."`
	Restore  accountRestoreCmd  `cmd:"" help:"Put back mail that was deleted for good, while it is kept: a week, unless the configuration says otherwise."`
}

type accountAddCmd struct {
	place
	newPassword
	Address  string `arg:"" help:"The address: alice@example.org."`
	Language string `help:"What the owner reads: en, ja. This server's reports are in it." placeholder:"TAG"`
}

func (c *accountAddCmd) Run(e *env) error {
	password, err := c.read(e, c.Address)
	if err != nil {
		return err
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		a, err := client.AddAccount(ctx, admin.NewAccount{Address: c.Address, Password: password, Language: c.Language,
			AllowWeakPassword: c.AllowWeakPassword})
		if err != nil {
			return err
		}
		e.tellLanguage(c.Language)
		return e.did(a, "account %s added", a.Address)
	})
}

type accountListCmd struct {
	place
	Domain string `help:"Only the accounts of this domain."`
}

func (c *accountListCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		accounts, err := client.Accounts(ctx, c.Domain)
		if err != nil {
			return err
		}
		return e.show(accounts, func(w io.Writer) {
			t := table{{"ADDRESS", "STATE", "CREATED", "MESSAGES", "SIZE", "OF"}}
			for _, a := range accounts {
				u := a.Usage
				t.add(a.Address, state(a)+unreadable(a.Unreadable), a.Created.Local().Format(time.DateOnly), fmt.Sprint(u.Messages), octets(u.Octets), bounds(u))
			}
			t.write(w)
		})
	})
}

func state(a admin.Account) string {
	if a.Enabled {
		return "enabled"
	}
	return "disabled"
}

type accountShowCmd struct {
	place
	Address string `arg:"" help:"The address."`
}

func (c *accountShowCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		a, err := client.Account(ctx, c.Address)
		if err != nil {
			return err
		}
		return e.show(a, func(w io.Writer) {
			t := table{
				{"address", a.Address},
				{"state", state(a)},
				{"created", a.Created.Local().Format(time.DateTime)},
			}
			if a.Language != "" {
				t.add("language", a.Language)
			}
			if h := a.Holds; h != nil {
				t.add("mailboxes", fmt.Sprint(h.Mailboxes))
				t.add("messages", fmt.Sprintf("%d, %d unseen", h.Messages, h.Unseen))
				t.add("size", octets(h.Octets))
			}
			if a.Forward != nil {
				t.add("forward", forwardText(a.Forward))
			}
			if a.Limit != nil {
				t.add("password", "counts "+counts(*a.Limit))
			}
			if a.Apps > 0 {
				t.add("app passwords", fmt.Sprint(a.Apps))
			}
			if a.TOTP {
				t.add("second factor", "yes")
			}
			t.add("quota", bounds(a.Usage))
			if since := a.Usage.FullSince; since != nil {
				t.add("full since", since.Local().Format(time.DateTime))
			}
			t.write(w)
		})
	})
}

type accountLanguageCmd struct {
	place
	Address  string `arg:"" help:"The address."`
	Language string `arg:"" help:"A tag such as en or ja."`
}

func (c *accountLanguageCmd) Run(e *env) error {
	err := e.changeAccount(c.place, c.Address, admin.AccountChange{Language: &c.Language}, "language of %s set")
	if err == nil {
		e.tellLanguage(c.Language)
	}
	return err
}

// tellLanguage says that nothing is written in a language.
func (e *env) tellLanguage(tag string) {
	if _, err := dsn.ParseLanguage(tag); err != nil && tag != "" && !e.json {
		e.tell("yubin writes English and Japanese (en, ja): what it writes to that account is in English")
	}
}

type accountDisableCmd struct {
	place
	Address string `arg:"" help:"The address."`
}

func (c *accountDisableCmd) Run(e *env) error {
	enabled := false
	return e.changeAccount(c.place, c.Address, admin.AccountChange{Enabled: &enabled}, "account %s disabled")
}

type accountEnableCmd struct {
	place
	Address string `arg:"" help:"The address."`
}

func (c *accountEnableCmd) Run(e *env) error {
	enabled := true
	return e.changeAccount(c.place, c.Address, admin.AccountChange{Enabled: &enabled}, "account %s enabled")
}

func (e *env) changeAccount(p place, address string, change admin.AccountChange, done string) error {
	return e.admin(p, func(ctx context.Context, client *admin.Client) error {
		a, err := client.ChangeAccount(ctx, address, change)
		if err != nil {
			return err
		}
		return e.did(a, done, a.Address)
	})
}

type accountRemoveCmd struct {
	place
	Address string `arg:"" help:"The address."`
}

func (c *accountRemoveCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		if err := client.RemoveAccount(ctx, c.Address); err != nil {
			return err
		}
		return e.did(map[string]string{"address": c.Address}, "account %s and its mail removed", c.Address)
	})
}
