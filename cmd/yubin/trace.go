package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"yubin/internal/server/admin"
)

type traceCmd struct {
	place
	About string `arg:"" help:"An address, a Message-ID, or the name of a session or transaction in the log."`
	Since age    `help:"How far to look back: 90m, 36h, 3d. Without it, as far as is remembered." placeholder:"TIME"`
	Limit int    `help:"How many messages to tell of: the newest." default:"100" placeholder:"N"`
}

// Run tells what is known of messages, the oldest first.
func (c *traceCmd) Run(e *env) error {
	if c.Limit < 1 || c.Limit > admin.MaxTrace {
		return usagef("--limit must be from 1 to %d", admin.MaxTrace)
	}
	now := time.Now()
	var since time.Time
	if c.Since > 0 {
		since = now.Add(-time.Duration(c.Since))
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		t, err := client.Trace(ctx, c.About, since, c.Limit)
		if err != nil {
			return err
		}
		return e.show(t, func(w io.Writer) { writeTrace(w, t, now) })
	})
}

func writeTrace(w io.Writer, t admin.Trace, now time.Time) {
	if t.More {
		fmt.Fprintf(w, "These are the newest %d; there are older ones, see --limit and --since.\n\n", len(t.Messages))
	}
	tell := newTeller(w, now)
	for i, m := range slices.Backward(t.Messages) {
		tell.traced(m)
		if i > 0 {
			fmt.Fprintln(w)
		}
	}
	if len(t.Messages) == 0 {
		fmt.Fprintln(w, nothingFound(t))
	}
}

// nothingFound says how far the memory goes.
func nothingFound(t admin.Trace) string {
	s := "nothing found about " + oneLine(t.About)
	if !t.Since.IsZero() {
		s += " since " + moment(t.Since)
	}
	if keep := time.Duration(t.Keep * float64(time.Second)); keep > 0 {
		s += "; yubin remembers " + length(keep)
		if !t.Begins.IsZero() && time.Since(t.Begins) < keep {
			s += ", here since " + t.Begins.Format(time.DateOnly)
		}
	}
	return s
}
