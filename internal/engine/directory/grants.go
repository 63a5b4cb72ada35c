package directory

import (
	"context"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// MaxGrants is how much one account or group is granted.
const MaxGrants = 1000

// Grant is leave to write as others: an address, whoever has it; every address of a
// domain, CatchAll(domain); or anybody at all, the zero Address. Who is an account, or
// a group for all who are in it.
type Grant struct {
	Who mail.Address
	As  mail.Address
}

// Words of ParseSenders and SendersText.
const (
	domainPrefix = "domain:"
	anySender    = "any"
)

// ParseSenders reads whom a grant is for: "sales@example.org", "domain:example.org" or
// "any". Errors: Invalid.
func ParseSenders(s string) (mail.Address, error) {
	if s == anySender {
		return mail.Address{}, nil
	}
	if name, ok := strings.CutPrefix(s, domainPrefix); ok {
		d, err := mail.ParseDomain(name)
		return CatchAll(d), err
	}
	if !strings.Contains(s, "@") {
		return mail.Address{}, mail.Errorf(mail.Invalid, "%q is not an address, domain:example.org or any", s)
	}
	return mail.ParseAddress(s)
}

// SendersText is what ParseSenders reads.
func SendersText(as mail.Address) string {
	switch {
	case as.IsZero():
		return anySender
	case isCatchAll(as):
		return domainPrefix + string(as.Domain)
	}
	return as.String()
}

// Allow lets an account or group write as others. Errors: NotFound for who does not
// exist; Exists; TooLarge.
func (d *Directory) Allow(ctx context.Context, g Grant) error {
	return d.change(ctx, func(tx *sqldb.Tx) error { return allow(tx, g) })
}

func allow(tx *sqldb.Tx, g Grant) error {
	account, group, err := grantee(tx, g.Who)
	if err != nil {
		return err
	}
	as, err := cleanSenders(tx, g.As)
	if err != nil {
		return err
	}
	list, err := grantsTo(tx, account, group)
	if err != nil {
		return err
	}
	for _, o := range list {
		if o == as {
			return mail.Errorf(mail.Exists, "%s may send as %s already", NameOf(g.Who), SendersText(as))
		}
	}
	if len(list) >= MaxGrants {
		return mail.Errorf(mail.TooLarge, "%s may send as %d others already; grant a domain", NameOf(g.Who), MaxGrants)
	}
	_, err = tx.Exec(`INSERT INTO directory_send_as (account, grp, domain, local_key) VALUES ($1, $2, $3, $4)`,
		account, group, as.Domain, as.Local)
	return err
}

// Disallow takes a grant back. Errors: NotFound.
func (d *Directory) Disallow(ctx context.Context, g Grant) error {
	return d.change(ctx, func(tx *sqldb.Tx) error { return disallow(tx, g) })
}

func disallow(tx *sqldb.Tx, g Grant) error {
	account, group, err := grantee(tx, g.Who)
	if err != nil {
		return err
	}
	as, err := cleanSenders(tx, g.As)
	if err != nil {
		return err
	}
	n, err := tx.Exec(`DELETE FROM directory_send_as WHERE account = $1 AND grp = $2 AND domain = $3 AND local_key = $4`,
		account, group, as.Domain, as.Local)
	if err == nil && n == 0 {
		err = mail.Errorf(mail.NotFound, "%s was not granted to send as %s", NameOf(g.Who), SendersText(as))
	}
	return err
}

// cleanSenders is whom a grant is for as it is kept.
func cleanSenders(tx *sqldb.Tx, as mail.Address) (mail.Address, error) {
	if as.Local == "" {
		return as, nil
	}
	return canonical(tx, as.Key())
}

// grantee finds the account, or else the group, that a grant is to.
func grantee(tx *sqldb.Tx, who mail.Address) (account mail.AccountID, group string, err error) {
	if isGroup(who) {
		return 0, who.Local, needGroup(tx, who.Local)
	}
	a, err := findAccount(tx, who)
	return a.ID, "", err
}

func grantsTo(tx *sqldb.Tx, account mail.AccountID, group string) ([]mail.Address, error) {
	return collect(tx, `SELECT local_key, domain FROM directory_send_as WHERE account = $1 AND grp = $2
		ORDER BY domain, local_key`, account, group)
}

// Grants lists what an account or group was granted, and by which groups an account
// has more: Who is the one or the other. Errors: NotFound.
func (d *Directory) Grants(ctx context.Context, who mail.Address) (list []Grant, err error) {
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		list = []Grant{}
		account, group, err := grantee(tx, who)
		if err != nil {
			return err
		}
		if !isGroup(who) {
			found, err := findAccount(tx, who)
			if err != nil {
				return err
			}
			who = found.Address
		}
		return eachGrant(tx, account, group, who, func(g Grant) { list = append(list, g) })
	})
	return list, err
}

// eachGrant gives what an account or group was granted, and what the groups were that it
// is in.
func eachGrant(tx *sqldb.Tx, account mail.AccountID, group string, who mail.Address, give func(Grant)) error {
	names, err := groupsOf(tx, who.Key())
	if err != nil {
		return err
	}
	own, err := grantsTo(tx, account, group)
	if err != nil {
		return err
	}
	for _, as := range own {
		give(Grant{who, as})
	}
	for _, name := range names {
		more, err := grantsTo(tx, 0, name)
		if err != nil {
			return err
		}
		for _, as := range more {
			give(Grant{GroupName(name), as})
		}
	}
	return nil
}

// granted is as whom an account may write by grants, from memory.
func (d *Directory) granted(ctx context.Context, account mail.AccountID) ([]mail.Address, error) {
	list, epoch, ok := d.grants.get(account)
	if ok || account == 0 {
		return list, nil
	}
	err := d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		list = nil
		key, disabled, err := keyOf(tx, account)
		if mail.KindOf(err) == mail.NotFound || disabled {
			return nil
		}
		if err != nil {
			return err
		}
		return eachGrant(tx, account, "", key, func(g Grant) { list = append(list, g.As) })
	})
	if err == nil {
		d.grants.put(account, list, epoch)
	}
	return list, err
}

// covers reports whether leave to write as as is leave to write from key, which stands
// for what r found.
func covers(as, key mail.Address, r route) bool {
	switch {
	case as.IsZero():
		return true
	case as.Local == "":
		return key.Domain == as.Domain || r.at.Domain == as.Domain
	}
	return key == as || subaddressed(key) == as || r.at == as || subaddressed(r.at) == as
}
