package main

import (
	"context"
	"io"

	"yubin/internal/server/admin"
)

type networkCmd struct {
	List    networkListCmd    `cmd:"" help:"List the trusted networks."`
	Trust   networkTrustCmd   `cmd:"" help:"Let the computers of a network send to anywhere without logging in."`
	Untrust networkUntrustCmd `cmd:"" help:"Undo trust."`
}

type networkListCmd struct{ place }

func (c *networkListCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		networks, err := client.Networks(ctx)
		if err != nil {
			return err
		}
		return e.show(networks, func(w io.Writer) {
			t := table{{"TRUSTED NETWORK"}}
			for _, n := range networks {
				t.add(n.Network + unreadable(n.Unreadable))
			}
			t.write(w)
		})
	})
}

type networkTrustCmd struct {
	place
	Network string `arg:"" help:"An address or a prefix: 192.0.2.0/24, 2001:db8::/32."`
}

func (c *networkTrustCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		n, err := client.TrustNetwork(ctx, c.Network)
		if err != nil {
			return err
		}
		return e.did(n, "network %s is trusted", n.Network)
	})
}

type networkUntrustCmd struct {
	place
	Network string `arg:"" help:"The network."`
}

func (c *networkUntrustCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		if err := client.UntrustNetwork(ctx, c.Network); err != nil {
			return err
		}
		return e.did(admin.Network{Network: c.Network}, "network %s is not trusted any more", c.Network)
	})
}
