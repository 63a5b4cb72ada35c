package route

import (
	"net/netip"
	"slices"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// tables are all routes and trusted networks at one moment. They never change.
type tables struct {
	routes   map[string]*Route
	to, from map[Pattern]*Route
	networks []netip.Prefix

	unreadable []sqldb.Unreadable // rows
	lost       []LostNetwork
}

// newTables indexes the routes.
func newTables(routes []*Route, networks []netip.Prefix) *tables {
	t := &tables{routes: map[string]*Route{}, to: map[Pattern]*Route{}, from: map[Pattern]*Route{}, networks: networks}
	for _, r := range routes {
		t.routes[r.Name] = r
		for _, p := range r.To {
			t.to[p] = r
		}
		for _, p := range r.From {
			t.from[p] = r
		}
	}
	return t
}

// stray has mail wait that s matches on either side, where no other row says what
// becomes of it.
func (t *tables) stray(s stray) {
	for _, side := range []map[Pattern]*Route{t.to, t.from} {
		if side[s.pattern] == nil {
			side[s.pattern] = s.route
		}
	}
}

// at is the route at p, or nil.
func (t *tables) at(p probe) *Route {
	if p.place.ofSender() {
		return t.from[p.pattern]
	}
	return t.to[p.pattern]
}

// choice is a route and where it was found; the zero value is none.
type choice struct {
	*Route
	by   probe
	kept bool // no route, for the domain is ours: it goes into mailboxes here
}

// choose finds the route for mail to a foreign address.
func (t *tables) choose(to mail.Address, from mail.ReversePath) choice {
	for _, p := range probes(to, from) {
		if r := t.at(p); r != nil {
			return choice{Route: r, by: p}
		}
	}
	return choice{}
}

// chooseLocal finds the route that names an address of a local domain: one that
// goes before whoever has it here, or with unknown one that goes after.
func (t *tables) chooseLocal(to mail.Address, unknown bool) choice {
	if len(t.to) == 0 {
		return choice{}
	}
	for _, p := range probes(to, mail.ReversePath{}) {
		if r := t.at(p); r != nil && p.place <= byDomain && r.Unknown == unknown {
			return choice{Route: r, by: p}
		}
	}
	return choice{}
}

// relayer finds the route by which anybody may send to a foreign address: one
// for the address, or the narrowest for its domain if that relays. One that is
// broken could be it.
func (t *tables) relayer(to mail.Address) choice {
	for _, p := range probes(to, mail.ReversePath{}) {
		r := t.at(p)
		if r == nil || p.place == byDefault {
			continue
		}
		if r.Relay || r.broken {
			return choice{Route: r, by: p}
		}
		if p.place != byRecipient {
			break
		}
	}
	return choice{}
}

// trusting finds the trusted network that a is in.
func (t *tables) trusting(a netip.Addr) (netip.Prefix, bool) {
	a = a.Unmap().WithZone("")
	i := slices.IndexFunc(t.networks, func(p netip.Prefix) bool { return p.Contains(a) })
	if i < 0 {
		return netip.Prefix{}, false
	}
	return t.networks[i], true
}

// list is all routes by name.
func (t *tables) list() []*Route {
	all := make([]*Route, 0, len(t.routes))
	for _, r := range t.routes {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *Route) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// clone is a copy that its owner may change.
func (r *Route) clone() Route {
	c := *r
	c.To, c.From, c.Hosts = slices.Clone(r.To), slices.Clone(r.From), slices.Clone(r.Hosts)
	if r.Auth != nil {
		auth := *r.Auth
		c.Auth = &auth
	}
	return c
}
