package main

import (
	"cmp"
	"context"
	"io"
	"strings"

	"yubin/internal/server/admin"
)

type groupCmd struct {
	Add    groupAddCmd    `cmd:"" help:"Make a group, or with --member add to one."`
	Set    groupSetCmd    `cmd:"" help:"Make a group, or give it other members."`
	List   groupListCmd   `cmd:"" help:"List the groups."`
	Show   groupShowCmd   `cmd:"" help:"Show one group."`
	Remove groupRemoveCmd `cmd:"" help:"Delete a group, or with --member take some out of it."`
	Grant  groupGrantCmd  `cmd:"" help:"Let all members of a group write as others."`
	Grants groupGrantsCmd `cmd:"" help:"List as whom the members of a group may write."`
	Revoke groupRevokeCmd `cmd:"" help:"Take back what was granted."`
}

type groupAddCmd struct {
	place
	Name    string   `arg:"" help:"Its name: sales."`
	Members []string `arg:"" optional:"" help:"Accounts, by address, and other groups, by name."`
	Member  []string `help:"Add this member to those of the group." placeholder:"MEMBER"`
	Address []string `help:"Take mail for all members at this address: an alias of group:NAME." placeholder:"ADDRESS"`
}

func (c *groupAddCmd) Run(e *env) error {
	if len(c.Member) > 0 && len(c.Members)+len(c.Address) > 0 {
		return usagef("name the members of a new group, or with --member those to add to one")
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		if len(c.Member) > 0 {
			g, err := client.ChangeGroup(ctx, c.Name, admin.AliasChange{Add: c.Member})
			return e.groupHas(g, err)
		}
		g, err := client.AddGroup(ctx, admin.Group{Name: c.Name, Members: c.Members, Addresses: c.Address})
		return e.groupHas(g, err)
	})
}

// groupHas says who is in a group now.
func (e *env) groupHas(g admin.Group, err error) error {
	if err != nil {
		return err
	}
	if len(g.Addresses) > 0 {
		return e.did(g, "group %s has %s; mail for it comes to %s", g.Name, membersText(g), strings.Join(g.Addresses, ", "))
	}
	return e.did(g, "group %s has %s", g.Name, membersText(g))
}

func membersText(g admin.Group) string {
	return cmp.Or(strings.Join(g.Members, ", "), "no members")
}

type groupSetCmd struct {
	place
	Name    string   `arg:"" help:"Its name: sales."`
	Members []string `arg:"" optional:"" help:"All its members: accounts, by address, and other groups, by name."`
	Address []string `help:"Take mail for all members at this address, too: an alias of group:NAME." placeholder:"ADDRESS"`
}

func (c *groupSetCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		g, err := client.SetGroup(ctx, admin.Group{Name: c.Name, Members: c.Members, Addresses: c.Address})
		return e.groupHas(g, err)
	})
}

type groupListCmd struct{ place }

func (c *groupListCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		groups, err := client.Groups(ctx)
		if err != nil {
			return err
		}
		return e.show(groups, func(w io.Writer) {
			t := table{{"GROUP", "ADDRESS", "MEMBERS"}}
			for _, g := range groups {
				t.add(g.Name, cmp.Or(strings.Join(g.Addresses, ", "), "none"), membersText(g))
			}
			t.write(w)
		})
	})
}

type groupShowCmd struct {
	place
	Name string `arg:"" help:"The group."`
}

func (c *groupShowCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		g, err := client.Group(ctx, c.Name)
		return e.groupHas(g, err)
	})
}

type groupRemoveCmd struct {
	place
	Name   string   `arg:"" help:"The group."`
	Member []string `help:"Take this member out; the group stays." placeholder:"MEMBER"`
}

func (c *groupRemoveCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		if len(c.Member) > 0 {
			g, err := client.ChangeGroup(ctx, c.Name, admin.AliasChange{Drop: c.Member})
			return e.groupHas(g, err)
		}
		g, err := client.RemoveGroup(ctx, c.Name)
		if err != nil {
			return err
		}
		if len(g.Addresses) > 0 {
			return e.did(g, "group %s removed, and the alias %s, which went to it alone", g.Name, strings.Join(g.Addresses, ", "))
		}
		return e.did(g, "group %s removed", g.Name)
	})
}

// senders is what grant and revoke are told.
type senders struct {
	Verb string `arg:"" enum:"send-as" help:"send-as."`
	As   string `arg:"" help:"An address, domain:example.org for all of a domain, or any for everybody, here and elsewhere."`
}

func (e *env) grant(p place, who string, s senders) error {
	return e.admin(p, func(ctx context.Context, client *admin.Client) error {
		g, err := client.Grant(ctx, admin.Grant{Who: who, SendAs: s.As})
		if err != nil {
			return err
		}
		return e.did(g, "%s may send as %s", whoText(g.Who), sendersText(g.SendAs))
	})
}

func (e *env) revoke(p place, who string, s senders) error {
	return e.admin(p, func(ctx context.Context, client *admin.Client) error {
		g, err := client.Revoke(ctx, admin.Grant{Who: who, SendAs: s.As})
		if err != nil {
			return err
		}
		return e.did(g, "%s may not send as %s any more, unless by other grants", whoText(g.Who), sendersText(g.SendAs))
	})
}

func (e *env) grants(p place, who string) error {
	return e.admin(p, func(ctx context.Context, client *admin.Client) error {
		grants, err := client.Grants(ctx, who)
		if err != nil {
			return err
		}
		return e.show(grants, func(w io.Writer) {
			t := table{{"MAY SEND AS", "GRANTED TO"}}
			for _, g := range grants {
				t.add(sendersText(g.SendAs), whoText(g.Who))
			}
			t.write(w)
		})
	})
}

// whoText writes an account or group.
func whoText(who string) string {
	if name, ok := strings.CutPrefix(who, "group:"); ok {
		return "all of group " + name
	}
	return who
}

// sendersText writes whom a grant is for.
func sendersText(as string) string {
	if as == "any" {
		return "anybody: every address of this server and of all others"
	}
	if d, ok := strings.CutPrefix(as, "domain:"); ok {
		return "every address of " + d
	}
	return as
}

type accountGrantCmd struct {
	place
	Address string `arg:"" help:"The address of the account."`
	senders
}

func (c *accountGrantCmd) Run(e *env) error { return e.grant(c.place, c.Address, c.senders) }

type accountGrantsCmd struct {
	place
	Address string `arg:"" help:"The address of the account."`
}

func (c *accountGrantsCmd) Run(e *env) error { return e.grants(c.place, c.Address) }

type accountRevokeCmd struct {
	place
	Address string `arg:"" help:"The address of the account."`
	senders
}

func (c *accountRevokeCmd) Run(e *env) error { return e.revoke(c.place, c.Address, c.senders) }

type groupGrantCmd struct {
	place
	Name string `arg:"" help:"The group."`
	senders
}

func (c *groupGrantCmd) Run(e *env) error { return e.grant(c.place, "group:"+c.Name, c.senders) }

type groupGrantsCmd struct {
	place
	Name string `arg:"" help:"The group."`
}

func (c *groupGrantsCmd) Run(e *env) error { return e.grants(c.place, "group:"+c.Name) }

type groupRevokeCmd struct {
	place
	Name string `arg:"" help:"The group."`
	senders
}

func (c *groupRevokeCmd) Run(e *env) error { return e.revoke(c.place, "group:"+c.Name, c.senders) }
