// Package dane is the language of DANE as SMTP uses it (RFC 7672, with RFC 6698 and RFC
// 7671): TLSA records, which of them can be used, and whether what a host shows is what
// they name.
//
//	usage        what is compared         what else must be right
//	DANE-EE (3)  the host's certificate   nothing: neither names nor dates (§3.1.1)
//	DANE-TA (2)  one of those above it    the chain up to it, its dates, and a name (§3.1.2)
//	others       —                        they cannot be used (§3.1.3)
//
// It is pure: who asks the DNS, and when, is engine/hosts (policy.go).
package dane

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
)

// Usages of a certificate (RFC 6698 §2.1.1, RFC 7218).
const (
	PKIXTA uint8 = 0
	PKIXEE uint8 = 1
	TA     uint8 = 2
	EE     uint8 = 3
)

// Selectors: what of a certificate is compared (RFC 6698 §2.1.2).
const (
	Cert uint8 = 0 // all of it
	SPKI uint8 = 1 // its public key
)

// Matching types: how it is compared (RFC 6698 §2.1.3).
const (
	Full   uint8 = 0
	SHA256 uint8 = 1
	SHA512 uint8 = 2
)

// Limits.
const (
	MaxRecords = 64 // of one host that are looked at, of those that can be used
	MaxChain   = 16 // certificates that a host shows which are looked at
)

// Record is a TLSA record.
type Record dns.TLSA

// FromCertificate is the record that names cert in a way. It is zero if there is no such
// selector or matching type.
func FromCertificate(usage, selector, matching uint8, cert *x509.Certificate) Record {
	data, ok := selected(selector, matching, cert)
	if !ok {
		return Record{}
	}
	return Record{Usage: usage, Selector: selector, Matching: matching, Data: data}
}

// selected is what a record has in Data that names cert.
func selected(selector, matching uint8, cert *x509.Certificate) (data []byte, ok bool) {
	switch selector {
	case Cert:
		data = cert.Raw
	case SPKI:
		data = cert.RawSubjectPublicKeyInfo
	default:
		return nil, false
	}
	switch matching {
	case Full:
		return bytes.Clone(data), true
	case SHA256:
		sum := sha256.Sum256(data)
		return sum[:], true
	case SHA512:
		sum := sha512.Sum512(data)
		return sum[:], true
	}
	return nil, false
}

// String is the record as a zone file has it: "3 1 1 0a1b…".
func (r Record) String() string {
	return strconv.Itoa(int(r.Usage)) + " " + strconv.Itoa(int(r.Selector)) + " " + strconv.Itoa(int(r.Matching)) + " " + hex.EncodeToString(r.Data)
}

// Parse reads what String returns; the data may stand in several groups (RFC 6698 §2.2).
// The error is of kind Invalid.
func Parse(s string) (Record, error) {
	words := strings.Fields(s)
	if len(words) < 4 {
		return Record{}, mail.Errorf(mail.Invalid, "a TLSA record has three numbers and data")
	}
	var numbers [3]uint8
	for i := range numbers {
		n, err := strconv.ParseUint(words[i], 10, 8)
		if err != nil {
			return Record{}, mail.Errorf(mail.Invalid, "a TLSA record has three numbers from 0 to 255 before its data")
		}
		numbers[i] = uint8(n)
	}
	data, err := hex.DecodeString(strings.Join(words[3:], ""))
	if err != nil {
		return Record{}, mail.Errorf(mail.Invalid, "the data of a TLSA record is in hexadecimal digits")
	}
	return Record{numbers[0], numbers[1], numbers[2], data}, nil
}

// usable reports whether r can be used with SMTP, and is whole.
func (r Record) usable() bool {
	if r.Usage != TA && r.Usage != EE {
		return false
	}
	switch {
	case r.Selector > SPKI:
		return false
	case r.Matching == SHA256:
		return len(r.Data) == sha256.Size
	case r.Matching == SHA512:
		return len(r.Data) == sha512.Size
	case r.Matching != Full:
		return false
	case r.Selector == Cert:
		_, err := x509.ParseCertificate(r.Data)
		return err == nil
	}
	_, err := x509.ParsePKIXPublicKey(r.Data)
	return err == nil
}

// Usable are the records that a host is held to, at most MaxRecords: of those that differ
// in nothing but the digest, only the ones with the strongest, beside those without one
// (RFC 7671 §9). If there are none and records is not empty, the host is spoken to in TLS
// all the same, and need not prove who it is (RFC 7672 §2.2).
func Usable(records []dns.TLSA) []Record {
	var list []Record
	for _, t := range records {
		if r := Record(t); len(list) < MaxRecords && r.usable() {
			list = append(list, r)
		}
	}
	strongest := map[[2]uint8]uint8{}
	for _, r := range list {
		of := [2]uint8{r.Usage, r.Selector}
		strongest[of] = max(strongest[of], r.Matching)
	}
	return slices.DeleteFunc(list, func(r Record) bool {
		return r.Matching != Full && r.Matching != strongest[[2]uint8{r.Usage, r.Selector}]
	})
}

// Trust is what one host is held to: it is who it should be if it shows what one of
// Records names, which are Usable. Names are those that a certificate by an authority
// (TA) may have (RFC 7672 §3.2.2). It is a mail.Trust.
type Trust struct {
	Records []Record
	Names   []string
}

// String is equal for those who trust the same.
func (t Trust) String() string {
	var b strings.Builder
	for _, r := range t.Records {
		b.WriteString(r.String() + "; ")
	}
	return b.String() + strings.Join(t.Names, " ")
}

// Verify says what is wrong with a chain, the host's own certificate first. One record
// that fits is enough.
func (t Trust) Verify(chain []*x509.Certificate, now time.Time) mail.CertFault {
	if len(chain) == 0 {
		return mail.CertMissing
	}
	chain = chain[:min(len(chain), MaxChain)]
	fault := mail.CertUnnamed
	for _, r := range t.Records {
		var f mail.CertFault
		switch {
		case r.Usage != EE:
			f = r.verifyAuthority(chain, t.Names, now)
		case !r.names(chain[0]):
			f = mail.CertUnnamed
		}
		if f == mail.CertGood {
			return f
		}
		if fault == mail.CertUnnamed {
			fault = f
		}
	}
	return fault
}

// names reports whether r is about cert.
func (r Record) names(cert *x509.Certificate) bool {
	data, ok := selected(r.Selector, r.Matching, cert)
	return ok && bytes.Equal(data, r.Data)
}

// verifyAuthority is Trust.Verify with one record of an authority. It is looked for among what
// the host shows above its own certificate, which must have it (RFC 7672 §3.1.2); a
// record that is the whole certificate needs no other.
func (r Record) verifyAuthority(chain []*x509.Certificate, names []string, now time.Time) mail.CertFault {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	found := false
	for _, c := range chain[1:] {
		if r.names(c) {
			roots.AddCert(c)
			found = true
		} else {
			intermediates.AddCert(c)
		}
	}
	if r.Selector == Cert && r.Matching == Full {
		if c, err := x509.ParseCertificate(r.Data); err == nil {
			roots.AddCert(c)
			found = true
		}
	}
	if !found {
		return mail.CertUnnamed
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: now})
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return mail.CertExpired
	case err != nil:
		return mail.CertUnknown
	case !slices.ContainsFunc(names, func(n string) bool { return isFor(chain[0], n) }):
		return mail.CertName
	}
	return mail.CertGood
}

// isFor reports whether a certificate is for a name (RFC 7672 §3.2.3): its subject counts
// only if it has no names in DNS, and a star is exactly the first label.
func isFor(c *x509.Certificate, name string) bool {
	ids := c.DNSNames
	if len(ids) == 0 {
		ids = []string{c.Subject.CommonName}
	}
	name = strings.TrimSuffix(name, ".")
	_, below, _ := strings.Cut(name, ".")
	return slices.ContainsFunc(ids, func(id string) bool {
		id = strings.TrimSuffix(id, ".")
		if suffix, wild := strings.CutPrefix(id, "*."); wild {
			return below != "" && strings.EqualFold(below, suffix)
		}
		return id != "" && strings.EqualFold(id, name)
	})
}
