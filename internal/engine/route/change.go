package route

import (
	"context"
	"net/netip"
	"slices"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Routes lists all routes by name, with their passwords.
func (r *Router) Routes() []Route {
	all := r.tables.Load().list()
	list := make([]Route, len(all))
	for i, e := range all {
		list[i] = e.clone()
	}
	return list
}

// Lookup returns one route. Errors: NotFound.
func (r *Router) Lookup(name string) (Route, error) {
	if e := r.tables.Load().routes[name]; e != nil {
		return e.clone(), nil
	}
	return Route{}, unknownRoute(name)
}

func unknownRoute(name string) error {
	return mail.Errorf(mail.NotFound, "there is no route %s", name)
}

// SetRoute makes a route, or changes the one of that name to be like e. A
// password that is empty stays as it is if the user does. It returns the route
// as it is kept. Errors: Invalid; Exists if another route has one of the
// patterns; TooLarge.
func (r *Router) SetRoute(ctx context.Context, e Route) (Route, error) {
	var made Route
	err := r.change(ctx, func(tx *sqldb.Tx, now *tables) error {
		made = e.clone()
		made.Unreadable, made.broken = "", false
		made.keepPassword(now.routes[e.Name])
		if err := made.clean(); err != nil {
			return err
		}
		if err := now.admits(&made); err != nil {
			return err
		}
		if err := remove(tx, made.Name); err != nil {
			return err
		}
		return insert(tx, &made)
	})
	return made, err
}

// Cleaned is r as SetRoute would keep it in the place of old, which is zero if there is
// none. Errors: Invalid, TooLarge.
func Cleaned(r, old Route) (Route, error) {
	c := r.clone()
	c.keepPassword(&old)
	return c, c.clean()
}

// keepPassword takes the password of old, if there is one to take.
func (r *Route) keepPassword(old *Route) {
	if old != nil && old.Auth != nil && r.Auth != nil && r.Auth.Password == "" && r.Auth.User == old.Auth.User {
		r.Auth.Password = old.Auth.Password
	}
}

// admits checks e against all other routes.
func (t *tables) admits(e *Route) error {
	for _, side := range []struct {
		has  map[Pattern]*Route
		want []Pattern
	}{{t.to, e.To}, {t.from, e.From}} {
		for _, p := range side.want {
			if other := side.has[p]; other != nil && other.Name != e.Name {
				return mail.Errorf(mail.Exists, "route %s matches %s already; a pattern belongs to one route", other.Name, p)
			}
		}
	}
	routes, patterns := len(t.routes)+1, len(t.to)+len(t.from)+len(e.To)+len(e.From)
	if old := t.routes[e.Name]; old != nil {
		routes, patterns = routes-1, patterns-len(old.To)-len(old.From)
	}
	if routes > MaxRoutes || patterns > MaxPatterns {
		return mail.Errorf(mail.TooLarge, "there may be at most %d routes with %d patterns", MaxRoutes, MaxPatterns)
	}
	return nil
}

// RemoveRoute deletes a route. Mail that an operator sent by it waits until it
// is sent by another. Errors: NotFound.
func (r *Router) RemoveRoute(ctx context.Context, name string) error {
	return r.change(ctx, func(tx *sqldb.Tx, now *tables) error {
		if now.routes[name] == nil {
			return unknownRoute(name)
		}
		return remove(tx, name)
	})
}

// TrustedNetworks lists the networks whose clients may send to anywhere.
func (r *Router) TrustedNetworks() []netip.Prefix { return slices.Clone(r.tables.Load().networks) }

// Trusts reports whether a is in one of the TrustedNetworks.
func (r *Router) Trusts(a netip.Addr) bool {
	_, ok := r.tables.Load().trusting(a)
	return ok
}

// Trust lets the clients in a network send to anywhere without logging in.
// Errors: Invalid, Exists, TooLarge.
func (r *Router) Trust(ctx context.Context, p netip.Prefix) error {
	if err := checkNetwork(p); err != nil {
		return err
	}
	return r.change(ctx, func(tx *sqldb.Tx, now *tables) error {
		switch {
		case slices.Contains(now.networks, p):
			return mail.Errorf(mail.Exists, "network %s is trusted already", p)
		case len(now.networks) == MaxNetworks:
			return mail.Errorf(mail.TooLarge, "at most %d networks may be trusted", MaxNetworks)
		}
		_, err := tx.Exec(`INSERT INTO route_network (network) VALUES ($1)`, p.String())
		return err
	})
}

// LostNetworks lists the rows of networks that cannot be read.
func (r *Router) LostNetworks() []LostNetwork { return slices.Clone(r.tables.Load().lost) }

// Untrust undoes Trust, for a network in any form that ParseNetwork takes, or one of
// LostNetworks by its name. Errors: NotFound.
func (r *Router) Untrust(ctx context.Context, network string) error {
	return r.change(ctx, func(tx *sqldb.Tx, now *tables) error {
		name := network
		if p, err := ParseNetwork(network); err == nil && !slices.ContainsFunc(now.lost, func(l LostNetwork) bool { return l.Name == network }) {
			name = p.String()
		}
		n, err := tx.Exec(`DELETE FROM route_network WHERE network = $1`, name)
		if err == nil && n == 0 {
			err = mail.Errorf(mail.NotFound, "network %s is not trusted", name)
		}
		return err
	})
}

// change runs fn on the tables as they are and shows them as it leaves them,
// when that is durable.
func (r *Router) change(ctx context.Context, fn func(tx *sqldb.Tx, now *tables) error) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	return r.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		tx.Lock(sqldb.Name, "routes")
		now, err := load(tx)
		if err != nil {
			return err
		}
		if err := fn(tx, now); err != nil {
			return err
		}
		next, err := load(tx)
		if err != nil {
			return err
		}
		tx.OnCommit(func() { r.show(next) })
		return nil
	})
}

// Check reads every row, online, and reports each that
// cannot be read. The error is one of reading.
func (r *Router) Check(ctx context.Context, report func(problem string)) error {
	return r.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		t, err := load(tx)
		if err != nil {
			return err
		}
		for _, u := range t.unreadable {
			report("route: " + u.Error())
		}
		return nil
	})
}
