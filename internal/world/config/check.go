package config

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"yubin/internal/world/certs"
)

// check finds what is wrong with the parts taken together.
func (c *Config) check(f *Faults) {
	seen := map[string]int{}
	for _, l := range c.Listeners {
		if first, twice := seen[l.Address]; twice && l.Address != "" && !strings.HasSuffix(l.Address, ":0") {
			f.add(l.Line, "address %q is taken by the listener on line %d", l.Address, first)
		}
		seen[l.Address] = l.Line
		l.check(f)
	}
	c.checkACME(f)
	if line, needs := c.needsCertificate(); needs && len(c.TLS.Certificates) == 0 && !c.TLS.SelfSigned && !c.ACME.On {
		f.add(line, "TLS needs a certificate: add [acme] to have one made, a [[certificate]] with cert and key, or [tls] self_signed = true to try things out")
	}
}

// needsCertificate returns the line of the first listener that speaks TLS.
func (c *Config) needsCertificate() (line int, needs bool) {
	for _, l := range c.Listeners {
		if l.TLS != TLSNone {
			return l.Line, true
		}
	}
	return 0, false
}

func (l Listener) check(f *Faults) {
	_, port, err := splitAddress(l.Address)
	if err != nil {
		return
	}
	if l.Profile == ProfileLMTP && port == 25 {
		f.add(l.Line, "LMTP must not use port 25 (RFC 2033)")
	}
	logins := l.Protocol == IMAP || l.Protocol == POP3 || l.Profile == ProfileSubmission
	if logins && l.TLS == TLSNone && !l.Loopback() {
		f.add(l.Line, `people log in here, so tls = "none" is for loopback addresses only`)
	}
}

// Verify opens what c names: certificates, their keys and the place of the
// data folder. The error is *Faults for file.
func (c *Config) Verify(file string) error {
	faults := &Faults{File: file}
	certs.Inspect(c.TLS.Files(), func(i int, err error) { faults.add(c.TLS.Certificates[i].Line, "%v", err) })
	if _, err := c.ACME.EAB(); err != nil {
		faults.add(0, "acme.eab_key_file: %s", explain(err))
	}
	if pem, err := c.ACME.Roots(); err != nil {
		faults.add(0, "acme.root: %s", explain(err))
	} else if c.ACME.Root != "" && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		faults.add(0, "acme.root: there is no certificate in %s: it must be PEM", c.ACME.Root)
	}
	if _, err := c.OAuth.Secret(); err != nil {
		faults.add(0, "oauth.client_secret_file: %s", explain(err))
	}
	if _, err := c.OAuth.Roots(); err != nil {
		faults.add(0, "oauth.root: %s", explain(err))
	}
	for _, l := range c.LDAP {
		l.verify(faults)
	}
	if info, err := os.Stat(c.Data); err == nil && !info.IsDir() {
		faults.add(0, "data: %s is not a folder", c.Data)
	} else if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Dir(c.Data)); err != nil {
			faults.add(0, "data: the folder above %s: %s", c.Data, explain(err))
		}
	}
	return faults.err()
}

// explain shortens err to what a person can act on.
func explain(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Path + ": " + path.Err.Error()
	}
	return unlabelled(err)
}

// unlabelled is the text of err without the name of the package it is from.
func unlabelled(err error) string {
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "toml: "), "tls: ")
}
