package directory

import (
	"cmp"
	"context"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Domain is a domain whose mail is kept here.
type Domain struct {
	Name     mail.Domain  `json:"name"`
	CatchAll mail.Address `json:"catch_all,omitzero"` // the account that gets mail for unknown addresses
	Accounts int          `json:"accounts"`
	Aliases  int          `json:"aliases"`
	Quota    Allowance    `json:"quota"` // of accounts that have none of their own

	// Unreadable says what is wrong with the row, if it has a value that it cannot
	// have. RemoveDomain takes Name, whatever it is.
	Unreadable string `json:"unreadable,omitempty"`
}

// AddDomain makes name local. Errors: Exists; Invalid; Conflict while an alias
// leads to an address there, which nobody has yet.
func (d *Directory) AddDomain(ctx context.Context, name mail.Domain) (Domain, error) {
	if name == "" || name.IsLiteral() {
		return Domain{}, mail.Errorf(mail.Invalid, "a domain is a name such as example.org, not an address literal")
	}
	err := d.change(ctx, func(tx *sqldb.Tx) error {
		there, err := domainExists(tx, name)
		if err == nil && there {
			err = mail.Errorf(mail.Exists, "domain %s exists already", name)
		}
		if err == nil {
			err = checkNotForwarded(tx, name)
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO directory_domain (name) VALUES ($1)`, name)
		return err
	})
	if err != nil {
		return Domain{}, err
	}
	return Domain{Name: name, Quota: inherits()}, nil
}

// checkNotForwarded checks that no alias has a target at name.
func checkNotForwarded(tx *sqldb.Tx, name mail.Domain) error {
	found, err := collect(tx, `SELECT a.local, a.domain FROM directory_alias_target t
		JOIN directory_alias a ON a.domain = t.domain AND a.local_key = t.local_key
		WHERE t.target_domain = $1 ORDER BY a.domain, a.local_key LIMIT 1`, name)
	if err == nil && len(found) > 0 {
		err = mail.Errorf(mail.Conflict, "alias %s leads to an address of %s; remove it, and add it again when the domain has that address", found[0], name)
	}
	return err
}

const selectDomain = `SELECT d.name, (SELECT count(*) FROM directory_account a WHERE a.domain = d.name),
	(SELECT count(*) FROM directory_alias a WHERE a.domain = d.name), c.local, c.domain, d.quota_octets, d.quota_messages
	FROM directory_domain d LEFT JOIN directory_account c ON c.id = d.catch_all`

func scanDomain(row scanner) (d Domain, err error) {
	err = row.Scan(&d.Name, &d.Accounts, &d.Aliases, &d.CatchAll.Local, &d.CatchAll.Domain, &d.Quota.Octets, &d.Quota.Messages)
	if d.Name == "" {
		return d, err
	}
	d.Unreadable = unreadable(cmp.Or(checkDomain(d.Name), err))
	return d, nil
}

// checkDomain says what is wrong with the name of a row.
func checkDomain(name mail.Domain) error {
	p, err := mail.ParseDomain(string(name))
	if err == nil && p != name {
		err = mail.Errorf(mail.Internal, "%q is no name of a domain", string(name))
	}
	return err
}

// Domains lists the local domains by name.
func (d *Directory) Domains(ctx context.Context) ([]Domain, error) {
	list := []Domain{}
	err := d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		rows, err := tx.Query(selectDomain + ` ORDER BY d.name`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			e, err := scanDomain(rows)
			if err != nil {
				return err
			}
			list = append(list, e)
		}
		return rows.Err()
	})
	return list, err
}

// Names lists the names of the local domains, in order, without those that cannot be
// read.
func (d *Directory) Names(ctx context.Context) (list []mail.Domain, err error) {
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		all, err := scanNames(tx.Query(`SELECT name FROM directory_domain ORDER BY name`))
		list = all
		return err
	})
	return list, err
}

func scanNames(rows *sqldb.Rows, err error) (list []mail.Domain, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name mail.Domain
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		if checkDomain(name) == nil {
			list = append(list, name)
		}
	}
	return list, rows.Err()
}

// Domain finds a local domain. Errors: NotFound.
func (d *Directory) Domain(ctx context.Context, name mail.Domain) (found Domain, err error) {
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		if err := needDomain(tx, name); err != nil {
			return err
		}
		found, err = scanDomain(tx.QueryRow(selectDomain+` WHERE d.name = $1`, name))
		return err
	})
	return found, err
}

// FirstDomain is the first of the local domains by name, or "". It is remembered.
func (d *Directory) FirstDomain(ctx context.Context) (mail.Domain, error) {
	name, epoch, ok := d.first.get(struct{}{})
	if ok {
		return name, nil
	}
	err := d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		name = ""
		rows, err := tx.Query(`SELECT name FROM directory_domain ORDER BY name`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := rows.Scan(&name); err != nil {
				return err
			}
			if checkDomain(name) == nil {
				return nil
			}
			name = ""
		}
		return rows.Err()
	})
	if err == nil {
		d.first.put(struct{}{}, name, epoch)
	}
	return name, err
}

// RemoveDomain makes name a foreign domain again. Errors: NotFound; Conflict
// while it has accounts or aliases.
func (d *Directory) RemoveDomain(ctx context.Context, name mail.Domain) error {
	return d.change(ctx, func(tx *sqldb.Tx) error {
		if err := needDomain(tx, name); err != nil {
			return err
		}
		var accounts, aliases int
		err := tx.QueryRow(`SELECT (SELECT count(*) FROM directory_account WHERE domain = $1),
			(SELECT count(*) FROM directory_alias WHERE domain = $1)`, name).Scan(&accounts, &aliases)
		if err == nil && accounts+aliases > 0 {
			err = mail.Errorf(mail.Conflict, "domain %s still has accounts (%d) or aliases (%d); remove them first", name, accounts, aliases)
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(`DELETE FROM directory_domain WHERE name = $1`, name)
		return err
	})
}

// SetCatchAll has mail for unknown addresses of name go to the account to, of
// any domain; to nobody if to is the zero Address. Errors: NotFound.
func (d *Directory) SetCatchAll(ctx context.Context, name mail.Domain, to mail.Address) error {
	return d.change(ctx, func(tx *sqldb.Tx) error {
		if err := needDomain(tx, name); err != nil {
			return err
		}
		var id mail.AccountID
		if !to.IsZero() {
			a, err := findAccount(tx, to)
			if err != nil {
				return err
			}
			id = a.ID
		}
		_, err := tx.Exec(`UPDATE directory_domain SET catch_all = $2 WHERE name = $1`, name, id)
		return err
	})
}

func needDomain(tx *sqldb.Tx, name mail.Domain) error {
	there, err := domainExists(tx, name)
	if err == nil && !there {
		err = mail.Errorf(mail.NotFound, "%s is not a domain of this server; add it first", name)
	}
	return err
}
