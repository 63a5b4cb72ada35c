package server

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
	"yubin/internal/proto/sasl"
	"yubin/internal/world/config"
	"yubin/internal/world/openid"
	"yubin/internal/world/web"
)

// oauth is the provider whose tokens people log in with.
type oauth struct {
	config   config.OAuth
	secret   string
	roots    *x509.CertPool
	provider *openid.Provider
	voucher  directory.Voucher
}

// same reports whether o and another ask the same provider in the same way.
func (o *oauth) same(p *oauth) bool {
	return o != nil && p != nil && reflect.DeepEqual(o.config, p.config) && o.secret == p.secret && o.roots.Equal(p.roots)
}

// newOAuth makes what asks the provider of c; nil if there is none. The error says what is
// wrong with the configuration.
func newOAuth(c config.OAuth, d Deps, dial web.Dial) (*oauth, error) {
	if !c.On {
		return nil, nil
	}
	secret, err := c.Secret()
	if err != nil {
		return nil, fmt.Errorf("client_secret_file of [oauth]: %w", err)
	}
	roots, err := c.Roots()
	if err != nil {
		return nil, fmt.Errorf("root of [oauth]: %w", err)
	}
	p, err := openid.New(openid.Options{Issuer: c.Issuer, Audience: c.Audience, Scope: c.Scope, Introspect: c.Introspect, ClientID: c.ClientID, Secret: secret,
		Roots: roots, Agent: "yubin/" + d.Version, Dial: dial, Now: d.Now, Log: d.Log})
	if err != nil {
		return nil, fmt.Errorf("issuer of [oauth]: %w", err)
	}
	return &oauth{c, secret, roots, p, directory.Voucher{Name: c.Issuer, Domains: c.Domains, Makes: c.MakeAccounts}}, nil
}

// setOAuth has tokens be taken as c says from now on. If nothing has changed, the keys that
// are known stay, as the provider may be away.
func (s *Store) setOAuth(c config.OAuth, d Deps) error {
	made, err := newOAuth(c, d, s.dialAllowed)
	old := s.oauth.Load()
	if err != nil || made.same(old) {
		return err
	}
	s.oauth.Store(made)
	if old != nil {
		old.provider.Close()
	}
	return nil
}

// takesTokens reports whether there is a provider.
func (s *Store) takesTokens() bool { return s.oauth.Load() != nil }

// who asks the provider whose a token is.
func (o *oauth) who(ctx context.Context, token string) (directory.Vouched, error) {
	c, err := o.provider.Check(ctx, token)
	if r := (*openid.Refusal)(nil); errors.As(err, &r) {
		return directory.Vouched{}, o.refused(r.Why, !r.Genuine, r.Scope)
	}
	if err != nil {
		return directory.Vouched{}, err
	}
	a, err := o.address(c)
	via := "token"
	if c.Client != "" {
		via += fmt.Sprintf(" of %.100s", c.Client)
	}
	if !c.Until.IsZero() {
		via += " until " + c.Until.Format(time.RFC3339)
	}
	return directory.Vouched{Address: a, Via: via}, err
}

// address is the address that claims name.
func (o *oauth) address(c openid.Claims) (mail.Address, error) {
	claim := o.config.Claim
	name := c.Text(claim)
	switch {
	case name == "":
		return mail.Address{}, o.refused(fmt.Sprintf("the token has no claim %q, which is to name the account (sub %.60q)", claim, c.Subject), false, false)
	case claim == "email" && c.Denies("email_verified"):
		return mail.Address{}, o.refused(fmt.Sprintf("the provider has not verified the address %.100q", name), false, false)
	case !strings.Contains(name, "@"):
		name += "@" + string(o.config.Domains[0])
	}
	a, err := mail.ParseAddress(name)
	if err != nil {
		return mail.Address{}, o.refused(fmt.Sprintf("the claim %q is no address: %.100q", claim, name), false, false)
	}
	return a, nil
}

// refused is the error of a token that is not taken, with what the client is told.
func (o *oauth) refused(why string, guess, scope bool) error {
	told := o.told()
	if scope {
		told.Status = "insufficient_scope"
	}
	return &mail.Error{Kind: mail.Forbidden, Text: told.Error(), Err: &directory.Unproven{Why: why, Guess: guess, Err: told}}
}

// told is what a client hears of a token that is not taken (RFC 7628 §3.2.2).
func (o *oauth) told() *sasl.TokenRefused {
	return &sasl.TokenRefused{Status: "invalid_token", Scope: o.config.Scope, Configuration: o.provider.MetadataURL()}
}

// tokenRefused is what people read whose token is not taken. Why is in the log.
const tokenRefused = "the token is not taken; log in anew at your provider, and if that does not help ask the administrator"

// Bearer says whose a token is.
func (a *authenticator) Bearer(ctx context.Context, user, token string) (mail.Principal, error) {
	o := a.store.oauth.Load()
	if o == nil { // A reload came between.
		return mail.Principal{}, mail.Errorf(mail.Unavailable, "tokens are not taken any more")
	}
	p, err := a.store.directory.Vouched(ctx, user, token, a.from, o.voucher, func(ctx context.Context) (directory.Vouched, error) {
		return o.who(ctx, token)
	})
	p, err = a.end(ctx, p, err)
	if err == nil || mail.KindOf(err) != mail.Forbidden {
		return p, err
	}
	text := tokenRefused
	if errors.Is(err, directory.ErrDisabled) {
		text = "this account is disabled; ask the administrator"
	}
	if t := (*sasl.TokenRefused)(nil); !errors.As(err, &t) {
		err = errors.Join(err, o.told())
	}
	return p, &mail.Error{Kind: mail.Forbidden, Text: text, Err: err}
}

// OAuthCheck is what comes of asking the provider, for people.
type OAuthCheck struct {
	Issuer        string      `json:"issuer"`
	Metadata      string      `json:"metadata"` // where its metadata is
	Keys          []OAuthKey  `json:"keys,omitempty"`
	Introspection string      `json:"introspection,omitempty"` // where tokens are asked about
	Token         *OAuthToken `json:"token,omitempty"`
}

// OAuthKey is a key that the provider publishes.
type OAuthKey struct {
	ID        string `json:"id,omitempty"`
	Kind      string `json:"kind"`
	Algorithm string `json:"algorithm,omitempty"`
}

// OAuthToken is what a token came to.
type OAuthToken struct {
	Taken   bool         `json:"taken"`
	Why     string       `json:"why,omitempty"` // it is not
	Address mail.Address `json:"address,omitzero"`
	Subject string       `json:"subject,omitempty"`
	Client  string       `json:"client,omitempty"`
	Until   time.Time    `json:"until,omitzero"`
}

// CheckOAuth asks the provider of c what it publishes and, unless the token is "", whose it
// is. It looks at no account. The errors say what is wrong, in words for an administrator.
func CheckOAuth(ctx context.Context, c config.OAuth, d Deps, token string) (OAuthCheck, error) {
	o, err := newOAuth(c, d, nil)
	if err == nil && o == nil {
		err = mail.Errorf(mail.Invalid, "no tokens are taken here: the configuration has no [oauth]")
	}
	if err != nil {
		return OAuthCheck{}, err
	}
	defer o.provider.Close()
	s, err := o.provider.Describe(ctx)
	if err != nil {
		return OAuthCheck{}, err
	}
	out := OAuthCheck{Issuer: s.Issuer, Metadata: o.provider.MetadataURL(), Introspection: s.Introspection}
	for _, k := range s.Keys {
		out.Keys = append(out.Keys, OAuthKey(k))
	}
	if token == "" {
		return out, nil
	}
	claims, err := o.provider.Check(ctx, token)
	t := &OAuthToken{Subject: claims.Subject, Client: claims.Client, Until: claims.Until}
	if out.Token = t; err == nil {
		t.Address, err = o.address(claims)
	}
	switch r, u := (*openid.Refusal)(nil), (*directory.Unproven)(nil); {
	case errors.As(err, &r):
		t.Why = r.Why
	case errors.As(err, &u):
		t.Why = u.Why
	case err != nil:
		return OAuthCheck{}, cmp.Or(errors.Unwrap(err), err)
	case !slices.Contains(c.Domains, t.Address.Domain):
		t.Why = fmt.Sprintf("the domain of %s is not in domains of [oauth], unless it is another name of one that is", t.Address)
	default:
		t.Taken = true
	}
	return out, nil
}
