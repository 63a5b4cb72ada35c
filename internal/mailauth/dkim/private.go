package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"

	"yubin/internal/mail"
)

// PrivateKey makes signatures.
type PrivateKey struct {
	rsa     *rsa.PrivateKey // one of the two
	ed25519 ed25519.PrivateKey
}

// NewPrivateKey takes an *rsa.PrivateKey of MinBits to MaxBits or an ed25519.PrivateKey.
// The error is of kind mail.Invalid.
func NewPrivateKey(key crypto.PrivateKey) (*PrivateKey, error) {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if bits := key.N.BitLen(); bits < MinBits || bits > MaxBits {
			return nil, mail.Errorf(mail.Invalid, "an RSA key must have %d to %d bits, not %d", MinBits, MaxBits, bits)
		}
		return &PrivateKey{rsa: key}, nil
	case ed25519.PrivateKey:
		return &PrivateKey{ed25519: key}, nil
	}
	return nil, mail.Errorf(mail.Invalid, "the key is neither an RSA nor an Ed25519 key")
}

// ParsePrivateKey reads a key in PEM: PKCS #8, or PKCS #1 for RSA. The error is of kind
// mail.Invalid and tells nothing of the key.
func ParsePrivateKey(text []byte) (*PrivateKey, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var key crypto.PrivateKey
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, mail.Errorf(mail.Invalid, "the private key is not valid")
		}
		return NewPrivateKey(key)
	}
	return nil, mail.Errorf(mail.Invalid, "there is no private key: it must be in PEM, PKCS #8 or PKCS #1, and not encrypted")
}

// Algorithm is that of the signatures which k makes.
func (k *PrivateKey) Algorithm() Algorithm {
	if k.rsa != nil {
		return RSASHA256
	}
	return Ed25519SHA256
}

// Record is the text of the key record to be published (RFC 6376 §3.6.1).
func (k *PrivateKey) Record() string {
	if k.rsa != nil {
		der, err := x509.MarshalPKIXPublicKey(&k.rsa.PublicKey)
		if err != nil {
			panic("dkim: an RSA key that cannot be written: " + err.Error())
		}
		return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
	}
	return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(k.ed25519.Public().(ed25519.PublicKey))
}

// Sign makes the signature of hashed (SHA-256): the same each time.
func (k *PrivateKey) Sign(hashed []byte) ([]byte, error) {
	if k.rsa != nil {
		return rsa.SignPKCS1v15(nil, k.rsa, crypto.SHA256, hashed)
	}
	return ed25519.Sign(k.ed25519, hashed), nil
}
