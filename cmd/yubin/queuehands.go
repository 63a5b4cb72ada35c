package main

import (
	"context"
	"fmt"
	"time"

	"yubin/internal/server/admin"
)

// noted is the flag for a remark.
type noted struct {
	Note string `help:"A remark that is kept with the story of each message." placeholder:"TEXT"`
}

type queueHoldCmd struct {
	place
	chosen
	noted
}

// Run holds.
func (c *queueHoldCmd) Run(e *env) error {
	return e.change(c.place, "hold", admin.QueueChange{QueueFilter: c.filter(), Note: c.Note}, "held", "none of it waits")
}

type queueReleaseCmd struct {
	place
	chosen
	noted
}

// Run releases.
func (c *queueReleaseCmd) Run(e *env) error {
	return e.change(c.place, "release", admin.QueueChange{QueueFilter: c.filter(), Note: c.Note}, "released", "none of it is held")
}

type queueRetryCmd struct {
	place
	chosen
	noted
}

// Run has mail tried now.
func (c *queueRetryCmd) Run(e *env) error {
	return e.change(c.place, "retry", admin.QueueChange{QueueFilter: c.filter(), Note: c.Note}, "to be tried now", "none of it waits for a later attempt")
}

type queueRerouteCmd struct {
	place
	chosen
	noted
	Route  string `help:"The route to send it by." placeholder:"NAME" xor:"route"`
	Tables bool   `help:"Undo: go as the tables of routes say." xor:"route"`
}

// Run reroutes.
func (c *queueRerouteCmd) Run(e *env) error {
	if c.Route == "" && !c.Tables {
		return usagef("say --route NAME, or --tables for what the tables of routes say")
	}
	change := admin.QueueChange{QueueFilter: c.filter(), Note: c.Note, Route: c.Route}
	return e.change(c.place, "reroute", change, "rerouted", "none of it waits or is held")
}

type queueFailCmd struct {
	place
	chosen
	Note string `help:"The reason; the senders read it." placeholder:"TEXT"`
	All  bool   `help:"Really all mail of the queue."`
}

// Run gives up.
func (c *queueFailCmd) Run(e *env) error {
	change := admin.QueueChange{QueueFilter: c.filter(), Note: c.Note, All: c.All}
	if err := c.sure(c.All); err != nil {
		return err
	}
	return e.change(c.place, "fail", change, "given up; who sent it is told", "none of it waits or is held")
}

type queueDropCmd struct {
	place
	chosen
	noted
	All bool `help:"Really all mail of the queue."`
}

// Run drops.
func (c *queueDropCmd) Run(e *env) error {
	change := admin.QueueChange{QueueFilter: c.filter(), Note: c.Note, All: c.All}
	if err := c.sure(c.All); err != nil {
		return err
	}
	return e.change(c.place, "drop", change, "dropped; nobody is told", "there is none, or it is being sent right now")
}

// sure wants a word that all is meant.
func (c chosen) sure(all bool) error {
	if c.filter().IsZero() && !all {
		return usagef("say which mail, by number, --sender, --domain and so on, or --all for the whole queue")
	}
	return nil
}

// change does an act to many deliveries and shows how far it is.
func (e *env) change(p place, act string, change admin.QueueChange, did, nothing string) error {
	return e.admin(p, func(ctx context.Context, client *admin.Client) error {
		progress := newProgress(e, time.Now)
		n, err := client.QueueDo(ctx, act, change, progress.show)
		progress.end()
		if err != nil && n > 0 {
			return fmt.Errorf("%w; before that %s done", err, count(n, "recipient was", "recipients were"))
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return e.did(admin.QueueProgress{Done: true}, "nothing to %s: %s", act, nothing)
		}
		return e.did(admin.QueueProgress{Changed: n, Done: true}, "%s %s", count(n, "recipient", "recipients"), did)
	})
}
