package admin

import (
	"context"
	"net/http"
	"net/url"

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

// scope finds whose preference is meant.
func (h *Handler) scope(ctx context.Context, s Scope) (preferences.Scope, error) {
	switch {
	case h.Preferences == nil:
		return "", mail.Errorf(mail.Unavailable, "this server judges nothing")
	case s.Account != "" && s.Domain != "":
		return "", mail.Errorf(mail.Invalid, "give an account or a domain, not both")
	case s.Account != "":
		a, err := mail.ParseAddress(s.Account)
		if err != nil {
			return "", err
		}
		found, err := h.Accounts.Account(ctx, a)
		return preferences.OfAccount(found.ID), err
	case s.Domain != "":
		name, err := mail.ParseDomain(s.Domain)
		if err != nil {
			return "", err
		}
		d, err := h.Domains.Domain(ctx, name)
		return preferences.OfDomain(d.Name), err
	}
	return preferences.Site, nil
}

func (h *Handler) saidBy(ctx context.Context, s Scope) (any, error) {
	scope, err := h.scope(ctx, s)
	if err != nil {
		return nil, err
	}
	said, err := h.Preferences.Said(ctx, scope)
	out := JunkPreferences{Scope: s, Junk: said.Junk, Refuse: said.Refuse, Senders: []JunkSender{}}
	for _, sender := range said.Senders {
		out.Senders = append(out.Senders, JunkSender{sender.Pattern, sender.Allow})
	}
	return out, err
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
	scope, err := h.scope(r.Context(), in.Scope)
	if err != nil {
		return nil, err
	}
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
