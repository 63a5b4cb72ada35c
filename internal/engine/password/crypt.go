package password

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"hash"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-crypt/x/crypt"
	"github.com/go-crypt/x/yescrypt"
	"golang.org/x/crypto/bcrypt"

	"yubin/internal/mail"
)

// crypted is a hash of crypt(3), which is a text that holds its own setting.
type crypted struct {
	text    string
	compute func(password string) string // the text as it would be for password
	kib     int
}

func (c crypted) fits(password string) bool {
	return len(password) <= MaxCrypt && subtle.ConstantTimeCompare([]byte(c.compute(password)), []byte(c.text)) == 1
}

func (c crypted) memory() int    { return c.kib }
func (c crypted) String() string { return c.text }

// bcrypted is a hash of bcrypt, which has a comparison of its own. Of a password it
// takes 72 octets.
type bcrypted struct{ text string }

func (b bcrypted) fits(password string) bool {
	return len(password) <= MaxCrypt && bcrypt.CompareHashAndPassword([]byte(b.text), []byte(password)) == nil
}

func (b bcrypted) memory() int    { return 0 }
func (b bcrypted) String() string { return b.text }

var (
	bcryptForm   = regexp.MustCompile(`^\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}$`)
	shaForm      = regexp.MustCompile(`^(\$[56]\$(?:rounds=([1-9][0-9]{3,8})\$)?([^$:\x00-\x20\x7f-\xff]{0,16})\$)([./A-Za-z0-9]+)$`)
	md5Form      = regexp.MustCompile(`^\$1\$([^$:\x00-\x20\x7f-\xff]{0,8})\$[./A-Za-z0-9]{22}$`)
	yescryptForm = regexp.MustCompile(`^\$y\$j([./A-Za-z0-9])([./A-Za-z0-9])\$[./A-Za-z0-9]{0,86}\$[./A-Za-z0-9]{43}$`)
)

// form is the error of a text that its scheme cannot have made.
func form(scheme, like string) error {
	return mail.Errorf(mail.Invalid, "the password hash is none of %s, which looks like %s", scheme, like)
}

func tooDear(what string, has, limit int) error {
	return mail.Errorf(mail.Invalid, "the password hash takes %d %s, and at most %d are taken; give the account a new password", has, what, limit)
}

func parseBcrypt(s string) (kept, error) {
	m := bcryptForm.FindStringSubmatch(s)
	if m == nil {
		return nil, form("bcrypt", "$2y$10$ and 53 characters")
	}
	switch cost, _ := strconv.Atoi(m[1]); {
	case cost < bcrypt.MinCost:
		return nil, form("bcrypt", "$2y$10$ and 53 characters")
	case cost > MaxBcrypt:
		return nil, mail.Errorf(mail.Invalid, "the password hash takes 2^%d rounds of bcrypt, and at most 2^%d are taken; give the account a new password", cost, MaxBcrypt)
	}
	return bcrypted{s}, nil
}

func parseSHA256Crypt(s string) (kept, error) { return parseSHACrypt(s, sha256.New, 43) }
func parseSHA512Crypt(s string) (kept, error) { return parseSHACrypt(s, sha512.New, 86) }

func parseSHACrypt(s string, algorithm func() hash.Hash, size int) (kept, error) {
	m := shaForm.FindStringSubmatch(s)
	if m == nil || len(m[4]) != size {
		return nil, form("SHA-crypt", s[:3]+"salt$ or "+s[:3]+"rounds=5000$salt$, and "+strconv.Itoa(size)+" characters")
	}
	rounds := 5000
	if m[2] != "" {
		rounds, _ = strconv.Atoi(m[2])
	}
	if rounds > MaxRounds {
		return nil, tooDear("rounds", rounds, MaxRounds)
	}
	setting, salt := m[1], []byte(m[3])
	return crypted{text: s, compute: func(password string) string {
		return setting + string(crypt.KeySHACrypt(algorithm, []byte(password), salt, rounds))
	}}, nil
}

func parseMD5Crypt(s string) (kept, error) {
	m := md5Form.FindStringSubmatch(s)
	if m == nil {
		return nil, form("MD5-crypt", "$1$salt$ and 22 characters")
	}
	return crypted{text: s, compute: func(password string) string {
		return "$1$" + m[1] + "$" + string(crypt.KeyMD5Crypt([]byte(password), []byte(m[1])))
	}}, nil
}

func parseYescrypt(s string) (kept, error) {
	m := yescryptForm.FindStringSubmatch(s)
	if m == nil {
		return nil, form("yescrypt", "$y$j9T$salt$ and 43 characters")
	}
	power, r := strings.Index(alphabet, m[1])+1, strings.Index(alphabet, m[2])+1
	if power < 10 || power > 18 || r > 32 {
		return nil, mail.Errorf(mail.Invalid, "the password hash has a cost of yescrypt that is not taken; give the account a new password")
	}
	kib := (128 * r << power) >> 10
	if kib > MaxMemory {
		return nil, tooDear("KiB", kib, MaxMemory)
	}
	return crypted{text: s, kib: kib, compute: func(password string) string {
		text, err := yescrypt.Hash([]byte(password), []byte(s))
		if err != nil {
			return ""
		}
		return string(text)
	}}, nil
}

// alphabet is that of crypt(3), from 0 to 63.
const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
