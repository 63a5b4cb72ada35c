package admin

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
)

// maxForeign is how many accounts a Status names of which only a hash is known.
const maxForeign = 3

// Limit is where a password counts; without anything, everywhere.
type Limit struct {
	Only     []string `json:"only,omitempty"`     // imap, pop3, submission, web
	Networks []string `json:"networks,omitempty"` // 192.0.2.0/24; an address is one of its own
}

// Password is what there is to tell of one: the account's own (it has no name), or an app
// password.
type Password struct {
	Name    string `json:"name,omitempty"`
	Missing bool   `json:"missing,omitempty"` // there is none
	Foreign bool   `json:"foreign,omitempty"` // only a hash of another server is known
	Limit
	Expires *time.Time   `json:"expires,omitempty"`
	Created *time.Time   `json:"created,omitempty"` // of an app password
	Used    *PasswordUse `json:"used,omitempty"`    // the last login with it
}

// PasswordUse is a login.
type PasswordUse struct {
	At       time.Time `json:"at"`
	Protocol string    `json:"protocol"`
	Network  string    `json:"network,omitempty"` // "" for the machine of the server
}

// NewPassword asks for an app password.
type NewPassword struct {
	Name string `json:"name"`
	Limit
	Expires *time.Time `json:"expires,omitempty"`
}

// MadePassword is an app password, told this once.
type MadePassword struct {
	Password
	Text string `json:"password"`
}

// RemovedPasswords says how many app passwords are gone.
type RemovedPasswords struct {
	Removed int `json:"removed"`
}

func (h *Handler) passwordRoutes() map[string]func(*http.Request) (any, error) {
	return map[string]func(*http.Request) (any, error){
		"GET /v1/accounts/{address}/passwords":           h.listPasswords,
		"POST /v1/accounts/{address}/passwords":          h.addPassword,
		"DELETE /v1/accounts/{address}/passwords":        h.removePasswords,
		"GET /v1/accounts/{address}/passwords/{name}":    h.showPassword,
		"DELETE /v1/accounts/{address}/passwords/{name}": h.removePassword,
	}
}

// scope reads a limit; nil is none.
func (l *Limit) scope() (s directory.Scope, err error) {
	if l == nil {
		return s, nil
	}
	if s.Protocols, err = readAll(l.Only, directory.ParseProtocol); err != nil {
		return s, err
	}
	s.Networks, err = readAll(l.Networks, parseNetwork)
	return s, err
}

// parseNetwork reads a network, or an address as one.
func parseNetwork(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, mail.Errorf(mail.Invalid, "%q is no network such as 192.0.2.0/24 or 2001:db8::/32", text)
	}
	return p, nil
}

// limitOf is nil for no limit.
func limitOf(s directory.Scope) *Limit {
	if len(s.Protocols)+len(s.Networks) == 0 {
		return nil
	}
	l := &Limit{}
	for _, p := range s.Protocols {
		l.Only = append(l.Only, string(p))
	}
	for _, n := range s.Networks {
		l.Networks = append(l.Networks, n.String())
	}
	return l
}

func passwordOf(p directory.Password) Password {
	out := Password{Name: p.Name, Missing: p.Missing, Foreign: p.Foreign, Expires: given(p.Scope.Until), Created: given(p.Created)}
	if l := limitOf(p.Scope); l != nil {
		out.Limit = *l
	}
	if !p.Used.At.IsZero() {
		out.Used = &PasswordUse{At: p.Used.At, Protocol: string(p.Used.Protocol), Network: p.Used.Network}
	}
	return out
}

// given is a time, or nil for none.
func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (h *Handler) listPasswords(r *http.Request) (any, error) {
	address, err := pathAddress(r)
	if err != nil {
		return nil, err
	}
	list, err := h.Accounts.Passwords(r.Context(), address)
	page := Page[Password]{Items: make([]Password, len(list))}
	for i, p := range list {
		page.Items[i] = passwordOf(p)
	}
	return page, err
}

func (h *Handler) showPassword(r *http.Request) (any, error) {
	address, err := pathAddress(r)
	if err != nil {
		return nil, err
	}
	list, err := h.Accounts.Passwords(r.Context(), address)
	if err != nil {
		return nil, err
	}
	for _, p := range list[1:] {
		if p.Name == r.PathValue("name") {
			return passwordOf(p), nil
		}
	}
	return nil, mail.Errorf(mail.NotFound, "%s has no app password %q", address, r.PathValue("name"))
}

func (h *Handler) addPassword(r *http.Request) (any, error) {
	address, err := pathAddress(r)
	if err != nil {
		return nil, err
	}
	in, err := body[NewPassword](r)
	if err != nil {
		return nil, err
	}
	n := directory.NewAppPassword{Name: in.Name}
	if n.Scope, err = in.Limit.scope(); err != nil {
		return nil, err
	}
	if in.Expires != nil {
		n.Until = *in.Expires
	}
	text, p, err := h.Accounts.AddAppPassword(r.Context(), address, n)
	if err != nil {
		return nil, err
	}
	return MadePassword{Password: passwordOf(p), Text: text}, nil
}

func (h *Handler) removePassword(r *http.Request) (any, error) {
	address, err := pathAddress(r)
	if err != nil {
		return nil, err
	}
	return done{}, h.Accounts.RemoveAppPassword(r.Context(), address, r.PathValue("name"))
}

func (h *Handler) removePasswords(r *http.Request) (any, error) {
	address, err := pathAddress(r)
	if err != nil {
		return nil, err
	}
	n, err := h.Accounts.RemoveAppPasswords(r.Context(), address)
	return RemovedPasswords{n}, err
}

func passwordsPath(address string) string {
	return "/v1/accounts/" + url.PathEscape(address) + "/passwords"
}

// Passwords lists the passwords of an account, its own first.
func (c *Client) Passwords(ctx context.Context, address string) ([]Password, error) {
	return all[Password](ctx, c, passwordsPath(address), url.Values{})
}

// AddPassword makes an app password.
func (c *Client) AddPassword(ctx context.Context, address string, n NewPassword) (made MadePassword, err error) {
	err = c.call(ctx, http.MethodPost, passwordsPath(address), n, &made)
	return made, err
}

// RemovePassword ends one app password.
func (c *Client) RemovePassword(ctx context.Context, address, name string) error {
	return c.call(ctx, http.MethodDelete, passwordsPath(address)+"/"+url.PathEscape(name), nil, nil)
}

// RemovePasswords ends all app passwords of an account.
func (c *Client) RemovePasswords(ctx context.Context, address string) (gone RemovedPasswords, err error) {
	err = c.call(ctx, http.MethodDelete, passwordsPath(address), nil, &gone)
	return gone, err
}
