package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"yubin/internal/server/admin"
)

type banCmd struct {
	List   banListCmd   `cmd:"" help:"List who is turned away now."`
	Add    banAddCmd    `cmd:"" help:"Turn an address or a network away."`
	Remove banRemoveCmd `cmd:"" help:"Let an address or a network in again, and forget what was counted of it."`
	Why    banWhyCmd    `cmd:"" help:"Tell what was counted of an address, and whether it is banned."`
}

type banListCmd struct{ place }

// Run lists.
func (c *banListCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		bans, err := client.ListBans(ctx)
		if err != nil {
			return err
		}
		return e.show(bans, func(w io.Writer) {
			if len(bans) == 0 {
				fmt.Fprintln(w, "nobody is banned")
				return
			}
			t := table{{"NETWORK", "SINCE", "UNTIL", "BY", "TURNED AWAY", "WHY"}}
			for _, b := range bans {
				t.add(b.Network, moment(b.Since), untilWords(b), b.By, fmt.Sprint(b.Refused), b.Reason)
			}
			t.write(w)
		})
	})
}

func untilWords(b admin.Ban) string {
	if b.Until.IsZero() {
		return "it is removed"
	}
	return moment(b.Until)
}

type banAddCmd struct {
	place
	Network   string `arg:"" help:"An address, of IPv6 with its /64, or a network: 192.0.2.7, 192.0.2.0/24."`
	For       string `help:"For how long: 90m, 36h, 3d; or forever: until it is removed." default:"1d" placeholder:"TIME"`
	Reason    string `help:"Why; who asks is told." placeholder:"TEXT"`
	OwnersToo bool   `help:"Also if owners of accounts logged in from there within 30 days."`
}

// Run bans.
func (c *banAddCmd) Run(e *env) error {
	in := admin.NewBan{Network: c.Network, Reason: c.Reason, OwnersToo: c.OwnersToo}
	if c.For != "forever" {
		var d age
		if err := d.UnmarshalText([]byte(c.For)); err != nil || time.Duration(d) < time.Second {
			return usagef("--for is a time like 90m, 36h or 3d, or forever, not %q", c.For)
		}
		in.Seconds = int64(time.Duration(d) / time.Second)
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		b, err := client.AddBan(ctx, in)
		if err != nil {
			return err
		}
		return e.did(b, "%s is banned until %s", b.Network, untilWords(b))
	})
}

type banRemoveCmd struct {
	place
	Network string `arg:"" help:"An address or a network; all bans that hold it, or are in it, end."`
}

// Run lifts.
func (c *banRemoveCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		lifted, err := client.LiftBan(ctx, c.Network)
		if err != nil {
			return err
		}
		return e.show(lifted, func(w io.Writer) {
			for _, b := range lifted {
				writeLine(w, "%s is not banned any more", b.Network)
			}
		})
	})
}

type banWhyCmd struct {
	place
	Address string `arg:"" help:"The address."`
}

// Run tells.
func (c *banWhyCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		why, err := client.WhyBanned(ctx, c.Address)
		if err != nil {
			return err
		}
		return e.show(why, func(w io.Writer) {
			for _, line := range whyLines(why) {
				writeLine(w, "%s", line)
			}
		})
	})
}

// whyLines are what is known of an address, in sentences.
func whyLines(y admin.BanWhy) (lines []string) {
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	switch b := y.Ban; {
	case b != nil && b.By == "hand":
		say("%s is banned: an administrator banned %s on %s, until %s%s", y.Address, b.Network, moment(b.Since), untilWords(*b), because(b.Reason))
	case b != nil:
		say("%s is banned: %s, since %s, until %s%s", y.Address, b.Network, moment(b.Since), untilWords(*b), because(b.Reason))
	default:
		say("%s is not banned", y.Address)
	}
	if b := y.Ban; b != nil && b.Refused > 0 {
		say("%s turned away since the server started", count(int(b.Refused), "connection was", "connections were"))
	}
	if b := y.Over; b != nil {
		say("it was, from %s until %s%s", moment(b.Since), moment(b.Until), because(b.Reason))
	}
	switch {
	case !y.Counts:
		say("what was counted of it only a running server knows that counts; it keeps that in memory")
	case y.Counted == "":
		say("nothing is counted against it")
	default:
		say("counted since %s: %s; that weighs %.0f of %.0f, and half of it an hour later", moment(y.First), y.Counted, y.Score, y.Enough)
	}
	if y.Exempt != "" {
		say("it is never banned, as long as it is, or has in it, %s", y.Exempt)
	}
	return lines
}

func because(reason string) string {
	if reason = strings.TrimSpace(reason); reason == "" {
		return ""
	}
	return "; " + reason
}
