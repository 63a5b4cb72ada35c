package password

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strings"

	"yubin/internal/mail"
)

// digest is one computation of a hash function over the password and a salt, as LDAP
// servers have it (RFC 2307 §5.3).
type digest struct {
	algorithm func() hash.Hash
	sum, salt []byte
}

// parseDigest reads base64, or hexadecimal where that is as long as a sum without a salt.
func parseDigest(algorithm func() hash.Hash, text string, withSalt bool) (kept, error) {
	size := algorithm().Size()
	encoding := "B64"
	if !withSalt && len(text) == hex.EncodedLen(size) {
		encoding = "HEX"
	}
	raw, err := decode(encoding, text)
	switch {
	case err != nil:
		return nil, err
	case len(raw) < size, !withSalt && len(raw) != size:
		return nil, mail.Errorf(mail.Invalid, "the password hash has %d octets; its scheme has %d", len(raw), size)
	case withSalt && len(raw) == size:
		return nil, mail.Errorf(mail.Invalid, "the password hash has no salt; name the scheme without the first S if that is meant")
	case len(raw) > size+maxSaltOrKey:
		return nil, mail.Errorf(mail.Invalid, "the salt of the password hash has more than %d octets", maxSaltOrKey)
	}
	return digest{algorithm: algorithm, sum: raw[:size], salt: raw[size:]}, nil
}

func (d digest) fits(password string) bool {
	h := d.algorithm()
	h.Write([]byte(password))
	h.Write(d.salt)
	return subtle.ConstantTimeCompare(h.Sum(nil), d.sum) == 1
}

func (d digest) memory() int { return 0 }

func (d digest) String() string {
	return encodeDigest(append(append([]byte{}, d.sum...), d.salt...))
}

func encodeDigest(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }

// decode reads what Dovecot calls an encoding of a scheme.
func decode(encoding, text string) ([]byte, error) {
	switch encoding {
	case "HEX":
		raw, err := hex.DecodeString(text)
		if err != nil {
			return nil, mail.Errorf(mail.Invalid, "the password hash is not written in hexadecimal")
		}
		return raw, nil
	case "B64", "BASE64":
		raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
		if err != nil || strings.ContainsAny(text, "\r\n") {
			return nil, mail.Errorf(mail.Invalid, "the password hash is not written in base64")
		}
		return raw, nil
	}
	return nil, mail.Errorf(mail.Invalid, "the password hash is written as .%s; known are .HEX and .B64", cut(encoding))
}
