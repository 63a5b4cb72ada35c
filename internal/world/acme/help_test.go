package acme_test

import (
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"time"
)

func template(name string, until time.Time) *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(7), DNSNames: []string{name}, NotBefore: until.AddDate(-2, 0, 0), NotAfter: until, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, AuthorityKeyId: []byte{1, 2, 3}, SubjectKeyId: []byte{1, 2, 3}}
}

func pemOf(chain ...[]byte) (text string) {
	for _, der := range chain {
		text += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return text
}
