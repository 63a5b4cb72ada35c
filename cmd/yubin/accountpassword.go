package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"yubin/internal/server/admin"
)

type accountPasswordCmd struct {
	Set    accountPasswordSetCmd    `cmd:"" help:"Set the password of an account."`
	Limit  accountPasswordLimitCmd  `cmd:"" help:"Say where the account's own password counts: only for the web, so that mail programs need app passwords."`
	Add    accountPasswordAddCmd    `cmd:"" help:"Make an app password, for one device or program. It is shown once."`
	List   accountPasswordListCmd   `cmd:"" help:"List the passwords of an account, and when each was last used."`
	Remove accountPasswordRemoveCmd `cmd:"" help:"Remove an app password; who logged in with it is shown out."`
}

// limitFlags say where a password counts.
type limitFlags struct {
	Only    []string `help:"It counts for these alone: imap, pop3, submission, and web for the account's own password." placeholder:"PROTOCOLS"`
	Network []string `help:"It counts for clients of these networks alone: 192.0.2.0/24." placeholder:"NETWORK"`
}

func (l limitFlags) limit() admin.Limit { return admin.Limit{Only: l.Only, Networks: l.Network} }

func (l limitFlags) given() bool { return len(l.Only)+len(l.Network) > 0 }

type accountPasswordSetCmd struct {
	place
	newPassword
	limitFlags
	Address string `arg:"" help:"The address."`
}

func (c *accountPasswordSetCmd) Run(e *env) error {
	password, err := c.read(e, c.Address)
	if err != nil {
		return err
	}
	change := admin.AccountChange{Password: &password, AllowWeakPassword: c.AllowWeakPassword}
	if c.given() {
		limit := c.limit()
		change.Limit = &limit
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		a, err := client.ChangeAccount(ctx, c.Address, change)
		if err != nil {
			return err
		}
		if err := e.did(a, "password of %s set", a.Address); err != nil {
			return err
		}
		list, err := client.Passwords(ctx, c.Address)
		if apps := len(list) - 1; err == nil && apps > 0 {
			e.tell("%s: yubin account password list %s", count(apps, "app password still counts", "app passwords still count"), a.Address)
		}
		return err
	})
}

type accountPasswordLimitCmd struct {
	place
	limitFlags
	None    bool   `help:"It counts everywhere."`
	Address string `arg:"" help:"The address."`
}

func (c *accountPasswordLimitCmd) Run(e *env) error {
	if c.None == c.given() {
		return usagef("give --only, --network or both; or --none")
	}
	limit := c.limit()
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		a, err := client.ChangeAccount(ctx, c.Address, admin.AccountChange{Limit: &limit})
		if err != nil {
			return err
		}
		return e.did(a, "the own password of %s counts %s", a.Address, counts(limit))
	})
}

// counts says where a password counts.
func counts(l admin.Limit) string {
	text := "everywhere"
	if len(l.Only) > 0 {
		text = "only for " + strings.Join(l.Only, ", ")
	}
	if len(l.Networks) > 0 {
		text = strings.TrimPrefix(text+" from "+strings.Join(l.Networks, ", "), "everywhere ")
	}
	return text
}

// end is a flag's moment to come: in how long it is, or a day or time where the reader is.
type end struct{ point }

// UnmarshalText reads an end.
func (u *end) UnmarshalText(text []byte) error {
	var in age
	if in.UnmarshalText(text) == nil {
		u.point = point(time.Now().Add(time.Duration(in)).Truncate(time.Second))
		return nil
	}
	if u.point.UnmarshalText(text) != nil {
		return fmt.Errorf("%q is no time like 90d, 36h, 2026-11-30 or '2026-11-30 14:05'", text)
	}
	return nil
}

type accountPasswordAddCmd struct {
	place
	limitFlags
	Address string `arg:"" help:"The address."`
	Name    string `required:"" help:"What the owner calls it: the device, the program." placeholder:"NAME"`
	Expires end    `help:"When it ends: in 90d or 36h, 2026-11-30, '2026-11-30 14:05'; else never." placeholder:"TIME"`
}

func (c *accountPasswordAddCmd) Run(e *env) error {
	n := admin.NewPassword{Name: c.Name, Limit: c.limit(), Expires: c.Expires.given()}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		made, err := client.AddPassword(ctx, c.Address, n)
		if err != nil {
			return err
		}
		if err := e.did(made, "app password %s of %s: %s", made.Name, c.Address, made.Text); err != nil {
			return err
		}
		e.tell("it is shown this once, and counts %s%s; the user name is %s", counts(made.Limit), untilText(made.Expires), c.Address)
		return nil
	})
}

func untilText(t *time.Time) string {
	if t == nil {
		return ""
	}
	return " until " + t.Local().Format("2006-01-02 15:04")
}

type accountPasswordListCmd struct {
	place
	Address string `arg:"" help:"The address."`
}

func (c *accountPasswordListCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		list, err := client.Passwords(ctx, c.Address)
		if err != nil {
			return err
		}
		return e.show(list, func(w io.Writer) {
			t := table{{"NAME", "COUNTS", "MADE", "ENDS", "LAST USED"}}
			for _, p := range list {
				t.add(passwordName(p), passwordCounts(p), dayText(p.Created), dayText(p.Expires), usedText(p.Used))
			}
			t.write(w)
		})
	})
}

// passwordName is how a list calls a password.
func passwordName(p admin.Password) string {
	if p.Name == "" {
		return "(own)"
	}
	return p.Name
}

func passwordCounts(p admin.Password) string {
	switch {
	case p.Missing:
		return "nowhere: there is none"
	case p.Expires != nil && !p.Expires.After(time.Now()):
		return "no more"
	case p.Foreign:
		return counts(p.Limit) + ", without SCRAM before the next login"
	}
	return counts(p.Limit)
}

func dayText(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Local().Format(time.DateOnly)
}

func usedText(u *admin.PasswordUse) string {
	if u == nil {
		return "-"
	}
	from := "this machine"
	if u.Network != "" {
		from = strings.TrimSuffix(u.Network, "/32")
	}
	return fmt.Sprintf("%s by %s from %s", u.At.Local().Format("2006-01-02 15:04"), u.Protocol, from)
}

type accountPasswordRemoveCmd struct {
	place
	Address string `arg:"" help:"The address."`
	Name    string `arg:"" optional:"" help:"Which one, as the list has it."`
	All     bool   `help:"All app passwords of the account."`
}

func (c *accountPasswordRemoveCmd) Run(e *env) error {
	if c.All == (c.Name != "") {
		return usagef("name an app password, or give --all")
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		if !c.All {
			if err := client.RemovePassword(ctx, c.Address, c.Name); err != nil {
				return err
			}
			return e.did(map[string]string{"address": c.Address, "name": c.Name}, "app password %s of %s removed", c.Name, c.Address)
		}
		gone, err := client.RemovePasswords(ctx, c.Address)
		if err != nil {
			return err
		}
		return e.did(gone, "%s of %s removed", count(gone.Removed, "app password", "app passwords"), c.Address)
	})
}
