package directory

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
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

// ScramKeys is what is kept of a password for SCRAM-SHA-256 (RFC 5802 §3).
type ScramKeys struct {
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

// secrets are the columns that hold what is kept of a password.
type secrets struct {
	password string // password.Hash.String
	scram    string // ScramKeys.String, or empty
}

// newSecrets makes both from a password, when there is room for the work. The
// error is Invalid for a password that cannot be one.
func (d *Directory) newSecrets(ctx context.Context, text string) (secrets, error) {
	prepared, err := preparePassword(text)
	if err != nil {
		return secrets{}, err
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
	keys, err := d.newScram(prepared)
	return secrets{password: h.String(), scram: keys}, err
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

// newScram makes the keys of a prepared password.
func (d *Directory) newScram(password string) (string, error) {
	salt, err := d.random(saltSize)
	if err != nil {
		return "", err
	}
	k, err := deriveScram(password, salt, d.o.ScramIterations)
	return k.String(), err
}

func deriveScram(password string, salt []byte, iterations int) (ScramKeys, error) {
	client, err := scram.SHA256.NewClientUnprepped("", password, "")
	if err != nil {
		return ScramKeys{}, err
	}
	c, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: iterations})
	return ScramKeys{Salt: salt, Iterations: iterations, StoredKey: c.StoredKey, ServerKey: c.ServerKey}, err
}

// inventScram makes keys for a user without any: always the same, and not to be
// told from real ones by who does not know the secret.
func (d *Directory) inventScram(user string) ScramKeys {
	return ScramKeys{
		Salt:       d.invented("salt", user)[:saltSize],
		Iterations: d.o.ScramIterations,
		StoredKey:  d.invented("stored", user),
		ServerKey:  d.invented("server", user),
	}
}

func (d *Directory) invented(what, user string) []byte {
	m := hmac.New(sha256.New, d.scramSecret)
	m.Write([]byte(what + "\x00" + user))
	return m.Sum(nil)
}

const scramPrefix = "SCRAM-SHA-256$"

// String is the text of RFC 5803 §2, which PostgreSQL uses too:
// SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey.
func (k ScramKeys) String() string {
	enc := base64.StdEncoding
	return fmt.Sprintf("%s%d:%s$%s:%s", scramPrefix, k.Iterations, enc.EncodeToString(k.Salt),
		enc.EncodeToString(k.StoredKey), enc.EncodeToString(k.ServerKey))
}

// parseScram reads what String wrote.
func parseScram(s string) (ScramKeys, error) {
	rest, ok := strings.CutPrefix(s, scramPrefix)
	factors, keys, ok2 := strings.Cut(rest, "$")
	iterations, salt, ok3 := strings.Cut(factors, ":")
	stored, server, ok4 := strings.Cut(keys, ":")
	n, err := strconv.Atoi(iterations)
	if !ok || !ok2 || !ok3 || !ok4 || err != nil || n < 1 {
		return ScramKeys{}, mail.Errorf(mail.Invalid, "these are not SCRAM-SHA-256 keys")
	}
	k := ScramKeys{Iterations: n}
	for _, f := range []struct {
		dst  *[]byte
		text string
	}{{&k.Salt, salt}, {&k.StoredKey, stored}, {&k.ServerKey, server}} {
		if *f.dst, err = base64.StdEncoding.Strict().DecodeString(f.text); err != nil {
			return ScramKeys{}, mail.Errorf(mail.Invalid, "SCRAM-SHA-256 keys are written in base64")
		}
	}
	if len(k.Salt) == 0 || len(k.StoredKey) != sha256.Size || len(k.ServerKey) != sha256.Size || k.String() != s {
		return ScramKeys{}, mail.Errorf(mail.Invalid, "these SCRAM-SHA-256 keys have the wrong sizes")
	}
	return k, nil
}
