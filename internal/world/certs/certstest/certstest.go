// Package certstest makes certificates for tests: in memory, trusted by the
// client configuration that comes with them.
package certstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"time"
)

// Cert is a self-signed certificate and those who trust it.
type Cert struct {
	pair tls.Certificate
	pool *x509.CertPool
}

// New returns a certificate for names. It panics if the computer cannot make
// one. It is valid from 1999 on, so also in a testing/synctest bubble.
func New(names ...string) Cert {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     names,
		NotBefore:    time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return Cert{pair: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool: pool}
}

// Server returns the tls.Config of a server with the certificate.
func (c Cert) Server() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &c.pair, nil },
	}
}

// Client returns the tls.Config of a client that trusts the certificate and
// connects to name with no version beyond max; 0 is the newest.
func (c Cert) Client(name string, max uint16) *tls.Config {
	return &tls.Config{RootCAs: c.pool, ServerName: name, MinVersion: tls.VersionTLS12, MaxVersion: max}
}

// Leaf returns the certificate itself.
func (c Cert) Leaf() *x509.Certificate { return c.pair.Leaf }
