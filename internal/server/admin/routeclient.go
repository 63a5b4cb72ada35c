package admin

import (
	"context"
	"net/http"
	"net/url"

	"yubin/internal/engine/route"
)

// Routes lists the routes, without passwords.
func (c *Client) Routes(ctx context.Context) ([]Route, error) {
	return all[Route](ctx, c, "/v1/routes", nil)
}

// Route returns one route, without its password.
func (c *Client) Route(ctx context.Context, name string) (r Route, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/routes/"+url.PathEscape(name), nil, &r)
	return r, err
}

// SetRoute makes a route, or changes the one of that name to be like r.
func (c *Client) SetRoute(ctx context.Context, r Route) (made Route, err error) {
	err = c.call(ctx, http.MethodPut, "/v1/routes/"+url.PathEscape(r.Name), r, &made)
	return made, err
}

// RemoveRoute deletes a route.
func (c *Client) RemoveRoute(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/v1/routes/"+url.PathEscape(name), nil, nil)
}

// Networks lists the trusted networks.
func (c *Client) Networks(ctx context.Context) ([]Network, error) {
	return all[Network](ctx, c, "/v1/networks", nil)
}

// TrustNetwork lets the clients in a network send to anywhere.
func (c *Client) TrustNetwork(ctx context.Context, network string) (made Network, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/networks", Network{Network: network}, &made)
	return made, err
}

// UntrustNetwork undoes TrustNetwork.
func (c *Client) UntrustNetwork(ctx context.Context, network string) error {
	return c.call(ctx, http.MethodDelete, "/v1/networks/"+url.PathEscape(network), nil, nil)
}

// Explain says step by step where mail would go and why. Nothing is sent.
func (c *Client) Explain(ctx context.Context, a Asked) ([]route.Step, error) {
	query := url.Values{"address": {a.Address}, "from": {a.From}, "as": {a.As}, "client": {a.Client}, "via": {a.Via}}
	var page Page[route.Step]
	err := c.call(ctx, http.MethodGet, "/v1/explain?"+query.Encode(), nil, &page)
	return page.Items, err
}
