package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"yubin/internal/server/admin"
	"yubin/internal/world/datadir"
	"yubin/internal/world/files"
)

type profileCmd struct {
	place
	Kind    string `arg:"" enum:"cpu,heap,allocs,goroutine,mutex,block,trace" help:"What to look at: ${enum}."`
	File    string `arg:"" type:"path" help:"Where to write it."`
	Seconds int    `help:"For how long; without it, 30 for cpu, 10 for mutex and block, 5 for trace, and what there is now for the others." placeholder:"N"`
}

// Run takes a profile of a server that runs.
func (c *profileCmd) Run(e *env) error {
	if c.Seconds < 0 || c.Seconds > admin.MaxProfileSeconds {
		return usagef("--seconds must be from 1 to %d", admin.MaxProfileSeconds)
	}
	if c.Seconds == 0 {
		c.Seconds = map[string]int{"cpu": 30, "mutex": 10, "block": 10, "trace": 5}[c.Kind]
	}
	client, err := e.running(c.place)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, stop := signal.NotifyContext(e.ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if c.Seconds > 0 {
		fmt.Fprintf(e.stderr, "watching the server for %d seconds\n", c.Seconds)
	}
	if err := files.WriteFile(c.File, func(w io.Writer) error { return client.Profile(ctx, c.Kind, c.Seconds, w) }); err != nil {
		return err
	}
	tool := "go tool pprof -http=:"
	if c.Kind == "trace" {
		tool = "go tool trace"
	}
	return e.did(profiled{c.Kind, c.File, c.Seconds}, "%s profile written; look at it with: %s %s", c.Kind, tool, c.File)
}

type profiled struct {
	Kind    string `json:"kind"`
	File    string `json:"file"`
	Seconds int    `json:"seconds,omitempty"`
}

// running returns a client of the server at p, which must run.
func (e *env) running(p place) (*admin.Client, error) {
	folder, _, err := e.folder(p)
	if err != nil {
		return nil, err
	}
	client, err := admin.Dial(e.ctx, folder)
	switch {
	case err == nil:
		return client, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the server at %s may be administered by its own user and root only", folder)
	case !datadir.Is(folder):
		return nil, fmt.Errorf("there is no yubin data folder at %s; name one with --data or --config", folder)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("no server runs at %s; start it first", folder)
	}
	return nil, fmt.Errorf("the server at %s cannot be reached: %w", folder, err)
}
