package directory

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"strconv"
	"strings"
	"time"

	"yubin/internal/engine/password"
	"yubin/internal/mail"
	"yubin/internal/world/obs"
	keyring "yubin/internal/world/secrets"
	"yubin/internal/world/sqldb"
)

// Bounds on second factors.
const (
	RecoveryCodes       = 10
	recoveryCodeLetters = 16 // of 25: 74 bits

	// SecondFailures wrong codes are looked at of an account, then one in SecondRecovery;
	// others are refused. Who gets as far has the account's password.
	SecondFailures = 5
	SecondRecovery = 5 * time.Minute

	totpPurpose = "totp" // of what is sealed
)

// Secrets seals what is kept: secrets.Keyring does.
type Secrets interface {
	Seal(purpose, row string, secret []byte) ([]byte, error)
	Open(purpose, row string, sealed []byte) ([]byte, error)
	Current() string
}

// SecondFactor is what there is to tell of that of an account; zero for none.
type SecondFactor struct {
	Since time.Time
	Codes int // recovery codes that are left
}

// NewSecondFactor is one that was made. Nothing tells this again.
type NewSecondFactor struct {
	Secret string // for an app: base32
	Link   string // the same in an otpauth URL, with what the app shows
	Codes  []string
}

// errUsedCode is the cause of the Forbidden of a code that was right and used before.
var (
	errWrongCode = errors.New("directory: wrong code")
	errUsedCode  = errors.New("directory: used code")
)

func refuseCode(cause error) error {
	return &mail.Error{Kind: mail.Forbidden, Text: "the code is wrong, or was used already; wait for the next one", Err: cause}
}

// SecondFactor tells of the second factor of an account. Errors: NotFound.
func (d *Directory) SecondFactor(ctx context.Context, a mail.Address) (f SecondFactor, err error) {
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		found, err := findAccount(tx, a)
		if err != nil {
			return err
		}
		var since int64
		err = tx.QueryRow(`SELECT since, (SELECT COUNT(*) FROM directory_recovery_code WHERE account = $1)
			FROM directory_second_factor WHERE account = $1`, found.ID).Scan(&since, &f.Codes)
		if isNoRow(err) {
			f, err = SecondFactor{}, nil
		} else if err == nil {
			f.Since = time.Unix(since, 0).UTC()
		}
		return err
	})
	return f, err
}

// EnableSecondFactor makes a secret for one-time codes (RFC 6238) and recovery codes.
// Logins by mail programs stay as they are: LimitPassword has them ask for app passwords.
// Errors: NotFound; Exists if there is one; Unavailable if nothing can be sealed.
func (d *Directory) EnableSecondFactor(ctx context.Context, a mail.Address) (made NewSecondFactor, err error) {
	secret, err := d.random(password.TOTPSecret)
	if err != nil {
		return made, err
	}
	codes, err := d.recoveryCodes()
	if err != nil {
		return made, err
	}
	found, err := d.Account(ctx, a)
	if err != nil {
		return made, err
	}
	sealed, err := d.seal(found.ID, secret)
	if err != nil {
		return made, err
	}
	err = d.change(ctx, func(tx *sqldb.Tx) error {
		if now, err := findAccount(tx, a); err != nil || now.ID != found.ID {
			return noLongerThere(a, err)
		}
		there, err := exists(tx, `SELECT 1 FROM directory_second_factor WHERE account = $1`, found.ID)
		if err != nil {
			return err
		}
		if there {
			return mail.Errorf(mail.Exists, "%s has a second factor already; disable it first", a)
		}
		if _, err := tx.Exec(`INSERT INTO directory_second_factor (account, secret, since, step) VALUES ($1, $2, $3, 0)`,
			found.ID, sealed, d.now().Unix()); err != nil {
			return err
		}
		return writeCodes(tx, found.ID, codes)
	})
	if err != nil {
		return NewSecondFactor{}, err
	}
	name := found.Address.String()
	return NewSecondFactor{password.TOTPText(secret), password.TOTPLink(secret, string(found.Address.Domain), name), codes}, nil
}

func noLongerThere(a mail.Address, err error) error {
	if err == nil {
		err = mail.Errorf(mail.Conflict, "the account %s was made anew meanwhile; try again", a)
	}
	return err
}

// DisableSecondFactor takes away the secret and the recovery codes. Errors: NotFound.
func (d *Directory) DisableSecondFactor(ctx context.Context, a mail.Address) error {
	return d.change(ctx, func(tx *sqldb.Tx) error {
		found, err := findAccount(tx, a)
		if err != nil {
			return err
		}
		n, err := tx.Exec(`DELETE FROM directory_second_factor WHERE account = $1`, found.ID)
		if err == nil && n == 0 {
			err = mail.Errorf(mail.NotFound, "%s has no second factor", a)
		}
		if err == nil {
			_, err = tx.Exec(`DELETE FROM directory_recovery_code WHERE account = $1`, found.ID)
		}
		return err
	})
}

// NewRecoveryCodes makes new ones in place of all that there are. Errors: NotFound.
func (d *Directory) NewRecoveryCodes(ctx context.Context, a mail.Address) (codes []string, err error) {
	if codes, err = d.recoveryCodes(); err != nil {
		return nil, err
	}
	err = d.change(ctx, func(tx *sqldb.Tx) error {
		found, err := findAccount(tx, a)
		if err != nil {
			return err
		}
		there, err := exists(tx, `SELECT 1 FROM directory_second_factor WHERE account = $1`, found.ID)
		if err == nil && !there {
			err = mail.Errorf(mail.NotFound, "%s has no second factor", a)
		}
		if err == nil {
			_, err = tx.Exec(`DELETE FROM directory_recovery_code WHERE account = $1`, found.ID)
		}
		if err == nil {
			err = writeCodes(tx, found.ID, codes)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

func (d *Directory) recoveryCodes() (codes []string, err error) {
	for range RecoveryCodes {
		code, err := d.letters(recoveryCodeLetters)
		if err != nil {
			return nil, err
		}
		codes = append(codes, code)
	}
	return codes, nil
}

func writeCodes(tx *sqldb.Tx, account mail.AccountID, codes []string) error {
	for _, code := range codes {
		if _, err := tx.Exec(`INSERT INTO directory_recovery_code (account, digest) VALUES ($1, $2)`, account, codeDigest(account, code)); err != nil {
			return err
		}
	}
	return nil
}

// codeDigest is what is kept of a recovery code, which is as long as to need no more.
func codeDigest(account mail.AccountID, canonical string) []byte {
	sum := sha256.Sum256([]byte("recovery code\x00" + strconv.FormatInt(int64(account), 10) + "\x00" + canonical))
	return sum[:]
}

// VerifySecondFactor checks a code of the account: one of its app, now, the one before or
// the one after, or a recovery code; recovery says which. Each counts once (RFC 6238 §5.2).
// It is asked after the password. A failure is told after a delay. Errors: Forbidden for a
// wrong or used code; NotFound if the account has no second factor; RateLimited;
// Unavailable if the secret cannot be opened.
func (d *Directory) VerifySecondFactor(ctx context.Context, account mail.AccountID, code string) (recovery bool, err error) {
	in, err := d.limits.second(ctx, account)
	if err != nil {
		return false, err
	}
	canonical, recovery := group(code[:min(len(code), 3*recoveryCodeLetters)], recoveryCodeLetters)
	if recovery {
		err = d.useRecoveryCode(ctx, account, canonical)
	} else {
		err = d.useTOTP(ctx, account, strings.ReplaceAll(code, " ", ""))
	}
	if err == nil || mail.KindOf(err) != mail.Forbidden {
		in.done()
		return recovery && err == nil, err
	}
	if delay, _ := in.failed(guess{}); delay > 0 {
		if err := d.o.Sleep(ctx, delay); err != nil {
			return false, err
		}
	}
	return false, err
}

func (d *Directory) useRecoveryCode(ctx context.Context, account mail.AccountID, canonical string) error {
	return d.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		there, err := exists(tx, `SELECT 1 FROM directory_second_factor WHERE account = $1`, account)
		if err == nil && !there {
			err = errNoSecondFactor()
		}
		if err != nil {
			return err
		}
		n, err := tx.Exec(`DELETE FROM directory_recovery_code WHERE account = $1 AND digest = $2`, account, codeDigest(account, canonical))
		if err == nil && n == 0 {
			err = refuseCode(errWrongCode)
		}
		return err
	})
}

func errNoSecondFactor() error { return mail.Errorf(mail.NotFound, "the account has no second factor") }

// useTOTP takes a code of the app: the step that it is of is then the last that was used.
func (d *Directory) useTOTP(ctx context.Context, account mail.AccountID, code string) error {
	var sealed []byte
	err := d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		return tx.QueryRow(`SELECT secret FROM directory_second_factor WHERE account = $1`, account).Scan(&sealed)
	})
	if isNoRow(err) {
		return errNoSecondFactor()
	}
	if err != nil {
		return err
	}
	secret, err := d.o.Secrets.Open(totpPurpose, sealedRow(account), sealed)
	if err != nil {
		return err
	}
	step := int64(0)
	now := password.TOTPStep(d.o.Now())
	for s := now - 1; s <= now+1; s++ {
		if subtle.ConstantTimeCompare([]byte(password.TOTP(secret, s)), []byte(code)) == 1 {
			step = s
		}
	}
	if step == 0 {
		return refuseCode(errWrongCode)
	}
	return d.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		// The secret is still the one that the code is of, and the step is new.
		n, err := tx.Exec(`UPDATE directory_second_factor SET step = $2 WHERE account = $1 AND step < $2 AND secret = $3`, account, step, sealed)
		if err == nil && n == 0 {
			err = refuseCode(errUsedCode)
		}
		return err
	})
}

func sealedRow(account mail.AccountID) string { return strconv.FormatInt(int64(account), 10) }

func (d *Directory) seal(account mail.AccountID, secret []byte) ([]byte, error) {
	if d.o.Secrets == nil {
		return nil, mail.Errorf(mail.Unavailable, "there is nothing to seal secrets with")
	}
	return d.o.Secrets.Seal(totpPurpose, sealedRow(account), secret)
}

// reseal seals with the key of now what is sealed with another, so that the other one can
// go out of its file.
func (d *Directory) reseal(ctx context.Context) error {
	if d.o.Secrets == nil || d.o.Secrets.Current() == "" {
		return nil
	}
	type row struct {
		account mail.AccountID
		sealed  []byte
	}
	var old []row
	err := d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		old = nil
		rows, err := tx.Query(`SELECT account, secret FROM directory_second_factor`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r row
			if err := rows.Scan(&r.account, &r.sealed); err != nil {
				return err
			}
			if keyring.KeyID(r.sealed) != d.o.Secrets.Current() {
				old = append(old, r)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return err
	}
	for _, r := range old {
		secret, err := d.o.Secrets.Open(totpPurpose, sealedRow(r.account), r.sealed)
		var sealed []byte
		if err == nil {
			sealed, err = d.seal(r.account, secret)
		}
		if err != nil {
			d.log.Warn("the secret of a second factor cannot be opened: its owner needs a recovery code, or a new one", "account", int64(r.account), obs.Err(err))
			continue
		}
		if err := d.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(`UPDATE directory_second_factor SET secret = $3 WHERE account = $1 AND secret = $2`, r.account, r.sealed, sealed)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}
