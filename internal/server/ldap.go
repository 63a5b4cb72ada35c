package server

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
	"yubin/internal/proto/ldap"
	"yubin/internal/session/ldapc"
	"yubin/internal/world/config"
	"yubin/internal/world/netx"
)

// NewLDAP makes what asks a directory. It connects to nobody. The error says what is wrong
// with a filter or name of the configuration.
func NewLDAP(l config.LDAP, d Deps) (*ldapc.Client, error) {
	c := ldapc.Config{Domains: l.Domains, Timeout: l.Timeout, Connections: l.Connections, Roots: l.Roots, Service: l.BindDN, Password: l.Password,
		Base: l.Base, GroupBase: l.GroupBase, Address: l.Address, Quota: l.Quota, Member: l.GroupMember, Now: d.Now, Log: d.Log,
		Dial: func(ctx context.Context, s ldapc.Server) (*netx.Conn, error) {
			return netx.Dialer{}.DialHost(ctx, s.Host, s.Port)
		}}
	for _, s := range l.Servers {
		server := ldapc.Server{Name: s.URL, Host: s.Host, Port: s.Port, Security: ldapc.StartTLS}
		switch {
		case s.Implicit:
			server.Security = ldapc.Implicit
		case s.Plain:
			server.Security = ldapc.Plain
		}
		c.Servers = append(c.Servers, server)
	}
	for _, f := range []struct {
		key, text string
		dst       *ldap.Filter
	}{{"filter", l.Filter, &c.Filter}, {"group_filter", l.GroupFilter, &c.GroupFilter}} {
		if f.text == "" {
			continue
		}
		var err error
		if *f.dst, err = ldap.ParseFilter(f.text, ldapc.VarAddress, ldapc.VarLocal, ldapc.VarDomain); err != nil {
			return nil, fmt.Errorf("%s: %w", f.key, err)
		}
		if !f.dst.Uses(ldapc.VarAddress) && !f.dst.Uses(ldapc.VarLocal) {
			return nil, mail.Errorf(mail.Invalid, "%s has neither {address} nor {local}, so that it would find the same for everybody", f.key)
		}
	}
	if l.UserDN != "" {
		var err error
		if c.UserName, err = ldap.ParseName(l.UserDN, ldapc.VarAddress, ldapc.VarLocal, ldapc.VarDomain); err != nil {
			return nil, fmt.Errorf("user_dn: %w", err)
		}
		if !c.UserName.Uses(ldapc.VarAddress) && !c.UserName.Uses(ldapc.VarLocal) {
			return nil, mail.Errorf(mail.Invalid, "user_dn has neither {address} nor {local}, so that everybody would be the same")
		}
	}
	return ldapc.New(c), nil
}

// LoadConfig reads and verifies a configuration: its text, the files that it names, and the
// filters and names of [[ldap]]. The error is *config.Faults, or that of opening the file.
func LoadConfig(file string) (config.Config, error) {
	c, err := config.LoadVerified(file)
	all := &config.Faults{File: file}
	if err != nil && !errors.As(err, &all) {
		return c, err
	}
	for _, l := range c.LDAP {
		if _, err := NewLDAP(l, Deps{}); err != nil {
			all.List = append(all.List, config.Fault{Line: l.Line, Text: err.Error()})
		}
	}
	if len(all.List) == 0 {
		return c, nil
	}
	slices.SortStableFunc(all.List, func(a, b config.Fault) int { return a.Line - b.Line })
	return c, all
}

// setSources has the directory ask what a configuration names. Those before are closed when
// nobody asks them any more; they stay if the configuration is wrong.
func (s *Store) setSources(c config.Config, d Deps) error {
	of := map[mail.Domain]directory.Source{}
	var all []*ldapc.Client
	for _, l := range c.LDAP {
		client, err := NewLDAP(l, d)
		if err != nil {
			return fmt.Errorf("[[ldap]] on line %d: %w", l.Line, err)
		}
		all = append(all, client)
		for _, name := range l.Domains {
			of[name] = client
		}
	}
	s.directory.SetSources(of)
	for _, old := range s.ldap {
		old.Close()
	}
	s.ldap = all
	return nil
}
