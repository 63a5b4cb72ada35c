package acme

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"

	"yubin/internal/mail"
)

// ALPN is the protocol in which tls-alpn-01 is shown (RFC 8737 §4): a handshake, and nothing
// after it.
const ALPN = "acme-tls/1"

// identifier is id-pe-acmeIdentifier (RFC 8737 §6.1).
var identifier = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}

// Shown is the certificate of tls-alpn-01: self-signed, for the one name, with the hash of
// the key authorization in a critical extension (RFC 8737 §3).
func Shown(name, keyAuthorization string, now time.Time) (*tls.Certificate, error) {
	sum := sha256.Sum256([]byte(keyAuthorization))
	value, err := asn1.Marshal(sum[:])
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ACME challenge"}, DNSNames: []string{name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		ExtraExtensions: []pkix.Extension{{Id: identifier, Critical: true, Value: value}},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, &mail.Error{Kind: mail.Internal, Text: "the certificate of a challenge cannot be made", Err: err}
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
