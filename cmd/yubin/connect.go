package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"yubin/internal/server"
	"yubin/internal/server/admin"
	"yubin/internal/world/config"
	"yubin/internal/world/datadir"
	"yubin/internal/world/obs"
)

// place says which yubin a command is for.
type place struct {
	Config string `help:"The configuration of the server ($YUBIN_CONFIG)." type:"path" placeholder:"FILE" xor:"place"`
	Data   string `help:"The data folder of the server ($YUBIN_DATA)." type:"path" placeholder:"DIR" xor:"place"`
}

// systemConfig is the configuration of a server that was installed.
const systemConfig = "/etc/yubin/yubin.toml"

// folder returns the data folder; named is false if neither flag nor environment
// named it.
func (e *env) folder(p place) (path string, named bool, err error) {
	c, named, err := e.configured(p)
	return c.Data, named, err
}

// configured returns what is known of the server that p says, by flags before the
// environment: nothing but the data folder, if that was named. If neither says
// anything it is the server that was installed; only where none is, what
// localserve made in ./local-data. Which one was guessed is told, where it may be another one
// than somebody thinks.
func (e *env) configured(p place) (c config.Config, named bool, err error) {
	if p == (place{}) {
		p = place{Config: e.getenv("YUBIN_CONFIG"), Data: e.getenv("YUBIN_DATA")}
	}
	switch {
	case p.Data != "" && p.Config != "":
		return c, false, usagef("YUBIN_CONFIG and YUBIN_DATA can't be used together")
	case p.Data != "":
		c.Data, err = filepath.Abs(p.Data)
		return c, true, err
	case p.Config != "":
		c, err := config.Load(p.Config)
		return c, true, err
	}
	c, err = config.Load(e.system)
	toy := datadir.Is(config.LocalData)
	switch {
	case !errors.Is(err, fs.ErrNotExist) && toy:
		e.guess(true, "this is for the server of %s; --data %s is for that of localserve here", e.system, config.LocalData)
	case !errors.Is(err, fs.ErrNotExist): // Nobody takes another one for it.
	case toy:
		e.guess(false, "this is for the server of localserve in ./%s", config.LocalData)
		c = config.Config{}
		c.Data, err = filepath.Abs(config.LocalData)
	default:
		c, err = config.Config{Data: config.Default().Data}, nil
		e.guess(false, "this is for the server in %s", c.Data)
	}
	return c, false, err
}

// guess tells, once, which server is meant: somebody at a terminal, or everybody.
func (e *env) guess(everybody bool, format string, args ...any) {
	if !e.guessed && (everybody || isTerminal(e.console)) {
		e.guessed = true
		e.tell(format, args...)
	}
}

// Waiting for a server that starts or a command that ends.
const (
	connectWait  = 5 * time.Second
	connectRetry = 100 * time.Millisecond
)

// admin runs do with the administration of the server at p: over its socket if
// it runs, else in this process on its data folder.
func (e *env) admin(p place, do func(context.Context, *admin.Client) error) error {
	return e.adminWith(p, server.OpenConfigured, do)
}

// opener opens the store of a data folder that no server has.
type opener func(ctx context.Context, c config.Config, d server.Deps) (*server.Store, error)

// adminMaking is admin for the command that a new post office begins with: a data
// folder that was named and is not there is made.
func (e *env) adminMaking(p place, do func(context.Context, *admin.Client) error) error {
	at, named, err := e.configured(p)
	if err != nil {
		return err
	}
	if !named {
		return e.adminAt(at, server.OpenConfigured, do)
	}
	return e.adminAt(at, func(ctx context.Context, c config.Config, d server.Deps) (*server.Store, error) {
		made := !datadir.Is(c.Data)
		store, err := server.MakeConfigured(ctx, c, d)
		if err == nil && made {
			e.tell("made a new data folder at %s", c.Data)
		}
		return store, err
	}, do)
}

func (e *env) adminWith(p place, open opener, do func(context.Context, *admin.Client) error) error {
	c, _, err := e.configured(p)
	if err != nil {
		return err
	}
	return e.adminAt(c, open, do)
}

func (e *env) adminAt(c config.Config, open opener, do func(context.Context, *admin.Client) error) error {
	client, done, err := e.connect(c, open)
	if missing := (*datadir.MissingError)(nil); errors.As(err, &missing) {
		return fmt.Errorf("%w; name one with --data or --config", missing)
	}
	if err != nil {
		return err
	}
	client.From = sshClient(e.getenv("SSH_CONNECTION"))
	err = do(e.ctx, client)
	return errors.Join(err, done())
}

// sshClient is from where somebody is logged in over SSH, by what sshd says: client address and
// port, server address and port; invalid if nobody is.
func sshClient(connection string) netip.Addr {
	client, _, _ := strings.Cut(connection, " ")
	a, err := netip.ParseAddr(client)
	if err != nil {
		return netip.Addr{}
	}
	return a.WithZone("")
}

// connect tries the socket and the folder in turn: between the two a server
// may have started or stopped.
func (e *env) connect(at config.Config, open opener) (c *admin.Client, done func() error, err error) {
	ctx, cancel := context.WithTimeout(e.ctx, connectWait)
	defer cancel()
	tick := time.NewTicker(connectRetry)
	defer tick.Stop()
	for {
		c, done, err := e.connectOnce(at, open)
		if inUse := (*datadir.InUseError)(nil); !errors.As(err, &inUse) {
			return c, done, err
		}
		select {
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("%w; if it is just starting, its log says what it waits for", err)
		case <-tick.C:
		}
	}
}

func (e *env) connectOnce(at config.Config, open opener) (c *admin.Client, done func() error, err error) {
	folder := at.Data
	c, err = admin.Dial(e.ctx, folder)
	switch {
	case err == nil:
		return c, func() error { c.Close(); return nil }, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, nil, fmt.Errorf("the server at %s may be administered by its own user and root only", folder)
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED):
		return nil, nil, fmt.Errorf("the server at %s cannot be reached: %w", folder, err)
	}
	store, err := open(e.ctx, at, e.deps(e.logger(slog.LevelWarn, obs.FormatAuto)))
	if err != nil {
		return nil, nil, err
	}
	return admin.InProcess(store.Admin()), store.Close, nil
}

// deps is what a server or store is given.
func (e *env) deps(log *slog.Logger) server.Deps {
	return server.Deps{Log: log, Now: time.Now, Version: e.versionText()}
}

// logger writes to the standard error output.
func (e *env) logger(level slog.Leveler, format obs.Format) *slog.Logger {
	return obs.NewLogger(e.console, obs.LogOptions{
		Format:   format,
		Leveler:  level,
		Terminal: isTerminal(e.console),
		NoTime:   e.getenv("JOURNAL_STREAM") != "",
	})
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
