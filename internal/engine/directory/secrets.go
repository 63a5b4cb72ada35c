package directory

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"

	"yubin/internal/engine/password"
	"yubin/internal/mail"
)

// DefaultScramIterations is what RFC 7677 §4 took for a tenth of a second of
// 2015; it asks for 4096 at least, and every client must do as many.
const DefaultScramIterations = 15000

// Sizes of what is made here, in octets.
const (
	saltSize = 16
	keySize  = 32
)

// factors are what keys for SCRAM-SHA-256 are made with (RFC 5802 §2.2). An account has
// the same for all its credentials: they are told before it is known which one is meant.
type factors struct {
	salt       []byte
	iterations int
}

// ScramKey is what is kept of one password for SCRAM-SHA-256 (RFC 5802 §3).
type ScramKey struct {
	StoredKey []byte
	ServerKey []byte
}

// secrets are the columns that hold what is kept of an account's own password.
type secrets struct {
	password string // password.Hash.String; empty for none, which nothing fits
	factors  string // factors.String
	scram    string // ScramKey.String, or empty
}

// newSecrets makes them from a password, when there is room for the work, with the factors
// f or, if they are zero, new ones. The error is Invalid for a password that cannot be one.
func (d *Directory) newSecrets(ctx context.Context, text string, f factors) (s secrets, err error) {
	prepared, err := preparePassword(text)
	if err != nil {
		return secrets{}, err
	}
	if f.iterations == 0 {
		if f, err = d.newFactors(); err != nil {
			return secrets{}, err
		}
	}
	salt, err := d.random(saltSize)
	if err != nil {
		return secrets{}, err
	}
	need := d.weight(d.nobody)
	if err := d.gate.enter(ctx, attempt{known: true}, need, 0); err != nil {
		return secrets{}, err
	}
	h := password.New(prepared, salt, d.o.Cost)
	d.gate.leave(need)
	key, err := deriveScram(prepared, f)
	return secrets{password: h.String(), factors: f.String(), scram: key.String()}, err
}

func (d *Directory) newFactors() (factors, error) {
	salt, err := d.random(saltSize)
	return factors{salt, d.o.ScramIterations}, err
}

// weight is how much of the gate a computation takes, in KiB. One that takes little
// memory and much time counts as one of ours: as many run at a time.
func (d *Directory) weight(h password.Hash) int {
	need := h.Memory()
	if !h.IsOurs() {
		need = max(need, int(d.o.Cost.Memory))
	}
	return min(need, d.o.HashMemory)
}

// checkFloor checks that text can be the password of a: not one that is soon guessed,
// unless weak allows it.
func (d *Directory) checkFloor(text string, a mail.Address, weak bool) error {
	prepared, err := preparePassword(text)
	if err != nil || weak || d.o.NoFloor {
		return err
	}
	return password.CheckFloor(prepared, a)
}

// deriveScram makes the key of a prepared password.
func deriveScram(password string, f factors) (ScramKey, error) {
	client, err := scram.SHA256.NewClientUnprepped("", password, "")
	if err != nil {
		return ScramKey{}, err
	}
	c, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(f.salt), Iters: f.iterations})
	return ScramKey{StoredKey: c.StoredKey, ServerKey: c.ServerKey}, err
}

// inventFactors makes factors for a user that does not exist: always the same, and not to
// be told from real ones by who does not know the secret.
func (d *Directory) inventFactors(user string) factors {
	return factors{d.invented("salt", user)[:saltSize], d.o.ScramIterations}
}

// inventKey makes a key that no password fits.
func (d *Directory) inventKey(user string) ScramKey {
	return ScramKey{StoredKey: d.invented("stored", user), ServerKey: d.invented("server", user)}
}

func (d *Directory) invented(what, user string) []byte {
	m := hmac.New(sha256.New, d.scramSecret)
	m.Write([]byte(what + "\x00" + user))
	return m.Sum(nil)
}

// String is how factors are kept: iterations:salt, as in RFC 5803 §2.
func (f factors) String() string {
	return strconv.Itoa(f.iterations) + ":" + base64.StdEncoding.EncodeToString(f.salt)
}

// parseFactors reads what String wrote.
func parseFactors(s string) (factors, error) {
	count, coded, ok := strings.Cut(s, ":")
	n, err := strconv.Atoi(count)
	salt, err2 := base64.StdEncoding.Strict().DecodeString(coded)
	f := factors{salt, n}
	if !ok || err != nil || err2 != nil || n < 1 || len(salt) == 0 || f.String() != s {
		return factors{}, mail.Errorf(mail.Invalid, "these are not a count of iterations and a salt")
	}
	return f, nil
}

// String is how a key is kept: StoredKey:ServerKey, as in RFC 5803 §2.
func (k ScramKey) String() string {
	return base64.StdEncoding.EncodeToString(k.StoredKey) + ":" + base64.StdEncoding.EncodeToString(k.ServerKey)
}

// parseScram reads what String wrote; of the empty text, no key.
func parseScram(s string) (k ScramKey, err error) {
	if s == "" {
		return ScramKey{}, nil
	}
	stored, server, _ := strings.Cut(s, ":")
	k.StoredKey, err = base64.StdEncoding.Strict().DecodeString(stored)
	if err == nil {
		k.ServerKey, err = base64.StdEncoding.Strict().DecodeString(server)
	}
	if err != nil || len(k.StoredKey) != sha256.Size || len(k.ServerKey) != sha256.Size || k.String() != s {
		return ScramKey{}, mail.Errorf(mail.Invalid, "this is no key for SCRAM-SHA-256")
	}
	return k, nil
}
