package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The self-signed certificate.
const (
	selfSignedFile  = "self-signed.pem"
	selfSignedYears = 20
	clockSkew       = 24 * time.Hour // a client's clock may be behind ours
	renewBefore     = 365 * 24 * time.Hour
)

// SelfSigned returns the files of a certificate for host that nobody but its
// owner trusts, in folder, so that a new server has TLS from its first minute.
// It is made when there is none, and again when the host name changed or it
// nears its end. Certificate and key are one file of mode 0600, written whole
// or not at all.
func SelfSigned(folder, host string, now time.Time) (Files, error) {
	name := filepath.Join(folder, selfSignedFile)
	files := Files{Cert: name, Key: name}
	p := &pair{files: files}
	switch err := p.load(); {
	case err == nil:
		leaf := p.current().cert.Leaf
		if now.Add(renewBefore).Before(leaf.NotAfter) && (host == "" || leaf.VerifyHostname(host) == nil) {
			return files, nil
		}
	case !missing(name):
		return Files{}, fmt.Errorf("%w (delete %s and a new one is made)", err, name)
	}
	text, err := makeSelfSigned(host, now)
	if err != nil {
		return Files{}, err
	}
	if err := writeWhole(name, text); err != nil {
		return Files{}, fmt.Errorf("the self-signed certificate cannot be written to %s: make the folder writable for the user that runs yubin: %w", name, err)
	}
	return files, nil
}

func missing(name string) bool {
	_, err := os.Stat(name)
	return errors.Is(err, fs.ErrNotExist)
}

// makeSelfSigned returns the PEM of a certificate for host and this computer's
// loopback names, and of its key.
func makeSelfSigned(host string, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	cert := template(host, serial, now)
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("host name %q does not go into a certificate: %w", host, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...), nil
}

func template(host string, serial *big.Int, now time.Time) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "yubin self-signed"},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.AddDate(selfSignedYears, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	switch ip := net.ParseIP(host); {
	case ip != nil:
		c.IPAddresses = append(c.IPAddresses, ip)
	case host != "" && host != "localhost":
		c.DNSNames = append([]string{host}, c.DNSNames...)
	}
	return c
}

// writeWhole replaces the file name by text, for the owner only. After a crash
// the old file or the new one is there.
func writeWhole(name string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	return syncFolder(filepath.Dir(name))
}

func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
