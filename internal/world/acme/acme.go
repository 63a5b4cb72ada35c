// Package acme asks a certificate authority for certificates by ACME (RFC 8555), with the
// challenges http-01, dns-01 (§8.3, §8.4) and tls-alpn-01 (RFC 8737), external account
// binding (§7.3.4), and asks it when to renew (ARI, RFC 9773).
//
// The octets of the protocol are those of github.com/mholt/acmez/v3/acme. What a server may
// do to us is bounded here, whatever it says: how long an operation takes, how many requests
// it makes, how many octets it reads, all together and of one answer; it goes to https only,
// and no redirect is followed. What it answers is believed for what it is: a chain must be
// for our key and our names.
//
// It keeps nothing between operations but nonces, and starts nothing. What is wanted, had
// and due is known by engine/certificates.
package acme

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"yubin/internal/mail"
)

// Limits of one operation.
const (
	MaxNames     = 100              // in one certificate, as many as known authorities take
	MaxRequests  = 1000             // to the server
	MaxAnswer    = 256 << 10        // octets of one answer
	MaxTraffic   = 4 << 20          // octets of all answers
	MaxChain     = 10               // certificates
	MaxToken     = 256              // octets of the token of a challenge
	IssueTime    = 10 * time.Minute // for a certificate, from the order to the chain
	AskTime      = time.Minute      // for everything else
	requestTime  = 30 * time.Second // one request
	connectTime  = 10 * time.Second
	pollEvery    = 2 * time.Second // unless the server says when to come again
	maxHeader    = 64 << 10
	maxText      = 500 // octets of what a server says that are kept
	maxSubs      = 5   // of the problems within a problem
	maxWait      = 7 * 24 * time.Hour
	idleTime     = 30 * time.Second
	maxIdleConns = 2
)

// Options are what a Client needs. Directory must be given.
type Options struct {
	Directory string // its URL: https
	Agent     string // how we call ourselves
	Roots     *x509.CertPool
	Poll      time.Duration                                                        // between questions whether something is done, unless the server says; 0 means pollEvery
	Dial      func(ctx context.Context, network, address string) (net.Conn, error) // nil means net.Dialer
	Now       func() time.Time                                                     // nil means time.Now
}

// Client asks one server. Safe for concurrent use.
type Client struct {
	o     Options
	guard *guard
	acme  *acme.Client
}

// New returns a Client. It connects to nobody.
func New(o Options) *Client {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: connectTime}).DialContext
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Poll == 0 {
		o.Poll = pollEvery
	}
	transport := &http.Transport{
		DialContext:            o.Dial,
		TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    connectTime,
		ResponseHeaderTimeout:  requestTime,
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConns:           maxIdleConns,
		IdleConnTimeout:        idleTime,
		DisableCompression:     true, // Or a few octets could become many.
		ForceAttemptHTTP2:      true,
	}
	g := &guard{next: transport, now: o.Now}
	return &Client{o: o, guard: g, acme: &acme.Client{
		Directory: o.Directory, UserAgent: o.Agent, PollInterval: o.Poll, PollTimeout: IssueTime,
		HTTPClient: &http.Client{Transport: g, Timeout: requestTime,
			CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect }},
	}}
}

// Close closes connections that wait for the next request.
func (c *Client) Close() { c.guard.next.CloseIdleConnections() }

// Account is who we are to the server.
type Account struct {
	Key    crypto.Signer
	URL    string // as the server calls it
	Issuer string // the name by which CAA records allow the authority (RFC 8659 §4.2); "" if it does not say
}

// Binding ties a new account to one that the operator has with the authority (RFC 8555
// §7.3.4).
type Binding struct {
	KeyID string
	MAC   string // base64url, as authorities give it
}

// Register makes an account for the key, or finds the one that it has. The operator agreed
// to the terms. contact may be zero.
func (c *Client) Register(ctx context.Context, key crypto.Signer, contact mail.Address, b Binding) (a Account, err error) {
	ctx, op, cancel := c.operation(ctx, AskTime)
	defer cancel()
	in := acme.Account{TermsOfServiceAgreed: true, PrivateKey: key}
	if contact != (mail.Address{}) {
		in.Contact = []string{"mailto:" + contact.String()}
	}
	if b.KeyID != "" {
		if err := in.SetExternalAccountBinding(ctx, c.acme, acme.EAB{KeyID: b.KeyID, MACKey: b.MAC}); err != nil {
			return a, op.fault("the account cannot be bound", err)
		}
	}
	out, err := c.acme.NewAccount(ctx, in)
	switch {
	case err != nil:
		return a, op.fault("no account can be made", err)
	case out.Location == "" || len(out.Location) > maxText:
		return a, mail.Errorf(mail.Unavailable, "the authority made an account and does not say where")
	case out.Status != acme.StatusValid:
		return a, mail.Errorf(mail.Forbidden, "the account with the authority is %.40q, not valid: make another with yubin cert new-account", out.Status)
	}
	a = Account{Key: key, URL: out.Location}
	if d, err := c.acme.GetDirectory(ctx); err == nil && d.Meta != nil && len(d.Meta.CAAIdentities) > 0 {
		if name, err := mail.ParseDomain(d.Meta.CAAIdentities[0]); err == nil && !name.IsLiteral() {
			a.Issuer = string(name)
		}
	}
	return a, nil
}

// Window is when a certificate is to be renewed (RFC 9773 §4.2).
type Window struct {
	Start, End time.Time
	Reason     string    // a page that says why; "" for none
	Again      time.Time // when to ask again; zero if the server does not say
}

// ErrNoWindow is of a server that does not say when to renew.
var ErrNoWindow = mail.Errorf(mail.NotFound, "the authority does not say when to renew")

// Window asks when a certificate is to be renewed.
func (c *Client) Window(ctx context.Context, leaf *x509.Certificate) (w Window, err error) {
	ctx, op, cancel := c.operation(ctx, AskTime)
	defer cancel()
	if len(leaf.AuthorityKeyId) == 0 { // It is part of the name that it has there (§4.1).
		return w, ErrNoWindow
	}
	info, err := c.acme.GetRenewalInfo(ctx, leaf)
	switch {
	case errors.Is(err, acme.ErrUnsupported):
		return w, ErrNoWindow
	case err != nil:
		return w, op.fault("the authority was asked when to renew", err)
	case !info.SuggestedWindow.End.After(info.SuggestedWindow.Start):
		return w, mail.Errorf(mail.Unavailable, "the authority says to renew in a time that ends before it begins")
	}
	w = Window{Start: info.SuggestedWindow.Start.UTC(), End: info.SuggestedWindow.End.UTC()}
	if len(info.ExplanationURL) <= maxText {
		w.Reason = info.ExplanationURL
	}
	if info.RetryAfter != nil {
		w.Again = info.RetryAfter.UTC()
	}
	return w, nil
}

// Terms are where the terms are that the operator agrees to; "" if there are none.
func (c *Client) Terms(ctx context.Context) (string, error) {
	ctx, op, cancel := c.operation(ctx, AskTime)
	defer cancel()
	d, err := c.acme.GetDirectory(ctx)
	if err != nil {
		return "", op.fault("the directory cannot be read", err)
	}
	if d.Meta == nil || len(d.Meta.TermsOfService) > maxText {
		return "", nil
	}
	return d.Meta.TermsOfService, nil
}

// Refusal is what the authority said no with: the cause (errors.As) of an error of kind
// RateLimited or Forbidden. Its texts are a stranger's.
type Refusal struct {
	Type   string // the last word of the URN: "rateLimited", "dns", "unauthorized" (RFC 8555 §6.7)
	Detail string
	Again  time.Time // not before; zero if it does not say
}

func (r *Refusal) Error() string {
	if r.Type == "" {
		return r.Detail
	}
	return fmt.Sprintf("%s (%s)", r.Detail, r.Type)
}
