package admin

import (
	"context"
	"strings"

	"yubin/internal/engine/queue"
	"yubin/internal/mail"
)

// sitesNamer gives sites the names that people write: "example.net via mx",
// "relay.example.net:587 via spare", where spare is a route. Their keys say all that a
// session depends on.
type sitesNamer struct{ routes map[string]string } // by site

// sitesNamer knows the routes as they are now.
func (h *Handler) sitesNamer() sitesNamer {
	n := sitesNamer{map[string]string{}}
	if h.Routes == nil {
		return n
	}
	for _, r := range h.Routes.Routes() {
		if site := r.Site(); site != "" {
			n.routes[site] = r.Name
		}
	}
	return n
}

// kindOf parts the key of a site.
func kindOf(site string) (kind, hosts, rest string, ok bool) {
	kind, hosts, ok = strings.Cut(site, ":")
	hosts, rest, _ = strings.Cut(hosts, " ")
	switch kind {
	case "mx", "smtp", "lmtp", "local":
		return kind, hosts, rest, ok
	}
	return "", "", "", false
}

// name is what people call a site.
func (n sitesNamer) name(site string) string {
	kind, hosts, rest, ok := kindOf(site)
	switch {
	case !ok:
		return site
	case kind == "local":
		return "this server"
	}
	var list []string
	for _, host := range strings.Split(hosts, ",") {
		list = append(list, strings.TrimSuffix(host, ":0"))
	}
	via := kind
	if route := n.routes[site]; route != "" {
		via, rest = route, ""
	}
	if rest != "" {
		via += " (" + rest + ")"
	}
	return strings.Join(list, ", ") + " via " + via
}

// sitesCalled finds the keys of the sites that somebody means: by a key, a name, a
// domain or host, or a route. What nobody knows yet is the exchangers of a domain.
func (h *Handler) sitesCalled(ctx context.Context, text string) ([]string, error) {
	sites, _, err := h.findSites(ctx, text)
	return sites, err
}

// findSites is sitesCalled, and says whether somebody knows them.
func (h *Handler) findSites(ctx context.Context, text string) (sites []string, known bool, err error) {
	if _, _, _, ok := kindOf(text); ok {
		return []string{text}, true, nil
	}
	n := h.sitesNamer()
	for site, route := range n.routes {
		if route == text {
			return []string{site}, true, nil
		}
	}
	if text == n.name("local:") {
		return []string{"local:"}, true, nil
	}
	base, _, full := strings.Cut(text, " via ")
	hosts := strings.Split(base, ", ")
	for i, host := range hosts {
		if d, err := mail.ParseDomain(host); err == nil {
			hosts[i] = string(d)
		}
	}
	var found []string
	for _, port := range []string{"", ":0"} {
		list, err := h.Queue.SitesNamed(ctx, strings.Join(hosts, port+",")+port)
		if err != nil {
			return nil, false, err
		}
		for _, site := range list {
			if !full || n.name(site) == text {
				found = append(found, site)
			}
		}
	}
	if len(found) > 0 {
		return found, true, nil
	}
	d, err := mail.ParseDomain(base)
	if err != nil || full && !strings.HasSuffix(text, " via mx") {
		return nil, false, mail.Errorf(mail.Invalid, "%q is no site: it is a domain, a route, or what yubin queue sites calls one", text)
	}
	return []string{mail.NextHop{Kind: mail.HopMX, Domain: d}.Site()}, false, nil
}

// siteState reads a state of sites; "" is any.
func siteState(text string) (queue.SiteState, error) {
	if text == "" {
		return "", nil
	}
	var names []string
	for _, s := range queue.SiteStates() {
		if string(s) == text {
			return s, nil
		}
		names = append(names, string(s))
	}
	return "", mail.Errorf(mail.Invalid, "%q is no state of a site: there are %s", text, strings.Join(names, ", "))
}
