package admin

import (
	"context"
	"net/http"
	"net/url"

	"yubin/internal/engine/certificates"
)

// Certificates are those that an authority makes.
type Certificates interface {
	List(context.Context) ([]certificates.Status, error)
	Show(ctx context.Context, name string) (certificates.Status, error)
	Renew(ctx context.Context, name string) ([]string, error)
	RotateKey(ctx context.Context, name string, atOnce bool) (certificates.Status, error)
	Poke()
}

// Certified is a certificate that an authority makes.
type Certified = certificates.Status

// RenewCertificate asks for a certificate to be ordered now; without a name, for all that are
// failing.
type RenewCertificate struct {
	Name string `json:"name"`
}

// RotateCertificateKey asks for the next key of a certificate.
type RotateCertificateKey struct {
	Now bool `json:"now"` // not announced first
}

// certificateRoutes are the requests about certificates.
func (h *Handler) certificateRoutes() map[string]func(*http.Request) (any, error) {
	if h.Certificates == nil {
		return nil
	}
	return map[string]func(*http.Request) (any, error){
		"GET /v1/certificates":                    h.listCertificates,
		"GET /v1/certificates/{name}":             h.showCertificate,
		"POST /v1/certificates/renew":             h.renewCertificate,
		"POST /v1/certificates/{name}/rotate-key": h.rotateCertificateKey,
	}
}

func (h *Handler) listCertificates(r *http.Request) (any, error) {
	list, err := h.Certificates.List(r.Context())
	return Page[Certified]{Items: list}, err
}

func (h *Handler) showCertificate(r *http.Request) (any, error) {
	return h.Certificates.Show(r.Context(), r.PathValue("name"))
}

func (h *Handler) renewCertificate(r *http.Request) (any, error) {
	in, err := body[RenewCertificate](r)
	if err != nil {
		return nil, err
	}
	names, err := h.Certificates.Renew(r.Context(), in.Name)
	page := Page[string]{Items: []string{}}
	page.Items = append(page.Items, names...)
	return page, err
}

func (h *Handler) rotateCertificateKey(r *http.Request) (any, error) {
	in, err := body[RotateCertificateKey](r)
	if err != nil {
		return nil, err
	}
	return h.Certificates.RotateKey(r.Context(), r.PathValue("name"), in.Now)
}

// poke has those look who do something for each domain: one has come or gone.
func (h *Handler) poke() {
	if h.Signing != nil {
		h.Signing.Poke()
	}
	if h.Certificates != nil {
		h.Certificates.Poke()
	}
}

// CertificateList says how the certificates are that an authority makes.
func (c *Client) CertificateList(ctx context.Context) ([]Certified, error) {
	var page Page[Certified]
	err := c.call(ctx, http.MethodGet, "/v1/certificates", nil, &page)
	return page.Items, err
}

// CertificateOf says how the one for a name is.
func (c *Client) CertificateOf(ctx context.Context, name string) (st Certified, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/certificates/"+url.PathEscape(name), nil, &st)
	return st, err
}

// RenewCertificates has certificates ordered now, and returns what they are called.
func (c *Client) RenewCertificates(ctx context.Context, name string) ([]string, error) {
	var page Page[string]
	err := c.call(ctx, http.MethodPost, "/v1/certificates/renew", RenewCertificate{name}, &page)
	return page.Items, err
}

// RotateCertificateKey makes the next key of a certificate.
func (c *Client) RotateCertificateKey(ctx context.Context, name string, now bool) (st Certified, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/certificates/"+url.PathEscape(name)+"/rotate-key", RotateCertificateKey{now}, &st)
	return st, err
}
