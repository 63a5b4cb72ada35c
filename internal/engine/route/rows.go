package route

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "route", Steps: schema()} }

// schema returns the steps of the tables; see the package comment.
func schema() []string {
	return []string{`
	CREATE TABLE route_route (
		name      {text} NOT NULL PRIMARY KEY,
		action    {text} NOT NULL,
		relay     {int} NOT NULL,
		unknown   {int} NOT NULL,
		hosts     {text} NOT NULL,
		port      {int} NOT NULL,
		tls       {text} NOT NULL,
		implicit  {int} NOT NULL,
		username  {text} NOT NULL,
		password  {text} NOT NULL,
		source_v4 {text} NOT NULL,
		source_v6 {text} NOT NULL,
		words     {text} NOT NULL,
		enhanced  {text} NOT NULL
	) {clustered};
	CREATE TABLE route_pattern (
		side    {text} NOT NULL,
		pattern {text} NOT NULL,
		route   {text} NOT NULL,
		PRIMARY KEY (side, pattern)
	) {clustered};
	CREATE TABLE route_network (
		network {text} NOT NULL PRIMARY KEY
	) {clustered}`}
}

// Sides of route_pattern.
const (
	sideTo   = "to"
	sideFrom = "from"
)

// load reads all rows. What cannot be read is set aside: see the package comment.
func load(tx *sqldb.Tx) (*tables, error) {
	l := loading{routes: map[string]*Route{}}
	for _, read := range []func(*sqldb.Tx) error{l.readRoutes, l.readPatterns, l.readNetworks} {
		if err := read(tx); err != nil {
			return nil, err
		}
	}
	for _, r := range l.routes {
		if err := r.clean(); err != nil && !r.broken {
			l.breaks(r, err)
		}
	}
	routes := slices.Collect(maps.Values(l.routes))
	t := newTables(routes, l.networks)
	for _, p := range l.strays {
		t.stray(p)
	}
	t.unreadable, t.lost = l.unreadable, l.lost
	return t, nil
}

// loading is tables under way.
type loading struct {
	routes     map[string]*Route
	networks   []netip.Prefix
	strays     []stray
	lost       []LostNetwork
	unreadable []sqldb.Unreadable
}

// stray is a pattern of which the side cannot be told.
type stray struct {
	pattern Pattern
	route   *Route // broken
}

// LostNetwork is the row of a network that cannot be read: it is not trusted.
// Untrust(Name) removes it.
type LostNetwork struct {
	Name string // as it stands there
	Why  string
}

// breaks notes that r cannot be read.
func (l *loading) breaks(r *Route, err error) {
	r.broken, err = true, sqldb.Why(err)
	l.spoils(r, err, fmt.Errorf("%w; mail that it matches waits", err))
}

// spoils notes that something of r cannot be read: why, and with what follows.
func (l *loading) spoils(r *Route, err, told error) {
	if r.Unreadable != "" {
		r.Unreadable += "; "
	}
	r.Unreadable += err.Error()
	l.unreadable = append(l.unreadable, sqldb.Unreadable{Row: "route " + r.Name, Err: told})
}

func (l *loading) readRoutes(tx *sqldb.Tx) error {
	rows, err := tx.Query(`SELECT name, action, relay, unknown, hosts, port, tls, implicit, username, password,
		source_v4, source_v6, words, enhanced FROM route_route`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r Route
		var raw rawRoute
		err := rows.Scan(&r.Name, &r.Action, &r.Relay, &r.Unknown, &raw.hosts, &r.Port, &raw.tls, &r.ImplicitTLS,
			&raw.user, &raw.password, &raw.v4, &raw.v6, &r.Text, &r.Enhanced)
		if err == nil {
			err = raw.into(&r)
		}
		if err != nil {
			l.breaks(&r, err)
		}
		l.routes[r.Name] = &r
	}
	return rows.Err()
}

// rawRoute is the columns that are texts of something.
type rawRoute struct{ hosts, tls, user, password, v4, v6 string }

func rawOf(r *Route) rawRoute {
	raw := rawRoute{tls: r.TLS.String(), v4: addrText(r.SourceIPv4), v6: addrText(r.SourceIPv6)}
	var hosts []string
	for _, h := range r.Hosts {
		hosts = append(hosts, HostText(h))
	}
	raw.hosts = strings.Join(hosts, " ")
	if r.Auth != nil {
		raw.user, raw.password = r.Auth.User, r.Auth.Password
	}
	return raw
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func (raw rawRoute) into(r *Route) (err error) {
	for _, text := range strings.Fields(raw.hosts) {
		h, err := ParseHost(text)
		if err != nil {
			return err
		}
		r.Hosts = append(r.Hosts, h)
	}
	var known bool
	if r.TLS, known = mail.ParseTLSPolicy(raw.tls); !known {
		return fmt.Errorf("unknown TLS policy %q", raw.tls)
	}
	if raw.user != "" {
		r.Auth = &mail.Credentials{User: raw.user, Password: raw.password}
	}
	if raw.v4 != "" {
		if r.SourceIPv4, err = netip.ParseAddr(raw.v4); err != nil {
			return err
		}
	}
	if raw.v6 != "" {
		r.SourceIPv6, err = netip.ParseAddr(raw.v6)
	}
	return err
}

func (l *loading) readPatterns(tx *sqldb.Tx) error {
	rows, err := tx.Query(`SELECT side, pattern, route FROM route_pattern`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var side, text, name string
		if err := rows.Scan(&side, &text, &name); err != nil {
			l.unreadable = append(l.unreadable, sqldb.Unreadable{Row: "pattern " + text + " of a route", Err: sqldb.Why(err)})
			continue
		}
		r := l.routes[name]
		if r == nil {
			r = &Route{Name: name}
			l.breaks(r, errors.New("there are patterns of it, and no row that says what it does"))
			l.routes[name] = r
		}
		p, err := ParsePattern(text)
		switch {
		case err != nil:
			l.spoils(r, fmt.Errorf("its pattern %q: %w", text, err), fmt.Errorf("its pattern %q, which matches nothing: %w", text, err))
		case side == sideTo:
			r.To = append(r.To, p)
		case side == sideFrom:
			r.From = append(r.From, p)
		default:
			err := fmt.Errorf("its pattern %s is neither for recipients nor for senders", p)
			l.spoils(r, err, fmt.Errorf("%w; mail that it matches waits", err))
			l.strays = append(l.strays, stray{p, &Route{Name: name, broken: true}})
		}
	}
	return rows.Err()
}

func (l *loading) readNetworks(tx *sqldb.Tx) error {
	rows, err := tx.Query(`SELECT network FROM route_network`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		var p netip.Prefix
		err := rows.Scan(&text)
		if err == nil {
			p, err = netip.ParsePrefix(text)
		}
		if err == nil {
			err = checkNetwork(p)
		}
		if err != nil {
			err = sqldb.Why(err)
			l.lost = append(l.lost, LostNetwork{text, err.Error()})
			l.unreadable = append(l.unreadable, sqldb.Unreadable{Row: "network " + text, Err: fmt.Errorf("%w; it is not trusted", err)})
			continue
		}
		l.networks = append(l.networks, p)
	}
	slices.SortFunc(l.networks, netip.Prefix.Compare)
	return rows.Err()
}

// insert writes the rows of r.
func insert(tx *sqldb.Tx, r *Route) error {
	raw := rawOf(r)
	if _, err := tx.Exec(`INSERT INTO route_route (name, action, relay, unknown, hosts, port, tls, implicit, username, password,
		source_v4, source_v6, words, enhanced) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		r.Name, string(r.Action), r.Relay, r.Unknown, raw.hosts, int64(r.Port), raw.tls, r.ImplicitTLS, raw.user, raw.password,
		raw.v4, raw.v6, r.Text, r.Enhanced); err != nil {
		return err
	}
	if err := insertPatterns(tx, sideTo, r.To, r.Name); err != nil {
		return err
	}
	return insertPatterns(tx, sideFrom, r.From, r.Name)
}

func insertPatterns(tx *sqldb.Tx, side string, patterns []Pattern, name string) error {
	for _, p := range patterns {
		if _, err := tx.Exec(`INSERT INTO route_pattern (side, pattern, route) VALUES ($1, $2, $3)`, side, p.String(), name); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes the rows of a route, if there are any.
func remove(tx *sqldb.Tx, name string) error {
	if _, err := tx.Exec(`DELETE FROM route_pattern WHERE route = $1`, name); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM route_route WHERE name = $1`, name)
	return err
}
