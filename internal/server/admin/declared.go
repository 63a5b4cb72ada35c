package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/route"
	"yubin/internal/mail"
)

const planPath = "/v1/apply/plan"

// Declarer makes the directory be as it is declared.
type Declarer interface {
	Declaration(ctx context.Context, secret bool) (directory.Declared, error)
	Compare(ctx context.Context, want directory.Declared, prune bool) ([]directory.Step, error)
	Try(ctx context.Context, want directory.Declared, prune bool, steps []directory.Step) error
	Apply(ctx context.Context, want directory.Declared, prune bool, steps []directory.Step) error
}

// Declaration is all that an administrator says of a post office beside its configuration,
// as "yubin dump" writes it.
type Declaration struct {
	Quota    *DeclaredQuota    `json:"quota,omitempty" toml:"quota,omitempty"` // of the site; without it that stays
	Networks []string          `json:"networks,omitempty" toml:"networks,omitempty"`
	Domains  []DeclaredDomain  `json:"domain,omitempty" toml:"domain,omitempty"`
	Accounts []DeclaredAccount `json:"account,omitempty" toml:"account,omitempty"`
	Groups   []DeclaredGroup   `json:"group,omitempty" toml:"group,omitempty"`
	Aliases  []DeclaredAlias   `json:"alias,omitempty" toml:"alias,omitempty"`
	Routes   []DeclaredRoute   `json:"route,omitempty" toml:"route,omitempty"`
}

// DeclaredQuota is a Quota: 0 is no bound, and nothing leaves it to what stands above.
type DeclaredQuota struct {
	Octets   *int64 `json:"octets,omitempty" toml:"octets,omitempty"`
	Messages *int64 `json:"messages,omitempty" toml:"messages,omitempty"`
}

// DeclaredDomain is a domain; AliasOf is the one it is another name of.
type DeclaredDomain struct {
	Name    string         `json:"name" toml:"name"`
	AliasOf string         `json:"alias_of,omitempty" toml:"alias_of,omitempty"`
	Quota   *DeclaredQuota `json:"quota,omitempty" toml:"quota,omitempty"`
}

// DeclaredAccount is an account. Hash is for one that is not there yet.
type DeclaredAccount struct {
	Address  string         `json:"address" toml:"address"`
	Hash     string         `json:"hash,omitempty" toml:"hash,omitempty"`
	Language string         `json:"language,omitempty" toml:"language,omitempty"`
	Disabled bool           `json:"disabled,omitempty" toml:"disabled,omitempty"`
	Forward  []string       `json:"forward,omitempty" toml:"forward,omitempty"`
	Keep     bool           `json:"keep,omitempty" toml:"keep,omitempty"` // a copy of what is sent on
	SendAs   []string       `json:"send_as,omitempty" toml:"send_as,omitempty"`
	Quota    *DeclaredQuota `json:"quota,omitempty" toml:"quota,omitempty"`
}

// DeclaredGroup is a group.
type DeclaredGroup struct {
	Name    string   `json:"name" toml:"name"`
	Members []string `json:"members" toml:"members"`
	SendAs  []string `json:"send_as,omitempty" toml:"send_as,omitempty"`
}

// DeclaredAlias is an alias, or the catch-all "@example.org".
type DeclaredAlias struct {
	Address string   `json:"address" toml:"address"`
	Targets []string `json:"targets" toml:"targets"`
}

// DeclaredRoute is a Route. Without Password one that is there keeps that of the same
// user.
type DeclaredRoute struct {
	Name        string   `json:"name" toml:"name"`
	To          []string `json:"to,omitempty" toml:"to,omitempty"`
	From        []string `json:"from,omitempty" toml:"from,omitempty"`
	Relay       bool     `json:"relay,omitempty" toml:"relay,omitempty"`
	Unknown     bool     `json:"unknown,omitempty" toml:"unknown,omitempty"`
	Action      string   `json:"action" toml:"action"`
	Hosts       []string `json:"hosts,omitempty" toml:"hosts,omitempty"`
	Port        uint16   `json:"port,omitempty" toml:"port,omitempty"`
	TLS         string   `json:"tls,omitempty" toml:"tls,omitempty"`
	ImplicitTLS bool     `json:"implicit_tls,omitempty" toml:"implicit_tls,omitempty"`
	User        string   `json:"user,omitempty" toml:"user,omitempty"`
	Password    string   `json:"password,omitempty" toml:"password,omitempty"`
	SourceIPv4  string   `json:"source_ipv4,omitempty" toml:"source_ipv4,omitempty"`
	SourceIPv6  string   `json:"source_ipv6,omitempty" toml:"source_ipv6,omitempty"`
	Text        string   `json:"text,omitempty" toml:"text,omitempty"`
	Enhanced    string   `json:"enhanced,omitempty" toml:"enhanced,omitempty"`
}

func (r DeclaredRoute) route() Route {
	return Route{Name: r.Name, To: r.To, From: r.From, Relay: r.Relay, Unknown: r.Unknown, Action: r.Action, Hosts: r.Hosts, Port: r.Port, TLS: r.TLS,
		ImplicitTLS: r.ImplicitTLS, User: r.User, Password: r.Password, SourceIPv4: r.SourceIPv4, SourceIPv6: r.SourceIPv6, Text: r.Text, Enhanced: r.Enhanced}
}

func declaredRoute(r Route) DeclaredRoute {
	return DeclaredRoute{Name: r.Name, To: r.To, From: r.From, Relay: r.Relay, Unknown: r.Unknown, Action: r.Action, Hosts: r.Hosts, Port: r.Port, TLS: r.TLS,
		ImplicitTLS: r.ImplicitTLS, User: r.User, SourceIPv4: r.SourceIPv4, SourceIPv6: r.SourceIPv6, Text: r.Text, Enhanced: r.Enhanced}
}

// Step is one difference between what is and what is declared.
type Step = directory.Step

// Apply asks for what is to be as it is declared. Steps are what was answered to the
// question for the plan; in that they are empty.
type Apply struct {
	Declaration Declaration `json:"declaration"`
	Prune       bool        `json:"prune"`                // what is not declared goes
	PruneMost   bool        `json:"prune_most,omitempty"` // also if that is nearly all; see pruned
	Steps       []Step      `json:"steps,omitempty"`
}

// Applied are the steps of an Apply, and whether they were done.
type Applied struct {
	Steps []Step `json:"steps"`
	Done  bool   `json:"done"`
}

// wanted is a Declaration that was read.
type wanted struct {
	directory directory.Declared
	routes    []route.Route
	networks  []netip.Prefix
}

func (q *DeclaredQuota) allowance() directory.Allowance {
	a := directory.Allowance{Octets: directory.Inherit, Messages: directory.Inherit}
	if q != nil && q.Octets != nil {
		a.Octets = *q.Octets
	}
	if q != nil && q.Messages != nil {
		a.Messages = *q.Messages
	}
	return a
}

func declaredQuota(a directory.Allowance) *DeclaredQuota {
	var q DeclaredQuota
	if a.Octets != directory.Inherit {
		q.Octets = &a.Octets
	}
	if a.Messages != directory.Inherit {
		q.Messages = &a.Messages
	}
	if q == (DeclaredQuota{}) {
		return nil
	}
	return &q
}

// read makes nouns of it. The error is of kind Invalid.
func (d Declaration) read() (w wanted, err error) {
	if d.Quota != nil {
		a := d.Quota.allowance()
		w.directory.Site = &a
	}
	for _, in := range d.Domains {
		one := directory.DeclaredDomain{Quota: in.Quota.allowance()}
		if one.Name, err = mail.ParseDomain(in.Name); err != nil {
			return w, err
		}
		if in.AliasOf != "" {
			if one.AliasOf, err = mail.ParseDomain(in.AliasOf); err != nil {
				return w, err
			}
		}
		w.directory.Domains = append(w.directory.Domains, one)
	}
	for _, in := range d.Accounts {
		one := directory.DeclaredAccount{Hash: in.Hash, Language: in.Language, Disabled: in.Disabled, Quota: in.Quota.allowance()}
		if one.Address, err = mail.ParseAddress(in.Address); err != nil {
			return w, err
		}
		one.Forward.Keep = in.Keep
		if one.Forward.To, err = readAll(in.Forward, directory.ParseTarget); err != nil {
			return w, err
		}
		if one.SendAs, err = readAll(in.SendAs, directory.ParseSenders); err != nil {
			return w, err
		}
		w.directory.Accounts = append(w.directory.Accounts, one)
	}
	for _, in := range d.Groups {
		var one directory.DeclaredGroup
		if one.Name, err = directory.ParseGroup(in.Name); err != nil {
			return w, err
		}
		if one.Members, err = readAll(in.Members, directory.ParseMember); err != nil {
			return w, err
		}
		if one.SendAs, err = readAll(in.SendAs, directory.ParseSenders); err != nil {
			return w, err
		}
		w.directory.Groups = append(w.directory.Groups, one)
	}
	for _, in := range d.Aliases {
		var one directory.Alias
		if one.Address, err = aliasAddress(in.Address); err != nil {
			return w, err
		}
		if one.Targets, err = readAll(in.Targets, directory.ParseTarget); err != nil {
			return w, err
		}
		w.directory.Aliases = append(w.directory.Aliases, one)
	}
	if w.networks, err = readAll(d.Networks, route.ParseNetwork); err != nil {
		return w, err
	}
	for _, in := range d.Routes {
		r, err := in.route().route()
		if err != nil {
			return w, err
		}
		if slices.ContainsFunc(w.routes, func(o route.Route) bool { return o.Name == r.Name }) {
			return w, mail.Errorf(mail.Invalid, "route %s is declared twice", r.Name)
		}
		w.routes = append(w.routes, r)
	}
	return w, nil
}

// dump declares what there is.
func (h *Handler) dump(r *http.Request) (any, error) {
	secret := r.URL.Query().Has("secrets")
	now, err := h.Declarer.Declaration(r.Context(), secret)
	if err != nil {
		return nil, err
	}
	var d Declaration
	if now.Site != nil {
		d.Quota = declaredQuota(*now.Site)
	}
	for _, one := range now.Domains {
		d.Domains = append(d.Domains, DeclaredDomain{string(one.Name), string(one.AliasOf), declaredQuota(one.Quota)})
	}
	for _, one := range now.Accounts {
		d.Accounts = append(d.Accounts, DeclaredAccount{Address: one.Address.String(), Hash: one.Hash, Language: one.Language, Disabled: one.Disabled,
			Forward: namesOf(one.Forward.To), Keep: one.Forward.Keep, SendAs: sendersOf(one.SendAs), Quota: declaredQuota(one.Quota)})
	}
	for _, one := range now.Groups {
		d.Groups = append(d.Groups, DeclaredGroup{one.Name, namesOf(one.Members), sendersOf(one.SendAs)})
	}
	for _, one := range now.Aliases {
		d.Aliases = append(d.Aliases, DeclaredAlias{directory.NameOf(one.Address), namesOf(one.Targets)})
	}
	for _, p := range h.Networks.TrustedNetworks() {
		d.Networks = append(d.Networks, p.String())
	}
	slices.Sort(d.Networks)
	for _, one := range h.Routes.Routes() {
		out := declaredRoute(routeOf(one))
		if one.Unreadable != "" {
			return nil, mail.Errorf(mail.Conflict, "route %s cannot be read: %s; set it or remove it", one.Name, one.Unreadable)
		}
		if secret && one.Auth != nil {
			out.Password = one.Auth.Password
		}
		d.Routes = append(d.Routes, out)
	}
	return d, nil
}

func sendersOf(list []mail.Address) (texts []string) {
	for _, a := range list {
		texts = append(texts, directory.SendersText(a))
	}
	return texts
}

// applying is an Apply that was read, with its steps: those of the directory, and those
// of routes and networks.
type applying struct {
	Apply
	wanted
	own  []Step
	ways []wayStep
	all  []Step
}

func (h *Handler) readApply(r *http.Request) (a applying, err error) {
	if a.Apply, err = body[Apply](r); err != nil {
		return a, err
	}
	if a.wanted, err = a.Declaration.read(); err != nil {
		return a, err
	}
	if a.own, err = h.Declarer.Compare(r.Context(), a.directory, a.Prune); err != nil {
		return a, err
	}
	if a.ways, err = h.waySteps(a.wanted, a.Prune); err != nil {
		return a, err
	}
	a.all = append([]Step{}, a.own...)
	for _, s := range a.ways {
		a.all = append(a.all, s.Step)
	}
	if a.Prune && !a.PruneMost && slices.ContainsFunc(a.own, func(s Step) bool { return s.Verb == directory.StepRemove }) {
		now, err := h.Declarer.Declaration(r.Context(), false)
		if err != nil {
			return a, err
		}
		return a, pruned(now, a.directory)
	}
	return a, nil
}

// pruned refuses what takes away more than a change does: every domain, or more than half
// of the accounts. A file that a failed dump left is so, and mail that went does not come
// back. The error is of kind Conflict.
func pruned(now, want directory.Declared) error {
	domains := map[mail.Domain]bool{}
	for _, d := range want.Domains {
		domains[d.Name] = true
	}
	accounts := map[mail.Address]bool{}
	for _, a := range want.Accounts {
		accounts[a.Address.Key()] = true
	}
	goneDomains, goneAccounts := 0, 0
	for _, d := range now.Domains {
		if !domains[d.Name] {
			goneDomains++
		}
	}
	for _, a := range now.Accounts {
		if !accounts[a.Address.Key()] {
			goneAccounts++
		}
	}
	if 2*goneAccounts > len(now.Accounts) || goneDomains > 0 && goneDomains == len(now.Domains) {
		return mail.Errorf(mail.Conflict, "nothing was changed: this would remove %d of %d accounts with all their mail, and %d of %d domains; "+
			"if the file is whole and that is meant, say --prune-most, too", goneAccounts, len(now.Accounts), goneDomains, len(now.Domains))
	}
	return nil
}

// plan tells the steps, if they can be taken.
func (h *Handler) plan(r *http.Request) (any, error) {
	a, err := h.readApply(r)
	if err == nil && len(a.own) > 0 {
		err = h.Declarer.Try(r.Context(), a.directory, a.Prune, a.own)
	}
	return Applied{Steps: a.all}, err
}

// apply takes the steps. Those of the directory are one transaction, and then each route
// and network is one.
func (h *Handler) apply(r *http.Request) (any, error) {
	in, err := h.readApply(r)
	if err != nil {
		return nil, err
	}
	out, w, own, ways := Applied{Steps: in.all}, in.wanted, in.own, in.ways
	if !slices.Equal(in.Steps, out.Steps) {
		return nil, mail.Errorf(mail.Conflict, "something was changed meanwhile; look at the plan again")
	}
	if len(own) > 0 {
		if err := h.Declarer.Apply(r.Context(), w.directory, in.Prune, own); err != nil {
			return nil, err
		}
	}
	for _, s := range own {
		leaveStep(r.Context(), s)
	}
	for _, d := range w.directory.Domains {
		if slices.Contains(own, Step{Verb: directory.StepAdd, What: "domain " + string(d.Name)}) {
			h.prepareKeys(r.Context(), d.Name)
		}
	}
	h.poke()
	for _, s := range ways {
		if err := s.do(r.Context()); err != nil {
			if k := mail.KindOf(err); k != mail.Internal {
				err = mail.Errorf(k, "%s: %v; what stands before it in the plan was done, and to apply the file again goes on", s.What, err)
			}
			return nil, err
		}
		leaveStep(r.Context(), s.Step)
	}
	out.Done = true
	return out, nil
}

// leaveStep tells the audit of a step that was taken.
func leaveStep(ctx context.Context, s Step) {
	word := func(s string) string {
		if s == "" {
			return ""
		}
		text, _ := json.Marshal(s) // A string always can be.
		return string(text)
	}
	did(ctx, "apply "+s.Verb, s.What, word(s.From), word(s.To))
}

// wayStep is a Step about a route or network, and what does it.
type wayStep struct {
	Step
	do func(context.Context) error
}

// waySteps are those about routes and networks: what goes first.
func (h *Handler) waySteps(w wanted, prune bool) (steps []wayStep, err error) {
	remove := func(what string, do func(context.Context) error) {
		steps = append(steps, wayStep{Step{Verb: directory.StepRemove, What: what}, do})
	}
	networks := h.Networks.TrustedNetworks()
	now := map[string]route.Route{}
	for _, r := range h.Routes.Routes() {
		now[r.Name] = r
		if prune && !slices.ContainsFunc(w.routes, func(o route.Route) bool { return o.Name == r.Name }) {
			remove("route "+r.Name, func(ctx context.Context) error { return h.Routes.RemoveRoute(ctx, r.Name) })
		}
	}
	for _, p := range networks {
		if prune && !slices.Contains(w.networks, p) {
			remove("trusted network "+p.String(), func(ctx context.Context) error { return h.Networks.Untrust(ctx, p.String()) })
		}
	}
	for i, p := range w.networks {
		if !slices.Contains(networks, p) && !slices.Contains(w.networks[:i], p) {
			steps = append(steps, wayStep{Step{Verb: directory.StepAdd, What: "trusted network " + p.String()},
				func(ctx context.Context) error { return h.Networks.Trust(ctx, p) }})
		}
	}
	for _, r := range w.routes {
		old, there := now[r.Name]
		r, err := route.Cleaned(r, old)
		if err != nil {
			return nil, err
		}
		from, to := "", routeText(r)
		verb := directory.StepAdd
		if there {
			from, verb = routeText(old), directory.StepChange
		}
		secret := there && old.Auth != nil && r.Auth != nil && *old.Auth != *r.Auth
		if from == to && !secret {
			continue
		}
		if from == to {
			from, to = "", "another password"
		}
		steps = append(steps, wayStep{Step{Verb: verb, What: "route " + r.Name, From: from, To: to}, func(ctx context.Context) error {
			_, err := h.Routes.SetRoute(ctx, r)
			return err
		}})
	}
	return steps, nil
}

// routeText is a route for people, without its name and password.
func routeText(r route.Route) string {
	out := routeOf(r)
	out.Name = ""
	text, err := json.Marshal(struct {
		Name string `json:"name,omitempty"`
		Route
	}{"", out})
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Dump declares what there is, with hashes and passwords of routes if secrets says so.
func (c *Client) Dump(ctx context.Context, secrets bool) (d Declaration, err error) {
	path := "/v1/dump"
	if secrets {
		path += "?secrets"
	}
	err = c.call(ctx, http.MethodGet, path, nil, &d)
	return d, err
}

// Plan says what Apply would change.
func (c *Client) Plan(ctx context.Context, a Apply) (plan Applied, err error) {
	err = c.call(ctx, http.MethodPost, planPath, a, &plan)
	return plan, err
}

// Apply makes what is as it is declared, by the steps of a plan.
func (c *Client) Apply(ctx context.Context, a Apply) (done Applied, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/apply", a, &done)
	return done, err
}
