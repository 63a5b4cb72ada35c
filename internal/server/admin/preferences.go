package admin

import (
	"context"
	"net/http"
	"net/url"

	"yubin/internal/engine/judge"
	"yubin/internal/engine/preferences"
	"yubin/internal/mail"
)

// Preferences keeps thresholds, and senders that are let in or kept out.
type Preferences interface {
	Said(ctx context.Context, s preferences.Scope) (preferences.Said, error)
	SetLevels(ctx context.Context, s preferences.Scope, l preferences.Levels) error
	List(ctx context.Context, s preferences.Scope, sender preferences.Sender) error
	Unlist(ctx context.Context, s preferences.Scope, pattern string) error
}

// Scope is whose preference is meant: an account's, a domain's, or without both the
// site's.
type Scope struct {
	Account string `json:"account,omitempty"`
	Domain  string `json:"domain,omitempty"`
}

// JunkPreferences is what a scope wants.
type JunkPreferences struct {
	Scope
	Junk    float64      `json:"junk,omitempty"`   // from here on into Junk; 0 is what the wider scope says
	Refuse  float64      `json:"refuse,omitempty"` // from here on refused
	Senders []JunkSender `json:"senders"`

	// Counts is what counts: what the scope says, or else a wider one.
	Counts JunkCounts `json:"counts"`
}

// JunkCounts are the thresholds that count, and who says so: "this account", "the domain
// example.org", "the site", "the configuration" or "the default".
type JunkCounts struct {
	Junk       float64 `json:"junk"`
	JunkFrom   string  `json:"junk_from"`
	Refuse     float64 `json:"refuse"`
	RefuseFrom string  `json:"refuse_from"`
}

// JunkSender is a sender that is let in, or kept out.
type JunkSender struct {
	Sender string `json:"sender"` // an address, or a domain with all below it
	Allow  bool   `json:"allow"`
}

// JunkLevels changes thresholds; nil leaves one, 0 leaves it to the wider scope.
type JunkLevels struct {
	Scope
	Junk   *float64 `json:"junk,omitempty"`
	Refuse *float64 `json:"refuse,omitempty"`
}

// ListJunkSender puts a sender on a list.
type ListJunkSender struct {
	Scope
	JunkSender
}

func (s Scope) query() string {
	return url.Values{"account": {s.Account}, "domain": {s.Domain}}.Encode()
}

const preferencesPath = "/v1/junk/preferences"

// JunkPreferences returns what a scope wants.
func (c *Client) JunkPreferences(ctx context.Context, s Scope) (p JunkPreferences, err error) {
	err = c.call(ctx, http.MethodGet, preferencesPath+"?"+s.query(), nil, &p)
	return p, err
}

// SetJunkLevels changes thresholds.
func (c *Client) SetJunkLevels(ctx context.Context, l JunkLevels) (p JunkPreferences, err error) {
	err = c.call(ctx, http.MethodPatch, preferencesPath, l, &p)
	return p, err
}

// ListJunkSender has a sender let in or kept out.
func (c *Client) ListJunkSender(ctx context.Context, l ListJunkSender) (p JunkPreferences, err error) {
	err = c.call(ctx, http.MethodPost, preferencesPath+"/senders", l, &p)
	return p, err
}

// UnlistJunkSender takes a sender off the list.
func (c *Client) UnlistJunkSender(ctx context.Context, s Scope, sender string) error {
	return c.call(ctx, http.MethodDelete, preferencesPath+"/senders/"+url.PathEscape(sender)+"?"+s.query(), nil, nil)
}

func (h *Handler) preferenceRoutes() map[string]func(*http.Request) (any, error) {
	return map[string]func(*http.Request) (any, error){
		"GET " + preferencesPath:                          h.junkPreferences,
		"PATCH " + preferencesPath:                        h.setJunkLevels,
		"POST " + preferencesPath + "/senders":            h.listJunkSender,
		"DELETE " + preferencesPath + "/senders/{sender}": h.unlistJunkSender,
	}
}

// speaker is a scope by its name for people.
type speaker struct {
	scope preferences.Scope
	name  string
}

// scopes finds whose preference is meant, and those that count where it says nothing.
func (h *Handler) scopes(ctx context.Context, s Scope) ([]speaker, error) {
	site := speaker{preferences.Site, "the site"}
	switch {
	case h.Preferences == nil:
		return nil, mail.Errorf(mail.Unavailable, "this server judges nothing")
	case s.Account != "" && s.Domain != "":
		return nil, mail.Errorf(mail.Invalid, "give an account or a domain, not both")
	case s.Account != "":
		a, err := mail.ParseAddress(s.Account)
		if err != nil {
			return nil, err
		}
		found, err := h.Accounts.Account(ctx, a)
		domain := found.Address.Domain
		return []speaker{{preferences.OfAccount(found.ID), "this account"}, {preferences.OfDomain(domain), "the domain " + string(domain)}, site}, err
	case s.Domain != "":
		name, err := mail.ParseDomain(s.Domain)
		if err != nil {
			return nil, err
		}
		d, err := h.Domains.Domain(ctx, name)
		return []speaker{{preferences.OfDomain(d.Name), "the domain " + string(d.Name)}, site}, err
	}
	return []speaker{site}, nil
}

// scope finds whose preference is meant.
func (h *Handler) scope(ctx context.Context, s Scope) (preferences.Scope, error) {
	all, err := h.scopes(ctx, s)
	if err != nil {
		return "", err
	}
	return all[0].scope, nil
}

func (h *Handler) saidBy(ctx context.Context, s Scope) (any, error) {
	all, err := h.scopes(ctx, s)
	if err != nil {
		return nil, err
	}
	said, err := h.Preferences.Said(ctx, all[0].scope)
	if err != nil {
		return nil, err
	}
	out := JunkPreferences{Scope: s, Junk: said.Junk, Refuse: said.Refuse, Senders: []JunkSender{}}
	for _, sender := range said.Senders {
		out.Senders = append(out.Senders, JunkSender{sender.Pattern, sender.Allow})
	}
	out.Counts, err = h.counts(ctx, all, said.Levels)
	return out, err
}

// counts are the thresholds that count if the first scope says l.
func (h *Handler) counts(ctx context.Context, all []speaker, l preferences.Levels) (c JunkCounts, err error) {
	for i, s := range all {
		if i > 0 {
			said, err := h.Preferences.Said(ctx, s.scope)
			if err != nil {
				return c, err
			}
			l = said.Levels
		}
		if c.Junk == 0 && l.Junk != 0 {
			c.Junk, c.JunkFrom = l.Junk, s.name
		}
		if c.Refuse == 0 && l.Refuse != 0 {
			c.Refuse, c.RefuseFrom = l.Refuse, s.name
		}
	}
	var configured judge.Thresholds
	if h.Judging != nil {
		configured = h.Judging.Thresholds()
	}
	last := func(n *float64, from *string, said, usual float64) {
		switch {
		case *n != 0:
		case said != 0:
			*n, *from = said, "the configuration"
		default:
			*n, *from = usual, "the default"
		}
	}
	last(&c.Junk, &c.JunkFrom, configured.Junk, judge.DefaultJunk)
	last(&c.Refuse, &c.RefuseFrom, configured.Refuse, judge.DefaultRefuse)
	return c, nil
}

func scopeOf(r *http.Request) Scope {
	query := r.URL.Query()
	return Scope{query.Get("account"), query.Get("domain")}
}

func (h *Handler) junkPreferences(r *http.Request) (any, error) {
	return h.saidBy(r.Context(), scopeOf(r))
}

func (h *Handler) setJunkLevels(r *http.Request) (any, error) {
	in, err := body[JunkLevels](r)
	if err != nil {
		return nil, err
	}
	scopes, err := h.scopes(r.Context(), in.Scope)
	if err != nil {
		return nil, err
	}
	scope := scopes[0].scope
	said, err := h.Preferences.Said(r.Context(), scope)
	if err != nil {
		return nil, err
	}
	if in.Junk != nil {
		said.Junk = *in.Junk
	}
	if in.Refuse != nil {
		said.Refuse = *in.Refuse
	}
	c, err := h.counts(r.Context(), scopes, said.Levels)
	if err != nil {
		return nil, err
	}
	if c.Junk > c.Refuse {
		return nil, mail.Errorf(mail.Invalid, "mail would go into Junk from %g on (%s) and be refused from %g on (%s), so that none came into Junk: "+
			"the score for Junk must not be over that for refusing", c.Junk, c.JunkFrom, c.Refuse, c.RefuseFrom)
	}
	if err := h.Preferences.SetLevels(r.Context(), scope, said.Levels); err != nil {
		return nil, err
	}
	return h.saidBy(r.Context(), in.Scope)
}

func (h *Handler) listJunkSender(r *http.Request) (any, error) {
	in, err := body[ListJunkSender](r)
	if err != nil {
		return nil, err
	}
	scope, err := h.scope(r.Context(), in.Scope)
	if err != nil {
		return nil, err
	}
	if err := h.Preferences.List(r.Context(), scope, preferences.Sender{Pattern: in.Sender, Allow: in.Allow}); err != nil {
		return nil, err
	}
	return h.saidBy(r.Context(), in.Scope)
}

func (h *Handler) unlistJunkSender(r *http.Request) (any, error) {
	scope, err := h.scope(r.Context(), scopeOf(r))
	if err != nil {
		return nil, err
	}
	return done{}, h.Preferences.Unlist(r.Context(), scope, r.PathValue("sender"))
}
