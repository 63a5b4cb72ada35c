package directory

import (
	"context"
	"slices"
	"strings"
	"time"

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
	Foreign  []mail.Address   // outside this server, each once
	Detail   string           // the subaddress: "lists" of alice+lists@example.org

	// By and ForeignBy say of each of Accounts and Foreign which account sends its mail
	// on there and keeps a copy, or zero: without that copy nothing goes there.
	By, ForeignBy []mail.AccountID

	CatchAll bool // nobody has the address
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
	via       via
	at        mail.Address     // the key by which it was found: in the domain that it is another name of, if so
	name      mail.Address     // what that stands for here
	accounts  []mail.AccountID // that get a copy and are not disabled
	names     []mail.Address   // of accounts
	by        []mail.AccountID // of accounts
	foreign   []mail.Address
	foreignBy []mail.AccountID
	owners    []mail.AccountID // whose address it is, sent on or not; not disabled
	until     time.Time        // it is remembered: zero for the next change of anything
}

// target is what a name stands for.
type target struct {
	account  mail.AccountID // or zero, and then it is an alias or foreign
	disabled bool
	forwards bool           // an account that sends its mail on,
	sendsOn  bool           // and keeps no copy
	by       mail.AccountID // who sends mail on to it and keeps a copy, or zero
	foreign  bool           // outside this server
	name     mail.Address   // of an account or foreign
	bad      error          // why nobody can have the name
}

// IsLocal reports whether mail for the domain is kept here.
func (d *Directory) IsLocal(ctx context.Context, name mail.Domain) (bool, error) {
	k, err := d.known(ctx, name)
	return k.local, err
}

// known is what a name of a domain is here.
type known struct {
	local   bool
	aliasOf mail.Domain // or ""
}

func (d *Directory) known(ctx context.Context, name mail.Domain) (known, error) {
	k, epoch, ok := d.domains.get(name)
	if ok {
		return k, nil
	}
	err := d.o.DB.Read(ctx, func(tx *sqldb.Tx) (err error) {
		k.aliasOf, k.local, err = aliasOf(tx, name)
		return err
	})
	if err == nil {
		d.domains.put(name, k, epoch)
	}
	return k, err
}

// Canonical is a, or, if its domain is another name of one and nobody there has that
// address for himself, the same in that domain.
func (d *Directory) Canonical(ctx context.Context, a mail.Address) (mail.Address, error) {
	k, err := d.known(ctx, a.Domain)
	if err != nil || k.aliasOf == "" {
		return a, err
	}
	r, err := d.route(ctx, a.Key())
	if err == nil && r.at.Domain != a.Domain {
		a.Domain = r.at.Domain
	}
	return a, err
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
	res := Resolution{Accounts: slices.Clone(r.accounts), Names: slices.Clone(r.names), Foreign: slices.Clone(r.foreign),
		By: slices.Clone(r.by), ForeignBy: slices.Clone(r.foreignBy), CatchAll: r.via == viaCatchAll}
	if r.via == viaSubaddress {
		_, res.Detail, _ = strings.Cut(a.Local, separator)
	}
	return res, nil
}

// MayUse reports whether p may send mail from a: the address of p's account, an
// alias that leads to it, or a subaddress of one of these; or what it, or a group that
// it is in, was granted. What only a catch-all brings does not count.
func (d *Directory) MayUse(ctx context.Context, p mail.Principal, a mail.Address) (bool, error) {
	r, err := d.route(ctx, a.Key())
	if err != nil || r.via != viaCatchAll && slices.Contains(r.owners, p.Account) {
		return err == nil, err
	}
	granted, err := d.granted(ctx, p.Account)
	if err != nil || len(granted) == 0 {
		return false, err
	}
	return slices.ContainsFunc(granted, func(as mail.Address) bool { return covers(as, a.Key(), r) }), nil
}

// route looks key up in memory and then in the database.
func (d *Directory) route(ctx context.Context, key mail.Address) (route, error) {
	return d.routeSeen(ctx, key, nil)
}

// routeSeen is route for who has come by the keys that were seen, if any.
func (d *Directory) routeSeen(ctx context.Context, key mail.Address, seen map[mail.Address]bool) (route, error) {
	r, epoch, ok := d.routes.get(key)
	if ok && (r.until.IsZero() || d.o.Now().Before(r.until)) {
		return r, nil
	}
	whole := len(seen) == 0 // Else it may lack where others have come by.
	if whole {
		seen = map[mail.Address]bool{key: true}
	}
	r, is, until, err := d.elsewhere(ctx, key, seen)
	if err != nil {
		return route{}, err
	}
	if !is {
		_, epoch, _ = d.routes.get(key) // An account may have been made.
		err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) (err error) {
			r, err = d.find(tx, key)
			return err
		})
		r.until = until
	}
	if err == nil && (whole || !is) {
		d.routes.put(key, r, epoch)
	}
	return r, err
}

// find goes through the ways of the package comment.
func (d *Directory) find(tx *sqldb.Tx, key mail.Address) (route, error) {
	of, local, err := aliasOf(tx, key.Domain)
	if err != nil || !local {
		return route{via: viaElsewhere, at: key}, err
	}
	r, err := d.findIn(tx, key, of != "")
	if err == nil && r.via == viaNothing && of != "" { // It has nothing of that name itself.
		return d.findIn(tx, mail.Address{Local: key.Local, Domain: of}, false)
	}
	return r, err
}

// findIn is find in a domain; in one that is an alias only for what it has itself.
func (d *Directory) findIn(tx *sqldb.Tx, key mail.Address, alias bool) (route, error) {
	for _, w := range []struct {
		via  via
		find func() (mail.Address, error) // whose members it is; zero for nobody's
	}{
		{viaName, func() (mail.Address, error) { return own(tx, key) }},
		{viaSubaddress, func() (mail.Address, error) { return own(tx, subaddressed(key)) }},
		{viaPostmaster, func() (mail.Address, error) { return d.postmaster(tx, key) }},
		{viaCatchAll, func() (mail.Address, error) { return own(tx, CatchAll(key.Domain)) }},
		{viaPostmaster, func() (mail.Address, error) { return lastPostmaster(tx, key) }},
	} {
		if w.via > viaSubaddress && alias {
			break
		}
		name, err := w.find()
		if err != nil {
			return route{}, err
		}
		if name.IsZero() {
			continue
		}
		r, found, err := routeTo(tx, w.via, name)
		if err != nil {
			return route{}, err
		}
		if w.via == viaCatchAll && !slices.ContainsFunc(found, takesMail) {
			continue
		}
		r.at = key
		return r, d.setAside(name, found, len(r.accounts)+len(r.foreign))
	}
	return route{via: viaNothing, at: key}, nil
}

// own is name if somebody here has it himself.
func own(tx *sqldb.Tx, name mail.Address) (mail.Address, error) {
	if name.IsZero() {
		return name, nil
	}
	found, err := lookup(tx, name)
	if err != nil || len(found) == 0 {
		return mail.Address{}, err
	}
	return name, nil
}

// subaddressed is the name before the subaddress of key, if it has one.
func subaddressed(key mail.Address) mail.Address {
	base, _, ok := strings.Cut(key.Local, separator)
	if !ok || base == "" {
		return mail.Address{}
	}
	return mail.Address{Local: base, Domain: key.Domain}
}

// routeTo is the answer made of who is behind name, and who that is.
func routeTo(tx *sqldb.Tx, v via, name mail.Address) (route, []target, error) {
	found, err := members(tx, name)
	if err != nil {
		return route{}, nil, err
	}
	r := routeOf(v, found)
	r.name = name
	if own := found; slices.ContainsFunc(found, func(t target) bool { return t.forwards }) {
		if own, err = owners(tx, name); err != nil {
			return route{}, nil, err
		}
		r.owners = nil
		for _, t := range own {
			if t.account != 0 && !t.disabled {
				r.owners = append(r.owners, t.account)
			}
		}
	}
	return r, found, nil
}

// setAside tells of targets that nobody can have. Mail for an alias that has no others
// waits where it is.
func (d *Directory) setAside(key mail.Address, found []target, others int) error {
	var err error
	for _, t := range found {
		if t.bad != nil {
			d.aside.Takes(&sqldb.Unreadable{Row: "target " + t.name.String() + " of " + NameOf(key), Err: t.bad})
			err = mail.Errorf(mail.Unavailable, "alias %s cannot be read", NameOf(key))
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
			r.foreign, r.foreignBy = append(r.foreign, t.name), append(r.foreignBy, t.by)
		case !t.disabled:
			r.owners = append(r.owners, t.account)
			if !t.sendsOn {
				r.accounts, r.names, r.by = append(r.accounts, t.account), append(r.names, t.name), append(r.by, t.by)
			}
		}
	}
	return r
}

func takesMail(t target) bool { return !t.disabled }

// CatchAll is the address of the alias that gets mail for those of a domain whom
// nobody has: one without a local part, which NameOf writes as "@example.org".
func CatchAll(d mail.Domain) mail.Address { return mail.Address{Domain: d} }

func isCatchAll(a mail.Address) bool { return a.Local == "" && a.Domain != "" }

// NameOf writes an address of the directory, or the name of a group.
func NameOf(a mail.Address) string {
	switch {
	case isCatchAll(a):
		return "@" + string(a.Domain)
	case isGroup(a):
		return groupPrefix + a.Local
	}
	return a.String()
}

// The names that every domain has, whoever lives there (RFC 5321 §4.5.1, RFC 2142 §4).
const (
	postmasterName = "postmaster"
	abuseName      = "abuse"
	rootName       = "root" // to whom programs of a machine write
)

// postmaster finds who answers for a domain that has no postmaster, or nobody for
// abuse or root, of its own. Mail for these goes where the postmaster's does.
func (d *Directory) postmaster(tx *sqldb.Tx, key mail.Address) (mail.Address, error) {
	switch key.Local {
	case postmasterName:
	case abuseName, rootName:
		name := mail.Address{Local: postmasterName, Domain: key.Domain}
		found, err := members(tx, name)
		if err != nil || slices.ContainsFunc(found, takesMail) {
			return name, err
		}
	default:
		return mail.Address{}, nil
	}
	if !d.o.Postmaster.IsZero() {
		name, err := canonical(tx, d.o.Postmaster.Key())
		if err != nil {
			return mail.Address{}, err
		}
		found, err := members(tx, name)
		if err != nil || slices.ContainsFunc(found, takesMail) {
			return name, err
		}
	}
	found, err := one(tx, selectTarget+` WHERE domain = $1 AND disabled = 0 ORDER BY id LIMIT 1`, key.Domain)
	if err != nil || len(found) == 0 {
		return mail.Address{}, err
	}
	return found[0].name, nil
}

// lastPostmaster finds who answers for a domain where nobody takes mail.
func lastPostmaster(tx *sqldb.Tx, key mail.Address) (mail.Address, error) {
	if key.Local != postmasterName && key.Local != abuseName {
		return mail.Address{}, nil
	}
	found, err := one(tx, selectTarget+` WHERE disabled = 0 ORDER BY id LIMIT 1`)
	if err != nil || len(found) == 0 {
		return mail.Address{}, err
	}
	return found[0].name, nil
}

// canonical is Canonical in a transaction, of a key.
func canonical(tx *sqldb.Tx, key mail.Address) (mail.Address, error) {
	of, _, err := aliasOf(tx, key.Domain)
	if err != nil || of == "" {
		return key, err
	}
	found, err := lookup(tx, key)
	if err == nil && len(found) == 0 {
		key.Domain = of
	}
	return key, err
}

// lookup finds the account, alias or group named key; nothing if there is none.
func lookup(tx *sqldb.Tx, key mail.Address) ([]target, error) {
	if isGroup(key) {
		is, err := groupExists(tx, key.Local)
		if err != nil || !is {
			return nil, err
		}
		return []target{{}}, nil
	}
	return one(tx, selectTarget+` WHERE domain = $1 AND local_key = $2 UNION ALL
		SELECT 0, 0, local_key, domain, 0 FROM directory_alias WHERE domain = $1 AND local_key = $2`, key.Domain, key.Local)
}

const selectTarget = `SELECT id, disabled, local_key, domain, forwarding FROM directory_account`

// one reads at most one account.
func one(tx *sqldb.Tx, query string, args ...any) ([]target, error) {
	var t target
	var f forwarding
	err := tx.QueryRow(query, args...).Scan(&t.account, &t.disabled, &t.name.Local, &t.name.Domain, &f)
	if isNoRow(err) {
		return nil, nil
	}
	t.forwards, t.sendsOn = f != forwardsNothing, f == forwardsAll
	return []target{t}, err
}
