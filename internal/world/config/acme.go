package config

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// ACME is the [acme] table: certificates that an authority makes, and that are renewed.
type ACME struct {
	On         bool   // the table is there
	Directory  string // the URL of the authority
	Email      mail.Address
	Challenge  Challenge
	Names      []string // beside the host name, in its certificate
	EABKeyID   string
	EABKeyFile string
	Root       string // a file in PEM of who signs the authority's own server; "" is whom the system knows

	line int // in the file; for faults
}

// Challenge is how it is shown that names are ours.
type Challenge string

// The challenges.
const (
	ChallengeHTTP Challenge = "http-01"
	ChallengeTLS  Challenge = "tls-alpn-01"
	ChallengeDNS  Challenge = "dns-01"
)

// The directories of Let's Encrypt.
const (
	letsEncrypt        = "https://acme-v02.api.letsencrypt.org/directory"
	letsEncryptStaging = "https://acme-staging-v02.api.letsencrypt.org/directory"
)

// Bounds of the [acme] table.
const (
	maxACMENames = 50
	maxEABKeyID  = 200
	maxEABFile   = 16 << 10
)

func (t *table) acme(a *ACME) {
	var staging, agreed bool
	t.boolean("staging", &staging)
	a.line = t.line("")
	a.On, a.Directory, a.Challenge = true, letsEncrypt, ChallengeTLS
	if staging {
		a.Directory = letsEncryptStaging
	}
	if _, named := t.values["directory"]; named && staging {
		t.fault("staging", "is about Let's Encrypt, and directory names another authority: write one of the two")
	}
	t.text("directory", &a.Directory)
	if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		t.fault("directory", "must be the URL of the directory of an authority, like %q, not %q", letsEncrypt, a.Directory)
	}
	t.address("email", &a.Email)
	choice(t, "challenge", &a.Challenge, ChallengeTLS, ChallengeHTTP, ChallengeDNS)
	for _, s := range t.texts("names", maxACMENames) {
		plain, wild := strings.CutPrefix(s, "*.")
		d, err := mail.ParseDomain(plain)
		switch {
		case err != nil || d.IsLiteral() || strings.Contains(s, " "):
			t.fault("names", `must be names of hosts, like "imap.example.org", not %q`, s)
		case wild && a.Challenge != ChallengeDNS:
			t.fault("names", `%q is many names, which only challenge = "dns-01" can show`, s)
		default:
			a.Names = append(a.Names, s[:len(s)-len(plain)]+string(d))
		}
	}
	t.text("eab_key_id", &a.EABKeyID)
	t.text("eab_key_file", &a.EABKeyFile)
	if len(a.EABKeyID) > maxEABKeyID {
		t.fault("eab_key_id", "has over %d octets", maxEABKeyID)
	}
	if (a.EABKeyID == "") != (a.EABKeyFile == "") {
		t.faults.add(t.line(""), "eab_key_id and eab_key_file belong together: the authority gives both")
	}
	t.text("root", &a.Root)
	if t.boolean("agree_to_terms", &agreed); !agreed {
		t.faults.add(t.line(""), "agree_to_terms is missing: read the terms of the authority, then write agree_to_terms = true")
	}
}

// checkACME finds what the challenge lacks.
func (c *Config) checkACME(f *Faults) {
	if !c.ACME.On {
		return
	}
	has := func(is func(l Listener) bool) bool { return slices.ContainsFunc(c.Listeners, is) }
	switch c.ACME.Challenge {
	case ChallengeHTTP:
		if !has(func(l Listener) bool { return l.Protocol == HTTP && l.TLS == TLSNone }) {
			f.add(c.ACME.line, `challenge = "http-01" needs a [[listener]] with protocol = "http", on port 80 or where what is on port 80 leads to`)
		}
	case ChallengeDNS:
		if !c.DNSUpdate.Server.IsValid() {
			f.add(c.ACME.line, `challenge = "dns-01" needs [dns_update], with a zone in which the names are`)
		}
	case ChallengeTLS:
		if !has(func(l Listener) bool { return l.TLS == TLSImplicit }) {
			f.add(c.ACME.line, `challenge = "tls-alpn-01" needs a [[listener]] with protocol = "https" on port 443, or another with tls = "implicit" where what is on port 443 leads to`)
		}
	}
}

// EAB reads the key of the account that the operator has with the authority, in base64url. The
// error says what to do.
func (a ACME) EAB() (key string, err error) {
	if a.EABKeyFile == "" {
		return "", nil
	}
	info, err := os.Stat(a.EABKeyFile)
	if err == nil && info.Mode().Perm()&0o027 != 0 {
		return "", fmt.Errorf("%s: others can read or change it (mode %04o); chmod 600 closes it", a.EABKeyFile, info.Mode().Perm())
	}
	text, err := files.ReadFile(a.EABKeyFile, maxEABFile)
	if err != nil {
		return "", err
	}
	key = strings.TrimRight(strings.TrimSpace(string(text)), "=")
	key = strings.NewReplacer("+", "-", "/", "_").Replace(key)
	if b, err := base64.RawURLEncoding.DecodeString(key); err != nil || len(b) == 0 {
		return "", fmt.Errorf("%s has no key: it is what the authority calls the HMAC key, in base64", a.EABKeyFile)
	}
	return key, nil
}

// Roots reads Root; nil for whom the system knows.
func (a ACME) Roots() (pem []byte, err error) {
	if a.Root == "" {
		return nil, nil
	}
	return files.ReadFile(a.Root, MaxFile)
}
