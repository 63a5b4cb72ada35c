// Package openidtest is a provider of OpenID Connect for tests, in this process on loopback:
// metadata, keys, introspection, and tokens of every kind, right and wrong ones. It gives
// tokens to tests and has no pages for people. What it answers can be replaced, to be hostile.
package openidtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// Where it is asked.
const (
	MetadataPath      = "/.well-known/openid-configuration"
	KeysPath          = "/keys"
	IntrospectionPath = "/introspect"
)

// ClientID and Secret are of the client that may ask about tokens.
const (
	ClientID = "mail server"
	Secret   = "a secret: 100%"
)

// Audience and Scope are those of its tokens.
const (
	Audience = "mail"
	Scope    = "mail.access"
)

// Claims are those of a token. A claim that is nil is left out.
type Claims map[string]any

// Provider is a running one. Safe for concurrent use.
type Provider struct {
	Issuer  string
	Roots   *x509.CertPool // who signed the certificate of its server
	RootPEM []byte         // that, as a file
	Now     func() time.Time

	server *httptest.Server
	mu     sync.Mutex
	keys   []Key
	asked  map[string]int
	answer map[string]http.HandlerFunc
	opaque map[string]Claims
}

// Key is a key of the provider.
type Key struct {
	ID      string
	Private crypto.Signer
	Hidden  bool // it is not published
}

// New starts a provider with one key, "1".
func New() *Provider {
	p := &Provider{Now: time.Now, asked: map[string]int{}, answer: map[string]http.HandlerFunc{}, opaque: map[string]Claims{}}
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.server.StartTLS()
	p.Issuer, p.Roots = p.server.URL, x509.NewCertPool()
	p.Roots.AddCert(p.server.Certificate())
	p.RootPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})
	p.keys = []Key{NewKey("1", "RSA")}
	return p
}

// Close stops it.
func (p *Provider) Close() {
	p.server.CloseClientConnections()
	p.server.Close()
}

// NewKey makes a key: "RSA", "EC" or "Ed25519".
func NewKey(id, kind string) Key {
	var private crypto.Signer
	var err error
	switch kind {
	case "EC":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "Ed25519":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		panic(err) // The computer cannot make one.
	}
	return Key{ID: id, Private: private}
}

// SetKeys replaces its keys; the first signs.
func (p *Provider) SetKeys(keys ...Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keys
}

// Answer has a path be answered otherwise; nil as usual again.
func (p *Provider) Answer(path string, h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.answer, path)
	if h != nil {
		p.answer[path] = h
	}
}

// Asked says how often a path was asked for.
func (p *Provider) Asked(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[path]
}

// Claims are those of a right token for an address, with others in their place.
func (p *Provider) Claims(address string, others Claims) Claims {
	now := p.Now()
	c := Claims{"iss": p.Issuer, "sub": "subject of " + address, "aud": Audience, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"client_id": "a mail program", "scope": "openid " + Scope, "email": address, "email_verified": true}
	for name, value := range others {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
	return c
}

// Token makes a right token for an address, with other claims in the place of its own.
func (p *Provider) Token(address string, others Claims) string {
	p.mu.Lock()
	key := p.keys[0]
	p.mu.Unlock()
	return key.Sign(p.Claims(address, others), nil)
}

// Opaque makes a token that only the provider can read.
func (p *Provider) Opaque(address string, others Claims) string {
	token := "opaque-" + rand.Text()
	c := p.Claims(address, others)
	if _, said := c["active"]; !said {
		c["active"] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opaque[token] = c
	return token
}

// Revoke ends a token that only the provider can read.
func (p *Provider) Revoke(token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.opaque, token)
}

// Sign makes a JWT of claims with a key, with other fields in the place of those of its header.
func (k Key) Sign(c Claims, header Claims) string {
	h := Claims{"kid": k.ID, "typ": "at+jwt", "alg": k.algorithm()}
	maps.Copy(h, header)
	text := encode(h) + "." + encode(c)
	digest := sha256.Sum256([]byte(text))
	var signature []byte
	var err error
	switch private := k.Private.(type) {
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(nil, private, crypto.SHA256, digest[:])
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, private, digest[:]); err == nil {
			signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	case ed25519.PrivateKey:
		signature = ed25519.Sign(private, []byte(text))
	}
	if err != nil {
		panic(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func (k Key) algorithm() string {
	switch k.Private.(type) {
	case *rsa.PrivateKey:
		return "RS256"
	case *ecdsa.PrivateKey:
		return "ES256"
	}
	return "EdDSA"
}

// JWK is the key as it is published.
func (k Key) JWK() Claims {
	out := Claims{"kid": k.ID, "use": "sig", "alg": k.algorithm()}
	b64 := base64.RawURLEncoding.EncodeToString
	switch public := k.Private.Public().(type) {
	case *rsa.PublicKey:
		out["kty"], out["n"], out["e"] = "RSA", b64(public.N.Bytes()), b64(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := public.Bytes() // 4, x, y
		if err != nil {
			panic(err)
		}
		out["kty"], out["crv"], out["x"], out["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case ed25519.PublicKey:
		out["kty"], out["crv"], out["x"] = "OKP", "Ed25519", b64(public)
	}
	return out
}

func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func (p *Provider) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked[r.URL.Path]++
	other := p.answer[r.URL.Path]
	p.mu.Unlock()
	switch {
	case other != nil:
		other(w, r)
	case r.URL.Path == MetadataPath:
		p.Write(w, p.Metadata())
	case r.URL.Path == KeysPath:
		p.Write(w, p.published())
	case r.URL.Path == IntrospectionPath && r.Method == http.MethodPost:
		p.introspect(w, r)
	default:
		http.NotFound(w, r)
	}
}

// Write answers with JSON.
func (p *Provider) Write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// Metadata is what it says of itself.
func (p *Provider) Metadata() Claims {
	return Claims{"issuer": p.Issuer, "jwks_uri": p.Issuer + KeysPath, "introspection_endpoint": p.Issuer + IntrospectionPath,
		"authorization_endpoint": p.Issuer + "/authorize", "token_endpoint": p.Issuer + "/token",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"}}
}

func (p *Provider) published() Claims {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := []Claims{}
	for _, k := range p.keys {
		if !k.Hidden {
			list = append(list, k.JWK())
		}
	}
	return Claims{"keys": list}
}

func (p *Provider) introspect(w http.ResponseWriter, r *http.Request) {
	// RFC 6749 §2.3.1, as it is sent.
	if user, password, _ := r.BasicAuth(); user != "mail+server" || password != "a+secret%3A+100%25" {
		w.Header().Set("WWW-Authenticate", "Basic")
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	p.mu.Lock()
	c, known := p.opaque[r.PostFormValue("token")]
	p.mu.Unlock()
	if !known {
		c = Claims{"active": false}
	}
	p.Write(w, c)
}
