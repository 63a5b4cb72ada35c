package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"yubin/internal/engine/backup"
	"yubin/internal/server/admin"
	"yubin/internal/world/depot"
	"yubin/internal/world/files"
)

type backupCmd struct {
	Make   backupMakeCmd   `cmd:"" default:"withargs" help:"Make a snapshot: yubin backup DIR."`
	List   backupListCmd   `cmd:"" help:"List the snapshots."`
	Verify backupVerifyCmd `cmd:"" help:"Read everything back and verify it."`
	Prune  backupPruneCmd  `cmd:"" help:"Remove old snapshots and what only they need."`
}

type backupMakeCmd struct {
	place
	Dir string `arg:"" type:"path" help:"The folder of the snapshots; made if it is not there. You must be able to write it."`
}

// Run has the server make a snapshot, or makes it if none runs.
func (c *backupMakeCmd) Run(e *env) error {
	into, err := c.place.into(e, c.Dir)
	if err != nil {
		return err
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		p := newProgress(e, time.Now)
		s, err := client.Backup(ctx, into, p.showOctets)
		p.end()
		if err != nil {
			return err
		}
		status, err := client.Status(ctx)
		if err != nil {
			return err
		}
		if err := e.did(s, "snapshot %s: %s, of which %s are new in %s; %s", s.ID, octets(s.Octets), octets(s.Written), c.Dir,
			s.Took.Round(time.Millisecond)); err != nil {
			return err
		}
		if status.Secrets != "" && !e.json {
			writeLine(e.stdout, "%s is not in it: keep a copy of that somewhere else", status.Secrets)
		}
		return tellFaults(e, s)
	})
}

// tellFaults fails if the store lacked something: the snapshot lacks it too.
func tellFaults(e *env, s backup.Brief) error {
	for _, f := range s.Faults {
		e.tell("%s", f)
	}
	if len(s.Faults) > 0 {
		return fmt.Errorf("the snapshot was made, but %d files are not as they should be; see yubin check", len(s.Faults))
	}
	return nil
}

// showOctets tells how far a backup is.
func (p *progress) showOctets(at backup.Progress) {
	p.tell(func(running time.Duration) string {
		share := 100.0
		if at.Total > 0 {
			share = 100 * float64(at.Done) / float64(at.Total)
		}
		text := fmt.Sprintf("%s: %s of %s, %.0f%%", at.Phase, octets(at.Done), octets(at.Total), share)
		if at.Written > 0 {
			text += fmt.Sprintf(", %s new", octets(at.Written))
		}
		return text
	})
}

type backupListCmd struct {
	Dir string `arg:"" type:"path" help:"The folder of the snapshots."`
}

func (c *backupListCmd) Run(e *env) error {
	d, err := depot.Open(depot.Options{Place: files.From(c.Dir)})
	if err != nil {
		return err
	}
	defer d.Close()
	list, damaged, err := backup.Snapshots(d)
	if err != nil {
		return err
	}
	brief := make([]backup.Brief, len(list))
	for i, s := range list {
		brief[i] = s.Brief()
	}
	err = e.show(brief, func(w io.Writer) {
		t := table{{"SNAPSHOT", "MADE", "SIZE", "NEW", "FILES"}}
		for _, s := range brief {
			t.add(s.ID, s.Time.Local().Format(time.DateTime), octets(s.Octets), octets(s.Written), fmt.Sprint(s.Files))
		}
		t.write(w)
	})
	for _, text := range damaged {
		e.tell("%s", text)
	}
	if err == nil && len(damaged) > 0 {
		return errSilent
	}
	return err
}

type backupVerifyCmd struct {
	Dir      string `arg:"" type:"path" help:"The folder of the snapshots."`
	Snapshot string `help:"Only this one: its name, or how it begins." placeholder:"ID"`
	Each     bool   `help:"Rebuild and check the database of every snapshot, not only of the newest."`
	Repair   bool   `help:"Forget objects that are damaged, so that the next backup stores them anew if the server still has them."`
	Scratch  string `help:"A folder with room for the database; else one in DIR." type:"existingdir" placeholder:"FOLDER"`
}

// Run tells each problem as it is found and fails if there was one.
func (c *backupVerifyCmd) Run(e *env) error {
	place := files.From(c.Dir)
	if c.Repair {
		place = files.Into(c.Dir)
	}
	d, err := depot.Open(depot.Options{Place: place, Write: c.Repair})
	if err != nil {
		return err
	}
	defer d.Close()
	p := newProgress(e, time.Now)
	v, err := backup.Verify(e.ctx, d, backup.Verification{
		Options:  backup.Options{Now: time.Now, Version: e.versionText(), Progress: p.showOctets},
		Snapshot: c.Snapshot, Each: c.Each, Repair: c.Repair, Scratch: c.Scratch,
		Report: func(problem string) {
			p.clear()
			_ = e.did(admin.Finding{Problem: problem}, "%s", problem)
		},
	})
	p.end()
	switch {
	case err != nil:
		return err
	case v.Forgotten > 0:
		return fmt.Errorf("the backup has %s; %s forgotten: make a backup, then verify again", count(v.Problems, "problem", "problems"),
			count(v.Forgotten, "damaged object or pack is", "damaged objects or packs are"))
	case v.Problems > 0:
		return fmt.Errorf("the backup has %s", count(v.Problems, "problem", "problems"))
	}
	return e.did(v, "the backup is good: %s, %s of %s; %s rebuilt and checked", count(v.Snapshots, "snapshot", "snapshots"),
		count(v.Objects, "object", "objects"), octets(v.Octets), count(v.Opened, "database", "databases"))
}

type backupPruneCmd struct {
	Dir  string `arg:"" type:"path" help:"The folder of the snapshots."`
	Keep int    `required:"" help:"How many snapshots to keep, the newest." placeholder:"N"`
}

func (c *backupPruneCmd) Run(e *env) error {
	d, err := depot.Open(depot.Options{Place: files.Into(c.Dir), Write: true})
	if err != nil {
		return err
	}
	p, err := backup.Prune(d, c.Keep)
	if err = errors.Join(err, d.Close()); err != nil {
		return err
	}
	return e.did(p, "%s removed, %d kept, %s freed", count(len(p.Removed), "snapshot", "snapshots"), p.Kept, octets(p.Freed))
}
