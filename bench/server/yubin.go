package server

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"

	"golang.org/x/crypto/argon2"
)

// Yubin is the binary at Binary, run as `yubin localserve`.
type Yubin struct {
	Binary   string
	Label    string    // of another one beside it; "" is yubin
	Data     string    // its folder; it may be there already
	Database string    // postgres://…; "" is a file in the folder
	Way      *Distance // to its server, if that is away
	Server   int       // the first process of the database's server, if it counts
	Offset   int       // of its ports
	Accounts int
	Resolver string            // host:port of a name server: mail goes onward, to DeliverPort
	Port     int               // of the next hops; 0 is 25
	Routes   map[string]string // domain to [host]:port, where DNS and Port do not fit

	Configured bool // served by conf/yubin.toml with Resolver, and not as localserve:
	Judge      bool // and with clients on this machine judged

	cmd *exec.Cmd
	log *os.File
}

// Build makes the binary in folder.
func Build(ctx context.Context, folder string) (string, error) {
	binary := filepath.Join(folder, "yubin")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "yubin/cmd/yubin")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	_, err := output(cmd)
	return binary, err
}

// Name is yubin, or its label.
func (y *Yubin) Name() string { return cmp.Or(y.Label, "yubin") }

// Version is the commit; of one that has a label it is what the binary says.
func (y *Yubin) Version() string {
	ask := exec.Command("git", "describe", "--tags", "--always", "--dirty")
	if y.Label == "before" {
		ask = exec.Command(y.Binary, "version")
	}
	out, err := output(ask)
	if err != nil {
		return "of unknown version"
	}
	return out
}

// Durable says when 250 is said.
func (y *Yubin) Durable() string {
	if y.Database != "" {
		return "250 after PostgreSQL's answer to the COMMIT that files the message in every mailbox and spools it for every remote recipient (fsync=on, synchronous_commit=on; over 64 KiB also the file and its folder)"
	}
	return "250 after the fsync of the commit that files the message in every mailbox and spools it for every remote recipient (SQLite WAL, synchronous=FULL; over 64 KiB also the file and its folder)"
}

// Folder is the data folder.
func (y *Yubin) Folder() string { return y.Data }

// Doors are localserve's ports.
func (y *Yubin) Doors() Doors {
	o := y.Offset
	return Doors{SMTP: 2525 + o, Relay: 2587 + o, RelayAuth: true, Submission: 2465 + o, LMTP: 2424 + o, IMAP: 2143 + o, IMAPS: 2993 + o, POP3: 2110 + o}
}

// Roots is the one process, and that of its database's server.
func (y *Yubin) Roots() []int {
	if y.cmd == nil {
		return nil
	}
	if y.Server != 0 {
		return []int{y.cmd.Process.Pid, y.Server}
	}
	return []int{y.cmd.Process.Pid}
}

// Waiting is nothing: what has 250 is in its mailbox.
func (y *Yubin) Waiting() (int, error) { return 0, nil }

// Start starts it and makes the accounts that are missing.
func (y *Yubin) Start(ctx context.Context) error {
	fresh := false
	if _, err := os.Stat(y.Data); err != nil {
		fresh = true
	}
	if err := y.start(ctx); err != nil {
		return err
	}
	if !fresh {
		return nil
	}
	if err := errors.Join(y.makeDomain(ctx), y.makeAccounts(ctx), y.makeRoutes(ctx)); err != nil {
		return errors.Join(err, y.Stop())
	}
	return nil
}

// makeDomain makes what localserve does by itself.
func (y *Yubin) makeDomain(ctx context.Context) error {
	if !y.Configured {
		return nil
	}
	_, err := output(exec.CommandContext(ctx, y.Binary, "domain", "add", "--data", y.Data, Domain))
	return err
}

// configuration writes the file.
func (y *Yubin) configuration() (name string, err error) {
	t, err := template.ParseFS(conf, "conf/yubin.toml")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, struct {
		*Yubin
		Domain string
	}{y, Domain}); err != nil {
		return "", err
	}
	name = y.Data + ".toml"
	return name, os.WriteFile(name, []byte(b.String()), 0o600)
}

func (y *Yubin) makeRoutes(ctx context.Context) error {
	for domain, hop := range y.Routes {
		if _, err := output(exec.CommandContext(ctx, y.Binary, "route", "set", "--data", y.Data, strings.ReplaceAll(domain, ".", "-"), "--to", domain, "--smtp", hop)); err != nil {
			return err
		}
	}
	return nil
}

func (y *Yubin) start(ctx context.Context) error {
	log, err := os.OpenFile(y.Data+".log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	args, err := y.args(ctx)
	if err != nil {
		return err
	}
	y.log, y.cmd = log, exec.Command(y.Binary, args...)
	y.cmd.Stdout, y.cmd.Stderr = log, log
	y.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us, who stop it
	if err := y.cmd.Start(); err != nil {
		return err
	}
	if err := awaitGreeting(ctx, y.Doors().SMTP); err != nil {
		_ = y.Stop()
		return fmt.Errorf("yubin: %w\n%s", err, tail(log.Name()))
	}
	return nil
}

func (y *Yubin) args(ctx context.Context) ([]string, error) {
	if y.Configured {
		name, err := y.configuration()
		return []string{"serve", "--config", name}, err
	}
	help, err := output(exec.CommandContext(ctx, y.Binary, "localserve", "--help"))
	if err != nil {
		return nil, err
	}
	offset := "--offset"
	if strings.Contains(help, "--listen-offset") {
		offset = "--listen-offset"
	}
	args := []string{"localserve", "--data", y.Data, offset, fmt.Sprint(y.Offset)}
	if y.Database != "" {
		args = append(args, "--database", y.Database)
	}
	if y.Resolver != "" {
		args = append(args, "--deliver", "--resolver", y.Resolver, "--deliver-port", fmt.Sprint(y.Port))
	}
	return args, nil
}

// makeAccounts imports them with a hash that costs little: what a login costs
// is not measured here, and a thousand logins must not take long.
func (y *Yubin) makeAccounts(ctx context.Context) error {
	salt := []byte("salt of the load")
	key := argon2.IDKey([]byte(Password), salt, 1, 8, 1, 32)
	b64 := base64.RawStdEncoding
	hash := fmt.Sprintf("$argon2id$v=19$m=8,t=1,p=1$%s$%s", b64.EncodeToString(salt), b64.EncodeToString(key))
	var lines strings.Builder
	for i := range y.Accounts {
		b, err := json.Marshal(map[string]string{"address": Account(i), "hash": hash})
		if err != nil {
			return err
		}
		lines.Write(append(b, '\n'))
	}
	cmd := exec.CommandContext(ctx, y.Binary, "account", "import", "--data", y.Data, "--format", "jsonl", "-")
	cmd.Stdin = strings.NewReader(lines.String())
	_, err := output(cmd)
	return err
}

// Stop ends it in an orderly way.
func (y *Yubin) Stop() error { return y.end(syscall.SIGTERM) }

// Kill ends it as a crash would.
func (y *Yubin) Kill() error { return y.end(syscall.SIGKILL) }

func (y *Yubin) end(sig syscall.Signal) error {
	if y.cmd == nil {
		return nil
	}
	err := ignoreGone(y.cmd.Process.Signal(sig))
	_ = y.cmd.Wait()
	_ = y.log.Close()
	y.cmd = nil
	return err
}

// Filling takes the distance to the database away while on: what is in a mailbox before
// it is measured would else take half an hour.
func (y *Yubin) Filling(_ context.Context, on bool) error {
	if y.Way != nil {
		y.Way.near.Store(on)
	}
	return nil
}
