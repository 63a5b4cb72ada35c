package zone

import (
	"crypto/sha256"
	"crypto/x509"

	"yubin/internal/mailauth/dane"
	"yubin/internal/world/certs"
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
	return certs.Doubt(chain, name, z.o.Roots, z.o.Now())
}
