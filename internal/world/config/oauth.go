package config

import (
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/files"
	"yubin/internal/world/web"
)

// OAuth is the [oauth] table: the provider of OpenID Connect whose tokens people log in with.
type OAuth struct {
	On           bool     // the table is there
	Issuer       string   // its URL, letter for letter as it calls itself
	Audience     []string // of which a token must name one
	Scope        string   // that a token must have; "" for none
	Introspect   bool     // the provider is asked about every token
	ClientID     string   // who asks
	SecretFile   string   // the file of its password
	Claim        string   // that names the account
	Domains      []mail.Domain
	MakeAccounts bool   // who is vouched for and has no account gets one
	Root         string // a file in PEM of who signs the provider's server; "" is whom the system knows
}

// Bounds of the [oauth] table.
const (
	maxAudience     = 16
	maxOAuthDomains = 1000
	maxOAuthText    = 200 // octets of what is named
	maxSecretFile   = 16 << 10
)

func (t *table) oauth(o *OAuth) {
	o.On, o.Claim = true, "email"
	t.required("issuer", &o.Issuer)
	if _, err := web.ParsePlace(o.Issuer); o.Issuer != "" && (err != nil || strings.Contains(o.Issuer, "?")) {
		t.fault("issuer", `must be the URL of the provider as it calls itself, like "https://id.example.org/realms/mail", not %q`, o.Issuer)
	}
	o.Audience = t.texts("audience", maxAudience)
	t.text("scope", &o.Scope)
	t.boolean("introspection", &o.Introspect)
	t.text("client_id", &o.ClientID)
	t.text("client_secret_file", &o.SecretFile)
	t.text("account_claim", &o.Claim)
	for key, text := range map[string]string{"issuer": o.Issuer, "scope": o.Scope, "client_id": o.ClientID, "account_claim": o.Claim} {
		if len(text) > maxOAuthText {
			t.fault(key, "has over %d octets", maxOAuthText)
		}
	}
	if strings.ContainsAny(o.Scope, " \t") {
		t.fault("scope", "must be one scope, without spaces")
	}
	for _, a := range o.Audience {
		if a == "" || len(a) > maxOAuthText {
			t.fault("audience", "must be names of 1 to %d octets", maxOAuthText)
		}
	}
	switch {
	case len(o.Audience) == 0 && !o.Introspect:
		t.faults.add(t.line(""), "audience is missing: without it a token that the provider gave for something else would open mailboxes")
	case len(o.Audience) == 0 && o.Scope == "":
		t.faults.add(t.line(""), "audience or scope is missing: without one of them a token that the provider gave for something else would open mailboxes")
	}
	if o.Introspect != (o.ClientID != "") || o.Introspect != (o.SecretFile != "") {
		t.faults.add(t.line(""), "introspection, client_id and client_secret_file belong together: the provider is asked about tokens by a client that it knows")
	}
	names := t.texts("domains", maxOAuthDomains)
	if len(names) == 0 {
		t.fault("domains", "must name the domains whose accounts the provider speaks for")
	}
	for _, s := range names {
		d, err := mail.ParseDomain(s)
		if err != nil || d.IsLiteral() {
			t.fault("domains", "must be domain names, not %q", s)
			continue
		}
		o.Domains = append(o.Domains, d)
	}
	t.boolean("make_accounts", &o.MakeAccounts)
	t.text("root", &o.Root)
}

// Secret reads the password of the client. The error says what to do.
func (o OAuth) Secret() (string, error) {
	if o.SecretFile == "" {
		return "", nil
	}
	info, err := os.Stat(o.SecretFile)
	if err == nil && info.Mode().Perm()&0o027 != 0 {
		return "", fmt.Errorf("%s: others can read or change it (mode %04o); chmod 600 closes it", o.SecretFile, info.Mode().Perm())
	}
	text, err := files.ReadFile(o.SecretFile, maxSecretFile)
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" || strings.ContainsAny(secret, "\r\n") {
		return "", fmt.Errorf("%s has no secret: it is one line", o.SecretFile)
	}
	return secret, nil
}

// Roots reads Root; nil for whom the system knows. The error says what to do.
func (o OAuth) Roots() (*x509.CertPool, error) {
	if o.Root == "" {
		return nil, nil
	}
	pem, err := files.ReadFile(o.Root, MaxFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("there is no certificate in %s: it must be PEM", o.Root)
	}
	return pool, nil
}
