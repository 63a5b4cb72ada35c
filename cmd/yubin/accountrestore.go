package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"yubin/internal/server/admin"
)

// point is a flag's moment: how long ago it was, or a day or time where the reader is.
type point time.Time

// UnmarshalText reads a point.
func (p *point) UnmarshalText(text []byte) error {
	var ago age
	if ago.UnmarshalText(text) == nil {
		*p = point(time.Now().Add(-time.Duration(ago)))
		return nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04", time.DateTime, time.RFC3339} {
		if t, err := time.ParseInLocation(layout, string(text), time.Local); err == nil {
			*p = point(t)
			return nil
		}
	}
	return fmt.Errorf("%q is no time like 36h, 3d, 2026-11-30 or 2026-11-30 14:05", text)
}

// given is the moment, or nil without one.
func (p point) given() *time.Time {
	if t := time.Time(p); !t.IsZero() {
		return &t
	}
	return nil
}

type accountRestoreCmd struct {
	place
	Address string `arg:"" help:"Whose mail was deleted."`
	Mailbox string `help:"What was in this mailbox; it may have been deleted too."`
	Since   point  `help:"What was deleted for good since then: 36h or 3d ago, 2026-11-30, '2026-11-30 14:05'." placeholder:"TIME"`
	Until   point  `help:"What was deleted for good up to then." placeholder:"TIME"`
	Search  string `help:"What has all these words in its header or text." placeholder:"WORDS"`
	Into    string `help:"The mailbox to put it into, made if there is none; else each message goes where it was, or into INBOX/Restored if that is gone." placeholder:"MAILBOX"`
	DryRun  bool   `help:"List it, and put nothing back."`
}

// Run puts back what was deleted for good.
func (c *accountRestoreCmd) Run(e *env) error {
	in := admin.RestoreMail{Mailbox: c.Mailbox, Since: c.Since.given(), Until: c.Until.given(), Search: c.Search, Into: c.Into, DryRun: c.DryRun}
	if c.Mailbox == "" && in.Since == nil && c.Search == "" && !c.DryRun {
		return usagef("say what to put back: --mailbox, --since or --search; --dry-run alone lists all there is")
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		t := table{{"DELETED", "MAILBOX", "FROM", "SUBJECT", "SIZE"}}
		var listed error
		p := newProgress(e, time.Now)
		out, err := client.RestoreMail(ctx, c.Address, in, func(m admin.LostMessage) {
			if e.json {
				listed = e.did(m, "")
				return
			}
			t.add(m.Expunged.Local().Format(time.DateTime), lostFrom(m), cut(m.From, 40), cut(m.Subject, 50), octets(m.Octets))
		}, p.show)
		p.end()
		if listed != nil {
			return listed
		}
		if err != nil && out.Messages == 0 {
			return err
		}
		if e.json && c.DryRun { // The list is all.
			if out.More {
				e.tell("%s", restored(out))
			}
			return nil
		}
		shown := e.show(out, func(w io.Writer) {
			if len(t) > 1 {
				t.write(w)
			}
			writeLine(w, "%s", restored(out))
		})
		if err != nil {
			return err
		}
		return shown
	})
}

// lostFrom names the mailbox that a message was in.
func lostFrom(m admin.LostMessage) string {
	switch {
	case m.Mailbox == "":
		return "(deleted)"
	case m.Gone:
		return m.Mailbox + " (deleted)"
	}
	return m.Mailbox
}

// restored says what was put back.
func restored(r admin.RestoredMail) string {
	keep := length(time.Duration(r.Keep) * time.Second)
	if r.Messages == 0 {
		return fmt.Sprintf("%s: nothing found; what was deleted for good can be put back for %s", r.Account, keep)
	}
	did := "put back"
	if r.DryRun {
		did = "can be put back"
	}
	s := fmt.Sprintf("%s: %s (%s) %s", r.Account, messages(int64(r.Messages)), octets(r.Octets), did)
	if r.Into != "" {
		s += "; what was in mailboxes that are gone "
		if r.DryRun {
			s += "will be"
		} else {
			s += "is"
		}
		s += " in " + r.Into
	}
	if r.More {
		s += "; there are more: narrow it with --mailbox, --since, --until or --search"
	}
	return s
}
