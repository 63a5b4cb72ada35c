package directory

import (
	"context"
	"time"
	"unicode"
	"unicode/utf8"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Password is what there is to tell of the own password of an account, or of an app
// password; never the password.
type Password struct {
	Name    string // of an app password; "" for the account's own
	Scope   Scope
	Created time.Time // zero for the account's own
	Used    Use       // the last login with it; zero if none is known
	Missing bool      // there is none: nobody can log in with it
	Foreign bool      // only a hash that another server made is known of it: it does not do SCRAM before the next login
}

// NewAppPassword is what AddAppPassword needs to know.
type NewAppPassword struct {
	Name string // what the owner calls it, such as the device
	Scope
}

// Passwords lists the passwords of an account, its own first. Errors: NotFound.
func (d *Directory) Passwords(ctx context.Context, a mail.Address) (list []Password, err error) {
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		found, err := findAccount(tx, a)
		if err != nil {
			return err
		}
		l, err := readLodger(tx, a.Key())
		if err != nil {
			return err
		}
		used, err := d.usesOf(tx, found.ID)
		if err != nil {
			return err
		}
		list = []Password{{Scope: l.own.scope, Used: used[l.own.Number], Missing: l.password == "",
			Foreign: l.password != "" && l.own.scram.StoredKey == nil}}
		created, err := createdOf(tx, found.ID)
		for _, c := range l.apps {
			list = append(list, Password{Name: c.Name, Scope: c.scope, Created: created[c.Number], Used: used[c.Number]})
		}
		return err
	})
	return list, err
}

// createdOf says when each app password of an account was made.
func createdOf(tx *sqldb.Tx, account mail.AccountID) (map[int]time.Time, error) {
	rows, err := tx.Query(`SELECT number, created FROM directory_app_password WHERE account = $1`, account)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	created := map[int]time.Time{}
	for rows.Next() {
		var number int
		var at int64
		if err := rows.Scan(&number, &at); err != nil {
			return nil, err
		}
		created[number] = time.Unix(at, 0).UTC()
	}
	return created, rows.Err()
}

// AddAppPassword makes an app password, which nothing tells again. Errors: NotFound;
// Invalid for a name or a scope that cannot be; Exists; TooLarge beyond MaxAppPasswords.
func (d *Directory) AddAppPassword(ctx context.Context, a mail.Address, n NewAppPassword) (text string, p Password, err error) {
	scope, err := n.Scope.clean()
	if err == nil {
		err = checkApp(n.Name, scope, d.now())
	}
	if err == nil {
		text, err = d.newAppPassword()
	}
	if err != nil {
		return "", Password{}, err
	}
	p = Password{Name: n.Name, Scope: scope, Created: d.now()}
	for again := true; again; { // Until the keys are of the factors that the account has.
		var f factors
		err := d.o.DB.Read(ctx, func(tx *sqldb.Tx) (err error) {
			f, _, err = factorsOf(tx, a)
			return err
		})
		if err != nil {
			return "", Password{}, err
		}
		key, err := deriveScram(text, f)
		if err != nil {
			return "", Password{}, err
		}
		err = d.change(ctx, func(tx *sqldb.Tx) error {
			now, _, err := factorsOf(tx, a)
			if again = err == nil && now.String() != f.String(); err != nil || again {
				return err
			}
			return insertApp(tx, a, p, newDigest(f, text), key)
		})
		if err != nil {
			return "", Password{}, err
		}
	}
	return text, p, nil
}

// checkApp checks what needs no database.
func checkApp(name string, s Scope, now time.Time) error {
	switch {
	case name == "." || name == "..": // They stand in a path.
		return mail.Errorf(mail.Invalid, "an app password cannot be called %q", name)
	case name == "" || len(name) > MaxPasswordName || !utf8.ValidString(name):
		return mail.Errorf(mail.Invalid, "the name of an app password has 1 to %d octets", MaxPasswordName)
	case containsUnprintable(name):
		return mail.Errorf(mail.Invalid, "the name of an app password has letters that cannot be seen")
	case !s.Until.IsZero() && !s.Until.After(now):
		return mail.Errorf(mail.Invalid, "the end of the app password is past")
	}
	for _, p := range s.Protocols {
		if p == Web {
			return mail.Errorf(mail.Invalid, "app passwords are for mail programs: imap, pop3, submission; the web asks for the account's own password")
		}
	}
	return nil
}

func containsUnprintable(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return true
		}
	}
	return false
}

// factorsOf reads the factors of an account, and how many app passwords it has.
func factorsOf(tx *sqldb.Tx, a mail.Address) (f factors, apps int, err error) {
	found, err := findAccount(tx, a)
	if err != nil {
		return factors{}, 0, err
	}
	var text string
	err = tx.QueryRow(`SELECT factors, (SELECT COUNT(*) FROM directory_app_password WHERE account = $1) FROM directory_account WHERE id = $1`,
		found.ID).Scan(&text, &apps)
	if err == nil {
		f, err = parseFactors(text)
	}
	return f, apps, err
}

func insertApp(tx *sqldb.Tx, a mail.Address, p Password, digest [32]byte, key ScramKey) error {
	found, err := findAccount(tx, a)
	if err != nil {
		return err
	}
	var count int
	if err := tx.QueryRow(`SELECT COUNT(*) FROM directory_app_password WHERE account = $1`, found.ID).Scan(&count); err != nil {
		return err
	}
	if count >= MaxAppPasswords {
		return mail.Errorf(mail.TooLarge, "%s has %d app passwords, as many as an account may have; remove one first", a, count)
	}
	there, err := exists(tx, `SELECT 1 FROM directory_app_password WHERE account = $1 AND name = $2`, found.ID, p.Name)
	if err != nil {
		return err
	}
	if there {
		return mail.Errorf(mail.Exists, "%s has an app password %q already; remove it first, or give this one another name", a, p.Name)
	}
	number, err := nextNumber(tx, found.ID)
	if err != nil {
		return err
	}
	until := int64(0)
	if !p.Scope.Until.IsZero() {
		until = p.Scope.Until.Unix()
	}
	protocols, networks := p.Scope.columns()
	_, err = tx.Exec(`INSERT INTO directory_app_password (account, number, name, digest, scram, protocols, networks, until, created)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, found.ID, number, p.Name, digest[:], key.String(), protocols, networks, until, p.Created.Unix())
	return err
}

// nextNumber gives a number to a new credential of an account: never one that was given
// before.
func nextNumber(tx *sqldb.Tx, account mail.AccountID) (number int, err error) {
	if _, err := tx.Exec(`UPDATE directory_account SET credentials = credentials + 1 WHERE id = $1`, account); err != nil {
		return 0, err
	}
	err = tx.QueryRow(`SELECT credentials FROM directory_account WHERE id = $1`, account).Scan(&number)
	return number, err
}

// RemoveAppPassword ends an app password and the sessions that logged in with it. Errors:
// NotFound.
func (d *Directory) RemoveAppPassword(ctx context.Context, a mail.Address, name string) error {
	return d.change(ctx, func(tx *sqldb.Tx) error {
		n, err := d.removeApps(tx, a, `AND name = $2`, name)
		if err == nil && n == 0 {
			err = mail.Errorf(mail.NotFound, "%s has no app password %q", a, name)
		}
		return err
	})
}

// RemoveAppPasswords ends all of an account, and says how many there were. Errors:
// NotFound.
func (d *Directory) RemoveAppPasswords(ctx context.Context, a mail.Address) (n int, err error) {
	err = d.change(ctx, func(tx *sqldb.Tx) error {
		n, err = d.removeApps(tx, a, "")
		return err
	})
	return n, err
}

func (d *Directory) removeApps(tx *sqldb.Tx, a mail.Address, where string, args ...any) (int, error) {
	found, err := findAccount(tx, a)
	if err != nil {
		return 0, err
	}
	rows, err := tx.Query(`SELECT number FROM directory_app_password WHERE account = $1 `+where, append([]any{found.ID}, args...)...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var numbers []int
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			return 0, err
		}
		numbers = append(numbers, n)
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	for _, n := range numbers {
		if _, err := tx.Exec(`DELETE FROM directory_app_password WHERE account = $1 AND number = $2`, found.ID, n); err != nil {
			return 0, err
		}
		if err := d.ended(tx, found.ID, n, "this app password was removed"); err != nil {
			return 0, err
		}
	}
	return len(numbers), nil
}

// ended takes along what is known of a credential that is gone, and ends its sessions.
func (d *Directory) ended(tx *sqldb.Tx, account mail.AccountID, number int, why string) error {
	tx.OnCommit(func() {
		d.uses.forget(account, number)
		d.o.Revoked(Ended{Account: account, Credential: number, Why: why})
	})
	_, err := tx.Exec(`DELETE FROM directory_use WHERE account = $1 AND number = $2`, account, number)
	return err
}

// deleteCredentials takes along what a removed account had.
func deleteCredentials(tx *sqldb.Tx, account mail.AccountID) error {
	for _, query := range []string{
		`DELETE FROM directory_app_password WHERE account = $1`,
		`DELETE FROM directory_second_factor WHERE account = $1`,
		`DELETE FROM directory_recovery_code WHERE account = $1`,
		`DELETE FROM directory_use WHERE account = $1`,
	} {
		if _, err := tx.Exec(query, account); err != nil {
			return err
		}
	}
	return nil
}

// SetPassword gives the account a new password of its own; the old one is worth nothing
// from now on, its sessions end, and whose networks are known is learned again. App
// passwords stay. allowWeak lets it be one that is soon guessed. Errors: NotFound, Invalid.
func (d *Directory) SetPassword(ctx context.Context, a mail.Address, text string, allowWeak bool) error {
	if _, err := d.Account(ctx, a); err != nil {
		return err // before the work of hashing
	}
	if err := d.checkNoSource(a); err != nil {
		return err
	}
	if err := d.checkFloor(text, a, allowWeak); err != nil {
		return err
	}
	for again := true; again; { // Until the keys are of the factors that app passwords need.
		var kept factors
		err := d.o.DB.Read(ctx, func(tx *sqldb.Tx) (err error) {
			kept, err = factorsInUse(tx, a)
			return err
		})
		if err != nil {
			return err
		}
		s, err := d.newSecrets(ctx, text, kept)
		if err != nil {
			return err
		}
		err = d.change(ctx, func(tx *sqldb.Tx) error {
			now, err := factorsInUse(tx, a)
			if again = err == nil && now.String() != kept.String(); err != nil || again {
				return err
			}
			return d.replaceOwn(tx, a, "the password was changed; log in again",
				`UPDATE directory_account SET password = $2, factors = $3, scram = $4 WHERE id = $1`, s.password, s.factors, s.scram)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// factorsInUse are the factors of an account whose app passwords need them; zero if it has
// none, and new ones can be made.
func factorsInUse(tx *sqldb.Tx, a mail.Address) (factors, error) {
	f, apps, err := factorsOf(tx, a)
	if apps == 0 {
		f = factors{}
	}
	return f, err
}

// LimitPassword says where the own password of an account counts; zero for everywhere. Its
// sessions end: those that it still allows log in again. Errors: NotFound, Invalid.
func (d *Directory) LimitPassword(ctx context.Context, a mail.Address, s Scope) error {
	s, err := s.clean()
	if err == nil && !s.Until.IsZero() {
		err = mail.Errorf(mail.Invalid, "the account's own password has no end; disable the account instead")
	}
	if err != nil {
		return err
	}
	protocols, networks := s.columns()
	return d.change(ctx, func(tx *sqldb.Tx) error {
		return d.replaceOwn(tx, a, "where the password counts was changed; log in again",
			`UPDATE directory_account SET protocols = $2, networks = $3 WHERE id = $1`, protocols, networks)
	})
}

// replaceOwn runs an UPDATE of an account, $1, after which its own password is another
// credential than before.
func (d *Directory) replaceOwn(tx *sqldb.Tx, a mail.Address, why, query string, args ...any) error {
	found, err := findAccount(tx, a)
	if err != nil {
		return err
	}
	var old int
	if err := tx.QueryRow(`SELECT credential FROM directory_account WHERE id = $1`, found.ID).Scan(&old); err != nil {
		return err
	}
	if err := d.forgetNetworks(tx, found.ID); err != nil {
		return err
	}
	if err := d.ended(tx, found.ID, old, why); err != nil {
		return err
	}
	if _, err := tx.Exec(query, append([]any{found.ID}, args...)...); err != nil {
		return err
	}
	number, err := nextNumber(tx, found.ID)
	if err == nil {
		_, err = tx.Exec(`UPDATE directory_account SET credential = $2 WHERE id = $1`, found.ID, number)
	}
	return err
}
