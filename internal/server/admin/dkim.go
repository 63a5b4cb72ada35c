package admin

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"yubin/internal/engine/signing"
	"yubin/internal/mail"
)

// Signing has the keys of DKIM.
type Signing interface {
	Domains(context.Context) ([]signing.DomainKeys, error)
	Domain(context.Context, mail.Domain) (signing.DomainKeys, error)
	Records(context.Context, mail.Domain) ([]signing.Record, error)
	Rotate(context.Context, mail.Domain) ([]signing.Key, error)
	Prepare(context.Context, mail.Domain) error
	Poke()
}

// Secrets has the key that seals what is secret in the database.
type Secrets interface {
	Path() string
	Err() error
}

// DKIMDomain is what a domain signs with.
type DKIMDomain struct {
	Domain   string    `json:"domain"`
	Signed   bool      `json:"signed"`             // mail of the domain is
	Unsigned string    `json:"unsigned,omitempty"` // why it is not
	Keys     []DKIMKey `json:"keys"`
}

// DKIMKey is a key. Zone is the zone that it stands in, if it is not the domain's own.
type DKIMKey struct {
	Selector  string    `json:"selector"`
	Zone      string    `json:"zone,omitempty"`
	Algorithm string    `json:"algorithm"`
	State     string    `json:"state"`
	Since     time.Time `json:"since"` // when it came into its state
	Created   time.Time `json:"created"`
	Signs     bool      `json:"signs"`
	Note      string    `json:"note,omitempty"`
}

// DKIMRecord is a record that is to be in the DNS. Value is the text of TXT, or the
// target of CNAME, without quotes and the dot at the end.
type DKIMRecord struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	Value     string `json:"value"`
	Algorithm string `json:"algorithm,omitempty"`
	State     string `json:"state,omitempty"` // of the key
	Zone      bool   `json:"zone,omitempty"`  // it stands in the zone of the site
	Found     bool   `json:"found"`
	Note      string `json:"note,omitempty"`
}

func dkimKey(k signing.Key) DKIMKey {
	out := DKIMKey{Selector: k.Selector, Algorithm: k.Algorithm.String(), State: k.State.String(), Since: k.Since, Created: k.Created}
	if k.Owner.Zone {
		out.Zone = string(k.Owner.Name)
	}
	return out
}

func dkimDomain(d signing.DomainKeys) DKIMDomain {
	out := DKIMDomain{Domain: string(d.Domain), Signed: d.Unsigned == "", Unsigned: d.Unsigned, Keys: []DKIMKey{}}
	for _, k := range d.Keys {
		one := dkimKey(k.Key)
		one.Signs, one.Note = k.Signs, k.Note
		out.Keys = append(out.Keys, one)
	}
	return out
}

// dkimRoutes are the requests about keys of DKIM.
func (h *Handler) dkimRoutes() map[string]func(*http.Request) (any, error) {
	if h.Signing == nil {
		return nil
	}
	return map[string]func(*http.Request) (any, error){
		"GET /v1/dkim":                  h.listDKIM,
		"GET /v1/dkim/{domain}":         h.showDKIM,
		"GET /v1/dkim/{domain}/records": h.dkimRecords,
		"POST /v1/dkim/{domain}/rotate": h.rotateDKIM,
	}
}

func (h *Handler) listDKIM(r *http.Request) (any, error) {
	all, err := h.Signing.Domains(r.Context())
	page := Page[DKIMDomain]{Items: []DKIMDomain{}}
	for _, d := range all {
		page.Items = append(page.Items, dkimDomain(d))
	}
	return page, err
}

func (h *Handler) showDKIM(r *http.Request) (any, error) {
	name, err := mail.ParseDomain(r.PathValue("domain"))
	if err != nil {
		return nil, err
	}
	d, err := h.Signing.Domain(r.Context(), name)
	return dkimDomain(d), err
}

func (h *Handler) dkimRecords(r *http.Request) (any, error) {
	name, err := mail.ParseDomain(r.PathValue("domain"))
	if err != nil {
		return nil, err
	}
	list, err := h.Signing.Records(r.Context(), name)
	page := Page[DKIMRecord]{Items: []DKIMRecord{}}
	for _, rec := range list {
		one := DKIMRecord{Name: rec.Name, Type: rec.Type.String(), Value: rec.Text, Zone: rec.Zone, Found: rec.Found, Note: rec.Note}
		if rec.Key.ID != 0 {
			one.Algorithm, one.State = rec.Key.Algorithm.String(), rec.Key.State.String()
		}
		page.Items = append(page.Items, one)
	}
	return page, err
}

func (h *Handler) rotateDKIM(r *http.Request) (any, error) {
	name, err := mail.ParseDomain(r.PathValue("domain"))
	if err != nil {
		return nil, err
	}
	made, err := h.Signing.Rotate(r.Context(), name)
	page := Page[DKIMKey]{Items: []DKIMKey{}}
	for _, k := range made {
		page.Items = append(page.Items, dkimKey(k))
	}
	return page, err
}

// DKIM lists what all domains sign with.
func (c *Client) DKIM(ctx context.Context) (list []DKIMDomain, err error) {
	var page Page[DKIMDomain]
	err = c.call(ctx, http.MethodGet, "/v1/dkim", nil, &page)
	return page.Items, err
}

// DKIMOf says what a domain signs with.
func (c *Client) DKIMOf(ctx context.Context, domain string) (d DKIMDomain, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/dkim/"+url.PathEscape(domain), nil, &d)
	return d, err
}

// DKIMRecords says which records a domain needs, and which are in the DNS now.
func (c *Client) DKIMRecords(ctx context.Context, domain string) ([]DKIMRecord, error) {
	var page Page[DKIMRecord]
	err := c.call(ctx, http.MethodGet, "/v1/dkim/"+url.PathEscape(domain)+"/records", nil, &page)
	return page.Items, err
}

// RotateDKIM makes new keys for a domain, and returns them.
func (c *Client) RotateDKIM(ctx context.Context, domain string) ([]DKIMKey, error) {
	var page Page[DKIMKey]
	err := c.call(ctx, http.MethodPost, "/v1/dkim/"+url.PathEscape(domain)+"/rotate", nil, &page)
	return page.Items, err
}
