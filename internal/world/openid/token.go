package openid

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"yubin/internal/mail"
)

// Refusal is why a token is not taken: the cause (errors.As) of a Forbidden.
type Refusal struct {
	Why     string // for the log: "the token has expired"
	Scope   bool   // what it lacks is the scope, so that another token may have it
	Genuine bool   // the provider has made it, or there is none: nobody is guessing
}

func (r *Refusal) Error() string { return "openid: " + r.Why }

func refuse(genuine bool, why string, args ...any) error {
	return refusal(&Refusal{Why: fmt.Sprintf(why, args...), Genuine: genuine})
}

func refusal(r *Refusal) error {
	return &mail.Error{Kind: mail.Forbidden, Text: "the token is not taken", Err: r}
}

// Claims are what a provider says of who has a token.
type Claims struct {
	Subject string    // who the provider calls him; "" if it does not say
	Client  string    // the program that has the token; "" if it does not say
	Until   time.Time // when the token ends; zero if the provider does not say
	all     map[string]json.RawMessage
}

// Text returns a claim that is text; "" if there is none, or not one of up to 512 octets.
func (c Claims) Text(name string) string {
	var s string
	if json.Unmarshal(c.all[name], &s) != nil || len(s) > maxText || !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return ""
	}
	return s
}

// Denies reports whether a claim is there and says no: false, or as some write it "false".
func (c Claims) Denies(name string) bool {
	value, there := c.all[name]
	return there && string(value) != "true" && string(value) != `"true"`
}

// texts is a claim that is text, or a list of texts.
func (c Claims) texts(name string) []string {
	if s := c.Text(name); s != "" {
		return []string{s}
	}
	var list []string
	if json.Unmarshal(c.all[name], &list) != nil {
		return nil
	}
	return list
}

// moment is a claim that is a NumericDate (RFC 7519 §2); false if it is none.
func (c Claims) moment(name string) (t time.Time, ok bool) {
	var seconds float64
	if json.Unmarshal(c.all[name], &seconds) != nil || math.Abs(seconds) > 1<<40 {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0).UTC(), true
}

// parseClaims reads claims, or an answer about a token.
func parseClaims(text []byte) (Claims, bool) {
	var c Claims
	if json.Unmarshal(text, &c.all) != nil || c.all == nil {
		return Claims{}, false
	}
	c.Subject, c.Client = c.Text("sub"), c.Text("client_id")
	if c.Client == "" {
		c.Client = c.Text("azp")
	}
	c.Until, _ = c.moment("exp")
	return c, true
}

// verify checks a JWT.
func (p *Provider) verify(ctx context.Context, token string) (Claims, error) {
	if err := checkHeader(token); err != nil {
		return Claims{}, err
	}
	signed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return Claims{}, refuse(false, "the token is no signed JWT")
	}
	proved := signed.Signatures[0].Header // The one that is signed, as it was read for that.
	keys, err := p.keysFor(ctx, proved.KeyID, proved.Algorithm)
	if err != nil {
		return Claims{}, err
	}
	var payload []byte
	for _, key := range keys {
		if payload, err = signed.Verify(key.Key); err == nil {
			break
		}
	}
	if err != nil {
		return Claims{}, refuse(false, "the signature of the token is wrong")
	}
	c, ok := parseClaims(payload)
	if !ok {
		return Claims{}, refuse(true, "the claims of the token cannot be read")
	}
	if _, has := c.moment("exp"); !has { // RFC 9068 §2.2
		return Claims{}, refuse(true, "the token has no end")
	}
	return c, p.judge(c, false)
}

// checkHeader says what is wrong with a token that cannot be a JWT for us, before anything of
// it is proved.
func checkHeader(token string) error {
	var h struct {
		Algorithm string `json:"alg"`
		Type      string `json:"typ"`
	}
	first, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err == nil {
		err = json.Unmarshal(text, &h)
	}
	kind := strings.TrimPrefix(strings.ToLower(h.Type), "application/")
	switch {
	case err != nil || strings.Count(token, ".") != 2:
		return refuse(false, "the token is no JWT: if the provider makes others, introspection = true has it asked about them")
	case strings.EqualFold(h.Algorithm, "none"):
		return refuse(false, "nobody has signed the token (alg none)")
	case !isTaken(h.Algorithm):
		return refuse(false, "the token is signed by %.40q, which is not taken", h.Algorithm)
	case kind != "" && kind != "jwt" && kind != "at+jwt": // RFC 9068 §4: such as logout+jwt
		return refuse(false, "the token is a %.40q, not an access token", h.Type)
	}
	return nil
}

// keysFor finds the keys that a token may be signed with; if none is known, the provider may
// have a new one.
func (p *Provider) keysFor(ctx context.Context, id, algorithm string) ([]jose.JSONWebKey, error) {
	for _, anew := range []bool{false, true} {
		k, err := p.current(ctx, anew)
		if err != nil {
			return nil, err
		}
		if keys := k.fitting(id, jose.SignatureAlgorithm(algorithm)); len(keys) > 0 {
			return keys, nil
		}
	}
	return nil, refuse(false, "the token is signed with a key that the provider does not publish (kid %.60q, alg %s)", id, algorithm)
}

// judge says whether claims that the provider has made are for us, and now. An answer about
// a token (introspected) may leave out who made it, as it was the provider who answered.
func (p *Provider) judge(c Claims, introspected bool) error {
	now := p.o.Now()
	issuer, audience := c.Text("iss"), c.texts("aud")
	_, hasIssuer := c.all["iss"]
	_, bound := c.all["cnf"]
	begins, hasBegin := c.moment("nbf")
	switch {
	case issuer != p.o.Issuer && (hasIssuer || !introspected):
		return refuse(true, "the token is of another issuer: %.100q", issuer)
	case len(p.o.Audience) > 0 && !slices.ContainsFunc(p.o.Audience, func(a string) bool { return slices.Contains(audience, a) }):
		return refuse(true, "the token is for another audience: %.100q", strings.Join(audience, " "))
	case !c.Until.IsZero() && !now.Before(c.Until.Add(ClockSkew)):
		return refuse(true, "the token has expired at %s", c.Until.Format(time.RFC3339))
	case hasBegin && now.Before(begins.Add(-ClockSkew)):
		return refuse(true, "the token is not valid before %s", begins.Format(time.RFC3339))
	case bound: // RFC 7800: that is no bearer token
		return refuse(true, "the token is bound to a key of its owner, which cannot be shown here")
	case p.o.Scope != "" && !c.hasScope(p.o.Scope):
		return refusal(&Refusal{Why: fmt.Sprintf("the token lacks the scope %q", p.o.Scope), Scope: true, Genuine: true})
	}
	return nil
}

// hasScope looks in scope (RFC 8693 §4.2) and in scp, as Microsoft and Okta call it.
func (c Claims) hasScope(want string) bool {
	for _, name := range []string{"scope", "scp"} {
		for _, text := range c.texts(name) {
			if slices.Contains(strings.Fields(text), want) {
				return true
			}
		}
	}
	return false
}
