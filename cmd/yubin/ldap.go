package main

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
	"yubin/internal/server"
	"yubin/internal/session/ldapc"
	"yubin/internal/world/config"
	"yubin/internal/world/obs"
)

type ldapCmd struct {
	Check ldapCheckCmd `cmd:"" help:"Try the LDAP directories of the configuration: each server, and what they know of an address."`
}

type ldapCheckCmd struct {
	Config string `help:"The configuration." env:"YUBIN_CONFIG" default:"/etc/yubin/yubin.toml" type:"path" placeholder:"FILE"`
	withPassword
	Login   bool   `help:"Try the password of the address, too: it is asked for."`
	Address string `arg:"" optional:"" help:"What is known of this address: alice@example.org."`
}

// ldapServer is what became of trying one.
type ldapServer struct {
	Server  string   `json:"server"`
	Domains []string `json:"domains"`
	TLS     string   `json:"tls,omitempty"`
	Error   string   `json:"error,omitempty"` // it cannot be asked
}

// ldapAddress is what a directory says of an address.
type ldapAddress struct {
	Address string   `json:"address"`
	Entry   string   `json:"entry,omitempty"`
	Account string   `json:"account,omitempty"`
	Quota   *int64   `json:"quota,omitempty"`
	Members []string `json:"members,omitempty"`
	Login   string   `json:"login,omitempty"` // "right" or "wrong", if it was tried
	Error   string   `json:"error,omitempty"`
}

// Run asks for itself, as the server would: none has to run.
func (c *ldapCheckCmd) Run(e *env) error {
	cfg, err := server.LoadConfig(c.Config)
	if err != nil {
		return err
	}
	if len(cfg.LDAP) == 0 {
		return mail.Errorf(mail.Invalid, "%s has no [[ldap]]: no LDAP directory is asked", c.Config)
	}
	if c.Address != "" {
		return c.tryAddress(e, cfg)
	}
	var list []ldapServer
	bad := false
	for _, l := range cfg.LDAP {
		client, err := e.newLDAP(l)
		if err != nil {
			return err
		}
		for _, p := range client.Probe(e.ctx) {
			s := ldapServer{Server: p.Server.Name, TLS: p.TLS}
			for _, d := range l.Domains {
				s.Domains = append(s.Domains, string(d))
			}
			if p.Err != nil {
				s.Error, bad = p.Err.Error(), true
			}
			list = append(list, s)
		}
		client.Close()
	}
	err = e.show(list, func(w io.Writer) {
		t := table{{"SERVER", "DOMAINS", "STATE"}}
		for _, s := range list {
			t.add(s.Server, strings.Join(s.Domains, ", "), s.state())
		}
		t.write(w)
	})
	if err == nil && bad {
		return errSilent
	}
	return err
}

func (s ldapServer) state() string {
	switch {
	case s.Error != "":
		return "cannot be asked: " + s.Error
	case s.TLS == "":
		return "good, without TLS"
	}
	return "good, " + s.TLS
}

// newLDAP makes what asks a directory; what it would log is in the answers.
func (e *env) newLDAP(l config.LDAP) (*ldapc.Client, error) {
	return server.NewLDAP(l, e.deps(e.logger(slog.LevelError, obs.FormatText)))
}

func (c *ldapCheckCmd) tryAddress(e *env, cfg config.Config) error {
	a, err := mail.ParseAddress(c.Address)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(cfg.LDAP, func(l config.LDAP) bool { return slices.Contains(l.Domains, a.Key().Domain) })
	if i < 0 {
		return mail.Errorf(mail.Invalid, "no [[ldap]] of %s has the domain %s", c.Config, a.Domain)
	}
	password := ""
	if c.Login || c.PasswordStdin {
		if password, err = c.read(e, c.Address); err != nil {
			return err
		}
	}
	client, err := e.newLDAP(cfg.LDAP[i])
	if err != nil {
		return err
	}
	defer client.Close()
	out := ldapAddress{Address: a.Key().String()}
	found, err := client.Find(e.ctx, a.Key())
	out.say(found, err)
	if password != "" && mail.KindOf(err) != mail.Unavailable || password != "" && err == nil {
		by, err := client.Check(e.ctx, a.Key(), password)
		out.tried(by, err)
	}
	if err := e.show(out, func(w io.Writer) { out.write(w) }); err != nil || out.Error == "" && out.Login != "wrong" {
		return err
	}
	return errSilent
}

// say takes over what was found.
func (o *ldapAddress) say(f directory.Entry, err error) {
	if err != nil {
		o.Error = err.Error()
		return
	}
	o.Entry, o.Quota = f.Name, f.Quota
	if !f.Account.IsZero() {
		o.Account = f.Account.String()
	}
	for _, m := range f.Members {
		o.Members = append(o.Members, m.String())
	}
}

// tried takes over what became of a password. A directory in which nobody is looked for
// knows somebody by the password alone.
func (o *ldapAddress) tried(f directory.Entry, err error) {
	switch kind := mail.KindOf(err); {
	case err == nil:
		o.Login, o.Error = "right", ""
		o.say(f, nil)
	case kind == mail.Forbidden || kind == mail.NotFound:
		o.Login = "wrong"
	default:
		o.Error = err.Error()
	}
}

func (o *ldapAddress) write(w io.Writer) {
	t := table{{"address", o.Address}}
	for _, line := range [][]string{{"entry", o.Entry}, {"account", o.Account}, {"members", strings.Join(o.Members, ", ")}, {"password", o.Login}, {"error", o.Error}} {
		if line[1] != "" {
			t.add(line...)
		}
	}
	if o.Quota != nil {
		t.add("quota", quotaText(*o.Quota))
	}
	t.write(w)
}

func quotaText(octetsMost int64) string {
	if octetsMost == 0 {
		return "none"
	}
	return fmt.Sprint(octets(octetsMost))
}
