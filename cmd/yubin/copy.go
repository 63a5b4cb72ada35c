package main

import (
	"context"
	"io"
	"strings"

	"yubin/internal/server/admin"
)

type copyCmd struct {
	Add    copyAddCmd    `cmd:"" help:"Give somebody a copy of mail: an archive, a journal, a colleague."`
	List   copyListCmd   `cmd:"" help:"List who gets copies of what."`
	Remove copyRemoveCmd `cmd:"" help:"End a copy. What was copied stays."`
}

type copyAddCmd struct {
	place
	Name     string `arg:"" help:"What to call it."`
	To       string `help:"Of mail to: an address, account:ADDRESS under all its names, a domain, or '*'." placeholder:"PATTERN" xor:"side" required:""`
	From     string `help:"Of mail from these." placeholder:"PATTERN" xor:"side" required:""`
	Any      string `help:"Of mail to or from these." placeholder:"PATTERN" xor:"side" required:""`
	Into     string `help:"Who gets the copies." placeholder:"ADDRESS" required:""`
	Mailbox  string `help:"The mailbox of the account INTO that they go to; made if there is none. Without it they are mail to the address." placeholder:"MAILBOX"`
	Envelope bool   `help:"Say in the copy who sent the message to whom: X-Envelope-From, X-Envelope-To."`
	Reports  bool   `help:"Copy reports (bounces) and this server's own mail, too."`
}

func (c *copyAddCmd) Run(e *env) error {
	in := admin.Copy{Name: c.Name, Into: c.Into, Mailbox: c.Mailbox, Envelope: c.Envelope, Reports: c.Reports}
	for side, pattern := range map[string]string{"to": c.To, "from": c.From, "any": c.Any} {
		if pattern != "" {
			in.Side, in.Pattern = side, pattern
		}
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		made, err := client.AddCopy(ctx, in)
		if err != nil {
			return err
		}
		if who := strings.TrimPrefix(made.Pattern, "account:"); strings.Contains(who, "@") && !e.json {
			if found, err := client.Found(ctx, who); err == nil && found.Local && found.By == "" {
				e.tell("nobody has %s here, so nothing is copied yet: is it spelled right?", who)
			}
		}
		return e.did(made, "copy %s added: mail %s goes to %s, too", made.Name, copyWords(made), copyTarget(made))
	})
}

// copyWords are whose mail is copied.
func copyWords(c admin.Copy) string {
	side := map[string]string{"to": "to", "from": "from", "any": "to or from"}[c.Side]
	if c.Pattern == "*" {
		return side + " anybody"
	}
	return side + " " + c.Pattern
}

func copyTarget(c admin.Copy) string {
	if c.Mailbox == "" {
		return c.Into
	}
	return c.Mailbox + " of " + c.Into
}

type copyListCmd struct{ place }

func (c *copyListCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		list, err := client.Copies(ctx)
		if err != nil {
			return err
		}
		return e.show(list, func(w io.Writer) {
			t := table{{"COPY", "OF MAIL", "INTO", "WITH"}}
			for _, c := range list {
				var with []string
				if c.Envelope {
					with = append(with, "envelope")
				}
				if c.Reports {
					with = append(with, "reports")
				}
				t.add(c.Name, copyWords(c), copyTarget(c)+unreadable(c.Unreadable), strings.Join(with, ", "))
			}
			t.write(w)
		})
	})
}

type copyRemoveCmd struct {
	place
	Name string `arg:"" help:"Its name."`
}

func (c *copyRemoveCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		if err := client.RemoveCopy(ctx, c.Name); err != nil {
			return err
		}
		return e.did(admin.Copy{Name: c.Name}, "copy %s removed", c.Name)
	})
}
