package directory

import (
	"cmp"
	"context"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Limits on accounts and on listing them.
const (
	MaxLanguage = 35   // octets of a language tag (RFC 5646 §4.4.1)
	MaxPage     = 1000 // entries of one list
)

// Account is somebody who has mail here.
type Account struct {
	ID       mail.AccountID `json:"id"`
	Address  mail.Address   `json:"address"`
	Language string         `json:"language,omitempty"` // a tag of RFC 5646: what to write to this person in
	Disabled bool           `json:"disabled"`
	Created  time.Time      `json:"created"`
	Quota    Allowance      `json:"quota"` // its own
	Forward  Forward        `json:"forward,omitzero"`

	// Unreadable says what is wrong with the row, if it has a value that it cannot
	// have; the rest is what can be read. RemoveAccount takes Address, whatever it is.
	Unreadable string `json:"unreadable,omitempty"`
}

// NewAccount is what AddAccount needs to know.
type NewAccount struct {
	Address  mail.Address `json:"address"`
	Password string       `json:"password"`
	Language string       `json:"language,omitempty"`

	AllowWeak bool `json:"allow_weak,omitempty"` // the password may be one that is soon guessed
}

// Filter chooses a page of a list that is sorted by domain and local part.
type Filter struct {
	Domain mail.Domain  `json:"domain,omitempty"` // only this domain; all if zero
	After  mail.Address `json:"after,omitzero"`   // only what comes after; the last of the page before
	Limit  int          `json:"limit,omitempty"`  // at most this many; 0 and more than MaxPage mean MaxPage
}

func (f Filter) limit() int {
	if f.Limit <= 0 {
		return MaxPage
	}
	return min(f.Limit, MaxPage)
}

// AddAccount makes an account with its mailboxes. Errors: Invalid, NotFound for
// a domain that is not local, Exists if an account or alias has that address, Conflict if
// a Source knows the people of its domain.
func (d *Directory) AddAccount(ctx context.Context, n NewAccount) (Account, error) {
	if err := checkNew(n.Address, n.Language); err != nil {
		return Account{}, err
	}
	if err := d.checkNoSource(n.Address); err != nil {
		return Account{}, err
	}
	if err := d.checkFloor(n.Password, n.Address, n.AllowWeak); err != nil {
		return Account{}, err
	}
	s, err := d.newSecrets(ctx, n.Password, factors{})
	if err != nil {
		return Account{}, err
	}
	a := Account{Address: n.Address, Language: n.Language, Created: d.now(), Quota: inherits()}
	err = d.change(ctx, func(tx *sqldb.Tx) (err error) {
		a.ID, err = d.insertAccount(tx, a, s)
		return err
	})
	if err != nil {
		return Account{}, err
	}
	return a, nil
}

// now is the time to the second, as it is stored.
func (d *Directory) now() time.Time { return time.Unix(d.o.Now().Unix(), 0).UTC() }

// checkNew checks what needs no database.
func checkNew(a mail.Address, language string) error {
	if err := a.CheckOwn(); err != nil {
		return err
	}
	return checkLanguage(language)
}

func checkLanguage(tag string) error {
	if len(tag) > MaxLanguage || strings.ContainsFunc(tag, notInTag) {
		return mail.Errorf(mail.Invalid, "%q is not a language tag such as en or pt-BR", tag)
	}
	return nil
}

func notInTag(r rune) bool {
	return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}

// insertAccount adds the row and the mailboxes.
func (d *Directory) insertAccount(tx *sqldb.Tx, a Account, s secrets) (mail.AccountID, error) {
	if err := checkFree(tx, a.Address); err != nil {
		return 0, err
	}
	key := a.Address.Key()
	n, err := tx.Insert(`INSERT INTO directory_account (domain, local_key, local, password, factors, scram, language, created)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		key.Domain, key.Local, a.Address.Local, s.password, s.factors, s.scram, a.Language, a.Created.Unix())
	if err != nil {
		return 0, err
	}
	id := mail.AccountID(n)
	return id, d.o.Accounts.CreateAccount(tx, id)
}

// checkFree checks that a can become an account or alias.
func checkFree(tx *sqldb.Tx, a mail.Address) error {
	if err := needDomain(tx, a.Domain); err != nil {
		return err
	}
	found, err := lookup(tx, a.Key())
	switch {
	case err != nil || len(found) == 0:
		return err
	case found[0].account == 0:
		return mail.Errorf(mail.Exists, "an alias has the address %s; remove the alias first", a)
	}
	return mail.Errorf(mail.Exists, "account %s exists already", a)
}

// aliasIsFree is checkFree for a new alias.
func aliasIsFree(tx *sqldb.Tx, a mail.Address) error {
	err := checkFree(tx, a)
	if mail.KindOf(err) == mail.Exists && err != nil {
		return mail.Errorf(mail.Exists, "account %s exists already, and an address is one or the other: "+
			"yubin account forward has its mail go to others, too", a)
	}
	return err
}

// Account finds the account with the address a. Errors: NotFound.
func (d *Directory) Account(ctx context.Context, a mail.Address) (found Account, err error) {
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) (err error) {
		found, err = findAccount(tx, a)
		return err
	})
	return found, err
}

// Accounts lists a page of accounts.
func (d *Directory) Accounts(ctx context.Context, f Filter) ([]Account, error) {
	list := []Account{}
	after := f.After.Key()
	err := d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		rows, err := tx.Query(selectAccount+` WHERE (domain, local_key) > ($1, $2) AND ($3 = '' OR domain = $3)
			ORDER BY domain, local_key LIMIT $4`, after.Domain, after.Local, f.Domain, f.limit())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			a, err := scanAccount(tx, rows)
			if err != nil {
				return err
			}
			list = append(list, a)
		}
		return rows.Err()
	})
	return list, err
}

const selectAccount = `SELECT id, local_key, local, domain, language, disabled, created, quota_octets, quota_messages, forwarding
	FROM directory_account`

type scanner interface{ Scan(dest ...any) error }

func scanAccount(tx *sqldb.Tx, row scanner) (Account, error) {
	var a Account
	var key mail.Address
	var created int64
	var f forwarding
	err := row.Scan(&a.ID, &key.Local, &a.Address.Local, &a.Address.Domain, &a.Language, &a.Disabled, &created,
		&a.Quota.Octets, &a.Quota.Messages, &f)
	if a.ID == 0 {
		return a, err
	}
	a.Created, key.Domain = time.Unix(created, 0).UTC(), a.Address.Domain
	if err == nil {
		err = checkLanguage(a.Language)
	}
	shown, nameErr := named(a.Address, key)
	a.Address, a.Unreadable = shown, unreadable(cmp.Or(nameErr, err))
	if f == forwardsNothing {
		return a, nil
	}
	a.Forward.Keep = f == forwardsCopy
	a.Forward.To, err = targetsOf(tx, key)
	return a, err
}

// findAccount is Account in a transaction.
func findAccount(tx *sqldb.Tx, a mail.Address) (Account, error) {
	return findKey(tx, a, a.Key())
}

// findKey finds the account a that is filed under key.
func findKey(tx *sqldb.Tx, a, key mail.Address) (Account, error) {
	found, err := scanAccount(tx, tx.QueryRow(selectAccount+` WHERE domain = $1 AND local_key = $2`, key.Domain, key.Local))
	if isNoRow(err) {
		err = mail.Errorf(mail.NotFound, "there is no account %s", a)
	}
	if err != nil {
		return Account{}, err
	}
	return found, nil
}

// SetDisabled stops or starts logins of the account and mail for it. What it
// has stays. Errors: NotFound.
func (d *Directory) SetDisabled(ctx context.Context, a mail.Address, disabled bool) error {
	why := ""
	if disabled {
		why = "the account is disabled"
	}
	return d.updateAccount(ctx, a, why, `UPDATE directory_account SET disabled = $2, version = version + 1 WHERE id = $1`, disabled)
}

// updateAccount runs an UPDATE whose $1 is the id of the account a. With a
// reason, its open sessions are revoked and its networks forgotten.
func (d *Directory) updateAccount(ctx context.Context, a mail.Address, why, query string, args ...any) error {
	return d.change(ctx, func(tx *sqldb.Tx) error {
		found, err := findAccount(tx, a)
		if err != nil {
			return err
		}
		if why != "" {
			tx.OnCommit(func() { d.o.Revoked(Ended{Account: found.ID, Why: why}) })
			if err := d.forgetNetworks(tx, found.ID); err != nil {
				return err
			}
		}
		_, err = tx.Exec(query, append([]any{found.ID}, args...)...)
		return err
	})
}

// RemoveAccount deletes the account and all its mail; also one that cannot be read,
// by the Address that Accounts shows. What it was granted goes, and what others were to
// write as it. Errors: NotFound; Conflict while an alias, a catch-all, a group or the
// forward of another account leads to it.
func (d *Directory) RemoveAccount(ctx context.Context, a mail.Address) error {
	return d.change(ctx, func(tx *sqldb.Tx) error {
		found, err := findKey(tx, a, a)
		if mail.KindOf(err) == mail.NotFound {
			found, err = findAccount(tx, a)
		}
		if err != nil {
			return err
		}
		return d.deleteAccount(tx, found)
	})
}

func (d *Directory) deleteAccount(tx *sqldb.Tx, a Account) error {
	if err := cmp.Or(checkNotTarget(tx, a.Address), d.checkNotNeeded(tx, a.Address)); err != nil {
		return err
	}
	tx.OnCommit(func() { d.o.Revoked(Ended{Account: a.ID, Why: "the account was removed"}) })
	if err := d.forgetNetworks(tx, a.ID); err != nil {
		return err
	}
	if err := d.o.Accounts.DeleteAccount(tx, a.ID); err != nil {
		return err
	}
	key := a.Address.Key()
	if err := deleteTargets(tx, key); err != nil {
		return err
	}
	if err := deleteCredentials(tx, a.ID); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM directory_send_as WHERE account = $1 OR domain = $2 AND local_key = $3`, a.ID, key.Domain, key.Local); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM directory_account WHERE id = $1`, a.ID)
	return err
}

// checkNotTarget checks that nothing leads to a.
func checkNotTarget(tx *sqldb.Tx, a mail.Address) error {
	users, err := aliasesTo(tx, a.Key())
	if err != nil || len(users) == 0 {
		return err
	}
	who, err := describe(tx, users[0])
	if err == nil {
		err = mail.Errorf(mail.Conflict, "%s leads to %s; change or remove it first", who, NameOf(a))
	}
	return err
}

// describe says what stands under a key that leads to others.
func describe(tx *sqldb.Tx, key mail.Address) (string, error) {
	found, err := lookup(tx, key)
	switch {
	case err != nil:
		return "", err
	case isGroup(key):
		return "group " + key.Local, nil
	case isCatchAll(key):
		return "the catch-all " + NameOf(key), nil
	case len(found) > 0 && found[0].account != 0:
		return "the forward of account " + key.String(), nil
	}
	return "alias " + key.String(), nil
}
