// Package password knows what is kept of a password: the hashes that this server
// makes, those that other servers made, and which passwords are soon guessed. It has
// no state and touches nothing.
//
// # Hashes
//
// Made is argon2id alone (RFC 9106), as a PHC string. Read is also what Dovecot and
// OpenLDAP write, {SCHEME}text, and crypt(3), with or without a scheme before it; the
// table in schemes.go has them all. A hash is compared in its own scheme, in constant
// time but for the computation, and the cost of that is bounded when the hash is read
// (MaxMemory and its neighbours): so a hash from elsewhere takes no more of a processor
// than these say, whoever wrote it. How many are computed at a time is not known here.
//
// Some schemes are Weak: who has the database finds most passwords behind them in no
// time. They are read too; whoever takes them in must have meant to.
//
// # Passwords
//
// CheckFloor is what a new password must be: not short, not common, and not made of
// the account's own address. It deliberately asks for no kinds of characters
// (NIST SP 800-63B §3.1.1.2).
package password

import (
	"strings"

	"yubin/internal/mail"
)

// Limits on hashes that come from elsewhere.
const (
	MaxText       = 512       // octets of a whole hash
	MaxMemory     = 64 << 10  // KiB of argon2 and yescrypt
	MaxPasses     = 16        // of argon2
	MaxThreads    = 8         // of argon2
	MaxRounds     = 1_000_000 // of SHA-crypt
	MaxIterations = 1_000_000 // of PBKDF2 and SCRAM
	MaxBcrypt     = 14        // the power of two of bcrypt's rounds
	MaxCrypt      = 256       // octets of a password that crypt(3) is asked about, as its work grows with them
)

// Hash is what is kept of one password. The zero Hash fits none.
type Hash struct {
	text   string
	scheme *scheme
	kept   kept
}

// kept is what a scheme made of a password.
type kept interface {
	fits(password string) bool
	memory() int    // KiB that fits takes
	String() string // what stands behind {SCHEME}
}

// Parse reads a hash: {SCHEME}text, or one of crypt(3) as it is. The error is Invalid,
// also for a cost over the limits, and says why.
func Parse(text string) (Hash, error) {
	if len(text) > MaxText {
		return Hash{}, mail.Errorf(mail.Invalid, "the password hash has more than %d octets", MaxText)
	}
	name, rest, err := unwrap(text)
	if err != nil {
		return Hash{}, err
	}
	s, err := schemeOf(name, rest)
	if err != nil {
		return Hash{}, err
	}
	k, err := s.parse(rest)
	if err != nil {
		return Hash{}, err
	}
	h := Hash{text: k.String(), scheme: s, kept: k}
	if !s.bare {
		h.text = "{" + s.name + "}" + h.text
	}
	return h, nil
}

// String is the hash as it is kept: Parse reads it, and gives the same.
func (h Hash) String() string { return h.text }

// Scheme is the name of its scheme, as Dovecot has it.
func (h Hash) Scheme() string {
	if h.scheme == nil {
		return ""
	}
	return h.scheme.name
}

// Fits reports whether h is the hash of password; in constant time but for the
// computation itself.
func (h Hash) Fits(password string) bool { return h.kept != nil && h.kept.fits(password) }

// Memory is how many KiB Fits takes; 0 for next to none, whatever time it takes.
func (h Hash) Memory() int {
	if h.kept == nil {
		return 0
	}
	return h.kept.memory()
}

// Weak reports whether passwords are soon found behind hashes of its scheme.
func (h Hash) Weak() bool { return h.scheme != nil && h.scheme.weak }

// IsOurs reports whether h is of the scheme that New makes.
func (h Hash) IsOurs() bool {
	_, ok := h.kept.(argon2id)
	return ok
}

// Plain reads what is no hash but the password itself, {PLAIN}secret as Dovecot writes
// it: ok is false for anything else. The error is Invalid.
func Plain(text string) (password string, ok bool, err error) {
	name, rest, err := unwrap(text)
	switch {
	case err != nil:
		return "", false, err
	case name == "PLAIN", name == "CLEARTEXT", name == "CLEAR":
		return rest, true, nil
	}
	return "", false, nil
}

// unwrap takes {SCHEME} or {SCHEME.encoding} from before a text; name is "" without.
func unwrap(text string) (name, rest string, err error) {
	if !strings.HasPrefix(text, "{") {
		return "", text, nil
	}
	name, rest, ok := strings.Cut(text[1:], "}")
	if !ok {
		return "", "", mail.Errorf(mail.Invalid, "the password hash begins with { and has no }")
	}
	name, encoding, encoded := strings.Cut(strings.ToUpper(name), ".")
	if strings.HasSuffix(name, cryptName) { // Dovecot gives all of them to crypt(3).
		name = anyCrypt
	}
	if !encoded {
		return name, rest, nil
	}
	raw, err := decode(encoding, rest)
	if err != nil {
		return "", "", err
	}
	if isDigest(name) {
		return name, encodeDigest(raw), nil
	}
	return name, string(raw), nil
}
