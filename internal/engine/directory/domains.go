package directory

import (
	"cmp"
	"context"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Domain is a domain whose mail is kept here.
type Domain struct {
	Name     mail.Domain    `json:"name"`
	AliasOf  mail.Domain    `json:"alias_of,omitempty"`  // every address that nobody has in it himself is that of this domain
	CatchAll []mail.Address `json:"catch_all,omitempty"` // who gets mail for unknown addresses
	Accounts int            `json:"accounts"`
	Aliases  int            `json:"aliases"` // without the catch-all
	Quota    Allowance      `json:"quota"`   // of accounts that have none of their own

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
		if err != nil {
			return err
		}
		return insertDomain(tx, name)
	})
	if err != nil {
		return Domain{}, err
	}
	return Domain{Name: name, Quota: inherits()}, nil
}

func insertDomain(tx *sqldb.Tx, name mail.Domain) error {
	if err := checkNotForwarded(tx, name); err != nil {
		return err
	}
	_, err := tx.Exec(`INSERT INTO directory_domain (name) VALUES ($1)`, name)
	return err
}

// checkNotForwarded checks that nothing leads to an address at name.
func checkNotForwarded(tx *sqldb.Tx, name mail.Domain) error {
	found, err := collect(tx, `SELECT local_key, domain FROM directory_target WHERE target_domain = $1 ORDER BY domain, local_key LIMIT 1`, name)
	if err != nil || len(found) == 0 {
		return err
	}
	who, err := describe(tx, found[0])
	if err == nil {
		err = mail.Errorf(mail.Conflict, "%s leads to an address of %s; point it elsewhere, and back when the domain has that address", who, name)
	}
	return err
}

// AliasDomain makes name another name of the domain of: every address that nobody has
// in it himself is the same address there. A domain that is here already keeps what it
// has. Errors: Invalid; NotFound if of is not local; Conflict if that is an alias itself,
// if name has a catch-all or others are aliases of it, or as AddDomain.
func (d *Directory) AliasDomain(ctx context.Context, name, of mail.Domain) (made Domain, err error) {
	err = d.change(ctx, func(tx *sqldb.Tx) error {
		if err := aliasDomain(tx, name, of); err != nil {
			return err
		}
		made, err = readDomain(tx, name)
		return err
	})
	return made, err
}

func aliasDomain(tx *sqldb.Tx, name, of mail.Domain) error {
	if name == "" || name.IsLiteral() || name == of {
		return mail.Errorf(mail.Invalid, "a domain is made another name of a different one, such as old.example of example.org")
	}
	if err := needDomain(tx, of); err != nil {
		return err
	}
	further, _, err := aliasOf(tx, of)
	if err == nil && further != "" {
		err = mail.Errorf(mail.Conflict, "%s is an alias of %s itself; make %s one of that", of, further, name)
	}
	if err == nil {
		err = checkNoAliasDomains(tx, name)
	}
	if err != nil {
		return err
	}
	there, err := domainExists(tx, name)
	if err == nil && !there {
		err = insertDomain(tx, name)
	}
	if err != nil {
		return err
	}
	if caught, err := aliasExists(tx, CatchAll(name)); err != nil || caught {
		if err == nil {
			err = mail.Errorf(mail.Conflict, "%s has a catch-all; remove the alias @%s first", name, name)
		}
		return err
	}
	_, err = tx.Exec(`UPDATE directory_domain SET alias_of = $2 WHERE name = $1`, name, of)
	return err
}

func checkNoAliasDomains(tx *sqldb.Tx, name mail.Domain) error {
	var other mail.Domain
	err := tx.QueryRow(`SELECT name FROM directory_domain WHERE alias_of = $1 ORDER BY name LIMIT 1`, name).Scan(&other)
	switch {
	case isNoRow(err):
		return nil
	case err != nil:
		return err
	}
	return mail.Errorf(mail.Conflict, "%s is an alias of %s; remove that first", other, name)
}

// UnaliasDomain undoes AliasDomain: the domain goes, unless it has accounts or aliases of
// its own; then it stays as a domain for itself, and kept says so. Errors: NotFound.
func (d *Directory) UnaliasDomain(ctx context.Context, name mail.Domain) (kept bool, err error) {
	err = d.change(ctx, func(tx *sqldb.Tx) error {
		of, _, err := aliasOf(tx, name)
		if err == nil && of == "" {
			err = mail.Errorf(mail.NotFound, "%s is no alias of a domain", name)
		}
		if err != nil {
			return err
		}
		found, err := readDomain(tx, name)
		if err != nil {
			return err
		}
		if kept = found.Accounts+found.Aliases > 0; !kept {
			return d.deleteDomain(tx, name)
		}
		_, err = tx.Exec(`UPDATE directory_domain SET alias_of = '' WHERE name = $1`, name)
		return err
	})
	return kept, err
}

const selectDomain = `SELECT d.name, d.alias_of, (SELECT count(*) FROM directory_account a WHERE a.domain = d.name),
	(SELECT count(*) FROM directory_alias a WHERE a.domain = d.name AND a.local_key <> ''), d.quota_octets, d.quota_messages
	FROM directory_domain d`

func scanDomain(tx *sqldb.Tx, row scanner) (d Domain, err error) {
	err = row.Scan(&d.Name, &d.AliasOf, &d.Accounts, &d.Aliases, &d.Quota.Octets, &d.Quota.Messages)
	if d.Name == "" {
		return d, err
	}
	d.Unreadable = unreadable(cmp.Or(checkDomain(d.Name), err))
	d.CatchAll, err = targetsOf(tx, CatchAll(d.Name))
	return d, err
}

func readDomain(tx *sqldb.Tx, name mail.Domain) (Domain, error) {
	if err := needDomain(tx, name); err != nil {
		return Domain{}, err
	}
	return scanDomain(tx, tx.QueryRow(selectDomain+` WHERE d.name = $1`, name))
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
			e, err := scanDomain(tx, rows)
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
		found, err = readDomain(tx, name)
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

// RemoveDomain makes name a foreign domain again; its catch-all goes with it. Errors:
// NotFound; Conflict while it has accounts or aliases, or other domains are aliases of it.
func (d *Directory) RemoveDomain(ctx context.Context, name mail.Domain) error {
	return d.change(ctx, func(tx *sqldb.Tx) error { return d.removeDomain(tx, name) })
}

func (d *Directory) removeDomain(tx *sqldb.Tx, name mail.Domain) error {
	found, err := readDomain(tx, name)
	if err == nil && found.Accounts+found.Aliases > 0 {
		err = mail.Errorf(mail.Conflict, "domain %s still has accounts (%d) or aliases (%d); remove them first", name, found.Accounts, found.Aliases)
	}
	if err == nil {
		err = checkNoAliasDomains(tx, name)
	}
	if err == nil {
		err = d.checkDomainNotNeeded(tx, name)
	}
	if err != nil {
		return err
	}
	return d.deleteDomain(tx, name)
}

func (d *Directory) deleteDomain(tx *sqldb.Tx, name mail.Domain) error {
	if err := removeAlias(tx, CatchAll(name)); err != nil && mail.KindOf(err) != mail.NotFound {
		return err
	}
	d.o.Removed(tx, name)
	_, err := tx.Exec(`DELETE FROM directory_domain WHERE name = $1`, name)
	return err
}

func needDomain(tx *sqldb.Tx, name mail.Domain) error {
	there, err := domainExists(tx, name)
	if err == nil && !there {
		err = mail.Errorf(mail.NotFound, "%s is not a domain of this server; add it first", name)
	}
	return err
}
