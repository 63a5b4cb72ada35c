package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/server/admin"
)

type retentionCmd struct {
	Set  retentionSetCmd  `cmd:"" help:"Say how long mail stays in Trash, Junk or another mailbox."`
	List retentionListCmd `cmd:"" help:"List what was said."`
	Show retentionShowCmd `cmd:"" help:"Say what counts for the mailboxes of an account, and how much of their mail goes next."`
}

type retentionSetCmd struct {
	junkScope
	Role   string `arg:"" help:"The mailbox, by what it is for: trash, junk, inbox, sent, drafts, archive, flagged or all."`
	Keep   string `arg:"" help:"How long mail stays, from when it came there: 30d. Or forever; or default, which leaves it to the domain or site."`
	DryRun bool   `help:"Say how much mail would go at once, and change nothing."`
}

// Run makes a rule.
func (c *retentionSetCmd) Run(e *env) error {
	r := admin.RetentionRule{Scope: c.scope(), Role: strings.ToLower(c.Role)}
	switch c.Keep {
	case "forever", "default":
	default:
		var keep age
		if err := keep.UnmarshalText([]byte(c.Keep)); err != nil {
			return usagef("mail is kept for a time like 30d, forever or default, not %q", c.Keep)
		}
		r.Keep = int64(time.Duration(keep) / time.Second)
	}
	if c.DryRun && r.Keep == 0 {
		return usagef("--dry-run goes with a time: mail that stays forever does not go")
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		switch {
		case c.Keep == "default":
			if err := client.UnsetRetention(ctx, r.Scope, r.Role); err != nil {
				return err
			}
			return e.did(r.Scope, "%s: nothing is said of %s any more", c.words(), roleName(r.Role))
		case c.DryRun:
			set, err := client.PreviewRetention(ctx, r)
			if err != nil {
				return err
			}
			return e.did(set, "%s: %s of %s would go, as they came into %s over %s ago; without --dry-run they do", c.words(),
				messages(int64(set.Messages)), count(set.Accounts, "account", "accounts"), roleName(r.Role), kept(r.Keep))
		}
		set, err := client.SetRetention(ctx, r)
		if err != nil {
			return err
		}
		if r.Keep == 0 {
			return e.did(r, "%s: mail in %s stays", c.words(), roleName(r.Role))
		}
		return e.did(r, "%s: mail goes %s after it came into %s; for %s more yubin account restore has it", c.words(),
			kept(r.Keep), roleName(r.Role), kept(set.Restorable))
	})
}

// kept writes how long mail is kept.
func kept(seconds int64) string {
	if seconds == 0 {
		return "forever"
	}
	return length(time.Duration(seconds) * time.Second)
}

// roleName is how people call the mailbox with a role.
func roleName(role string) string {
	if mail.Role(role) == mail.RoleInbox {
		return string(mail.Inbox)
	}
	return strings.ToUpper(role[:1]) + role[1:]
}

type retentionListCmd struct{ place }

// Run lists all rules.
func (c *retentionListCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		rules, err := client.RetentionRules(ctx)
		if err != nil {
			return err
		}
		return e.show(rules, func(w io.Writer) {
			if len(rules) == 0 {
				fmt.Fprintln(w, "nothing is said: mail stays where it is")
				return
			}
			t := table{{"WHOSE", "MAILBOX", "KEPT"}}
			for _, r := range rules {
				t.add(whose(r.Scope), roleName(r.Role), kept(r.Keep))
			}
			t.write(w)
		})
	})
}

// whose names a scope.
func whose(s admin.Scope) string {
	if s == (admin.Scope{}) {
		return "all here"
	}
	return s.Account + s.Domain
}

type retentionShowCmd struct {
	place
	Address string `arg:"" help:"The address of the account."`
}

// Run says what counts for an account.
func (c *retentionShowCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		list, err := client.RetentionOf(ctx, c.Address)
		if err != nil {
			return err
		}
		return e.show(list, func(w io.Writer) {
			t := table{{"MAILBOX", "KEPT", "BY THE RULE OF", "MESSAGES", "TO GO"}}
			for _, m := range list {
				by := "nobody"
				if m.Rule != nil {
					by = whose(*m.Rule)
				}
				t.add(m.Mailbox, kept(m.Keep), by, fmt.Sprint(m.Messages), fmt.Sprint(m.Due))
			}
			t.write(w)
		})
	})
}
