package directory

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"strings"
	"time"

	"yubin/internal/engine/password"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Bounds on app passwords.
const (
	MaxAppPasswords = 20 // of an account
	MaxPasswordName = 64 // octets of the name of one
)

// lodger is what a login needs of an account; the one of Account 0 is nobody.
type lodger struct {
	principal mail.Principal // without a credential
	disabled  bool
	password  string // its own, as it is kept: password.Hash.String; "" for none
	hash      password.Hash
	factors   factors
	own       credential
	apps      []credential // in the order in which they were made
}

// credential is what somebody can log in with.
type credential struct {
	mail.Credential
	scope  Scope
	scram  ScramKey          // zero if there is none
	digest [sha256.Size]byte // of an app password
}

// isApp reports whether c is an app password.
func (c credential) isApp() bool { return c.Name != "" }

// refuses says why client cannot use c at a time; nil if it can. An app password is for
// programs: it has no second factor, and so is nothing for the web.
func (c credential) refuses(client Client, now time.Time) error {
	if c.isApp() && client.Protocol == Web {
		return errWrongProtocol
	}
	return c.scope.refuses(client, now)
}

// newDigest is what an app password is known by. It is one computation of SHA-256: that
// is enough for a password which nobody thought up (AppPasswordLetters), and a login tries
// all that an account has.
func newDigest(f factors, canonical string) [sha256.Size]byte {
	return sha256.Sum256([]byte("app password\x00" + f.String() + "\x00" + canonical))
}

// app finds the app password that was typed; all are looked at.
func (l *lodger) app(typed string) (found credential, ok bool) {
	canonical, is := canonicalAppPassword(typed)
	if !is || len(l.apps) == 0 {
		return credential{}, false
	}
	digest := newDigest(l.factors, canonical)
	for _, c := range l.apps {
		if subtle.ConstantTimeCompare(c.digest[:], digest[:]) == 1 {
			found, ok = c, true
		}
	}
	return found, ok
}

// holds reports whether c is still one of l, and has not ended.
func (l *lodger) holds(c mail.Credential, now time.Time) bool {
	if c.Number == 0 || c.Number == l.own.Number {
		return true
	}
	for _, app := range l.apps {
		if app.Number == c.Number {
			return app.scope.Until.IsZero() || now.Before(app.scope.Until)
		}
	}
	return false
}

// lodger reads what a login needs of an account; the zero lodger if there is none.
func (d *Directory) lodger(ctx context.Context, key mail.Address) (lodger, error) {
	l, epoch, ok := d.lodgers.get(key)
	if ok {
		return l, nil
	}
	err := d.o.DB.Read(ctx, func(tx *sqldb.Tx) (err error) {
		l, err = readLodger(tx, key)
		return err
	})
	if err == nil {
		d.lodgers.put(key, l, epoch)
	}
	return l, err
}

func readLodger(tx *sqldb.Tx, key mail.Address) (lodger, error) {
	var l lodger
	var factors, scram, protocols, networks string
	p := &l.principal
	err := tx.QueryRow(`SELECT id, local, domain, version, disabled, password, factors, scram, credential, protocols, networks
		FROM directory_account WHERE domain = $1 AND local_key = $2`, key.Domain, key.Local).Scan(
		&p.Account, &p.Address.Local, &p.Address.Domain, &p.Version, &l.disabled, &l.password, &factors, &scram, &l.own.Number, &protocols, &networks)
	if isNoRow(err) {
		return lodger{}, nil
	}
	if err == nil && l.password != "" {
		l.hash, err = password.Parse(l.password)
	}
	if err == nil {
		l.factors, err = parseFactors(factors)
	}
	if err == nil {
		l.own.scram, err = parseScram(scram)
	}
	if err == nil {
		l.own.scope, err = parseScope(protocols, networks, 0)
	}
	if err == nil {
		l.apps, err = readApps(tx, p.Account)
	}
	if err != nil {
		return lodger{}, &mail.Error{Kind: mail.Internal, Text: "the stored password cannot be read", Err: err}
	}
	return l, nil
}

// readApps reads the app passwords of an account.
func readApps(tx *sqldb.Tx, account mail.AccountID) ([]credential, error) {
	rows, err := tx.Query(`SELECT number, name, digest, scram, protocols, networks, until FROM directory_app_password
		WHERE account = $1 ORDER BY number`, account)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []credential
	for rows.Next() {
		var c credential
		var digest []byte
		var scram, protocols, networks string
		var until int64
		if err := rows.Scan(&c.Number, &c.Name, &digest, &scram, &protocols, &networks, &until); err != nil {
			return nil, err
		}
		if copy(c.digest[:], digest) != sha256.Size {
			return nil, mail.Errorf(mail.Internal, "the digest of an app password has %d octets", len(digest))
		}
		if c.scram, err = parseScram(scram); err != nil {
			return nil, err
		}
		if c.scope, err = parseScope(protocols, networks, until); err != nil {
			return nil, err
		}
		c.Until = c.scope.Until
		list = append(list, c)
	}
	return list, rows.Err()
}

// The form of an app password: letters that are not taken for each other, in groups. 20 of
// 25 letters are 92 bits: nobody finds one, whatever is kept of it.
const (
	AppPasswordLetters = 20
	appPasswordGroup   = 4
	appAlphabet        = "abcdefghijkmnopqrstuvwxyz"
)

// newAppPassword makes one: abcd-efgh-ijkm-nopq-rstu.
func (d *Directory) newAppPassword() (string, error) { return d.letters(AppPasswordLetters) }

// letters are n random letters in groups.
func (d *Directory) letters(n int) (string, error) {
	var b strings.Builder
	for drawn := 0; drawn < n; {
		octets, err := d.random(n)
		if err != nil {
			return "", err
		}
		for _, o := range octets {
			if most := 256 - 256%len(appAlphabet); int(o) >= most || drawn == n {
				continue // Each letter is as likely as any other.
			}
			if drawn > 0 && drawn%appPasswordGroup == 0 {
				b.WriteByte('-')
			}
			b.WriteByte(appAlphabet[int(o)%len(appAlphabet)])
			drawn++
		}
	}
	return b.String(), nil
}

// canonicalAppPassword is the form in which one is shown of what somebody typed: without
// the hyphens, with spaces for them, or in capitals; false if it cannot be one. By SCRAM,
// where the server does not see it, only the form that is shown is right.
func canonicalAppPassword(typed string) (string, bool) {
	if len(typed) > 3*AppPasswordLetters {
		return "", false
	}
	return group(typed, AppPasswordLetters)
}

// group brings n letters into groups; false if text has others, or not so many.
func group(text string, n int) (string, bool) {
	var b strings.Builder
	letters := 0
	for _, r := range strings.ToLower(text) {
		if r == '-' || r == ' ' {
			continue
		}
		if !strings.ContainsRune(appAlphabet, r) || letters == n {
			return "", false
		}
		if letters > 0 && letters%appPasswordGroup == 0 {
			b.WriteByte('-')
		}
		b.WriteRune(r)
		letters++
	}
	return b.String(), letters == n
}
