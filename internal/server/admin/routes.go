package admin

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"

	"yubin/internal/dns"
	"yubin/internal/engine/route"
	"yubin/internal/mail"
)

// Routes keeps the routes.
type Routes interface {
	Routes() []route.Route
	Lookup(name string) (route.Route, error)
	SetRoute(context.Context, route.Route) (route.Route, error)
	RemoveRoute(ctx context.Context, name string) error
	Explain(context.Context, route.Question, dns.Resolver) ([]route.Step, error)
}

// Networks keeps the trusted networks.
type Networks interface {
	TrustedNetworks() []netip.Prefix
	LostNetworks() []route.LostNetwork
	Trust(context.Context, netip.Prefix) error
	Untrust(ctx context.Context, network string) error
}

// Route is a route; see route.Route. Password is given and never shown; without
// one, a route that is changed keeps the password of the same user.
type Route struct {
	Name        string   `json:"name"`
	To          []string `json:"to,omitempty"`
	From        []string `json:"from,omitempty"`
	Relay       bool     `json:"relay,omitempty"`
	Unknown     bool     `json:"unknown,omitempty"`
	Action      string   `json:"action"`
	Hosts       []string `json:"hosts,omitempty"`
	Port        uint16   `json:"port,omitempty"`
	TLS         string   `json:"tls,omitempty"` // "" is opportunistic
	ImplicitTLS bool     `json:"implicit_tls,omitempty"`
	User        string   `json:"user,omitempty"`
	Password    string   `json:"password,omitempty"`
	SourceIPv4  string   `json:"source_ipv4,omitempty"`
	SourceIPv6  string   `json:"source_ipv6,omitempty"`
	Text        string   `json:"text,omitempty"`
	Enhanced    string   `json:"enhanced,omitempty"`
	Unreadable  string   `json:"unreadable,omitempty"` // what is wrong with its rows; mail that it matches may wait
}

// Network is a trusted network, as a prefix.
type Network struct {
	Network    string `json:"network"`
	Unreadable string `json:"unreadable,omitempty"` // what is wrong with the row, if it cannot be read; then it is not trusted
}

// Asked is what is to be explained. All but Address may be "".
type Asked struct {
	Address string // the recipient
	From    string // the sender; "" is the address of As, or <>
	As      string // the account that has logged in
	Client  string // the address of the client
	Via     string // the route that an operator chose
}

func routeOf(r route.Route) Route {
	out := Route{
		Name: r.Name, To: texts(r.To), From: texts(r.From), Relay: r.Relay, Unknown: r.Unknown, Action: string(r.Action),
		Port: r.Port, ImplicitTLS: r.ImplicitTLS, Text: r.Text, Enhanced: r.Enhanced, Unreadable: r.Unreadable,
		SourceIPv4: addressText(r.SourceIPv4), SourceIPv6: addressText(r.SourceIPv6),
	}
	for _, h := range r.Hosts {
		out.Hosts = append(out.Hosts, route.HostText(h))
	}
	if r.TLS != mail.TLSOpportunistic {
		out.TLS = r.TLS.String()
	}
	if r.Auth != nil {
		out.User = r.Auth.User
	}
	return out
}

func texts(patterns []route.Pattern) (list []string) {
	for _, p := range patterns {
		list = append(list, p.String())
	}
	return list
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// route reads r. The error is of kind Invalid.
func (r Route) route() (out route.Route, err error) {
	out = route.Route{Name: r.Name, Relay: r.Relay, Unknown: r.Unknown, Action: route.Action(r.Action), Port: r.Port,
		ImplicitTLS: r.ImplicitTLS, Text: r.Text, Enhanced: r.Enhanced}
	if out.To, err = readAll(r.To, route.ParsePattern); err != nil {
		return out, err
	}
	if out.From, err = readAll(r.From, route.ParsePattern); err != nil {
		return out, err
	}
	if out.Hosts, err = readAll(r.Hosts, route.ParseHost); err != nil {
		return out, err
	}
	if out.SourceIPv4, err = parseAddr(r.SourceIPv4); err != nil {
		return out, err
	}
	if out.SourceIPv6, err = parseAddr(r.SourceIPv6); err != nil {
		return out, err
	}
	if r.User != "" || r.Password != "" {
		out.Auth = &mail.Credentials{User: r.User, Password: r.Password}
	}
	if r.TLS == "" {
		return out, nil
	}
	policy, ok := mail.ParseTLSPolicy(r.TLS)
	if !ok {
		return out, mail.Errorf(mail.Invalid, "TLS is opportunistic, required, verified or none, not %q", r.TLS)
	}
	out.TLS = policy
	return out, nil
}

func readAll[T any](in []string, parse func(string) (T, error)) (list []T, err error) {
	for _, s := range in {
		v, err := parse(s)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func parseAddr(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, mail.Errorf(mail.Invalid, "%q is not an IP address", s)
	}
	return a, nil
}

func (h *Handler) listRoutes(*http.Request) (any, error) {
	page := Page[Route]{Items: []Route{}}
	for _, r := range h.Routes.Routes() {
		page.Items = append(page.Items, routeOf(r))
	}
	return page, nil
}

func (h *Handler) showRoute(r *http.Request) (any, error) {
	found, err := h.Routes.Lookup(r.PathValue("name"))
	return routeOf(found), err
}

func (h *Handler) setRoute(r *http.Request) (any, error) {
	in, err := body[Route](r)
	if err != nil {
		return nil, err
	}
	in.Name = r.PathValue("name")
	wanted, err := in.route()
	if err != nil {
		return nil, err
	}
	made, err := h.Routes.SetRoute(r.Context(), wanted)
	return routeOf(made), err
}

func (h *Handler) removeRoute(r *http.Request) (any, error) {
	return done{}, h.Routes.RemoveRoute(r.Context(), r.PathValue("name"))
}

func (h *Handler) listNetworks(*http.Request) (any, error) {
	page := Page[Network]{Items: []Network{}}
	for _, p := range h.Networks.TrustedNetworks() {
		page.Items = append(page.Items, Network{Network: p.String()})
	}
	for _, l := range h.Networks.LostNetworks() {
		page.Items = append(page.Items, Network{l.Name, l.Why})
	}
	return page, nil
}

func (h *Handler) trustNetwork(r *http.Request) (any, error) {
	in, err := body[Network](r)
	if err != nil {
		return nil, err
	}
	p, err := route.ParseNetwork(in.Network)
	if err != nil {
		return nil, err
	}
	return Network{Network: p.String()}, h.Networks.Trust(r.Context(), p)
}

func (h *Handler) untrustNetwork(r *http.Request) (any, error) {
	return done{}, h.Networks.Untrust(r.Context(), r.PathValue("network"))
}

// explain answers where mail would go.
func (h *Handler) explain(r *http.Request) (any, error) {
	q, err := h.question(r.Context(), r.URL.Query())
	if err != nil {
		return nil, err
	}
	steps, err := h.Routes.Explain(r.Context(), q, h.Resolver)
	if err == nil && h.Copies != nil {
		steps = append(steps, h.Copies.Explain(r.Context(), q)...)
	}
	return Page[route.Step]{Items: steps}, err
}

func (h *Handler) question(ctx context.Context, query url.Values) (q route.Question, err error) {
	q.Via = query.Get("via")
	if q.Recipient, err = mail.ParseAddress(query.Get("address")); err != nil {
		return q, err
	}
	if q.Remote, err = parseAddr(query.Get("client")); err != nil {
		return q, err
	}
	if from := query.Get("from"); from != "" && from != "<>" {
		a, err := mail.ParseAddress(from)
		if err != nil {
			return q, err
		}
		q.Sender = mail.ReversePath(a)
	}
	if as := query.Get("as"); as != "" {
		err = h.loggedIn(ctx, &q, as, query.Get("from") == "")
	}
	return q, err
}

// loggedIn has the account named as ask q, from its own address if from says so.
func (h *Handler) loggedIn(ctx context.Context, q *route.Question, as string, from bool) error {
	address, err := mail.ParseAddress(as)
	if err != nil {
		return err
	}
	a, err := h.Accounts.Account(ctx, address)
	switch {
	case err != nil:
		return err
	case a.Disabled:
		return mail.Errorf(mail.Conflict, "account %s is disabled, so nobody can log in to it", a.Address)
	}
	q.Account = a.ID
	if from {
		q.Sender = mail.ReversePath(a.Address)
	}
	return nil
}
