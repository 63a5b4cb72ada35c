package server

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"yubin/internal/engine/dnslist"
	"yubin/internal/engine/filter"
	"yubin/internal/engine/intake"
	"yubin/internal/session/clamdc"
	"yubin/internal/session/milterc"
	"yubin/internal/session/rspamdc"
	"yubin/internal/session/smtpd"
	"yubin/internal/world/config"
	"yubin/internal/world/netx"
	"yubin/internal/world/obs"
	"yubin/internal/world/resolver"
	"yubin/internal/world/web"
)

// Listed asks the lists of a configuration about addresses, for a command that has no server:
// each list is tried before.
func Listed(ctx context.Context, c config.Config, at []netip.Addr, now time.Time) (f dnslist.Findings, err error) {
	up, err := upstream(c.DNS)
	if err != nil {
		return f, err
	}
	r, err := resolver.New(resolver.Options{Upstream: up, Now: time.Now})
	if err != nil {
		return f, err
	}
	lists, err := dnslist.New(dnslist.Options{Lists: listsOf(c), Resolver: r})
	if err != nil {
		return f, err
	}
	lists.Try(ctx, now)
	return lists.Ask(ctx, clientsOf(at)...), nil
}

// clientsOf are addresses as lists are asked about them.
func clientsOf(at []netip.Addr) (list []dnslist.Subject) {
	for _, a := range at {
		list = append(list, dnslist.Subject{About: dnslist.Client, Addr: a})
	}
	return list
}

// newLists makes the lists in the DNS that are configured. They are asked once they
// were tried.
func (s *Store) newLists(cfg config.Config, d Deps) (*dnslist.Lists, error) {
	o := dnslist.Options{Lists: listsOf(cfg), Resolver: s.outgoing.resolver, Observe: func(list string, o dnslist.Outcome) { s.metrics.List(list, o.String()) },
		Changed: func(list string, asked bool, reason string) {
			s.metrics.ListAsked(list, asked)
			if asked {
				d.Log.Info("a list in the DNS is asked again", "list", list)
				return
			}
			d.Log.Warn("a list in the DNS is not asked any more", "list", list, obs.KeyReason, reason)
		}}
	return dnslist.New(o)
}

// listsOf are the lists of a configuration.
func listsOf(cfg config.Config) (all []dnslist.List) {
	about := map[string]dnslist.About{"client": dnslist.Client, "sender": dnslist.Sender, "link": dnslist.Link}
	for _, c := range cfg.DNSLists {
		l := dnslist.List{Name: c.Name, Zone: c.Zone, Test: c.Test}
		for _, a := range c.About {
			l.About |= about[a]
		}
		for _, code := range c.Codes {
			l.Codes = append(l.Codes, dnslist.Code(code))
		}
		all = append(all, l)
	}
	return all
}

// newFilters makes the panel of the filters of a profile; nil if it has none.
func (s *Server) newFilters(c config.Config, profile config.Profile) smtpd.Filters {
	o := filter.Options{Begin: func() *intake.Message { return s.store.intake.Begin() }, Log: s.deps.Log, Now: s.deps.Now, Observe: s.store.metrics.Filter}
	for _, f := range c.Filters {
		if slices.Contains(f.Profiles, profile) {
			setting := filter.Setting{Name: f.Name, Filter: newFilter(f), Down: filter.Accept, Time: f.Time, Largest: f.Largest}
			if f.Defer {
				setting.Down = filter.Defer
			}
			o.Filters = append(o.Filters, setting)
		}
	}
	p, err := filter.New(o)
	if err != nil {
		s.deps.Log.Error("filters cannot be used", obs.Err(err)) // The configuration was checked: it cannot be.
	}
	if p.Empty() {
		return nil
	}
	return p
}

// newFilter makes one filter. It connects to nobody yet.
func newFilter(f config.Filter) filter.Filter {
	dial := func(ctx context.Context) (*netx.Conn, error) {
		if strings.HasPrefix(f.Address, "/") {
			return netx.Dialer{}.DialUnix(ctx, f.Address)
		}
		to, err := netip.ParseAddrPort(f.Address)
		if err != nil {
			return nil, err
		}
		return netx.Dialer{}.Dial(ctx, to, netip.Addr{})
	}
	switch f.Kind {
	case config.Rspamd:
		return rspamdc.New(rspamdc.Config{Service: web.NewService(f.Address), Password: f.Password, Scale: f.Scale})
	case config.ClamAV:
		return clamdc.New(clamdc.Config{Dial: dial, Aside: f.Aside})
	}
	return milterc.New(milterc.Config{Dial: dial})
}
