// Package openid asks a provider of OpenID Connect whose an access token of OAuth is (RFC
// 6749, RFC 6750): of a JWT (RFC 7519, RFC 9068) it checks the signature with the keys that
// the provider publishes (Discovery 1.0, RFC 8414, RFC 7517), its issuer, audience, times and
// scope; of any other token it asks the provider (introspection, RFC 7662).
//
// It never asks a provider for a token, and knows no accounts: what of the claims names one is
// for its caller.
//
// What a provider says is believed for what it is, and bounded: how long it may take, how many
// octets are read, how many keys it has; no redirect is followed, and where it leads to is
// bounded by web.Site. Metadata and keys are remembered for KeysAge. A token that is signed
// with a key that is not among them has them fetched once more, at most every AnewGap. While
// the provider cannot be asked its keys count for KeysEnd; beyond, and for what they do not
// tell, the answer is Unavailable: that nobody can be asked is no fault of a token.
//
// The arithmetic of signatures is that of github.com/go-jose/go-jose.
package openid

import (
	"context"
	"crypto/x509"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
	"yubin/internal/world/web"
)

// Limits.
const (
	MaxToken  = 9216             // octets of a token
	MaxKeys   = 100              // that a provider publishes
	MaxAnswer = 256 << 10        // octets of metadata, or of keys
	MaxReply  = 16 << 10         // octets of an answer about one token
	AskTime   = 10 * time.Second // for all that is asked about one token

	KeysAge   = time.Hour        // after which metadata and keys are fetched again
	KeysEnd   = 24 * time.Hour   // for which they count if that fails
	AnewGap   = time.Minute      // between fetches because of a key that is not known
	RetryGap  = 10 * time.Second // in which a provider that did not answer is not asked again
	ReplyAge  = time.Minute      // for which the answer about one token counts
	ClockSkew = time.Minute      // by which the clocks may differ

	maxReplies = 1000 // answers about tokens that are remembered
	maxAsking  = 8    // questions about tokens at a time
	maxTries   = 10   // keys that are tried for a token that names none
	maxText    = 512  // octets of a claim that is looked at
)

// Options are what a Provider needs. Issuer must be given.
type Options struct {
	Issuer   string   // its URL, letter for letter as in its tokens
	Audience []string // of which a token must name one; none asks for none
	Scope    string   // that a token must have; "" asks for none

	// Introspect has the provider be asked about every token, as a client of it.
	Introspect       bool
	ClientID, Secret string

	Roots *x509.CertPool // nil: the system's
	Agent string         // what we call ourselves
	Dial  web.Dial       // nil: by the system's resolver
	Now   func() time.Time
	Log   *slog.Logger
}

// Provider is one provider. Safe for concurrent use.
type Provider struct {
	o    Options
	site *web.Site

	turn   chan struct{} // one fetches metadata and keys
	asking chan struct{} // some ask about tokens

	mu      sync.Mutex
	known   *known // nil before the first
	fetches outage
	asks    outage
	replies map[tokenKey]reply
}

// known is what a provider publishes.
type known struct {
	metadata
	keys []jose.JSONWebKey
	at   time.Time
}

// outage is the last failure of a provider; the zero outage is none.
type outage struct {
	at  time.Time
	err error
}

// New returns a Provider. It asks nobody. The error is Invalid.
func New(o Options) (*Provider, error) {
	site, err := web.NewSite(web.SiteOptions{URL: o.Issuer, Roots: o.Roots, Agent: o.Agent, Dial: o.Dial})
	if err != nil {
		return nil, err
	}
	return &Provider{o: o, site: site, turn: make(chan struct{}, 1), asking: make(chan struct{}, maxAsking), replies: map[tokenKey]reply{}}, nil
}

// Close closes connections that wait for the next question.
func (p *Provider) Close() { p.site.Close() }

// MetadataURL is where a provider publishes what others need to know of it (OpenID Connect
// Discovery 1.0 §4).
func (p *Provider) MetadataURL() string {
	return strings.TrimSuffix(p.o.Issuer, "/") + "/.well-known/openid-configuration"
}

// Check says what is known of who has a token. Errors: Forbidden with the cause *Refusal;
// Unavailable if the provider would have to be asked and does not answer as one.
func (p *Provider) Check(ctx context.Context, token string) (Claims, error) {
	switch {
	case token == "":
		return Claims{}, refuse(true, "no token")
	case len(token) > MaxToken:
		return Claims{}, refuse(false, "the token has over %d octets", MaxToken)
	case p.o.Introspect:
		return p.introspect(ctx, token)
	}
	return p.verify(ctx, token)
}

// current returns what the provider publishes: remembered, or fetched. Anew says that what
// is remembered lacks a key.
func (p *Provider) current(ctx context.Context, anew bool) (*known, error) {
	if k, is, err := p.settled(anew); is {
		return k, err
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, &mail.Error{Kind: mail.Unavailable, Text: errAway, Err: ctx.Err()}
	}
	if k, is, err := p.settled(anew); is { // Somebody else has asked meanwhile.
		return k, err
	}
	// Others wait for the answer too, if who asks goes away.
	asked, cancel := context.WithTimeout(context.WithoutCancel(ctx), AskTime)
	defer cancel()
	k, err := p.fetch(asked)
	p.mu.Lock()
	p.note(&p.fetches, err)
	if err == nil {
		p.known = k
	}
	p.mu.Unlock()
	if err == nil {
		return k, nil
	}
	k, _, err = p.settled(anew)
	return k, err
}

// settled says what is to be answered without asking; false if the provider is to be asked.
func (p *Provider) settled(anew bool) (k *known, is bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, age := p.o.Now(), KeysEnd
	if p.known != nil {
		age = now.Sub(p.known.at)
	}
	switch {
	case age < KeysAge && (!anew || age < AnewGap):
		return p.known, true, nil
	case p.fetches.err == nil || now.Sub(p.fetches.at) >= RetryGap:
		return nil, false, nil
	case !anew && age < KeysEnd:
		return p.known, true, nil
	}
	return nil, true, p.fetches.err
}

// errAway is what a client hears if nobody can be asked about its token.
const errAway = "the identity provider cannot be asked at this moment; try again later"

// note remembers whether the provider answered, and logs when that changes. The caller holds
// the lock.
func (p *Provider) note(o *outage, err error) {
	switch {
	case err != nil && o.err == nil:
		p.o.Log.Warn("the identity provider does not answer as one", "issuer", p.o.Issuer, obs.Err(err))
	case err == nil && o.err != nil:
		p.o.Log.Info("the identity provider answers again", "issuer", p.o.Issuer)
	}
	*o = outage{}
	if err != nil {
		*o = outage{p.o.Now(), &mail.Error{Kind: mail.Unavailable, Text: errAway, Err: err}}
	}
}

// Key is a key that a provider publishes.
type Key struct {
	ID        string // "" if it has none
	Kind      string // "RSA", "EC", "Ed25519"
	Algorithm string // "" for any of its kind
}

// Summary is what a provider publishes, for people.
type Summary struct {
	Issuer        string
	Keys          []Key
	Introspection string // where tokens are asked about; "" if they are not
}

// Describe asks the provider what it publishes. The errors say what is wrong, in words for an
// administrator.
func (p *Provider) Describe(ctx context.Context) (Summary, error) {
	ctx, cancel := context.WithTimeout(ctx, AskTime)
	defer cancel()
	k, err := p.fetch(ctx)
	if err != nil {
		return Summary{}, err
	}
	s := Summary{Issuer: k.Issuer}
	if p.o.Introspect {
		s.Introspection = k.Introspection
	}
	for _, key := range k.keys {
		s.Keys = append(s.Keys, Key{key.KeyID, kindOf(key.Key), key.Algorithm})
	}
	return s, nil
}
