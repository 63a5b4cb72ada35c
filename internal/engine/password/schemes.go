package password

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"slices"
	"strings"

	"yubin/internal/mail"
)

// scheme is one way to keep a password.
type scheme struct {
	name   string
	also   []string // names by which it is known too
	prefix string   // with which the text begins, and says by itself what it is
	bare   bool     // kept without {name} before it
	weak   bool
	parse  func(text string) (kept, error)
}

// schemes is the table of what is read, by Dovecot's names.
var schemes = []*scheme{
	{name: "ARGON2ID", also: []string{"ARGON2"}, prefix: "$argon2id$", bare: true, parse: parseArgon2id},
	{name: "ARGON2I", also: []string{"ARGON2"}, prefix: "$argon2i$", bare: true, parse: parseArgon2i},
	{name: "BLF-CRYPT", also: []string{anyCrypt}, prefix: "$2", bare: true, parse: parseBcrypt},
	{name: "SHA512-CRYPT", also: []string{anyCrypt}, prefix: "$6$", bare: true, parse: parseSHA512Crypt},
	{name: "SHA256-CRYPT", also: []string{anyCrypt}, prefix: "$5$", bare: true, parse: parseSHA256Crypt},
	{name: "YESCRYPT", also: []string{anyCrypt}, prefix: "$y$", bare: true, parse: parseYescrypt},
	{name: "MD5-CRYPT", also: []string{anyCrypt, "MD5"}, prefix: "$1$", bare: true, weak: true, parse: parseMD5Crypt},
	{name: desName, also: []string{anyCrypt}, weak: true, parse: parseDESCrypt},
	{name: "PBKDF2", parse: parsePBKDF2},
	{name: "SCRAM-SHA-256", parse: parseScram},
	{name: "SSHA512", parse: salted(sha512.New)},
	{name: "SSHA256", parse: salted(sha256.New)},
	{name: "SSHA", weak: true, parse: salted(sha1.New)},
	{name: "SMD5", weak: true, parse: salted(md5.New)},
	{name: "SHA512", weak: true, parse: unsalted(sha512.New)},
	{name: "SHA256", weak: true, parse: unsalted(sha256.New)},
	{name: "SHA", also: []string{"SHA1"}, weak: true, parse: unsalted(sha1.New)},
	{name: "LDAP-MD5", also: []string{"PLAIN-MD5", "MD5"}, weak: true, parse: unsalted(md5.New)},
}

const (
	desName   = "DES-CRYPT"
	anyCrypt  = "CRYPT" // as a name: whatever crypt(3) reads, which the text says itself
	cryptName = "-CRYPT"
)

// isDigest reports whether what the scheme keeps is octets, and not a text.
func isDigest(name string) bool {
	return strings.HasPrefix(name, "S") && name != anyCrypt && !strings.HasPrefix(name, "SCRAM") ||
		strings.HasSuffix(name, "-MD5")
}

// schemeOf finds the scheme of a text; name is "" if it does not say.
func schemeOf(name, text string) (*scheme, error) {
	known := name == ""
	for _, s := range schemes {
		named := name == s.name || slices.Contains(s.also, name)
		known = known || named
		switch {
		case s.prefix != "" && (named || name == "") && strings.HasPrefix(text, s.prefix),
			s.prefix == "" && named && !strings.HasPrefix(text, "$"),
			s.prefix == "" && name == s.name,
			s.name == desName && name == "" && isDES(text):
			return s, nil
		}
	}
	switch {
	case !known:
		return nil, mail.Errorf(mail.Invalid, "the scheme {%s} is not known here; give the account a new password", cut(name))
	case name != "":
		return nil, mail.Errorf(mail.Invalid, "what stands behind {%s} is no hash of that scheme", name)
	}
	return nil, mail.Errorf(mail.Invalid, "the password hash is in no form that is known: it must be {SCHEME}text as Dovecot writes it, "+
		"or begin with $argon2id$, $argon2i$, $2y$, $5$, $6$ or $y$")
}

// cut shortens what a stranger wrote.
func cut(s string) string { return s[:min(len(s), 30)] }

func salted(algorithm func() hash.Hash) func(string) (kept, error) {
	return func(text string) (kept, error) { return parseDigest(algorithm, text, true) }
}

func unsalted(algorithm func() hash.Hash) func(string) (kept, error) {
	return func(text string) (kept, error) { return parseDigest(algorithm, text, false) }
}
