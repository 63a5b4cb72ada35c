package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"yubin/internal/engine/move"
	"yubin/internal/server/admin"
	"yubin/internal/world/config"
)

type moveCmd struct {
	place
	To string `required:"" help:"The configuration of the new server: its data folder, which must be new, and its database." type:"path" placeholder:"FILE"`
}

// Run has the server carry everything, or carries it if none runs.
func (c *moveCmd) Run(e *env) error {
	to, err := config.Load(c.To)
	if err != nil {
		return err
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		p := newProgress(e, time.Now)
		moved, err := client.Move(ctx, admin.NewMove{Folder: to.Data, Database: to.Database}, p.showMove())
		p.end()
		if err != nil {
			return err
		}
		return c.told(e, moved)
	})
}

// told says what was moved and what to do; what the old place lacked already is a
// failure.
func (c *moveCmd) told(e *env, m move.Moved) error {
	err := e.show(m, func(w io.Writer) {
		writeLine(w, "moved to %s: %d tables, %d rows of %s, %d files; all compared", m.To, m.Tables, m.Rows, octets(m.Octets), m.Files)
		writeLine(w, "%d rounds in %s; for %s nobody could change anything", m.Rounds, m.Took.Round(time.Second), m.Held.Round(10*time.Millisecond))
		writeLine(w, "start the post office there: yubin serve --config %s", c.To)
	})
	for _, problem := range m.Problems {
		e.tell("%s", problem)
	}
	if err == nil && len(m.Problems) > 0 {
		return fmt.Errorf("everything was moved, with %s that it had before", count(len(m.Problems), "problem", "problems"))
	}
	return err
}

// showMove tells how far a move is, and how long its round will last.
func (p *progress) showMove() func(move.Progress) {
	round, began := 0, p.now()
	return func(at move.Progress) {
		if at.Round != round {
			round, began = at.Round, p.now()
		}
		p.tell(func(time.Duration) string {
			text := fmt.Sprintf("round %d: %s, %d rows, %s of %s, %s new", at.Round, at.What, at.Rows, octets(at.Done), octets(at.Total), octets(at.New))
			if at.Held {
				text = "last " + text
			}
			if took := p.now().Sub(began); at.Done > 0 && at.Total > at.Done && took > 3*time.Second {
				left := time.Duration(float64(took) * float64(at.Total-at.Done) / float64(at.Done))
				text += fmt.Sprintf(", %s left", left.Round(time.Second))
			}
			return text
		})
	}
}
