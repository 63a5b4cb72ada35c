package sasl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"yubin/internal/mail"
)

// MaxTokenMessage is how many octets the message of OAUTHBEARER or XOAUTH2 has at most: what
// fits in a line of 12288 octets, which RFC 4954 §4 holds to be enough.
const MaxTokenMessage = 9216

// TokenRefused is the cause (errors.As) of a Forbidden for a token that is not taken: what
// the client is told of it (RFC 7628 §3.2.2). Without it a client hears nothing but that the
// login failed.
type TokenRefused struct {
	Status        string // of the registry of OAuth errors: invalid_token, insufficient_scope (RFC 6750 §3.1)
	Scope         string // that a token needs; "" for none
	Configuration string // URL of the provider's metadata; "" if that is not told
}

func (r *TokenRefused) Error() string { return "sasl: " + r.Status }

// challenge is what is told before the exchange fails, in the words of a mechanism.
func (r *TokenRefused) challenge(mech string) ([]byte, error) {
	if mech == XOAuth2 { // As Google describes it: the status is that of HTTP.
		return json.Marshal(struct {
			Status  string `json:"status"`
			Schemes string `json:"schemes"`
			Scope   string `json:"scope,omitempty"`
		}{"401", "bearer", r.Scope})
	}
	return json.Marshal(struct {
		Status        string `json:"status"`
		Scope         string `json:"scope,omitempty"`
		Configuration string `json:"openid-configuration,omitempty"`
	}{r.Status, r.Scope, r.Configuration})
}

// bearer is the only message of OAUTHBEARER and XOAUTH2. A token that is refused is told of
// in a challenge, and whatever the client answers ends the exchange (RFC 7628 §3.2.3).
func (s *Server) bearer(ctx context.Context, response []byte) ([]byte, step, error) {
	parse := parseOAuthBearer
	if s.mech == XOAuth2 {
		parse = parseXOAuth2
	}
	user, token, err := parse(response)
	if err != nil {
		return nil, nil, err
	}
	s.user = user
	p, err := s.auth.Bearer(ctx, user, token)
	if refused := (*TokenRefused)(nil); errors.As(err, &refused) {
		challenge, jsonErr := refused.challenge(s.mech)
		if jsonErr != nil {
			return nil, nil, err
		}
		s.refused = err
		return challenge, func(context.Context, []byte) ([]byte, step, error) { return nil, nil, s.refused }, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if s.user == "" {
		s.user = p.Address.String()
	}
	return nil, nil, s.accept(p, "")
}

// The octets between the values of a message.
const kvsep = "\x01"

func errBearer(mech string) error {
	return mail.Errorf(mail.Invalid, "that is not a message of %s", mech)
}

// parseOAuthBearer reads gs2-header kvsep *kvpair kvsep (RFC 7628 §3.1). The user is the
// authorization identity, "" for none. The token is "" where the client only asks what it
// would need (§4.3).
//
// Deviation: host and port are not compared with ours. A server has many names, and clients
// come through proxies; whom a token is for is its audience.
func parseOAuthBearer(response []byte) (user, token string, err error) {
	header, pairs, ok := strings.Cut(string(response), kvsep)
	rest, last := strings.CutSuffix(pairs, kvsep)
	if !ok || !last {
		return "", "", errBearer(OAuthBearer)
	}
	if user, ok = parseGS2(header); !ok {
		return "", "", errBearer(OAuthBearer)
	}
	found := false
	for rest != "" {
		pair, more, ended := strings.Cut(rest, kvsep)
		key, value, ok := strings.Cut(pair, "=")
		if !ok || !ended || !isKey(key) || key == "auth" && found {
			return "", "", errBearer(OAuthBearer)
		}
		if rest = more; key != "auth" {
			continue // "Unknown key/value pairs MUST be ignored."
		}
		found = true
		if token, ok = parseAuth(value); !ok {
			return "", "", errBearer(OAuthBearer)
		}
	}
	if !found {
		return "", "", errBearer(OAuthBearer)
	}
	return user, token, nil
}

// parseGS2 reads the header: that there is no channel binding, and maybe an authorization
// identity (RFC 5801 §4).
func parseGS2(header string) (user string, ok bool) {
	binding, rest, ok := strings.Cut(header, ",")
	name, end, ok2 := strings.Cut(rest, ",")
	if !ok || !ok2 || end != "" || binding != "n" && binding != "y" {
		return "", false
	}
	if name == "" {
		return "", true
	}
	coded, ok := strings.CutPrefix(name, "a=")
	user = strings.NewReplacer("=2C", ",", "=3D", "=").Replace(coded)
	if !ok || strings.Count(coded, "=") != strings.Count(coded, "=2C")+strings.Count(coded, "=3D") || !validText(user, MaxName) {
		return "", false
	}
	return user, true
}

// parseXOAuth2 reads "user=" user kvsep "auth=Bearer " token kvsep kvsep, which is written
// down nowhere but in the pages of Google and Microsoft for developers.
func parseXOAuth2(response []byte) (user, token string, err error) {
	parts := bytes.Split(response, []byte(kvsep))
	if len(parts) != 4 || len(parts[2])+len(parts[3]) != 0 {
		return "", "", errBearer(XOAuth2)
	}
	user, ok := strings.CutPrefix(string(parts[0]), "user=")
	value, ok2 := strings.CutPrefix(string(parts[1]), "auth=")
	token, ok3 := parseAuth(value)
	if !ok || !ok2 || !ok3 || !validText(user, MaxName) {
		return "", "", errBearer(XOAuth2)
	}
	return user, token, nil
}

// parseAuth reads what would be in the field Authorization (RFC 6750 §2.1); nothing is no
// token.
func parseAuth(value string) (token string, ok bool) {
	if value == "" {
		return "", true
	}
	scheme, token, ok := strings.Cut(value, " ")
	token = strings.TrimLeft(token, " ")
	return token, ok && strings.EqualFold(scheme, "Bearer") && isToken(token)
}

// isToken reports whether s is a b64token (RFC 6750 §2.1).
func isToken(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(tokenOctets, r) })
}

const tokenOctets = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"

// isKey reports whether s is 1*(ALPHA).
func isKey(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') })
}
