package openid

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"yubin/internal/mail"
	"yubin/internal/world/web"
)

// metadata is what of the metadata of a provider counts here (Discovery 1.0 §3, RFC 8414 §2).
type metadata struct {
	Issuer        string `json:"issuer"`
	KeysURL       string `json:"jwks_uri"`
	Introspection string `json:"introspection_endpoint"`
}

// Sizes of RSA keys that count, in bits: RFC 7518 §3.3, and what a signature may cost.
const (
	minRSA = 2048
	maxRSA = 8192
)

// fetch asks the provider what it publishes. The errors say what is wrong, in words for an
// administrator.
func (p *Provider) fetch(ctx context.Context) (*known, error) {
	text, err := p.site.Get(ctx, p.MetadataURL(), MaxAnswer)
	if err != nil {
		return nil, err
	}
	k := &known{at: p.o.Now()}
	if err := json.Unmarshal(text, &k.metadata); err != nil {
		return nil, mail.Errorf(mail.Unavailable, "%s is no metadata of a provider: it cannot be read as JSON", p.MetadataURL())
	}
	if k.Issuer != p.o.Issuer { // Discovery 1.0 §4.3: else it could be another who says so.
		return nil, mail.Errorf(mail.Unavailable, "the issuer in %s is %.100q, not %q: they must be the same, letter for letter", p.MetadataURL(), k.Issuer, p.o.Issuer)
	}
	if p.o.Introspect {
		if _, err := web.ParsePlace(k.Introspection); err != nil {
			return nil, mail.Errorf(mail.Unavailable, "the provider has no introspection_endpoint that is spoken to by HTTPS (%.100q)", k.Introspection)
		}
		return k, nil
	}
	if _, err := web.ParsePlace(k.KeysURL); err != nil {
		return nil, mail.Errorf(mail.Unavailable, "the provider has no jwks_uri that is spoken to by HTTPS (%.100q)", k.KeysURL)
	}
	if text, err = p.site.Get(ctx, k.KeysURL, MaxAnswer); err != nil {
		return nil, err
	}
	k.keys, err = parseKeys(text)
	return k, err
}

// parseKeys reads a set of keys (RFC 7517 §5). Those that sign nothing here are left out: of
// kinds that are not known, secret ones, too short ones, those for something else.
func parseKeys(text []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, mail.Errorf(mail.Unavailable, "the keys of the provider cannot be read: they are no JSON Web Key Set")
	}
	if len(set.Keys) > MaxKeys {
		return nil, mail.Errorf(mail.Unavailable, "the provider has %d keys, more than %d", len(set.Keys), MaxKeys)
	}
	var keys []jose.JSONWebKey
	for _, one := range set.Keys {
		var members map[string]json.RawMessage
		var key jose.JSONWebKey
		if json.Unmarshal(one, &members) != nil || isSecret(members) || key.UnmarshalJSON(one) != nil {
			continue
		}
		if (key.Use == "" || key.Use == "sig") && kindOf(key.Key) != "" && len(key.KeyID) <= maxText {
			key.Certificates, key.CertificatesURL = nil, nil
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, mail.Errorf(mail.Unavailable, "the provider publishes no key that signs: RSA of %d bits and more, P-256, P-384, P-521 or Ed25519", minRSA)
	}
	return keys, nil
}

// isSecret reports whether a key has what its owner alone should know (RFC 7518 §6).
func isSecret(members map[string]json.RawMessage) bool {
	for _, name := range []string{"k", "d", "p", "q", "dp", "dq", "qi", "oth", "priv"} {
		if _, has := members[name]; has {
			return true
		}
	}
	return false
}

// kindOf names a key that signs tokens; "" for others.
func kindOf(key any) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits >= minRSA && bits <= maxRSA {
			return "RSA"
		}
	case *ecdsa.PublicKey:
		return "EC"
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return ""
}

// algorithms are those that tokens may be signed with: never "none", and nothing that needs a
// secret which we would have too.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// fitting are the keys that a token may be signed with: the one that it names, or if it
// names none, those of its algorithm.
func (k *known) fitting(id string, algorithm jose.SignatureAlgorithm) []jose.JSONWebKey {
	kind := map[byte]string{'R': "RSA", 'P': "RSA", 'E': "EC"}[algorithm[0]]
	if algorithm == jose.EdDSA {
		kind = "Ed25519"
	}
	var list []jose.JSONWebKey
	for _, key := range k.keys {
		if (id == "" || key.KeyID == id) && kindOf(key.Key) == kind && (key.Algorithm == "" || key.Algorithm == string(algorithm)) {
			list = append(list, key)
		}
	}
	return list[:min(len(list), maxTries)]
}

func isTaken(algorithm string) bool {
	return slices.Contains(algorithms, jose.SignatureAlgorithm(algorithm))
}
