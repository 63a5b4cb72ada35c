package directory

import (
	"context"
	"slices"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Alias is an address that leads to accounts, other aliases and addresses
// outside this server. Local targets are in the form of mail.Address.Key;
// foreign ones keep their case (RFC 5321 §2.4).
type Alias struct {
	Address mail.Address   `json:"address"`
	Targets []mail.Address `json:"targets"`

	// Unreadable says what is wrong with the rows, if they have a name that cannot be;
	// such a target gets nothing. RemoveAlias takes Address, whatever it is.
	Unreadable string `json:"unreadable,omitempty"`
}

// AddAlias makes an alias. Errors: Invalid; Exists if an account or alias has
// that address; NotFound if its domain is not local or a local target does not
// exist; Conflict for a loop or if aliases would nest deeper than MaxAliasDepth;
// TooLarge.
func (d *Directory) AddAlias(ctx context.Context, a Alias) (Alias, error) {
	return d.putAlias(ctx, a, checkFree)
}

// SetAlias gives an alias other targets. Errors: NotFound; others as AddAlias.
func (d *Directory) SetAlias(ctx context.Context, a Alias) (Alias, error) {
	return d.putAlias(ctx, a, removeAlias)
}

// putAlias writes the rows of a, after before made room for them.
func (d *Directory) putAlias(ctx context.Context, a Alias, before func(*sqldb.Tx, mail.Address) error) (Alias, error) {
	a, err := a.clean()
	if err != nil {
		return Alias{}, err
	}
	err = d.change(ctx, func(tx *sqldb.Tx) error {
		if err := before(tx, a.Address); err != nil {
			return err
		}
		for i, t := range a.Targets {
			t, err := cleanTarget(tx, a.Address.Key(), t)
			if err != nil {
				return err
			}
			a.Targets[i] = t
		}
		if err := insertAlias(tx, a); err != nil {
			return err
		}
		if err := checkChains(tx, a.Address.Key()); err != nil {
			return err
		}
		return d.checkMembers(tx, a.Address.Key())
	})
	if err != nil {
		return Alias{}, err
	}
	return a, nil
}

// checkMembers checks that neither the alias key nor one that leads to it has more
// members than a message may have recipients.
func (d *Directory) checkMembers(tx *sqldb.Tx, key mail.Address) error {
	seen := map[mail.Address]bool{key: true}
	for level := []mail.Address{key}; len(level) > 0; {
		var above []mail.Address
		for _, name := range level {
			found, err := members(tx, name)
			if err == nil && len(found) > d.o.Recipients {
				err = mail.Errorf(mail.TooLarge, "alias %s would lead to %d addresses, and a message may have %d recipients; divide it",
					name, len(found), d.o.Recipients)
			}
			if err != nil {
				return err
			}
			users, err := aliasesTo(tx, name)
			if err != nil {
				return err
			}
			above = appendNew(above, users, seen)
		}
		level = above
	}
	return nil
}

// clean drops doubles among the targets.
func (a Alias) clean() (Alias, error) {
	targets := make([]mail.Address, 0, len(a.Targets))
	for _, t := range a.Targets {
		if !slices.ContainsFunc(targets, func(o mail.Address) bool { return o.Key() == t.Key() }) {
			targets = append(targets, t)
		}
		if len(targets) > MaxAliasTargets {
			return Alias{}, mail.Errorf(mail.TooLarge, "an alias has at most %d targets; divide them among several aliases", MaxAliasTargets)
		}
	}
	if err := a.Address.CheckOwn(); err != nil {
		return Alias{}, err
	}
	if len(targets) == 0 {
		return Alias{}, mail.Errorf(mail.Invalid, "alias %s needs at least one target", a.Address)
	}
	return Alias{Address: a.Address, Targets: targets}, nil
}

// cleanTarget brings a target into the form of Alias. One that is local must
// exist; the alias itself does, for that comes back as a loop.
func cleanTarget(tx *sqldb.Tx, alias, t mail.Address) (mail.Address, error) {
	local, err := domainExists(tx, t.Domain)
	if err != nil || !local {
		return t, err
	}
	t = t.Key()
	if t == alias {
		return t, nil
	}
	found, err := lookup(tx, t)
	if err == nil && len(found) == 0 {
		err = mail.Errorf(mail.NotFound, "alias target %s is neither an account nor an alias; add it first", t)
	}
	return t, err
}

func insertAlias(tx *sqldb.Tx, a Alias) error {
	key := a.Address.Key()
	if _, err := tx.Exec(`INSERT INTO directory_alias (domain, local_key, local) VALUES ($1, $2, $3)`,
		key.Domain, key.Local, a.Address.Local); err != nil {
		return err
	}
	for i, t := range a.Targets {
		if _, err := tx.Exec(`INSERT INTO directory_alias_target (domain, local_key, position, target_domain, target_key)
			VALUES ($1, $2, $3, $4, $5)`, key.Domain, key.Local, i, t.Domain, t.Local); err != nil {
			return err
		}
	}
	return nil
}

// checkChains checks all ways that go through the alias key.
func checkChains(tx *sqldb.Tx, key mail.Address) error {
	below, err := chain(tx, key, MaxAliasDepth, targetsOf)
	if err != nil {
		return err
	}
	above, err := chain(tx, key, MaxAliasDepth, aliasesTo)
	if err != nil {
		return err
	}
	if above+below > MaxAliasDepth {
		return mail.Errorf(mail.Conflict, "alias %s would be part of more than %d aliases in a row", key, MaxAliasDepth)
	}
	_, err = members(tx, key)
	return err
}

// Aliases lists a page of aliases.
func (d *Directory) Aliases(ctx context.Context, f Filter) ([]Alias, error) {
	list := []Alias{}
	after := f.After.Key()
	err := d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		rows, err := tx.Query(`SELECT local, local_key, domain FROM directory_alias WHERE (domain, local_key) > ($1, $2)
			AND ($3 = '' OR domain = $3) ORDER BY domain, local_key LIMIT $4`, after.Domain, after.Local, f.Domain, f.limit())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var a, key mail.Address
			err := rows.Scan(&a.Local, &key.Local, &key.Domain)
			if err != nil {
				return err // They are any texts.
			}
			a.Domain = key.Domain
			shown, bad := named(a, key)
			targets, err := targetsOf(tx, key)
			if err != nil {
				return err
			}
			for _, t := range targets {
				if err := checkKept(t); err != nil && bad == nil {
					bad = mail.Errorf(mail.Internal, "its target %s: %v", t, err)
				}
			}
			list = append(list, Alias{Address: shown, Targets: targets, Unreadable: unreadable(bad)})
		}
		return rows.Err()
	})
	return list, err
}

// RemoveAlias deletes an alias; also one that cannot be read, by the Address that
// Aliases shows. Errors: NotFound; Conflict while another alias leads to it.
func (d *Directory) RemoveAlias(ctx context.Context, a mail.Address) error {
	return d.change(ctx, func(tx *sqldb.Tx) error {
		if err := checkNotTarget(tx, a); err != nil {
			return err
		}
		err := removeKey(tx, a, a)
		if mail.KindOf(err) == mail.NotFound {
			err = removeAlias(tx, a)
		}
		return err
	})
}

// removeAlias deletes the rows of an alias.
func removeAlias(tx *sqldb.Tx, a mail.Address) error { return removeKey(tx, a, a.Key()) }

// removeKey deletes the rows of the alias a that is filed under key.
func removeKey(tx *sqldb.Tx, a, key mail.Address) error {
	n, err := tx.Exec(`DELETE FROM directory_alias WHERE domain = $1 AND local_key = $2`, key.Domain, key.Local)
	if err == nil && n == 0 {
		err = mail.Errorf(mail.NotFound, "there is no alias %s", a)
	}
	if err != nil {
		return err
	}
	_, err = tx.Exec(`DELETE FROM directory_alias_target WHERE domain = $1 AND local_key = $2`, key.Domain, key.Local)
	return err
}
