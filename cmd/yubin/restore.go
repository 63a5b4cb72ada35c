package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"yubin/internal/engine/backup"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/world/config"
	"yubin/internal/world/datadir"
	"yubin/internal/world/depot"
	"yubin/internal/world/files"
	"yubin/internal/world/sqldb"
)

type restoreCmd struct {
	place
	Dir      string `arg:"" type:"path" help:"The folder of the snapshots."`
	Snapshot string `help:"Which snapshot: its name, or how it begins; else the newest." placeholder:"ID"`

	To           string `help:"Make a new data folder here of all that the snapshot has." type:"path" placeholder:"DATA" xor:"what" required:""`
	Database     string `help:"With --to: the URL of an empty PostgreSQL database; else a file in DATA." placeholder:"postgres://…"`
	ReleaseQueue bool   `help:"With --to: send the mail that waited to be sent, although it has probably been sent since."`

	Account   string `help:"Put mail of this account back into the server's." placeholder:"ADDRESS" xor:"what" required:""`
	Mailbox   string `help:"Only this mailbox."`
	MessageID string `help:"Only this message." placeholder:"ID"`
	UID       uint32 `name:"uid" help:"Only this message of --mailbox." placeholder:"N"`
	Into      string `help:"The mailbox to put it into; else one named after the day of the snapshot." placeholder:"MAILBOX"`
}

func (c *restoreCmd) Run(e *env) error {
	part := c.Mailbox != "" || c.MessageID != "" || c.UID != 0 || c.Into != ""
	switch {
	case c.To != "" && part:
		return usagef("--to restores everything; --mailbox, --message-id, --uid and --into go with --account")
	case c.To != "":
		return c.all(e)
	case c.ReleaseQueue, c.Database != "":
		return usagef("--release-queue and --database go with --to")
	}
	return c.some(e)
}

// all makes a data folder.
func (c *restoreCmd) all(e *env) error {
	d, err := depot.Open(depot.Options{Place: files.From(c.Dir)})
	if err != nil {
		return err
	}
	defer d.Close()
	s, err := backup.Find(d, c.Snapshot)
	if err != nil {
		return err
	}
	p := newProgress(e, time.Now)
	r, err := backup.Restore(e.ctx, d, s, backup.Destination{Folder: c.To, Database: sqldb.Options{URL: c.Database}, Sending: c.ReleaseQueue}, backup.Options{Now: time.Now, Version: e.versionText(), Progress: p.showOctets})
	p.end()
	if err != nil {
		return err
	}
	owner, err := c.give(e)
	return errors.Join(c.told(e, r, owner), err)
}

// give makes what root restored that of the user who has the folder of the server; it
// says whose it is, if that is known.
func (c *restoreCmd) give(e *env) (owner string, err error) {
	if os.Geteuid() != 0 {
		return "", nil
	}
	quiet := *e // Which server it may be for is not worth a word.
	quiet.console = nil
	at, _, err := quiet.configured(c.place)
	if err != nil {
		at.Data = config.Default().Data
	}
	uid, gid, err := datadir.Owner(at.Data)
	if err != nil || uid == 0 {
		return "root", nil
	}
	if err := datadir.Give(c.To, uid, gid); err != nil {
		return "root", fmt.Errorf("%s cannot be given to %s, who has %s: %w", c.To, datadir.Named(uid), at.Data, err)
	}
	return datadir.Named(uid), nil
}

// told says what was restored; what the store lacked already is a failure.
func (c *restoreCmd) told(e *env, r backup.Restored, owner string) error {
	err := e.show(r, func(w io.Writer) {
		fmt.Fprintf(w, "snapshot %s restored to %s: %d files, %s, verified\n", r.Snapshot, c.To, r.Files, octets(r.Octets))
		switch owner {
		case "":
		case "root":
			fmt.Fprintf(w, "it belongs to root: if the server runs as another user, say chown -R USER: %s before it starts\n", c.To)
		default:
			fmt.Fprintf(w, "it belongs to %s, as the folder of the server does\n", owner)
		}
		if r.Held > 0 {
			fmt.Fprintf(w, "%d deliveries that waited to be sent are on hold, as they have probably been sent since;\n"+
				"look at them with yubin queue list, then release or drop them\n", r.Held)
		}
		if r.Sealed > 0 {
			fmt.Fprintf(w, "%d private keys, of DKIM and certificates, are sealed with secrets.key, which no backup has: put the server's own in its place\n"+
				"before it starts; without it mail leaves unsigned until yubin dkim rotate has made new keys, and certificates are shown again after yubin cert rotate-key --now\n", r.Sealed)
		}
	})
	for _, problem := range r.Problems {
		e.tell("%s", problem)
	}
	if err == nil && len(r.Problems) > 0 {
		return fmt.Errorf("what was restored has %s, which it had when the snapshot was made", count(len(r.Problems), "problem", "problems"))
	}
	return err
}

// some puts messages back.
func (c *restoreCmd) some(e *env) error {
	from, err := c.place.from(e, c.Dir)
	if err != nil {
		return err
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		p := newProgress(e, time.Now)
		out, err := client.PutBack(ctx, from[0], admin.PutBack{
			Snapshot: c.Snapshot, Account: c.Account, Mailbox: c.Mailbox, MessageID: c.MessageID, UID: mail.UID(c.UID), Into: c.Into,
		}, p.showOctets)
		p.end()
		if err != nil {
			return err
		}
		return tellReturned(e, out)
	})
}

func tellReturned(e *env, out admin.Returned) error {
	failed := 0
	err := e.show(out, func(w io.Writer) {
		for _, m := range out.Mailboxes {
			there := ""
			if m.There > 0 {
				there = fmt.Sprintf(", %d were there", m.There)
			}
			writeLine(w, "%s: %s put into %s%s", m.From, messages(int64(m.Restored)), m.Into, there)
		}
	})
	for _, m := range out.Mailboxes {
		failed += m.Failed
		for _, problem := range m.Problems {
			e.tell("%s: %s", m.From, problem)
		}
	}
	for _, row := range out.LeftOut {
		e.tell("the snapshot has a row that %s", row)
	}
	if failed > 0 {
		err = errors.Join(err, fmt.Errorf("%s could not be put back", messages(int64(failed))))
	}
	if n := len(out.LeftOut); n > 0 {
		err = errors.Join(err, fmt.Errorf("%s of the snapshot could not be read; what they say of was not put back", count(n, "row", "rows")))
	}
	return err
}
