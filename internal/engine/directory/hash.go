package directory

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"

	"yubin/internal/mail"
)

// Cost is what one computation of argon2id takes (RFC 9106 §3.1).
type Cost struct {
	Memory  uint32 // KiB
	Time    uint32 // passes
	Threads uint8
}

// DefaultCost is 19 MiB, 2 passes, 1 thread: about 30 ms, and what OWASP
// recommends where memory is dear.
func DefaultCost() Cost { return Cost{Memory: 19 << 10, Time: 2, Threads: 1} }

// Limits on hashes that come from elsewhere.
const (
	maxHashText    = 512      // octets of a whole PHC string
	maxCostMemory  = 64 << 10 // KiB
	maxCostTime    = 16
	maxCostThreads = 8
	minSalt        = 8
	minKey         = 16
	maxSaltOrKey   = 64
)

// Sizes of what is made here, in octets (RFC 9106 §3.1).
const (
	saltSize = 16
	keySize  = 32
)

// hash is an argon2id hash of a password. Its text is a PHC string:
// $argon2id$v=19$m=19456,t=2,p=1$salt$key.
type hash struct {
	cost      Cost
	salt, key []byte
}

// newHash computes the hash of password.
func newHash(password string, salt []byte, c Cost) hash {
	h := hash{cost: c, salt: salt}
	h.key = h.derive(password, keySize)
	return h
}

func (h hash) derive(password string, size int) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.cost.Time, h.cost.Memory, h.cost.Threads, uint32(size))
}

// fits reports whether h is the hash of password; in constant time but for the
// computation itself.
func (h hash) fits(password string) bool {
	return subtle.ConstantTimeCompare(h.derive(password, len(h.key)), h.key) == 1
}

func (h hash) String() string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		h.cost.Memory, h.cost.Time, h.cost.Threads, enc.EncodeToString(h.salt), enc.EncodeToString(h.key))
}

// parseHash reads a PHC string of argon2id. The error is Invalid, also for a
// cost that is over our limits.
func parseHash(s string) (hash, error) {
	f := strings.Split(s, "$")
	if len(s) > maxHashText || len(f) != 6 || f[0] != "" || f[1] != "argon2id" || f[2] != "v="+strconv.Itoa(argon2.Version) {
		return hash{}, mail.Errorf(mail.Invalid, "the password hash must be a PHC string: $argon2id$v=19$m=19456,t=2,p=1$salt$hash")
	}
	cost, err := parseCost(f[3])
	if err != nil {
		return hash{}, err
	}
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(f[4])
	key, err2 := base64.RawStdEncoding.Strict().DecodeString(f[5])
	h := hash{cost: cost, salt: salt, key: key}
	switch {
	case err1 != nil || err2 != nil:
		return hash{}, mail.Errorf(mail.Invalid, "the salt or key of the password hash is not base64 without padding")
	case len(salt) < minSalt || len(salt) > maxSaltOrKey || len(key) < minKey || len(key) > maxSaltOrKey:
		return hash{}, mail.Errorf(mail.Invalid, "the password hash must have a salt of %d to %d octets and a key of %d to %d", minSalt, maxSaltOrKey, minKey, maxSaltOrKey)
	case h.String() != s: // line breaks, leading zeros: one text for one hash
		return hash{}, mail.Errorf(mail.Invalid, "the password hash is not written in the usual form")
	}
	return h, nil
}

// parseCost reads m=19456,t=2,p=1.
func parseCost(s string) (Cost, error) {
	f := strings.Split(s, ",")
	if len(f) != 3 {
		return Cost{}, mail.Errorf(mail.Invalid, "the password hash must state m, t and p")
	}
	m, ok1 := parameter(f[0], "m=", maxCostMemory)
	t, ok2 := parameter(f[1], "t=", maxCostTime)
	p, ok3 := parameter(f[2], "p=", maxCostThreads)
	if !ok1 || !ok2 || !ok3 || m < 8*p {
		return Cost{}, mail.Errorf(mail.Invalid, "the password hash must have m from 8*p to %d, t from 1 to %d, p from 1 to %d", maxCostMemory, maxCostTime, maxCostThreads)
	}
	return Cost{Memory: uint32(m), Time: uint32(t), Threads: uint8(p)}, nil
}

func parameter(s, name string, limit uint64) (uint64, bool) {
	digits, ok := strings.CutPrefix(s, name)
	n, err := strconv.ParseUint(digits, 10, 32)
	return n, ok && err == nil && n >= 1 && n <= limit
}
