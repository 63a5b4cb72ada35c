package openid

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/url"
	"time"

	"yubin/internal/mail"
)

// tokenKey stands for a token in memory.
type tokenKey [sha256.Size]byte

// reply is what the provider said about a token.
type reply struct {
	claims Claims
	active bool
	at     time.Time
}

// introspect asks the provider about a token (RFC 7662 §2), unless it did so a moment ago: a
// client opens several connections with one token, and one that has an old token tries it
// often.
func (p *Provider) introspect(ctx context.Context, token string) (Claims, error) {
	key := tokenKey(sha256.Sum256([]byte(token)))
	r, is, err := p.replied(key)
	if !is {
		r, err = p.ask(ctx, key, token)
	}
	switch {
	case err != nil:
		return Claims{}, err
	case !r.active: // It says no more: expired, revoked, or never made (RFC 7662 §2.2).
		return Claims{}, refuse(false, "the provider says that the token is not active")
	}
	return r.claims, p.judge(r.claims, true)
}

// replied is the answer that is remembered; false if the provider is to be asked.
func (p *Provider) replied(key tokenKey) (r reply, is bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.o.Now()
	r, there := p.replies[key]
	switch {
	case there && now.Sub(r.at) < ReplyAge:
		return r, true, nil
	case p.asks.err != nil && now.Sub(p.asks.at) < RetryGap:
		return reply{}, true, p.asks.err
	}
	return reply{}, false, nil
}

// ask asks the provider about a token.
func (p *Provider) ask(ctx context.Context, key tokenKey, token string) (reply, error) {
	k, err := p.current(ctx, false)
	if err != nil {
		return reply{}, err
	}
	asked, cancel := context.WithTimeout(ctx, AskTime)
	defer cancel()
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	case <-asked.Done():
		return reply{}, &mail.Error{Kind: mail.Unavailable, Text: errAway, Err: errors.New("too many tokens are being asked about")}
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	// RFC 6749 §2.3.1: both are encoded as in a form before they are put together.
	text, err := p.site.PostForm(asked, k.Introspection, form, url.QueryEscape(p.o.ClientID), url.QueryEscape(p.o.Secret), MaxReply)
	r := reply{at: p.o.Now()}
	if err == nil {
		var ok bool
		if r.claims, ok = parseClaims(text); !ok || r.claims.all["active"] == nil {
			err = mail.Errorf(mail.Unavailable, "%s does not answer as RFC 7662 says", k.Introspection)
		}
		r.active = string(r.claims.all["active"]) == "true"
	}
	if ctx.Err() != nil { // The client went away: that says nothing about the provider.
		return reply{}, &mail.Error{Kind: mail.Unavailable, Text: errAway, Err: ctx.Err()}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.note(&p.asks, err); err != nil {
		return reply{}, p.asks.err
	}
	p.remember(key, r)
	return r, nil
}

// remember keeps an answer; what is old makes room, and if nothing is, all. The caller holds
// the lock.
func (p *Provider) remember(key tokenKey, r reply) {
	if len(p.replies) >= maxReplies {
		for k, old := range p.replies {
			if r.at.Sub(old.at) >= ReplyAge {
				delete(p.replies, k)
			}
		}
	}
	if len(p.replies) >= maxReplies {
		clear(p.replies)
	}
	p.replies[key] = r
}
