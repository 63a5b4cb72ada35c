// Command zitadel is a provider of OpenID Connect for a test of e2e: the library of Zitadel,
// which is certified, with the people and clients of its own example. It is a module of its
// own, so that what it brings along is nothing of yubin's.
//
//	zitadel ADDRESS CERT KEY
//
// It serves https at the address, logs one of its people in, as a browser would, and prints
// the tokens that a mail program got by that, as one line of JSON. Then it serves on.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The clients. That of JWTs gets such; the other gets tokens that only the provider can read.
const (
	jwtClient    = "jwt"
	opaqueClient = "opaque"
	secret       = "a secret"
	redirect     = "https://program.example/back"
)

// printed is the line of JSON.
type printed struct {
	JWT    string `json:"jwt"`
	Opaque string `json:"opaque"`
}

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(address, cert, key string) error {
	issuer := "https://" + address
	storage.RegisterClients(storage.WebClient(jwtClient, secret, redirect), storage.WebClient(opaqueClient, secret, redirect))
	people := people{storage.NewStorage(storage.NewUserStore(issuer))}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		ended <- http.ServeTLS(ln, exampleop.SetupServer(issuer, people, slog.Default(), false), cert, key)
	}()
	pem, err := os.ReadFile(cert)
	if err != nil {
		return err
	}
	b := newBrowser(issuer, pem)
	var out printed
	if out.JWT, err = b.token(jwtClient); err != nil {
		return err
	}
	if out.Opaque, err = b.token(opaqueClient); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return err
	}
	return <-ended
}

// people are those of the example; their JWTs tell the address, as the administrator of a
// provider would have them do for mail.
type people struct{ *storage.Storage }

func (p people) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := p.Storage.GetClientByClientID(ctx, id)
	if err == nil && id == jwtClient {
		c = withJWT{c}
	}
	return c, err
}

func (p people) GetPrivateClaimsFromScopes(_ context.Context, _, _ string, _ []string) (map[string]any, error) {
	return map[string]any{"email": "test-user@zitadel.ch", "email_verified": true}, nil
}

type withJWT struct{ op.Client }

func (withJWT) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

// browser follows the pages of a provider.
type browser struct {
	issuer string
	client http.Client
}

func newBrowser(issuer string, pem []byte) *browser {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &browser{issuer, http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// token logs somebody in, and has a client get a token by that (RFC 6749 §4.1).
func (b *browser) token(client string) (string, error) {
	q := url.Values{"client_id": {client}, "redirect_uri": {redirect}, "response_type": {"code"}, "scope": {"openid email"}, "state": {"x"}}
	login, err := b.leads(b.client.Get, "/auth?"+q.Encode())
	if err != nil {
		return "", err
	}
	form := url.Values{"id": {login.Query().Get("authRequestID")}, "username": {"test-user@127.0.0.1"}, "password": {"verysecure"}}
	back, err := b.leads(func(place string) (*http.Response, error) { return b.client.PostForm(place, form) }, "/login/username")
	if err != nil {
		return "", err
	}
	program, err := b.leads(b.client.Get, back.RequestURI())
	if err != nil {
		return "", err
	}
	form = url.Values{"grant_type": {"authorization_code"}, "code": {program.Query().Get("code")}, "redirect_uri": {redirect}}
	answer, err := b.client.PostForm("https://"+client+":"+url.QueryEscape(secret)+"@"+b.issuer[len("https://"):]+"/oauth/token", form)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var got struct {
		Token string `json:"access_token"`
		Error string `json:"error_description"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil || got.Token == "" {
		return "", fmt.Errorf("no token for %s: %s %s %v", client, answer.Status, got.Error, err)
	}
	return got.Token, nil
}

// leads asks for a path, and says where that leads to.
func (b *browser) leads(ask func(string) (*http.Response, error), path string) (*url.URL, error) {
	answer, err := ask(b.issuer + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	to := answer.Header.Get("Location")
	if to == "" {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
		return nil, fmt.Errorf("%s leads nowhere: %s %s", path, answer.Status, text)
	}
	return url.Parse(to)
}
