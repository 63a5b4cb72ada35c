package dnsupdate

import (
	"encoding/base64"
	"io/fs"
	"os"
	"regexp"
	"strings"

	wire "github.com/miekg/dns"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// MaxKeyFile is how many octets the file of a key may have.
const MaxKeyFile = 16 << 10

// Key is what both sides have.
type Key struct {
	Name      dns.Name
	Algorithm string // as the library calls it: see ParseAlgorithm
	Secret    string // base64
}

// algorithms are those that are good enough (RFC 8945 §6).
var algorithms = map[string]string{"hmac-sha224": wire.HmacSHA224, "hmac-sha256": wire.HmacSHA256, "hmac-sha384": wire.HmacSHA384, "hmac-sha512": wire.HmacSHA512}

// ParseAlgorithm reads "hmac-sha256" and its like.
func ParseAlgorithm(s string) (string, bool) {
	a, ok := algorithms[strings.ToLower(s)]
	return a, ok
}

// The clauses of a file as tsig-keygen and named.conf have them.
var (
	keyClause       = regexp.MustCompile(`key\s+"?([^"{\s]+)"?\s*\{`)
	algorithmClause = regexp.MustCompile(`algorithm\s+"?([^";\s]+)"?\s*;`)
	secretClause    = regexp.MustCompile(`secret\s+"?([^";\s]+)"?\s*;`)
)

// ReadKey reads a key from a file that nobody but its owner can read, or its group if
// root owns it: as tsig-keygen writes it, or the secret alone in base64. Name and
// algorithm are those of the configuration; where they are "" the file has them, and
// hmac-sha256 is the algorithm that nobody names. The error is of kind Invalid, or that of
// opening the file.
func ReadKey(path, name, algorithm string) (Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Key{}, err
	}
	if isOpen(info.Mode()) {
		return Key{}, mail.Errorf(mail.Invalid, "the key in %s is no secret: others can read it (mode %04o); chmod 600 closes it", path, info.Mode().Perm())
	}
	text, err := files.ReadFile(path, MaxKeyFile)
	if err != nil {
		return Key{}, err
	}
	secret := strings.TrimSpace(string(text))
	if m := secretClause.FindStringSubmatch(secret); m != nil {
		if n := keyClause.FindStringSubmatch(secret); n != nil && name == "" {
			name = n[1]
		}
		if a := algorithmClause.FindStringSubmatch(secret); a != nil && algorithm == "" {
			algorithm = a[1]
		}
		secret = m[1]
	}
	if algorithm == "" {
		algorithm = "hmac-sha256"
	}
	return newKey(path, name, algorithm, secret)
}

// isOpen reports whether others than the owner and the group can read a file, or the group write it.
func isOpen(m fs.FileMode) bool { return m.Perm()&0o007 != 0 || m.Perm()&0o020 != 0 }

func newKey(path, name, algorithm, secret string) (k Key, err error) {
	var ok bool
	if k.Algorithm, ok = ParseAlgorithm(algorithm); !ok {
		return Key{}, mail.Errorf(mail.Invalid, "the algorithm of the key must be hmac-sha256, hmac-sha384 or hmac-sha512, not %q", algorithm)
	}
	if name == "" {
		return Key{}, mail.Errorf(mail.Invalid, "the key in %s has no name: write key = \"its name\" into the configuration", path)
	}
	if k.Name, err = dns.ParseName(name); err != nil {
		return Key{}, err
	}
	octets, err := base64.StdEncoding.DecodeString(secret)
	if err != nil || len(octets) < minSecret {
		return Key{}, mail.Errorf(mail.Invalid, "there is no key in %s: it has the output of tsig-keygen, or at least %d octets in base64", path, minSecret)
	}
	k.Secret = secret
	return k, nil
}

// minSecret is how short a secret may be, in octets.
const minSecret = 16
