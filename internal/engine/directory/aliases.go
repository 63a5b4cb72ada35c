package directory

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Alias is an address that leads to accounts, other aliases and addresses
// outside this server; or the CatchAll of a domain. Local targets are in the form of mail.Address.Key;
// foreign ones keep their case (RFC 5321 §2.4).
type Alias struct {
	Address mail.Address   `json:"address"`
	Targets []mail.Address `json:"targets"`

	// Unreadable says what is wrong with the rows, if they have a name that cannot be;
	// such a target gets nothing. RemoveAlias takes Address, whatever it is.
	Unreadable string `json:"unreadable,omitempty"`
}

// AddAlias makes an alias; Address may be a CatchAll. Errors: Invalid; Exists if an
// account or alias has that address; NotFound if its domain is not local or a local
// target does not exist; Conflict for a loop or if aliases would nest deeper than
// MaxAliasDepth, and for the catch-all of a domain that is an alias; TooLarge.
func (d *Directory) AddAlias(ctx context.Context, a Alias) (Alias, error) {
	return d.putAlias(ctx, a.Address, func(tx *sqldb.Tx, before []mail.Address) ([]mail.Address, error) {
		if before != nil {
			return nil, mail.Errorf(mail.Exists, `alias %s exists already and goes to %s; "yubin alias set" changes that, "alias add --to" adds to it`, NameOf(a.Address), listed(before))
		}
		return a.Targets, nil
	})
}

// SetAlias makes an alias, or gives one that is there other targets. Errors as AddAlias.
func (d *Directory) SetAlias(ctx context.Context, a Alias) (Alias, error) {
	return d.putAlias(ctx, a.Address, func(*sqldb.Tx, []mail.Address) ([]mail.Address, error) { return a.Targets, nil })
}

// ChangeAlias adds targets to an alias, which need not be there, and takes others from
// it. Errors: those of AddAlias; NotFound for what is taken and is no target; Conflict
// if none would be left.
func (d *Directory) ChangeAlias(ctx context.Context, a mail.Address, add, drop []mail.Address) (Alias, error) {
	return d.putAlias(ctx, a, func(tx *sqldb.Tx, before []mail.Address) ([]mail.Address, error) {
		if before == nil && len(drop) > 0 {
			return nil, mail.Errorf(mail.NotFound, "there is no alias %s", NameOf(a))
		}
		after := slices.Clone(before)
		for _, t := range drop {
			key, err := canonical(tx, t.Key())
			if err != nil {
				return nil, err
			}
			i := slices.IndexFunc(after, func(o mail.Address) bool { return o.Key() == key })
			if i < 0 {
				return nil, mail.Errorf(mail.NotFound, "alias %s does not go to %s", NameOf(a), t)
			}
			after = slices.Delete(after, i, i+1)
		}
		if after = append(after, add...); len(after) == 0 {
			return nil, mail.Errorf(mail.Conflict, "alias %s would go to nobody; remove it, or set others", NameOf(a))
		}
		return after, nil
	})
}

// putAlias writes the alias with the targets that become of those it has; nil if there
// is none.
func (d *Directory) putAlias(ctx context.Context, a mail.Address, become func(tx *sqldb.Tx, before []mail.Address) ([]mail.Address, error)) (made Alias, err error) {
	err = d.change(ctx, func(tx *sqldb.Tx) error {
		before, err := targetsOfAlias(tx, a.Key())
		if err != nil {
			return err
		}
		made = Alias{Address: a}
		if made.Targets, err = become(tx, before); err != nil {
			return err
		}
		made, err = d.writeAlias(tx, made)
		return err
	})
	return made, err
}

// targetsOfAlias lists the targets of an alias; nil if there is none.
func targetsOfAlias(tx *sqldb.Tx, key mail.Address) ([]mail.Address, error) {
	is, err := aliasExists(tx, key)
	if err != nil || !is {
		return nil, err
	}
	list, err := targetsOf(tx, key)
	return append([]mail.Address{}, list...), err
}

// writeAlias puts a in the place of what there is.
func (d *Directory) writeAlias(tx *sqldb.Tx, a Alias) (Alias, error) {
	a, err := a.clean()
	if err != nil {
		return Alias{}, err
	}
	if err := removeAlias(tx, a.Address); err != nil && mail.KindOf(err) != mail.NotFound {
		return Alias{}, err
	}
	if err := checkRoom(tx, a.Address); err != nil {
		return Alias{}, err
	}
	for i, t := range a.Targets {
		if a.Targets[i], err = cleanTarget(tx, a.Address.Key(), t); err != nil {
			return Alias{}, err
		}
	}
	if err := insertAlias(tx, a); err != nil {
		return Alias{}, err
	}
	return a, d.checkWays(tx, a.Address.Key())
}

// checkRoom checks that a can become an alias.
func checkRoom(tx *sqldb.Tx, a mail.Address) error {
	if !isCatchAll(a) {
		return aliasIsFree(tx, a)
	}
	if err := needDomain(tx, a.Domain); err != nil {
		return err
	}
	of, _, err := aliasOf(tx, a.Domain)
	if err == nil && of != "" {
		err = mail.Errorf(mail.Conflict, "%s is an alias of %s, whose catch-all it has", a.Domain, of)
	}
	return err
}

// checkWays checks all that leads to key and from there on.
func (d *Directory) checkWays(tx *sqldb.Tx, key mail.Address) error {
	if err := checkChains(tx, key); err != nil {
		return err
	}
	return d.checkMembers(tx, key)
}

// listed writes addresses for a text.
func listed(list []mail.Address) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = NameOf(a)
	}
	return strings.Join(texts, ", ")
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
				err = mail.Errorf(mail.TooLarge, "%s would lead to %d addresses, and a message may have %d recipients; divide it",
					NameOf(name), len(found), d.o.Recipients)
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
	if err := a.Address.CheckOwn(); err != nil && !isCatchAll(a.Address) {
		return Alias{}, err
	}
	if len(targets) == 0 {
		return Alias{}, mail.Errorf(mail.Invalid, "alias %s needs at least one target", NameOf(a.Address))
	}
	return Alias{Address: a.Address, Targets: targets}, nil
}

// cleanTarget brings a target into the form of Alias. One that is local must
// exist; the alias itself does, for that comes back as a loop.
func cleanTarget(tx *sqldb.Tx, alias, t mail.Address) (mail.Address, error) {
	if isGroup(t) {
		return t, needGroup(tx, t.Local)
	}
	local, err := domainExists(tx, t.Domain)
	if err != nil || !local {
		return t, err
	}
	if t, err = canonical(tx, t.Key()); err != nil || t == alias {
		return t, err
	}
	found, err := lookup(tx, t)
	if err == nil && len(found) == 0 {
		err = mail.Errorf(mail.NotFound, "%s is neither an account nor an alias here; add it first", t)
	}
	return t, err
}

func insertAlias(tx *sqldb.Tx, a Alias) error {
	key := a.Address.Key()
	if _, err := tx.Exec(`INSERT INTO directory_alias (domain, local_key, local) VALUES ($1, $2, $3)`,
		key.Domain, key.Local, a.Address.Local); err != nil {
		return err
	}
	return insertTargets(tx, key, a.Targets)
}

// insertTargets writes to whom key leads.
func insertTargets(tx *sqldb.Tx, key mail.Address, targets []mail.Address) error {
	for i, t := range targets {
		if _, err := tx.Exec(`INSERT INTO directory_target (domain, local_key, position, target_domain, target_key)
			VALUES ($1, $2, $3, $4, $5)`, key.Domain, key.Local, i, t.Domain, t.Local); err != nil {
			return err
		}
	}
	return nil
}

func deleteTargets(tx *sqldb.Tx, key mail.Address) error {
	_, err := tx.Exec(`DELETE FROM directory_target WHERE domain = $1 AND local_key = $2`, key.Domain, key.Local)
	return err
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
		return mail.Errorf(mail.Conflict, "%s would be part of more than %d aliases in a row", NameOf(key), MaxAliasDepth)
	}
	_, err = members(tx, key)
	return err
}

// Aliases lists a page of aliases, the catch-all of a domain first.
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
				if err := checkKept(t); err != nil && bad == nil && !isGroup(t) {
					bad = mail.Errorf(mail.Internal, "its target %s: %v", t, err)
				}
			}
			list = append(list, Alias{Address: shown, Targets: targets, Unreadable: unreadable(bad)})
		}
		return rows.Err()
	})
	return list, err
}

// Alias returns one alias, or NotFound.
func (d *Directory) Alias(ctx context.Context, a mail.Address) (Alias, error) {
	one := Alias{Address: a}
	err := d.o.DB.Read(ctx, func(tx *sqldb.Tx) (err error) {
		one.Targets, err = targetsOfAlias(tx, a.Key())
		return err
	})
	if err == nil && one.Targets == nil {
		err = mail.Errorf(mail.NotFound, "there is no alias %s", NameOf(a))
	}
	return one, err
}

// RemoveAlias deletes an alias; also one that cannot be read, by the Address that
// Aliases shows. Errors: NotFound; Conflict while another alias leads to it.
func (d *Directory) RemoveAlias(ctx context.Context, a mail.Address) error {
	return d.change(ctx, func(tx *sqldb.Tx) error {
		if err := cmp.Or(checkNotTarget(tx, a), d.checkNotNeeded(tx, a)); err != nil {
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
		err = mail.Errorf(mail.NotFound, "there is no alias %s", NameOf(a))
	}
	if err != nil {
		return err
	}
	return deleteTargets(tx, key)
}
