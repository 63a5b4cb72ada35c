package password

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"yubin/internal/mail"
)

// pbkdf is a hash of PBKDF2 with HMAC-SHA-1 as Dovecot writes it:
// $1$salt$iterations$hexadecimal.
type pbkdf struct {
	salt       string
	iterations int
	key        []byte
}

func parsePBKDF2(s string) (kept, error) {
	f := strings.Split(s, "$")
	if len(f) != 5 || f[0] != "" || f[1] != "1" || f[2] == "" || len(f[2]) > maxSaltOrKey {
		return nil, form("PBKDF2", "{PBKDF2}$1$salt$5000$ and 40 hexadecimal digits")
	}
	n, err := iterations(f[3])
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(f[4])
	if err != nil || len(key) != sha1.Size {
		return nil, form("PBKDF2", "{PBKDF2}$1$salt$5000$ and 40 hexadecimal digits")
	}
	return pbkdf{salt: f[2], iterations: n, key: key}, nil
}

func iterations(s string) (int, error) {
	n, err := strconv.Atoi(s)
	switch {
	case err != nil || n < 1:
		return 0, mail.Errorf(mail.Invalid, "the password hash has %q where the number of its iterations is expected", cut(s))
	case n > MaxIterations:
		return 0, tooDear("iterations", n, MaxIterations)
	}
	return n, nil
}

func (p pbkdf) fits(password string) bool {
	key, err := pbkdf2.Key(sha1.New, password, []byte(p.salt), p.iterations, len(p.key))
	return err == nil && subtle.ConstantTimeCompare(key, p.key) == 1
}

func (p pbkdf) memory() int    { return 0 }
func (p pbkdf) String() string { return fmt.Sprintf("$1$%s$%d$%x", p.salt, p.iterations, p.key) }

// scram are the keys of SCRAM-SHA-256 (RFC 5802 §3) as Dovecot writes them:
// iterations,salt,StoredKey,ServerKey. Here they tell whether a password fits.
type scram struct {
	iterations                 int
	salt, storedKey, serverKey []byte
}

func parseScram(s string) (kept, error) {
	f := strings.Split(s, ",")
	if len(f) != 4 {
		return nil, form("SCRAM-SHA-256", "{SCRAM-SHA-256}4096,salt,StoredKey,ServerKey")
	}
	k := scram{}
	var err error
	if k.iterations, err = iterations(f[0]); err != nil {
		return nil, err
	}
	for i, dst := range []*[]byte{&k.salt, &k.storedKey, &k.serverKey} {
		if *dst, err = base64.StdEncoding.Strict().DecodeString(f[i+1]); err != nil {
			return nil, mail.Errorf(mail.Invalid, "the salt and keys of the password hash are not base64")
		}
	}
	if len(k.salt) == 0 || len(k.salt) > maxSaltOrKey || len(k.storedKey) != sha256.Size || len(k.serverKey) != sha256.Size {
		return nil, mail.Errorf(mail.Invalid, "the salt or keys of the password hash have sizes that SCRAM-SHA-256 does not have")
	}
	return k, nil
}

func (k scram) fits(password string) bool {
	salted, err := pbkdf2.Key(sha256.New, password, k.salt, k.iterations, sha256.Size)
	if err != nil {
		return false
	}
	client := hmac.New(sha256.New, salted)
	client.Write([]byte("Client Key"))
	stored := sha256.Sum256(client.Sum(nil))
	return subtle.ConstantTimeCompare(stored[:], k.storedKey) == 1
}

func (k scram) memory() int { return 0 }

func (k scram) String() string {
	enc := base64.StdEncoding
	return fmt.Sprintf("%d,%s,%s,%s", k.iterations, enc.EncodeToString(k.salt), enc.EncodeToString(k.storedKey), enc.EncodeToString(k.serverKey))
}
