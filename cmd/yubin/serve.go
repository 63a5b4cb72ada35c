package main

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"yubin/internal/server"
	"yubin/internal/world/heap"
	"yubin/internal/world/obs"
)

type serveCmd struct {
	Config   string `help:"The configuration." env:"YUBIN_CONFIG" default:"/etc/yubin/yubin.toml" type:"path" placeholder:"FILE"`
	Database string `help:"Where the database is, instead of what the configuration says. The file that PGPASSFILE names can have the password." env:"YUBIN_DATABASE" placeholder:"postgres://…"`
}

// Run serves until SIGTERM or SIGINT; SIGHUP reads the configuration again.
func (c *serveCmd) Run(e *env) error {
	cfg, err := server.LoadConfig(c.Config)
	if err != nil {
		return err
	}
	if c.Database != "" {
		cfg.Database = c.Database
	}
	level := new(slog.LevelVar)
	level.Set(cfg.Log.Level)
	log := e.logger(level, cfg.Log.Format)
	signals := catchSignals()
	srv, err := server.New(e.ctx, cfg, e.serverDeps(log))
	if err != nil {
		return err
	}
	return e.serve(srv, log, signals, func() { c.reload(srv, level) })
}

// catchSignals begins to keep the signals that serve obeys. It is called before
// the ports are open, so that whoever sees them open can stop the server well.
func catchSignals() chan os.Signal {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	return signals
}

// serverDeps are deps with a word to the service manager.
func (e *env) serverDeps(log *slog.Logger) server.Deps {
	d := e.deps(log)
	d.Notify = obs.NewNotifier(e.getenv("NOTIFY_SOCKET"))
	d.Memory = heap.NewPlan(os.DirFS("/"), e.goLimit())
	return d
}

// reload applies the configuration as it is now; a faulty one changes nothing.
func (c *serveCmd) reload(srv *server.Server, level *slog.LevelVar) {
	cfg, err := server.LoadConfig(c.Config)
	if err != nil {
		srv.NotReloaded(err)
		return
	}
	if c.Database != "" {
		cfg.Database = c.Database
	}
	_, _ = srv.Reload(cfg) // It has told what it did.
	level.Set(cfg.Log.Level)
}

// goLimit is what GOMEMLIMIT says, in octets; 0 if it says nothing.
func (e *env) goLimit() int64 {
	if e.getenv("GOMEMLIMIT") == "" {
		return 0
	}
	if n := debug.SetMemoryLimit(-1); n < math.MaxInt64 {
		return n
	}
	return 0
}

// keepHeap suits the garbage collector to a server, unless the environment says
// how it is to be (GOGC, GOMEMLIMIT).
func (e *env) keepHeap(ctx context.Context, log *slog.Logger) {
	plan := heap.NewPlan(os.DirFS("/"), e.goLimit())
	if plan.Limit > 0 {
		log.Info("memory is bounded", "heap_limit", plan.Limit, "sessions", plan.Sessions, "connections", plan.Connections)
		debug.SetMemoryLimit(plan.Limit)
	}
	if e.getenv("GOGC") == "" {
		go heap.NewKeeper(heap.DefaultSlack).Run(ctx)
	}
}

// serve runs srv until a signal says stop. A second one ends the process at once.
func (e *env) serve(srv *server.Server, log *slog.Logger, signals chan os.Signal, reload func()) error {
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	defer signal.Stop(signals)
	e.keepHeap(ctx, log)
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		case s := <-signals:
			if s == syscall.SIGHUP {
				reload()
				continue
			}
			log.Info("stopping", "signal", s.String())
			signal.Reset(syscall.SIGTERM, syscall.SIGINT)
			cancel()
			return errors.Join(<-done)
		}
	}
}
