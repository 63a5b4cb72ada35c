package main

import (
	"context"
	"io"
	"strconv"
	"strings"

	"yubin/internal/engine/route"
	"yubin/internal/server/admin"
)

type routeCmd struct {
	List    routeListCmd    `cmd:"" help:"List the routes."`
	Show    routeShowCmd    `cmd:"" help:"Show one route."`
	Set     routeSetCmd     `cmd:"" help:"Make a route, or change it to be as said."`
	Remove  routeRemoveCmd  `cmd:"" help:"Delete a route."`
	Explain routeExplainCmd `cmd:"" help:"Say step by step where mail for an address would go and why. Nothing is sent."`
}

type routeListCmd struct{ place }

func (c *routeListCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		routes, err := client.Routes(ctx)
		if err != nil {
			return err
		}
		return e.show(routes, func(w io.Writer) {
			t := table{{"ROUTE", "FOR", "GOES"}}
			for _, r := range routes {
				t.add(r.Name, matches(r), does(r)+unreadable(r.Unreadable))
			}
			t.write(w)
		})
	})
}

// matches says what r is for, in short.
func matches(r admin.Route) string {
	var parts []string
	if len(r.To) > 0 {
		parts = append(parts, strings.Join(r.To, ", "))
	}
	if len(r.From) > 0 {
		parts = append(parts, "from "+strings.Join(r.From, ", "))
	}
	if len(parts) == 0 {
		return "rerouting only"
	}
	return strings.Join(parts, "; ")
}

// does says where r leads, in short.
func does(r admin.Route) string {
	s := r.Action
	if len(r.Hosts) > 0 {
		s += " " + strings.Join(r.Hosts, ", ")
	}
	if r.Relay {
		s += ", for anybody"
	}
	if r.Unknown {
		s += ", if unknown here"
	}
	return s
}

// unreadable is what is added to a row that cannot be read.
func unreadable(why string) string {
	if why == "" {
		return ""
	}
	return cut(" (cannot be read: "+why+")", 2*whyWidth)
}

type routeShowCmd struct {
	place
	Name string `arg:"" help:"The route."`
}

func (c *routeShowCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		r, err := client.Route(ctx, c.Name)
		if err != nil {
			return err
		}
		return e.show(r, func(w io.Writer) { describe(r).write(w) })
	})
}

// describe is all of r but what it does not say.
func describe(r admin.Route) (t table) {
	t.add("route", r.Name)
	for _, row := range [][2]string{
		{"for recipients", strings.Join(r.To, ", ")},
		{"for senders", strings.Join(r.From, ", ")},
		{"goes", r.Action},
		{"hosts", strings.Join(r.Hosts, ", ")},
		{"port", number(r.Port)},
		{"TLS", tlsWords(r)},
		{"logs in as", r.User},
		{"from IPv4", r.SourceIPv4},
		{"from IPv6", r.SourceIPv6},
		{"says", strings.TrimSpace(r.Enhanced + " " + r.Text)},
		{"relays", when(r.Relay, "for anybody")},
		{"cannot be read", r.Unreadable},
		{"takes", when(r.Unknown, "only what nobody here has")},
	} {
		if row[1] != "" {
			t.add(row[0], row[1])
		}
	}
	return t
}

func tlsWords(r admin.Route) string {
	return strings.TrimSpace(r.TLS + when(r.ImplicitTLS, " from the first octet"))
}

func when(is bool, words string) string {
	if is {
		return words
	}
	return ""
}

type routeSetCmd struct {
	place
	withPassword
	Name string `arg:"" help:"A name for the route."`

	To      []string `help:"For these recipients: bob@example.org, example.org, .example.org for the domains below it, or * for all." placeholder:"PATTERN"`
	From    []string `help:"For these senders: bob@example.org or example.org." placeholder:"PATTERN"`
	Relay   bool     `help:"Take mail for these recipients from anybody: backup MX."`
	Unknown bool     `help:"Only for addresses that nobody here has."`

	MX      bool     `name:"mx" help:"Goes to the mail exchangers of the domain." xor:"goes"`
	SMTP    []string `name:"smtp" help:"Goes by SMTP to these hosts, tried in order." placeholder:"HOST[:PORT]" xor:"goes"`
	LMTP    []string `name:"lmtp" help:"Goes by LMTP to these hosts, tried in order." placeholder:"HOST[:PORT]" xor:"goes"`
	Reject  bool     `help:"Is refused." xor:"goes"`
	Discard bool     `help:"Is accepted and dropped; nobody is told." xor:"goes"`

	Port        uint16 `help:"With --mx: another port than 25." placeholder:"PORT"`
	TLS         string `name:"tls" help:"opportunistic, required, verified or none." placeholder:"POLICY"`
	ImplicitTLS bool   `name:"implicit-tls" help:"TLS from the first octet; the port is then 465 if not given."`
	User        string `help:"Log in as this user, with the password of --password-stdin, or the one that is kept." placeholder:"NAME"`
	SourceIPv4  string `name:"source-ipv4" help:"Connect from this address of ours." placeholder:"ADDRESS"`
	SourceIPv6  string `name:"source-ipv6" help:"Connect from this address of ours." placeholder:"ADDRESS"`
	Text        string `help:"With --reject: what the sender is told." placeholder:"TEXT"`
	Status      string `help:"With --reject: the enhanced status code." placeholder:"5.7.1"`
}

func (c *routeSetCmd) Run(e *env) error {
	r, err := c.route()
	if err == nil && c.PasswordStdin {
		r.Password, err = c.read(e, c.User)
	}
	if err != nil {
		return err
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		made, err := client.SetRoute(ctx, r)
		if err != nil {
			return err
		}
		return e.did(made, "route %s: %s goes %s", made.Name, matches(made), does(made))
	})
}

// route is what the flags say.
func (c *routeSetCmd) route() (admin.Route, error) {
	r := admin.Route{
		Name: c.Name, To: c.To, From: c.From, Relay: c.Relay, Unknown: c.Unknown, Port: c.Port, TLS: c.TLS,
		ImplicitTLS: c.ImplicitTLS, User: c.User, SourceIPv4: c.SourceIPv4, SourceIPv6: c.SourceIPv6,
		Text: c.Text, Enhanced: c.Status,
	}
	switch {
	case c.MX:
		r.Action = string(route.MX)
	case len(c.SMTP) > 0:
		r.Action, r.Hosts = string(route.SMTP), c.SMTP
	case len(c.LMTP) > 0:
		r.Action, r.Hosts = string(route.LMTP), c.LMTP
	case c.Reject:
		r.Action = string(route.Reject)
	case c.Discard:
		r.Action = string(route.Discard)
	default:
		return r, usagef("say where the route goes: --mx, --smtp HOST, --lmtp HOST, --reject or --discard")
	}
	if c.PasswordStdin && c.User == "" {
		return r, usagef("--password-stdin needs --user")
	}
	return r, nil
}

type routeRemoveCmd struct {
	place
	Name string `arg:"" help:"The route."`
}

func (c *routeRemoveCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		if err := client.RemoveRoute(ctx, c.Name); err != nil {
			return err
		}
		return e.did(map[string]string{"name": c.Name}, "route %s removed", c.Name)
	})
}

type routeExplainCmd struct {
	place
	Address string `arg:"" help:"The recipient."`
	From    string `help:"The sender; without it that of --as, or nobody." placeholder:"ADDRESS"`
	As      string `help:"The account that has logged in." placeholder:"ADDRESS"`
	Client  string `help:"The IP address of the client." placeholder:"ADDRESS"`
	Via     string `help:"As if rerouted by this route." placeholder:"ROUTE"`
}

func (c *routeExplainCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		steps, err := client.Explain(ctx, admin.Asked{Address: c.Address, From: c.From, As: c.As, Client: c.Client, Via: c.Via})
		if err != nil {
			return err
		}
		return e.show(steps, func(w io.Writer) {
			var t table
			for _, s := range steps {
				t.add(s.About, s.Says)
			}
			t.write(w)
		})
	})
}

func number(n uint16) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(int(n))
}
