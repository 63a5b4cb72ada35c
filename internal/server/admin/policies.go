package admin

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"yubin/internal/engine/tlspolicy"
	"yubin/internal/mail"
)

// Policies keeps what other domains ask for by MTA-STS.
type Policies interface {
	List(ctx context.Context, after mail.Domain) ([]tlspolicy.Found, error)
	Known(ctx context.Context, d mail.Domain) (tlspolicy.Found, error)
	Refresh(ctx context.Context, d mail.Domain) (tlspolicy.Found, error)
	Forget(ctx context.Context, d mail.Domain) error
}

// Policy is what another domain asks for.
type Policy struct {
	Domain  string    `json:"domain"`
	Holds   bool      `json:"holds"`          // it is applied
	Mode    string    `json:"mode,omitempty"` // enforce, testing or none; "" if it was never fetched
	MX      []string  `json:"mx,omitempty"`
	ID      string    `json:"id,omitempty"` // as the DNS called it when it was fetched
	Fetched time.Time `json:"fetched,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	Next    time.Time `json:"next,omitzero"` // when it is fetched again
	Used    time.Time `json:"used,omitzero"` // mail went there, to the day
	Trouble string    `json:"trouble,omitempty"`
	Why     string    `json:"why,omitempty"`
	Failed  time.Time `json:"failed,omitzero"` // since when it cannot be fetched
}

func policyOf(f tlspolicy.Found) Policy {
	p := Policy{Domain: string(f.Domain), Holds: f.Holds, MX: f.Policy.MX, ID: f.ID, Fetched: f.Fetched, Expires: f.Expires,
		Next: f.Next, Used: f.Used, Trouble: f.Trouble.String(), Why: f.Why, Failed: f.Failed}
	if !f.Fetched.IsZero() {
		p.Mode = f.Policy.Mode.String()
	}
	return p
}

const policiesPath = "/v1/mta-sts"

func (h *Handler) policyRoutes() map[string]func(*http.Request) (any, error) {
	if h.Policies == nil {
		return nil
	}
	return map[string]func(*http.Request) (any, error){
		"GET " + policiesPath:                        h.listPolicies,
		"GET " + policiesPath + "/{domain}":          h.ofPolicy(h.Policies.Known),
		"POST " + policiesPath + "/{domain}/refresh": h.ofPolicy(h.Policies.Refresh),
		"DELETE " + policiesPath + "/{domain}":       h.forgetPolicy,
	}
}

func (h *Handler) listPolicies(r *http.Request) (any, error) {
	list, err := h.Policies.List(r.Context(), mail.Domain(r.URL.Query().Get("after")))
	page := Page[Policy]{Items: make([]Policy, 0, len(list))}
	for _, f := range list {
		page.Items = append(page.Items, policyOf(f))
	}
	return page, err
}

// ofPolicy answers with what do finds of a domain.
func (h *Handler) ofPolicy(do func(context.Context, mail.Domain) (tlspolicy.Found, error)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		d, err := mail.ParseDomain(r.PathValue("domain"))
		if err != nil {
			return nil, err
		}
		found, err := do(r.Context(), d)
		return policyOf(found), err
	}
}

func (h *Handler) forgetPolicy(r *http.Request) (any, error) {
	d, err := mail.ParseDomain(r.PathValue("domain"))
	if err != nil {
		return nil, err
	}
	return done{}, h.Policies.Forget(r.Context(), d)
}

// Policies lists what is known of the policies of other domains.
func (c *Client) Policies(ctx context.Context) (list []Policy, err error) {
	for after := ""; ; after = list[len(list)-1].Domain {
		var page Page[Policy]
		if err := c.call(ctx, http.MethodGet, policiesPath+"?after="+url.QueryEscape(after), nil, &page); err != nil {
			return nil, err
		}
		list = append(list, page.Items...)
		if len(page.Items) < tlspolicy.MaxListed {
			return list, nil
		}
	}
}

// Policy is what is known of one.
func (c *Client) Policy(ctx context.Context, domain string) (p Policy, err error) {
	err = c.call(ctx, http.MethodGet, policiesPath+"/"+url.PathEscape(domain), nil, &p)
	return p, err
}

// RefreshPolicy fetches one now.
func (c *Client) RefreshPolicy(ctx context.Context, domain string) (p Policy, err error) {
	err = c.call(ctx, http.MethodPost, policiesPath+"/"+url.PathEscape(domain)+"/refresh", nil, &p)
	return p, err
}

// ForgetPolicy forgets one.
func (c *Client) ForgetPolicy(ctx context.Context, domain string) error {
	return c.call(ctx, http.MethodDelete, policiesPath+"/"+url.PathEscape(domain), nil, nil)
}
