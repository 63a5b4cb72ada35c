package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"yubin/internal/server/admin"
	"yubin/internal/world/files"
)

type exportCmd struct {
	Maildir exportMaildirCmd `cmd:"" help:"Write mail as a Maildir that Dovecot and others read."`
	Mbox    exportMboxCmd    `cmd:"" help:"Write mail as mbox files, one for each mailbox."`
}

// giving is what all exports have.
type giving struct {
	place
	Dir     string   `arg:"" type:"path" help:"The folder; made if it is not there. You must be able to write it."`
	Account string   `help:"Only this account, directly into DIR; else all, into DIR/DOMAIN/NAME." placeholder:"ADDRESS"`
	Mailbox []string `help:"Only this mailbox; can be said more than once." placeholder:"MAILBOX" sep:"none"`
}

type exportMaildirCmd struct {
	giving
	Layout string `help:"maildir++ (folders named .Work.Plans) or fs (folders in folders; Dovecot's LAYOUT=fs)." enum:"maildir++,fs" default:"maildir++"`
}

// Run writes Maildirs.
func (c *exportMaildirCmd) Run(e *env) error {
	return e.exportMail(c.giving, admin.ExportMail{Kind: "maildir", Layout: c.Layout})
}

type exportMboxCmd struct{ giving }

// Run writes mbox files.
func (c *exportMboxCmd) Run(e *env) error {
	return e.exportMail(c.giving, admin.ExportMail{Kind: "mbox"})
}

func (e *env) exportMail(g giving, out admin.ExportMail) error {
	out.Mailboxes = g.Mailbox
	lend, err := e.lender(g.place)
	if err != nil {
		return err
	}
	return e.admin(g.place, func(ctx context.Context, client *admin.Client) error {
		list, err := g.exports(ctx, client, lend, out)
		if err != nil {
			return err
		}
		return eachTransfer(ctx, list, func(x exporting) (failed bool) {
			show := newProgress(e, time.Now)
			report, err := client.ExportMail(ctx, x.ExportMail, x.into, show.showTransfer(x.Account))
			show.end()
			return e.tellTransfer(x.Account, "written", report, err, false)
		})
	})
}

// exporting is an export, and the folder for it.
type exporting struct {
	admin.ExportMail
	into *files.Place
}

// exports are the export of one account, or those of all.
func (g giving) exports(ctx context.Context, client *admin.Client, lend lender, out admin.ExportMail) (list []exporting, err error) {
	if g.Account != "" {
		out.Account = g.Account
		into, err := lend.into(g.Dir)
		return []exporting{{out, into}}, err
	}
	accounts, err := client.Accounts(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, a := range accounts {
		local, domain, _ := strings.Cut(a.Address, "@")
		if strings.Contains(a.Address, "/") || strings.HasPrefix(local, ".") {
			return nil, fmt.Errorf("the address %q cannot be in a path; export it with --account", a.Address)
		}
		out.Account = a.Address
		into, err := lend.into(filepath.Join(g.Dir, domain, local))
		if err != nil {
			return nil, err
		}
		list = append(list, exporting{out, into})
	}
	return list, nil
}
