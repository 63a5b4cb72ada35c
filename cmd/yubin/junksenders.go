package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"yubin/internal/server/admin"
)

// junkScope says whose preference a command is about.
type junkScope struct {
	place
	Account string `help:"For this account; without it and --domain for the site." placeholder:"ADDRESS" xor:"scope"`
	Domain  string `help:"For all accounts of this domain." placeholder:"DOMAIN" xor:"scope"`
}

func (s junkScope) scope() admin.Scope { return admin.Scope{Account: s.Account, Domain: s.Domain} }

// words name whose it is.
func (s junkScope) words() string {
	switch {
	case s.Account != "":
		return "for " + s.Account
	case s.Domain != "":
		return "for all of " + s.Domain
	}
	return "for all here"
}

type junkAllowCmd struct {
	junkScope
	Sender string `arg:"" help:"An address, or a domain with all below it. It is let in where SPF or DKIM proves that it wrote."`
}

func (c *junkAllowCmd) Run(e *env) error { return e.listSender(c.junkScope, c.Sender, true, "let in") }

type junkDenyCmd struct {
	junkScope
	Sender string `arg:"" help:"An address, or a domain with all below it. For an account its mail goes into Junk; for a domain or the site it is refused."`
}

func (c *junkDenyCmd) Run(e *env) error {
	return e.listSender(c.junkScope, c.Sender, false, "kept out")
}

func (e *env) listSender(s junkScope, sender string, allow bool, did string) error {
	return e.admin(s.place, func(ctx context.Context, client *admin.Client) error {
		out, err := client.ListJunkSender(ctx, admin.ListJunkSender{Scope: s.scope(), JunkSender: admin.JunkSender{Sender: sender, Allow: allow}})
		if err != nil {
			return err
		}
		return e.did(out, "%s is %s %s", sender, did, s.words())
	})
}

type junkUnlistCmd struct {
	junkScope
	Sender string `arg:"" help:"An address or domain that was allowed or denied."`
}

func (c *junkUnlistCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		if err := client.UnlistJunkSender(ctx, c.scope(), c.Sender); err != nil {
			return err
		}
		return e.did(struct{}{}, "%s is on no list %s any more", c.Sender, c.words())
	})
}

type junkLevelsCmd struct {
	junkScope
	Junk   string `help:"The score from which on mail goes into Junk; default leaves it to the domain, the site or the configuration." placeholder:"N"`
	Refuse string `help:"The score from which on mail is refused." placeholder:"N"`
}

func (c *junkLevelsCmd) Run(e *env) error {
	l := admin.JunkLevels{Scope: c.scope()}
	var err error
	if l.Junk, err = level(c.Junk); err != nil {
		return usagef("--junk must be a number, or default, not %q", c.Junk)
	}
	if l.Refuse, err = level(c.Refuse); err != nil {
		return usagef("--refuse must be a number, or default, not %q", c.Refuse)
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		call := func(ctx context.Context) (admin.JunkPreferences, error) {
			return client.JunkPreferences(ctx, c.scope())
		}
		if l.Junk != nil || l.Refuse != nil {
			call = func(ctx context.Context) (admin.JunkPreferences, error) { return client.SetJunkLevels(ctx, l) }
		}
		out, err := call(ctx)
		if err != nil {
			return err
		}
		return e.show(out, func(w io.Writer) { tellPreferences(w, c.words(), out) })
	})
}

// level reads a score; nil if there is none, 0 for default.
func level(s string) (*float64, error) {
	if s == "" {
		return nil, nil
	}
	n := 0.0
	if s != "default" {
		var err error
		if n, err = strconv.ParseFloat(s, 64); err != nil {
			return nil, err
		}
	}
	return &n, nil
}

func tellPreferences(w io.Writer, whose string, p admin.JunkPreferences) {
	score := func(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
	c := p.Counts
	fmt.Fprintf(w, "%s: into Junk from %s (%s), refused from %s (%s)\n", whose, score(c.Junk), c.JunkFrom, score(c.Refuse), c.RefuseFrom)
	var t table
	for _, s := range p.Senders {
		t.add("  "+s.Sender, map[bool]string{true: "let in", false: "kept out"}[s.Allow])
	}
	t.write(w)
}
