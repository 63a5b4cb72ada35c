// Package acmetest is a certificate authority for tests: pebble, of the makers of Let's
// Encrypt, in this process on loopback. It rejects good nonces now and then, as they have it
// do, to find out who does not try again.
package acmetest

import (
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// Options are how the authority is.
type Options struct {
	HTTPPort, TLSPort int               // where it looks for what http-01 and tls-alpn-01 show
	Resolver          string            // host:port of the DNS that it asks
	BadNonces         int               // percent of good nonces that are rejected
	Accounts          map[string]string // key ids with their MAC keys in base64url: others get no account
	Blocked           []string          // names that get no certificate
	Lifetime          uint64            // of certificates, in seconds; 0 is pebble's
}

// Authority is a running one.
type Authority struct {
	Directory string         // its URL
	Roots     *x509.CertPool // who signed the certificate of its own server
	RootPEM   []byte         // that, as a file
	Issuers   *x509.CertPool // who signs what it makes
	IssuerPEM []byte         // that, as a file
}

// Start runs one until the test ends. It sets the environment of the test, as pebble takes
// no other settings.
func Start(t *testing.T, o Options) *Authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", strconv.Itoa(o.BadNonces))
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	for id, key := range o.Accounts {
		if err := store.AddExternalAccountKeyByID(id, key); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range o.Blocked {
		if err := store.AddBlockedDomain(name); err != nil {
			t.Fatal(err)
		}
	}
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "for tests", ValidityPeriod: o.Lifetime}})
	validator := va.New(quiet, o.HTTPPort, o.TLSPort, true, o.Resolver, store)
	front := wfe.New(quiet, store, validator, issuer, []string{"ca.test"}, true, len(o.Accounts) > 0, 0, 0)
	server := httptest.NewTLSServer(front.Handler())
	t.Cleanup(server.Close)
	a := &Authority{Directory: server.URL + wfe.DirectoryPath, Roots: x509.NewCertPool(), Issuers: x509.NewCertPool(),
		RootPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})}
	a.Roots.AddCert(server.Certificate())
	a.Issuers.AddCert(issuer.GetRootCert(0).Cert)
	a.IssuerPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.GetRootCert(0).Cert.Raw})
	return a
}

// Hostile runs a server that is no authority until the test ends, with handler behind a
// directory that leads to it. It returns the URL of the directory and who signed its
// certificate.
func Hostile(t *testing.T, handler http.Handler) (directory string, roots *x509.CertPool) {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	roots = x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return server.URL, roots
}
