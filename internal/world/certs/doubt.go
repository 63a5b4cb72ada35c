package certs

import (
	"crypto/x509"
	"errors"
	"time"
)

// Doubt says why others do not believe a certificate, with those above it, of a host of that
// name; "" if they do. Roots are whom they believe; nil is whom the system does.
func Doubt(chain []*x509.Certificate, name string, roots *x509.CertPool, now time.Time) string {
	if len(chain) == 0 {
		return "there is none"
	}
	above := x509.NewCertPool()
	for _, c := range chain[1:] {
		above.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: above, DNSName: name, CurrentTime: now})
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var other x509.HostnameError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if now.Before(chain[0].NotBefore) {
			return "it is good from " + chain[0].NotBefore.UTC().Format("2006-01-02") + " on only"
		}
		return "it has ended, on " + chain[0].NotAfter.UTC().Format("2006-01-02")
	case errors.As(err, &other):
		return "it is for another name"
	case errors.As(err, &unknown):
		return "it was signed by nobody whom everybody knows"
	}
	return "it is not valid"
}
