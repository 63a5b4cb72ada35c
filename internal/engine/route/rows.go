package route

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// schema returns the steps of the tables; see the package comment.
func schema() []string {
	return []string{`
	CREATE TABLE route_route (
		name      TEXT NOT NULL PRIMARY KEY,
		action    TEXT NOT NULL,
		relay     {int} NOT NULL,
		unknown   {int} NOT NULL,
		hosts     TEXT NOT NULL,
		port      {int} NOT NULL,
		tls       TEXT NOT NULL,
		implicit  {int} NOT NULL,
		username  TEXT NOT NULL,
		password  TEXT NOT NULL,
		source_v4 TEXT NOT NULL,
		source_v6 TEXT NOT NULL,
		words     TEXT NOT NULL,
		enhanced  TEXT NOT NULL
	) {clustered};
	CREATE TABLE route_pattern (
		side    TEXT NOT NULL,
		pattern TEXT NOT NULL,
		route   TEXT NOT NULL,
		PRIMARY KEY (side, pattern)
	) {clustered};
	CREATE TABLE route_network (
		network TEXT NOT NULL PRIMARY KEY
	) {clustered}`}
}

// Sides of route_pattern.
const (
	sideTo   = "to"
	sideFrom = "from"
)

// load reads all rows.
func load(tx *sqldb.Tx) (*tables, error) {
	byName, err := loadRoutes(tx)
	if err != nil {
		return nil, err
	}
	if err := loadPatterns(tx, byName); err != nil {
		return nil, err
	}
	networks, err := loadNetworks(tx)
	if err != nil {
		return nil, err
	}
	routes := make([]*Route, 0, len(byName))
	for _, r := range byName {
		r.To, r.From = sorted(r.To), sorted(r.From)
		routes = append(routes, r)
	}
	return newTables(routes, networks), nil
}

func loadRoutes(tx *sqldb.Tx) (map[string]*Route, error) {
	rows, err := tx.Query(`SELECT name, action, relay, unknown, hosts, port, tls, implicit, username, password,
		source_v4, source_v6, words, enhanced FROM route_route`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	byName := map[string]*Route{}
	for rows.Next() {
		var r Route
		var raw rawRoute
		if err := rows.Scan(&r.Name, &r.Action, &r.Relay, &r.Unknown, &raw.hosts, &r.Port, &raw.tls, &r.ImplicitTLS,
			&raw.user, &raw.password, &raw.v4, &raw.v6, &r.Text, &r.Enhanced); err != nil {
			return nil, err
		}
		if err := raw.into(&r); err != nil {
			return nil, fmt.Errorf("route %s: %w", r.Name, err)
		}
		byName[r.Name] = &r
	}
	return byName, rows.Err()
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

func loadPatterns(tx *sqldb.Tx, byName map[string]*Route) error {
	rows, err := tx.Query(`SELECT side, pattern, route FROM route_pattern`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var side, text, name string
		if err := rows.Scan(&side, &text, &name); err != nil {
			return err
		}
		p, err := ParsePattern(text)
		r := byName[name]
		switch {
		case err != nil:
			return fmt.Errorf("route %s: %w", name, err)
		case r == nil:
			return fmt.Errorf("pattern %s is of the route %s, which does not exist", text, name)
		case side == sideFrom:
			r.From = append(r.From, p)
		default:
			r.To = append(r.To, p)
		}
	}
	return rows.Err()
}

func loadNetworks(tx *sqldb.Tx) ([]netip.Prefix, error) {
	rows, err := tx.Query(`SELECT network FROM route_network`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []netip.Prefix
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return list, rows.Err()
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
