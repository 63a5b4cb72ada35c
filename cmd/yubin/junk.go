package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"yubin/internal/engine/transfer"
	"yubin/internal/server/admin"
)

type junkCmd struct {
	Train   junkTrainCmd   `cmd:"" help:"Learn from the messages of a folder that they are junk, or that they are not."`
	Untrain junkUntrainCmd `cmd:"" help:"Take back what was learned from the messages of a folder by train."`
	Stats   junkStatsCmd   `cmd:"" help:"Say how many messages were learned as junk and as not, when the last was, and how large that is."`
	Test    junkTestCmd    `cmd:"" help:"Say what is thought of the messages of a folder by what was learned. Nothing is learned."`
	Allow   junkAllowCmd   `cmd:"" help:"Let a sender in, if it is proven that it wrote."`
	Deny    junkDenyCmd    `cmd:"" help:"Keep a sender out."`
	Unlist  junkUnlistCmd  `cmd:"" help:"Neither let a sender in nor keep it out any more."`
	Levels  junkLevelsCmd  `cmd:"" help:"Show or set the scores from which on mail is junk or refused, and show who is let in or kept out."`
}

// junkFolder is what commands over a folder have.
type junkFolder struct {
	place
	Folder  string `arg:"" help:"A Maildir, an mbox file, or a folder of them. You must be able to read it."`
	Account string `help:"For this account, with what the site knows; else for the site alone." placeholder:"ADDRESS"`
	Quoting string `help:"Of mbox: how lines that begin with From were kept apart: ${enum}." enum:"mboxrd,mboxo,none" default:"mboxrd"`
}

type junkTrainCmd struct {
	junkFolder
	As string `required:"" help:"What the messages are: ${enum}." enum:"junk,ham" placeholder:"junk|ham"`
}

func (c *junkTrainCmd) Run(e *env) error { return e.trainJunk(c.junkFolder, c.As, "learned as "+c.As) }

type junkUntrainCmd struct{ junkFolder }

func (c *junkUntrainCmd) Run(e *env) error {
	return e.trainJunk(c.junkFolder, admin.AsNoMore, "unlearned")
}

// trainJunk has the server learn from a folder, or take that back.
func (e *env) trainJunk(f junkFolder, as, did string) error {
	from, err := f.place.from(e, f.Folder)
	if err != nil {
		return err
	}
	return e.admin(f.place, func(ctx context.Context, client *admin.Client) error {
		show := newProgress(e, time.Now)
		out, err := client.TrainJunk(ctx, admin.TrainJunk{Account: f.Account, As: as, Quoting: f.Quoting}, from[0], show.show)
		show.end()
		if told := e.did(out, "%s %s", messages(int64(out.Messages)), did); err == nil && told != nil {
			return told
		}
		return e.unread(out.Failed, out.Failures, err)
	})
}

// unread tells what could not be read.
func (e *env) unread(failed int, list []transfer.Failure, err error) error {
	if !e.json {
		for _, f := range list {
			e.tell("%s", failureText(f))
		}
		if more := failed - len(list); more > 0 {
			e.tell("and %d more", more)
		}
	}
	if err == nil && failed > 0 {
		return errSilent
	}
	return err
}

type junkStatsCmd struct {
	place
	Account string `help:"Of this account's model; else of the site's, which learns from all." placeholder:"ADDRESS"`
}

func (c *junkStatsCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		s, err := client.JunkStats(ctx, c.Account)
		if err != nil {
			return err
		}
		return e.show(s, func(w io.Writer) {
			whose, last := c.Account, "never"
			if whose == "" {
				whose = "the site"
			}
			if s.Last != nil {
				last = moment(*s.Last)
			}
			writeLine(w, "%s: %d junk, %d ham", whose, s.Junk, s.Ham)
			writeLine(w, "last change: %s", last)
			writeLine(w, "model: %s; what %s taught can be taken back", octets(s.Octets), messages(s.Lessons))
		})
	})
}

type junkTestCmd struct {
	junkFolder
}

func (c *junkTestCmd) Run(e *env) error {
	from, err := c.place.from(e, c.Folder)
	if err != nil {
		return err
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		out, err := client.TestJunk(ctx, admin.TestJunk{Account: c.Account, Quoting: c.Quoting}, from[0], func(s admin.JunkScore) {
			_ = e.show(s, func(w io.Writer) { writeLine(w, "%+.2f  %s: %s", s.Score, s.Folder, s.Message) })
		})
		if err == nil && (out.Messages > 0 || out.Failed == 0) {
			err = e.show(out, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %d junk, %d ham, %d it cannot tell\n", messages(int64(out.Messages)), out.Junk, out.Ham, out.Unsure)
			})
		}
		return e.unread(out.Failed, out.Failures, err)
	})
}
