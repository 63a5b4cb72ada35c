package directory

import (
	"context"
	"slices"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// separator divides a name from its subaddress (RFC 5233 §1).
const separator = "+"

// Resolution is where mail for an address goes: to at least one of Accounts and
// Foreign.
type Resolution struct {
	Accounts []mail.AccountID // each once
	Names    []mail.Address   // of Accounts, in the form of mail.Address.Key
	Foreign  []mail.Address   // targets of aliases outside this server, each once
	Detail   string           // the subaddress: "lists" of alice+lists@example.org
}

// via is how an address came to its accounts.
type via uint8

const (
	viaNothing    via = iota // unknown here
	viaElsewhere             // not a local domain
	viaName                  // an account or alias of that name
	viaSubaddress            // one of the name before the separator
	viaPostmaster
	viaCatchAll
)

// route is the remembered answer for one address.
type route struct {
	via      via
	accounts []mail.AccountID // that are not disabled
	names    []mail.Address   // of accounts
	foreign  []mail.Address
}

// target is what a name stands for.
type target struct {
	account  mail.AccountID // or zero, and then it is an alias or foreign
	disabled bool
	foreign  bool         // outside this server
	name     mail.Address // of an account or foreign
	bad      error        // why nobody can have the name
}

// IsLocal reports whether mail for the domain is kept here.
func (d *Directory) IsLocal(ctx context.Context, name mail.Domain) (bool, error) {
	local, epoch, ok := d.domains.get(name)
	if ok {
		return local, nil
	}
	err := d.o.DB.Read(ctx, func(tx *sqldb.Tx) (err error) {
		local, err = domainExists(tx, name)
		return err
	})
	if err == nil {
		d.domains.put(name, local, epoch)
	}
	return local, err
}

// Resolve says where mail for a goes. Errors: NotFound if nobody has that
// address, Forbidden if its domain is not local, Forbidden with the cause
// ErrDisabled if all who have it are disabled.
func (d *Directory) Resolve(ctx context.Context, a mail.Address) (Resolution, error) {
	r, err := d.route(ctx, a.Key())
	switch {
	case err != nil:
		return Resolution{}, err
	case r.via == viaElsewhere:
		return Resolution{}, mail.Errorf(mail.Forbidden, "%s is not a domain of this server", a.Domain)
	case r.via == viaNothing:
		return Resolution{}, mail.Errorf(mail.NotFound, "there is no mailbox %s here", a)
	case len(r.accounts)+len(r.foreign) == 0:
		return Resolution{}, &mail.Error{Kind: mail.Forbidden, Text: "mailbox disabled", Err: ErrDisabled}
	}
	res := Resolution{Accounts: slices.Clone(r.accounts), Names: slices.Clone(r.names), Foreign: slices.Clone(r.foreign)}
	if r.via == viaSubaddress {
		_, res.Detail, _ = strings.Cut(a.Local, separator)
	}
	return res, nil
}

// MayUse reports whether p may send mail from a: the address of p's account, an
// alias that leads to it, or a subaddress of one of these. What only a
// catch-all brings does not count.
func (d *Directory) MayUse(ctx context.Context, p mail.Principal, a mail.Address) (bool, error) {
	r, err := d.route(ctx, a.Key())
	if err != nil || r.via == viaCatchAll {
		return false, err
	}
	return slices.Contains(r.accounts, p.Account), nil
}

// route looks key up in memory and then in the database.
func (d *Directory) route(ctx context.Context, key mail.Address) (route, error) {
	r, epoch, ok := d.routes.get(key)
	if ok {
		return r, nil
	}
	err := d.o.DB.Read(ctx, func(tx *sqldb.Tx) (err error) {
		r, err = d.find(tx, key)
		return err
	})
	if err == nil {
		d.routes.put(key, r, epoch)
	}
	return r, err
}

// find goes through the ways of the package comment.
func (d *Directory) find(tx *sqldb.Tx, key mail.Address) (route, error) {
	if local, err := domainExists(tx, key.Domain); err != nil || !local {
		return route{via: viaElsewhere}, err
	}
	for _, w := range []struct {
		via  via
		find func(*sqldb.Tx, mail.Address) ([]target, error)
	}{
		{viaName, members},
		{viaSubaddress, subaddressed},
		{viaPostmaster, d.postmaster},
		{viaCatchAll, catchAll},
	} {
		found, err := w.find(tx, key)
		if err != nil {
			return route{}, err
		}
		if len(found) == 0 {
			continue
		}
		r := routeOf(w.via, found)
		return r, d.setAside(key, found, len(r.accounts)+len(r.foreign))
	}
	return route{via: viaNothing}, nil
}

// setAside tells of targets that nobody can have. Mail for an alias that has no others
// waits where it is.
func (d *Directory) setAside(key mail.Address, found []target, others int) error {
	var err error
	for _, t := range found {
		if t.bad != nil {
			d.aside.Takes(&sqldb.Unreadable{Row: "target " + t.name.String() + " of alias " + key.String(), Err: t.bad})
			err = mail.Errorf(mail.Unavailable, "alias %s cannot be read", key)
		}
	}
	if others > 0 {
		return nil
	}
	return err
}

// routeOf is the answer made of who was found.
func routeOf(v via, found []target) route {
	r := route{via: v}
	for _, t := range found {
		switch {
		case t.bad != nil:
		case t.foreign:
			r.foreign = append(r.foreign, t.name)
		case !t.disabled:
			r.accounts = append(r.accounts, t.account)
			r.names = append(r.names, t.name)
		}
	}
	return r
}

func takesMail(t target) bool { return !t.disabled }

func subaddressed(tx *sqldb.Tx, key mail.Address) ([]target, error) {
	base, _, ok := strings.Cut(key.Local, separator)
	if !ok || base == "" {
		return nil, nil
	}
	return members(tx, mail.Address{Local: base, Domain: key.Domain})
}

// postmaster finds who answers for a domain that has no postmaster of its own.
func (d *Directory) postmaster(tx *sqldb.Tx, key mail.Address) ([]target, error) {
	if key.Local != "postmaster" {
		return nil, nil
	}
	if !d.o.Postmaster.IsZero() {
		found, err := members(tx, d.o.Postmaster.Key())
		if err != nil || slices.ContainsFunc(found, takesMail) {
			return found, err
		}
	}
	return one(tx, `SELECT id, disabled, local_key, domain FROM directory_account WHERE domain = $1 AND disabled = 0
		ORDER BY id LIMIT 1`, key.Domain)
}

// catchAll finds the account that takes the rest, unless it is disabled: then
// the rest is unknown again.
func catchAll(tx *sqldb.Tx, key mail.Address) ([]target, error) {
	return one(tx, `SELECT a.id, a.disabled, a.local_key, a.domain FROM directory_domain d JOIN directory_account a ON a.id = d.catch_all
		WHERE d.name = $1 AND a.disabled = 0`, key.Domain)
}

// lookup finds the account or alias named key; nothing if there is none.
func lookup(tx *sqldb.Tx, key mail.Address) ([]target, error) {
	found, err := one(tx, `SELECT id, disabled, local_key, domain FROM directory_account
		WHERE domain = $1 AND local_key = $2`, key.Domain, key.Local)
	if err != nil || len(found) > 0 {
		return found, err
	}
	if is, err := aliasExists(tx, key); err != nil || !is {
		return nil, err
	}
	return []target{{}}, nil
}

// one reads at most one account.
func one(tx *sqldb.Tx, query string, args ...any) ([]target, error) {
	var t target
	err := tx.QueryRow(query, args...).Scan(&t.account, &t.disabled, &t.name.Local, &t.name.Domain)
	if isNoRow(err) {
		return nil, nil
	}
	return []target{t}, err
}
