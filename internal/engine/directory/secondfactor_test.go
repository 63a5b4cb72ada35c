package directory

import (
	"bytes"
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/engine/password"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	keyring "yubin/internal/world/secrets"
	"yubin/internal/world/sqldb"
)

// sealed is a house with a file of secrets, and a clock.
func sealed(t *testing.T, where sqldb.Options, now *time.Time) *house {
	ring := keyring.Open(keyring.Options{Paths: []string{filepath.Join(t.TempDir(), "secrets.key")}})
	return reopen(t, where, func(o *Options) {
		o.Secrets, o.Now = ring, func() time.Time { return *now }
	})
}

func secretOf(t *testing.T, made NewSecondFactor) []byte {
	t.Helper()
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(made.Secret)
	if err != nil || len(secret) != password.TOTPSecret || !strings.Contains(made.Link, "secret="+made.Secret) || len(made.Codes) != RecoveryCodes {
		t.Fatalf("%+v, %v", made, err)
	}
	return secret
}

func TestSecondFactor(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := sealed(t, dbtest.Options(t), &now)
	id := h.account("alice")
	bob := h.account("bob")
	_, err := h.VerifySecondFactor(t.Context(), id, "123456")
	wantKind(t, err, mail.NotFound)
	made, err := h.EnableSecondFactor(t.Context(), addr("alice"))
	h.must(err)
	secret := secretOf(t, made)
	_, err = h.EnableSecondFactor(t.Context(), addr("alice"))
	wantKind(t, err, mail.Exists)
	code := func(steps int64) string { return password.TOTP(secret, password.TOTPStep(now)+steps) }
	try := func(code string, cause error) {
		t.Helper()
		h.limits = newLimits(h.limits.now, h.limits.sleep, false)
		recovery, err := h.VerifySecondFactor(t.Context(), id, code)
		if !errors.Is(err, cause) || cause != nil && mail.KindOf(err) != mail.Forbidden || recovery != (err == nil && len(code) > 10) {
			t.Errorf("%s: %v, %v, want %v", code, recovery, err, cause)
		}
	}
	try(code(-2), errWrongCode)
	try(code(2), errWrongCode)
	try("", errWrongCode)
	try(strings.Repeat("1", 1000), errWrongCode)
	try(code(-1), nil)
	try(code(-1), errUsedCode)
	try(code(0)[:3]+" "+code(0)[3:], nil)
	try(code(-1), errUsedCode) // Of a step before the last that was used.
	try(code(0), errUsedCode)
	try(code(1), nil)
	now = now.Add(password.TOTPPeriod)
	try(code(0), errUsedCode)
	now = now.Add(password.TOTPPeriod)
	try(code(0), nil)

	try(made.Codes[3], nil)
	try(made.Codes[3], errWrongCode)
	try(strings.ToUpper(strings.ReplaceAll(made.Codes[4], "-", " ")), nil)
	if f, err := h.SecondFactor(t.Context(), addr("alice")); err != nil || f.Codes != RecoveryCodes-2 || f.Since.IsZero() {
		t.Errorf("%+v, %v", f, err)
	}
	codes, err := h.NewRecoveryCodes(t.Context(), addr("alice"))
	h.must(err)
	try(made.Codes[0], errWrongCode)
	try(codes[0], nil)
	_, err = h.VerifySecondFactor(t.Context(), bob, codes[1])
	wantKind(t, err, mail.NotFound)
	h.must(h.login("alice@example.org", "pw of alice")) // Mail programs know no second factor.

	h.must(h.DisableSecondFactor(t.Context(), addr("alice")))
	wantKind(t, h.DisableSecondFactor(t.Context(), addr("alice")), mail.NotFound)
	_, err = h.NewRecoveryCodes(t.Context(), addr("alice"))
	wantKind(t, err, mail.NotFound)
	_, err = h.VerifySecondFactor(t.Context(), id, codes[2])
	wantKind(t, err, mail.NotFound)
	_, err = h.EnableSecondFactor(t.Context(), addr("alice"))
	h.must(err)
	h.must(h.RemoveAccount(t.Context(), addr("alice"))) // Check finds what it leaves.
}

// Of a code that comes often at once one counts.
func TestACodeCountsOnce(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := sealed(t, dbtest.Options(t), &now)
	id := h.account("alice")
	made, err := h.EnableSecondFactor(t.Context(), addr("alice"))
	h.must(err)
	for _, code := range []string{password.TOTP(secretOf(t, made), password.TOTPStep(now)), made.Codes[0]} {
		var wg sync.WaitGroup
		var mu sync.Mutex
		taken := 0
		for range SecondFailures {
			wg.Go(func() {
				if _, err := h.VerifySecondFactor(t.Context(), id, code); err == nil {
					mu.Lock()
					taken++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if taken != 1 {
			t.Errorf("%s was taken %d times", code, taken)
		}
		h.limits = newLimits(h.limits.now, h.limits.sleep, false)
	}
}

// Guesses are bounded, however many come at once.
func TestSecondFactorIsLimited(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := sealed(t, dbtest.Options(t), &now)
	id := h.account("alice")
	made, err := h.EnableSecondFactor(t.Context(), addr("alice"))
	h.must(err)
	right := password.TOTP(secretOf(t, made), password.TOTPStep(now))
	var wg sync.WaitGroup
	var mu sync.Mutex
	looked := 0
	for i := range 40 {
		wg.Go(func() {
			if _, err := h.VerifySecondFactor(t.Context(), id, fmt.Sprint("x", i)); mail.KindOf(err) == mail.Forbidden {
				mu.Lock()
				looked++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if looked != SecondFailures {
		t.Errorf("%d guesses were looked at", looked)
	}
	_, err = h.VerifySecondFactor(t.Context(), id, right)
	wantKind(t, err, mail.RateLimited)
	h.must(h.login("alice@example.org", "pw of alice"))
	now = now.Add(SecondRecovery)
	_, err = h.VerifySecondFactor(t.Context(), id, password.TOTP(secretOf(t, made), password.TOTPStep(now)))
	h.must(err)
}

// The secret is sealed, is sealed anew with a new key, and without its key is unavailable
// while recovery codes work.
func TestSecondFactorIsSealed(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "secrets.key")
	ring := keyring.Open(keyring.Options{Paths: []string{path}})
	h := open(t, func(o *Options) { o.Secrets, o.Now = ring, func() time.Time { return now } })
	id := h.account("alice")
	made, err := h.EnableSecondFactor(t.Context(), addr("alice"))
	h.must(err)
	secret := secretOf(t, made)
	kept := func() (sealed []byte) {
		h.must(h.db.Read(t.Context(), func(tx *sqldb.Tx) error {
			return tx.QueryRow(`SELECT secret FROM directory_second_factor WHERE account = $1`, id).Scan(&sealed)
		}))
		return sealed
	}
	if bytes.Contains(kept(), secret) || keyring.KeyID(kept()) != ring.Current() {
		t.Error("the secret is not sealed")
	}
	text, err := os.ReadFile(path)
	h.must(err)
	h.must(os.WriteFile(path, append([]byte("yubin-key-1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"), text...), 0o600))
	ring.Reload()
	if keyring.KeyID(kept()) == ring.Current() {
		t.Fatal("the key is not new")
	}
	h.must(h.reseal(t.Context()))
	if keyring.KeyID(kept()) != ring.Current() {
		t.Error("the secret is sealed with the old key")
	}
	_, err = h.VerifySecondFactor(t.Context(), id, password.TOTP(secret, password.TOTPStep(now)))
	h.must(err)

	h.must(os.WriteFile(path, text, 0o600)) // The new key is lost.
	ring.Reload()
	_, err = h.VerifySecondFactor(t.Context(), id, password.TOTP(secret, password.TOTPStep(now)+1))
	wantKind(t, err, mail.Unavailable)
	h.must(h.reseal(t.Context()))
	_, err = h.VerifySecondFactor(t.Context(), id, made.Codes[0])
	h.must(err)
	_, err = h.Login(t.Context(), "alice@example.org", "pw of alice", imapFrom(netip.Addr{}))
	h.must(err)
}
