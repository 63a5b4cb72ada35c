package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"yubin/internal/server/admin"
)

// scope says what a pause is about.
type scope struct {
	Site  string `help:"One site: a domain, a route to hosts, or what yubin queue sites calls it." placeholder:"SITE" xor:"scope"`
	Route string `help:"One route, by its name." placeholder:"NAME" xor:"scope"`
	All   bool   `help:"All outgoing mail." xor:"scope"`
}

func (s scope) named() (admin.QueuePause, error) {
	switch {
	case s.All:
		return admin.QueuePause{Scope: "all"}, nil
	case s.Site != "":
		return admin.QueuePause{Scope: "site", Name: s.Site}, nil
	case s.Route != "":
		return admin.QueuePause{Scope: "route", Name: s.Route}, nil
	}
	return admin.QueuePause{}, usagef("say --site SITE, --route NAME or --all")
}

// what is the pause in words.
func what(p admin.QueuePause) string {
	switch p.Scope {
	case "site":
		return "mail to " + cmp.Or(p.Called, p.Name)
	case "route":
		return "mail by the route " + p.Name
	}
	return "all outgoing mail"
}

type queuePauseCmd struct {
	place
	scope
	Why string `help:"A remark for whoever looks at the pauses." placeholder:"TEXT"`
}

// Run pauses.
func (c *queuePauseCmd) Run(e *env) error {
	p, err := c.named()
	if err != nil {
		return err
	}
	p.Why = c.Why
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		now, err := client.QueuePause(ctx, p)
		if err != nil {
			return err
		}
		if now.Unknown && !e.json {
			e.tell("no mail waits for %s, and none went there lately: is that the name?", cmp.Or(now.Called, now.Name))
		}
		return e.did(now, "%s is paused; what is being sent now comes to its end", what(now))
	})
}

type queueResumeCmd struct {
	place
	scope
}

// Run resumes.
func (c *queueResumeCmd) Run(e *env) error {
	p, err := c.named()
	if err != nil {
		return err
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		if err := client.QueueResume(ctx, p.Scope, p.Name); err != nil {
			return err
		}
		return e.did(p, "%s goes out again", what(p))
	})
}

type queuePausesCmd struct{ place }

// Run lists the pauses.
func (c *queuePausesCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		pauses, err := client.QueuePauses(ctx)
		if err != nil {
			return err
		}
		return e.show(pauses, func(w io.Writer) {
			if len(pauses) == 0 {
				fmt.Fprintln(w, "nothing is paused")
				return
			}
			t := table{{"PAUSED", "SINCE", "FOR", "WHY"}}
			for _, p := range pauses {
				t.add(what(p), moment(p.Since), length(time.Since(p.Since)), p.Why)
			}
			t.write(w)
		})
	})
}
