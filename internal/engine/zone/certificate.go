package zone

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"

	"yubin/internal/mailauth/dane"
)

// tlsaOf is the TLSA record of a public key.
func tlsaOf(spki []byte) dane.Record {
	sum := sha256.Sum256(spki)
	return dane.Record{Usage: dane.EE, Selector: dane.SPKI, Matching: dane.SHA256, Data: sum[:]}
}

// believed says why others do not believe the certificate that this server shows for a
// name; "" if they do.
func (z *Zone) believed(name string) string {
	return z.doubt(z.o.Certificates.Shown(name), name)
}

// doubt says why others do not believe a certificate of a host of that name.
func (z *Zone) doubt(chain []*x509.Certificate, name string) string {
	if len(chain) == 0 {
		return "there is none"
	}
	above := x509.NewCertPool()
	for _, c := range chain[1:] {
		above.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: z.o.Roots, Intermediates: above, DNSName: name, CurrentTime: z.o.Now()})
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var other x509.HostnameError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if z.o.Now().Before(chain[0].NotBefore) {
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
