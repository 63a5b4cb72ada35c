package main

import (
	"cmp"
	"context"
	"io"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/server/admin"
)

type mtastsCmd struct {
	List    mtastsListCmd    `cmd:"" help:"List the policies that are known."`
	Show    mtastsShowCmd    `cmd:"" help:"Show what is known of the policy of a domain."`
	Refresh mtastsRefreshCmd `cmd:"" help:"Fetch the policy of a domain now."`
	Forget  mtastsForgetCmd  `cmd:"" help:"Forget what is known of a domain; it is fetched anew when there is mail for it."`
}

type mtastsListCmd struct{ place }

func (c *mtastsListCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		list, err := client.Policies(ctx)
		if err != nil {
			return err
		}
		return e.show(list, func(w io.Writer) {
			t := table{{"DOMAIN", "MODE", "HOLDS UNTIL", "HOSTS", "TROUBLE"}}
			for _, p := range list {
				t.add(p.Domain, cmp.Or(p.Mode, "-"), policyEnd(p), cut(strings.Join(p.MX, ", "), whyWidth), cut(oneLine(p.Why), whyWidth))
			}
			t.write(w)
		})
	})
}

// policyEnd is until when a policy is applied.
func policyEnd(p admin.Policy) string {
	switch {
	case p.Holds:
		return moment(p.Expires)
	case p.Mode != "":
		return "over"
	}
	return "-"
}

type mtastsShowCmd struct {
	place
	Domain string `arg:"" help:"The domain."`
}

func (c *mtastsShowCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		p, err := client.Policy(ctx, c.Domain)
		if err != nil {
			return err
		}
		return e.show(p, func(w io.Writer) { policySheet(p).write(w) })
	})
}

// policySheet is all that is known of a policy.
func policySheet(p admin.Policy) (t table) {
	t.add("domain", p.Domain)
	for _, row := range [][2]string{
		{"mode", cmp.Or(p.Mode, "none was fetched yet")},
		{"hosts", strings.Join(p.MX, ", ")},
		{"id", p.ID},
		{"fetched", momentOr(p.Fetched)},
		{"holds until", policyEnd(p)},
		{"fetched again", momentOr(p.Next)},
		{"mail went there", momentOr(p.Used)},
		{"fails since", momentOr(p.Failed)},
		{"why", oneLine(p.Why)},
	} {
		if row[1] != "" {
			t.add(row[0], row[1])
		}
	}
	return t
}

func momentOr(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return moment(t)
}

type mtastsRefreshCmd struct {
	place
	Domain string `arg:"" help:"The domain."`
}

func (c *mtastsRefreshCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		p, err := client.RefreshPolicy(ctx, c.Domain)
		switch {
		case err != nil:
			return err
		case p.Trouble == "":
			return e.did(p, "%s asks for: %s, hosts %s; holds until %s", p.Domain, p.Mode, cmp.Or(strings.Join(p.MX, ", "), "none"), moment(p.Expires))
		case p.Holds:
			return mail.Errorf(mail.Unavailable, "the policy of %s could not be fetched, and the one that is known holds until %s: %s", p.Domain, moment(p.Expires), p.Why)
		}
		return mail.Errorf(mail.Unavailable, "the policy of %s could not be fetched, so none is applied: %s", p.Domain, p.Why)
	})
}

type mtastsForgetCmd struct {
	place
	Domain string `arg:"" help:"The domain."`
}

func (c *mtastsForgetCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		if err := client.ForgetPolicy(ctx, c.Domain); err != nil {
			return err
		}
		return e.did(map[string]string{"domain": c.Domain}, "the policy of %s is forgotten", c.Domain)
	})
}
