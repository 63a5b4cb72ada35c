package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"yubin/internal/server/admin"
	"yubin/internal/world/sqldb"
)

type checkCmd struct {
	place
	Deep bool `help:"Read every message too and compare it with its checksum."`
}

// Run tells each problem as it is found and fails if there was one.
func (c *checkCmd) Run(e *env) error {
	damaged := false
	err := e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		problems := 0
		err := client.Check(ctx, c.Deep, func(problem string) {
			problems++
			damaged = damaged || ofFile(problem)
			_ = e.did(admin.Finding{Problem: problem}, "%s", problem)
		})
		switch {
		case err != nil:
			return err
		case problems > 0:
			return fmt.Errorf("the store has %s", count(problems, "problem", "problems"))
		}
		return e.did(admin.Finding{Checked: true}, "the store is good")
	})
	if err != nil && (damaged || (errors.Is(err, sqldb.ErrDamaged) || strings.Contains(err.Error(), "the database file is damaged"))) {
		e.tellError(err)
		e.whatNow()
		return errSilent
	}
	return err
}

// whatNow says what to do about a database whose file is damaged.
func (e *env) whatNow() {
	for _, line := range []string{
		"a damaged database gets worse while it is written to. What to do:",
		"  1. stop the server (systemctl stop yubin), and leave it stopped",
		"  2. keep a copy of the whole data folder as it is: cp -a FOLDER FOLDER.damaged",
		"  3. find the newest good backup: yubin backup verify BACKUP",
		"  4. make a new data folder of it: yubin restore BACKUP --to NEWFOLDER; move it to where the old one was, and start the server",
		"  what came since that backup may still be read from the copy; docs/backup.md has more. Look at the disk before you use it again",
	} {
		e.tell("%s", line)
	}
}

// ofFile reports whether a problem is of the database file itself, not of what is in it.
func ofFile(problem string) bool { return strings.HasPrefix(problem, "database: ") }
