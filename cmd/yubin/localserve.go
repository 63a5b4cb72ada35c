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

	"yubin/internal/mail"
	"yubin/internal/server"
	"yubin/internal/server/admin"
	"yubin/internal/world/config"
	"yubin/internal/world/datadir"
	"yubin/internal/world/obs"
)

type localserveCmd struct {
	Data         string `help:"Where to keep everything." default:"local-data" type:"path" placeholder:"DIR"`
	Database     string `help:"Keep the database on a PostgreSQL server, and only large messages in the data folder." env:"YUBIN_DATABASE" placeholder:"postgres://…"`
	Reset        bool   `help:"Begin anew: delete what the data folder holds."`
	ListenOffset int    `help:"Add N to every port, so that several can run." default:"0" placeholder:"N"`
	Deliver      bool   `help:"Carry mail for other domains to their hosts. Without it, all of it is captured for captured@yubin.test and none leaves this machine."`
	Resolver     string `help:"Ask this name server for the hosts of other domains, instead of the system's. Means --deliver." placeholder:"HOST:PORT"`
	DeliverPort  uint16 `help:"The port of mail hosts where a route names none. Means --deliver." placeholder:"PORT"`
	DSN          string `name:"dsn" help:"Who may ask for reports on the mx port: clients in a trusted network, or all." enum:"trusted,all" default:"trusted"`
	Verbose      bool   `help:"Log more." short:"v"`
}

// config is the configuration that the flags ask for.
func (c *localserveCmd) config() (config.Config, error) {
	if c.ListenOffset < 0 || c.ListenOffset > config.MaxListenOffset {
		return config.Config{}, usagef("--listen-offset must be from 0 to %d", config.MaxListenOffset)
	}
	cfg := config.Local(c.Data, c.ListenOffset)
	cfg.Database = c.Database
	cfg.Limits.DSN = config.DSN(c.DSN)
	if c.Deliver || c.Resolver != "" || c.DeliverPort != 0 {
		cfg.Capture, cfg.DeliverPort = mail.Address{}, c.DeliverPort
	}
	if c.Resolver != "" {
		server, err := config.ParseServer(c.Resolver)
		if err != nil {
			return cfg, usagef("--resolver must be an IP address, with a port if it is not 53, not %q", c.Resolver)
		}
		cfg.DNS.Servers = []netip.AddrPort{server}
	}
	return cfg, nil
}

// Run serves on 127.0.0.1 until Ctrl-C.
func (c *localserveCmd) Run(e *env) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if c.Reset {
		if err := reset(e.ctx, c.Data); err != nil {
			return err
		}
	}
	level := new(slog.LevelVar)
	level.Set(slog.LevelWarn) // Until the table is printed.
	log := e.logger(level, obs.FormatAuto)
	signals := catchSignals()
	srv, err := server.New(e.ctx, cfg, e.serverDeps(log))
	if err != nil {
		return err
	}
	if err := populate(e.ctx, admin.InProcess(srv.Admin()), cfg); err != nil {
		return errors.Join(err, srv.Close())
	}
	if err := e.welcome(cfg); err != nil {
		return errors.Join(err, srv.Close())
	}
	level.Set(slog.LevelInfo)
	if c.Verbose {
		level.Set(slog.LevelDebug)
	}
	return e.serve(srv, log, signals, func() { log.Info("there is no configuration to reload") })
}

// reset empties a data folder, and nothing that is not one.
func reset(ctx context.Context, path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if !datadir.Is(path) {
		return fmt.Errorf("%s is not a yubin data folder, so it is not deleted", path)
	}
	return server.Erase(ctx, path)
}

// populate makes the domain and accounts that are not there yet.
func populate(ctx context.Context, client *admin.Client, cfg config.Config) error {
	_, err := client.AddDomain(ctx, string(config.LocalDomain))
	if err != nil && mail.KindOf(err) != mail.Exists {
		return err
	}
	for _, address := range localAddresses(cfg) {
		if err := addMissing(ctx, client, address); err != nil {
			return err
		}
	}
	return nil
}

// addMissing looks first: hashing a password for nothing would take its time
// at every start.
func addMissing(ctx context.Context, client *admin.Client, address string) error {
	_, err := client.Account(ctx, address)
	if mail.KindOf(err) == mail.NotFound {
		_, err = client.AddAccount(ctx, admin.NewAccount{Address: address, Password: config.LocalPassword})
	}
	return err
}

// localAddresses are the accounts that there are at first.
func localAddresses(cfg config.Config) (list []string) {
	for _, local := range config.LocalAccounts() {
		list = append(list, localAddress(local))
	}
	if !cfg.Capture.IsZero() {
		list = append(list, cfg.Capture.String())
	}
	return list
}

func localAddress(local string) string { return local + "@" + string(config.LocalDomain) }

// welcome says what is there and how to send a first message.
func (e *env) welcome(cfg config.Config) error {
	if e.json {
		return e.show(welcomeJSON(cfg), nil)
	}
	fmt.Fprintf(e.stdout, "yubin %s, everything in %s\n\n", e.versionText(), cfg.Data)
	t := table{{"SERVICE", "ADDRESS", "TLS"}}
	for _, l := range cfg.Listeners {
		t.add(l.Service(), l.Address, string(l.TLS))
	}
	t.add("metrics", cfg.Admin.Address, string(config.TLSNone))
	t.write(e.stdout)
	fmt.Fprintf(e.stdout, "\n")
	t = table{{"ACCOUNT", "PASSWORD"}}
	for _, a := range localAddresses(cfg) {
		t.add(a, config.LocalPassword)
	}
	t.write(e.stdout)
	fmt.Fprintf(e.stdout, "\n%s\n", elsewhere(cfg))
	fmt.Fprintf(e.stdout, "\nSend a first message, and read it:\n\n%s\n%s\n\nCtrl-C stops.\n\n", sendLine(cfg), readLine(cfg))
	return nil
}

// elsewhere says what becomes of mail for other domains.
func elsewhere(cfg config.Config) string {
	if !cfg.Capture.IsZero() {
		return "Mail for other domains goes to " + cfg.Capture.String() + "; none leaves this machine. --deliver changes that."
	}
	return "Mail for other domains is carried to their hosts."
}

func sendLine(cfg config.Config) string {
	from, to := localAddress("alice"), localAddress("bob")
	return fmt.Sprintf(`  printf 'From: %s\r\nTo: %s\r\nSubject: Hello\r\n\r\nIt works.\r\n' |`+
		` curl -sS smtp://%s -u %s:%s --mail-from %s --mail-rcpt %s -T -`,
		from, to, address(cfg, "submission"), from, config.LocalPassword, from, to)
}

func readLine(cfg config.Config) string {
	return fmt.Sprintf(`  curl -sS 'imap://%s/INBOX;MAILINDEX=*' -u %s:%s`,
		address(cfg, "imap"), localAddress("bob"), config.LocalPassword)
}

// address returns where the service listens.
func address(cfg config.Config, service string) string {
	for _, l := range cfg.Listeners {
		if l.Service() == service {
			return l.Address
		}
	}
	return ""
}

func welcomeJSON(cfg config.Config) any {
	type listener struct {
		Service string `json:"service"`
		Address string `json:"address"`
		TLS     string `json:"tls"`
	}
	type account struct {
		Address  string `json:"address"`
		Password string `json:"password"`
	}
	out := struct {
		Data      string     `json:"data"`
		Listeners []listener `json:"listeners"`
		Accounts  []account  `json:"accounts"`
	}{Data: filepath.Clean(cfg.Data)}
	for _, l := range cfg.Listeners {
		out.Listeners = append(out.Listeners, listener{l.Service(), l.Address, string(l.TLS)})
	}
	for _, a := range localAddresses(cfg) {
		out.Accounts = append(out.Accounts, account{a, config.LocalPassword})
	}
	return out
}
