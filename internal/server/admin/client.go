package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"

	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// Client calls the API. Errors are *mail.Error, as the server's engines made
// them, or those of the connection.
type Client struct {
	// From is from where who uses it is logged in on this machine, so that it is never banned; invalid if that is not
	// known.
	From netip.Addr

	http *http.Client
	lend func(places []*files.Place) http.RoundTripper
}

// Dial returns a client of the server that runs on the data folder. The error
// is that of connecting: no server runs if it is fs.ErrNotExist or
// syscall.ECONNREFUSED.
func Dial(ctx context.Context, folder string) (*Client, error) {
	c, err := dial(ctx, folder)
	if err != nil {
		return nil, err
	}
	_ = c.Close()
	return &Client{
		http: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, folder) },
		}},
		lend: func(places []*files.Place) http.RoundTripper { return lender{folder, places} },
	}, nil
}

// InProcess returns a client of h itself, without a connection.
func InProcess(h http.Handler) *Client {
	return &Client{
		http: &http.Client{Transport: inProcess{handler: h}},
		lend: func(places []*files.Place) http.RoundTripper { return inProcess{h, places} },
	}
}

// lending is the client for a request whose files come with it: this process does with
// them what the server needs done.
func (c *Client) lending(places ...*files.Place) *Client {
	return &Client{From: c.From, http: &http.Client{Transport: c.lend(places)}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks how the server is.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
	return s, err
}

// Domains lists the local domains.
func (c *Client) Domains(ctx context.Context) ([]Domain, error) {
	return all[Domain](ctx, c, "/v1/domains", nil)
}

// Domain returns one local domain.
func (c *Client) Domain(ctx context.Context, domain string) (d Domain, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/domains/"+url.PathEscape(domain), nil, &d)
	return d, err
}

// AddDomain makes a domain local.
func (c *Client) AddDomain(ctx context.Context, domain string) (made Domain, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/domains", NewDomain{domain}, &made)
	return made, err
}

// SetDomainQuota changes the quota of a domain.
func (c *Client) SetDomainQuota(ctx context.Context, domain string, change QuotaChange) (now Domain, err error) {
	err = c.call(ctx, http.MethodPatch, "/v1/domains/"+url.PathEscape(domain), DomainChange{change}, &now)
	return now, err
}

// SiteQuota returns the quota of the site.
func (c *Client) SiteQuota(ctx context.Context) (q Quota, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/quota", nil, &q)
	return q, err
}

// SetSiteQuota changes the quota of the site.
func (c *Client) SetSiteQuota(ctx context.Context, change QuotaChange) (now Quota, err error) {
	err = c.call(ctx, http.MethodPatch, "/v1/quota", change, &now)
	return now, err
}

// RemoveDomain makes a domain foreign again; it must have no accounts or aliases.
func (c *Client) RemoveDomain(ctx context.Context, domain string) error {
	return c.call(ctx, http.MethodDelete, "/v1/domains/"+url.PathEscape(domain), nil, nil)
}

// AliasDomain makes a domain another name of one.
func (c *Client) AliasDomain(ctx context.Context, domain, of string) (made Domain, err error) {
	err = c.call(ctx, http.MethodPut, "/v1/domains/"+url.PathEscape(domain)+"/alias", AliasDomain{of}, &made)
	return made, err
}

// UnaliasDomain undoes AliasDomain.
func (c *Client) UnaliasDomain(ctx context.Context, domain string) (done Unaliased, err error) {
	err = c.call(ctx, http.MethodDelete, "/v1/domains/"+url.PathEscape(domain)+"/alias", nil, &done)
	return done, err
}

// Accounts lists the accounts of domain, or of all if it is "".
func (c *Client) Accounts(ctx context.Context, domain string) ([]Account, error) {
	return all[Account](ctx, c, "/v1/accounts", url.Values{"domain": {domain}})
}

// Account returns one account with what it holds.
func (c *Client) Account(ctx context.Context, address string) (a Account, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/accounts/"+url.PathEscape(address), nil, &a)
	return a, err
}

// AddAccount makes an account.
func (c *Client) AddAccount(ctx context.Context, a NewAccount) (made Account, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/accounts", a, &made)
	return made, err
}

// ChangeAccount changes an account.
func (c *Client) ChangeAccount(ctx context.Context, address string, change AccountChange) (now Account, err error) {
	err = c.call(ctx, http.MethodPatch, "/v1/accounts/"+url.PathEscape(address), change, &now)
	return now, err
}

// ForwardAccount has mail for an account sent on; to nobody if f has none.
func (c *Client) ForwardAccount(ctx context.Context, address string, f Forward) (now Account, err error) {
	err = c.call(ctx, http.MethodPut, "/v1/accounts/"+url.PathEscape(address)+"/forward", f, &now)
	return now, err
}

// RenameAccount gives an account another address.
func (c *Client) RenameAccount(ctx context.Context, address string, r Rename) (now Account, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/accounts/"+url.PathEscape(address)+"/rename", r, &now)
	return now, err
}

// RemoveAccount deletes an account and all its mail.
func (c *Client) RemoveAccount(ctx context.Context, address string) error {
	return c.call(ctx, http.MethodDelete, "/v1/accounts/"+url.PathEscape(address), nil, nil)
}

// ImportAccounts makes up to MaxImport accounts; those that exist stay as they are.
func (c *Client) ImportAccounts(ctx context.Context, in Import) (out Imported, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/accounts/import", in, &out)
	return out, err
}

// Aliases lists the aliases of domain, or of all if it is "".
func (c *Client) Aliases(ctx context.Context, domain string) ([]Alias, error) {
	return all[Alias](ctx, c, "/v1/aliases", url.Values{"domain": {domain}})
}

// Found says by what somebody has an address.
func (c *Client) Found(ctx context.Context, address string) (f Found, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/found/"+url.PathEscape(address), nil, &f)
	return f, err
}

// AddAlias makes an alias.
func (c *Client) AddAlias(ctx context.Context, a Alias) (made Alias, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/aliases", a, &made)
	return made, err
}

// SetAlias makes an alias, or gives it other targets.
func (c *Client) SetAlias(ctx context.Context, a Alias) (made Alias, err error) {
	err = c.call(ctx, http.MethodPut, "/v1/aliases/"+url.PathEscape(a.Address), a, &made)
	return made, err
}

// ChangeAlias adds targets to an alias and takes others away.
func (c *Client) ChangeAlias(ctx context.Context, address string, change AliasChange) (now Alias, err error) {
	err = c.call(ctx, http.MethodPatch, "/v1/aliases/"+url.PathEscape(address), change, &now)
	return now, err
}

// RemoveAlias deletes an alias.
func (c *Client) RemoveAlias(ctx context.Context, address string) error {
	return c.call(ctx, http.MethodDelete, "/v1/aliases/"+url.PathEscape(address), nil, nil)
}

// Check verifies the store and reports each problem as it is found; deep reads
// the octets of every message too.
func (c *Client) Check(ctx context.Context, deep bool, report func(problem string)) error {
	path := "/v1/check"
	if deep {
		path += "?deep"
	}
	resp, err := c.send(ctx, http.MethodPost, path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for in := json.NewDecoder(resp.Body); ; {
		var f Finding
		switch err := in.Decode(&f); {
		case err != nil:
			return fmt.Errorf("the check was cut short: %w", err)
		case f.Failure != nil:
			return f.Failure.error()
		case f.Checked:
			return nil
		}
		report(f.Problem)
	}
}

// all reads every page of a list.
func all[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", strconv.Itoa(MaxPage))
	items := []T{}
	for {
		var page Page[T]
		if err := c.call(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		items = append(items, page.Items...)
		if page.Next == "" {
			return items, nil
		}
		query.Set("after", page.Next)
	}
}

// call sends in as JSON, if it is not nil, and decodes the answer into out.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	return json.NewDecoder(io.LimitReader(resp.Body, maxResponse)).Decode(out)
}

// send returns the answer if it is not a failure; the caller closes its body.
func (c *Client) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	return c.sendBody(ctx, method, path, "application/json", body)
}

// sendBody sends octets of a type; nil for none.
func (c *Client) sendBody(ctx context.Context, method, path, kind string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://yubin"+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	if c.From.IsValid() {
		req.Header.Set(fromHeader, c.From.String())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, connectionError(err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	var f Failure
	if err := json.NewDecoder(io.LimitReader(resp.Body, MaxRequest)).Decode(&f); err != nil {
		return nil, fmt.Errorf("the server answered %s", resp.Status)
	}
	return nil, f.error()
}

// connectionError drops the made-up URL from err.
func connectionError(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Errorf("the server went away: %w", u.Err)
	}
	return err
}

func (f Failure) error() error {
	return &mail.Error{Kind: kindNamed(f.Kind), Text: f.Text}
}
