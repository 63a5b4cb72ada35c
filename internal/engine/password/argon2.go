package password

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"

	"yubin/internal/mail"
)

// Cost is what one computation of argon2 takes (RFC 9106 §3.1).
type Cost struct {
	Memory  uint32 // KiB
	Time    uint32 // passes
	Threads uint8
}

// DefaultCost is 19 MiB, 2 passes, 1 thread: about 30 ms, and what OWASP
// recommends where memory is dear.
func DefaultCost() Cost { return Cost{Memory: 19 << 10, Time: 2, Threads: 1} }

// Sizes of salts and keys of argon2, in octets (RFC 9106 §3.1).
const (
	keySize      = 32
	minSalt      = 8
	minKey       = 16
	maxSaltOrKey = 64
)

// argon is a hash of argon2, version 19. Its text is a PHC string:
// $argon2id$v=19$m=19456,t=2,p=1$salt$key.
type argon struct {
	cost      Cost
	salt, key []byte
}

type (
	argon2id struct{ argon }
	argon2i  struct{ argon }
)

// New computes the argon2id hash of password.
func New(password string, salt []byte, c Cost) Hash {
	h := argon2id{argon{cost: c, salt: salt}}
	h.key = h.derive(password, keySize)
	return Hash{text: h.String(), scheme: schemes[0], kept: h}
}

// Nobody is a hash of that cost that fits no password that anybody has.
func Nobody(salt, key []byte, c Cost) Hash {
	h := argon2id{argon{cost: c, salt: salt, key: key}}
	return Hash{text: h.String(), scheme: schemes[0], kept: h}
}

func (h argon2id) derive(password string, size int) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.cost.Time, h.cost.Memory, h.cost.Threads, uint32(size))
}

func (h argon2id) fits(password string) bool {
	return subtle.ConstantTimeCompare(h.derive(password, len(h.key)), h.key) == 1
}

func (h argon2id) String() string { return h.phc("argon2id") }

func (h argon2i) fits(password string) bool {
	key := argon2.Key([]byte(password), h.salt, h.cost.Time, h.cost.Memory, h.cost.Threads, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1
}

func (h argon2i) String() string { return h.phc("argon2i") }

func (h argon) memory() int { return int(h.cost.Memory) }

func (h argon) phc(name string) string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$%s$v=%d$m=%d,t=%d,p=%d$%s$%s", name, argon2.Version,
		h.cost.Memory, h.cost.Time, h.cost.Threads, enc.EncodeToString(h.salt), enc.EncodeToString(h.key))
}

func parseArgon2id(s string) (kept, error) {
	h, err := parseArgon(s)
	return oneText(argon2id{h}, s, err)
}

func parseArgon2i(s string) (kept, error) {
	h, err := parseArgon(s)
	return oneText(argon2i{h}, s, err)
}

// oneText refuses line breaks, leading zeros and the like: there is one text for one hash.
func oneText(k kept, s string, err error) (kept, error) {
	if err == nil && k.String() != s {
		err = mail.Errorf(mail.Invalid, "the password hash is not written in the usual form")
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

// parseArgon reads a PHC string, whose name was looked at.
func parseArgon(s string) (argon, error) {
	f := strings.Split(s, "$")
	if len(f) != 6 || f[2] != "v="+strconv.Itoa(argon2.Version) {
		return argon{}, mail.Errorf(mail.Invalid, "the password hash must be a PHC string: $%s$v=19$m=19456,t=2,p=1$salt$hash", f[1])
	}
	cost, err := parseCost(f[3])
	if err != nil {
		return argon{}, err
	}
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(f[4])
	key, err2 := base64.RawStdEncoding.Strict().DecodeString(f[5])
	switch {
	case err1 != nil || err2 != nil:
		return argon{}, mail.Errorf(mail.Invalid, "the salt or key of the password hash is not base64 without padding")
	case len(salt) < minSalt || len(salt) > maxSaltOrKey || len(key) < minKey || len(key) > maxSaltOrKey:
		return argon{}, mail.Errorf(mail.Invalid, "the password hash must have a salt of %d to %d octets and a key of %d to %d", minSalt, maxSaltOrKey, minKey, maxSaltOrKey)
	}
	return argon{cost: cost, salt: salt, key: key}, nil
}

// parseCost reads m=19456,t=2,p=1.
func parseCost(s string) (Cost, error) {
	f := strings.Split(s, ",")
	if len(f) != 3 {
		return Cost{}, mail.Errorf(mail.Invalid, "the password hash must state m, t and p")
	}
	m, ok1 := parameter(f[0], "m=", MaxMemory)
	t, ok2 := parameter(f[1], "t=", MaxPasses)
	p, ok3 := parameter(f[2], "p=", MaxThreads)
	if !ok1 || !ok2 || !ok3 || m < 8*p {
		return Cost{}, mail.Errorf(mail.Invalid, "the password hash must have m from 8*p to %d, t from 1 to %d, p from 1 to %d, not %s",
			MaxMemory, MaxPasses, MaxThreads, cut(s))
	}
	return Cost{Memory: uint32(m), Time: uint32(t), Threads: uint8(p)}, nil
}

func parameter(s, name string, limit uint64) (uint64, bool) {
	digits, ok := strings.CutPrefix(s, name)
	n, err := strconv.ParseUint(digits, 10, 32)
	return n, ok && err == nil && n >= 1 && n <= limit
}
