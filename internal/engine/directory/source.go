package directory

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// Source is where the people of a domain are known, if not here: a directory of others.
// It bounds how long it takes and how much is asked at a time. Whatever it cannot tell is
// Unavailable: that it says NotFound or Forbidden means that it knows.
type Source interface {
	// Find says who has an address. Errors: NotFound, Unavailable.
	Find(ctx context.Context, a mail.Address) (Entry, error)
	// Check says whether the password of the account at an address is right. Errors:
	// NotFound, Forbidden, Unavailable.
	Check(ctx context.Context, a mail.Address, password string) (Entry, error)
}

// Entry is what a source says of an address: whose account it is, or where mail for it goes.
type Entry struct {
	Name    string         // what the source calls it; for people
	Account mail.Address   // in a domain of the source; zero if it is nobody's
	Quota   *int64         // octets that the account may hold, 0 for any number; nil leaves it
	Members []mail.Address // of an address that is nobody's: who gets its mail, here or elsewhere
}

// For how long what a source said is remembered, and how much of it.
const (
	SourceMemory  = time.Minute
	SourceTrouble = 5 * time.Second // that it cannot be asked about an address
	maxFound      = 8 << 10
	MaxAsking     = 6 // logins that ask a source at a time
)

// sources are what the directory knows of those who know people.
type sources struct {
	of      map[mail.Domain]Source
	found   *cache[mail.Address, remembered]
	answers *cache[[ticketSize]byte, answer]
}

// remembered is an answer of Find.
type remembered struct {
	found Entry
	err   error
	until time.Time
}

// answer is one of Check: whether a password was right.
type answer struct {
	right bool
	until time.Time
}

// SetSources says who knows the people of domains; of the others they are known here. What
// was remembered of those before is forgotten.
func (d *Directory) SetSources(of map[mail.Domain]Source) {
	d.sources.Store(&sources{of: maps.Clone(of), found: newCache[mail.Address, remembered](maxFound),
		answers: newCache[[ticketSize]byte, answer](maxFound)})
	d.forget()
}

// source is who knows the people of a domain, or nil.
func (d *Directory) source(name mail.Domain) Source { return d.sources.Load().of[name] }

// HasSource reports whether the people of a domain are known by a source: its accounts
// have no passwords here.
func (d *Directory) HasSource(name mail.Domain) bool { return d.source(name) != nil }

// ErrSource is the cause (errors.Is) of the Unavailable that somebody hears of whom the
// source of a domain could not be asked.
var ErrSource = errors.New("directory: the source of the domain cannot be asked")

// notAsked is err in words for who asks: why a source cannot be asked is for the log.
func notAsked(err error) error {
	if kind := mail.KindOf(err); err == nil || kind == mail.NotFound || kind == mail.Forbidden {
		return err
	}
	return &mail.Error{Kind: mail.Unavailable, Text: "who has addresses here cannot be looked up at this moment; try again later", Err: errors.Join(ErrSource, err)}
}

// errSourceGone is what somebody hears who came in just when the configuration was changed.
var errSourceGone = &mail.Error{Kind: mail.Unavailable, Text: "the configuration was changed at this moment; try again"}

// findElsewhere is Find of the source of a's domain, remembered.
func (d *Directory) findElsewhere(ctx context.Context, a mail.Address) (Entry, error) {
	all := d.sources.Load()
	r, epoch, ok := all.found.get(a)
	if ok && d.o.Now().Before(r.until) {
		return r.found, r.err
	}
	s := all.of[a.Domain]
	if s == nil {
		return Entry{}, errSourceGone
	}
	found, err := s.Find(ctx, a)
	err = notAsked(err)
	if ctx.Err() != nil {
		return found, err
	}
	holds := SourceMemory
	if err != nil && mail.KindOf(err) != mail.NotFound {
		holds = SourceTrouble
	}
	all.found.put(a, remembered{found, err, d.o.Now().Add(holds)}, epoch)
	return found, err
}

// elsewhere asks the source of a key's domain about it, unless a row has its name. If the
// source has an account of that name, it is made: then, and if there is no source, or it
// knows nobody, rows decide (no route). What was asked counts for SourceMemory: until. Seen
// are the keys on the way here.
func (d *Directory) elsewhere(ctx context.Context, key mail.Address, seen map[mail.Address]bool) (r route, is bool, until time.Time, err error) {
	at := key
	k, err := d.known(ctx, key.Domain)
	if err != nil || !k.local {
		return r, false, until, err
	}
	if k.aliasOf != "" {
		at.Domain = k.aliasOf
	}
	if !d.HasSource(at.Domain) {
		return r, false, until, nil
	}
	there, err := d.hasRow(ctx, key, subaddressed(key), at, subaddressed(at))
	if err != nil || there {
		return r, false, until, err
	}
	until = d.o.Now().Add(SourceMemory)
	for _, w := range []struct {
		via  via
		name mail.Address
	}{{viaName, at}, {viaSubaddress, subaddressed(at)}} {
		if w.name.IsZero() {
			continue
		}
		found, err := d.findElsewhere(ctx, w.name)
		switch kind := mail.KindOf(err); {
		case err != nil && kind == mail.NotFound:
			continue
		case err != nil && slices.Contains([]string{postmasterName, abuseName, rootName}, w.name.Local):
			return r, false, until, nil // Somebody answers for it, whoever is down.
		case err != nil:
			return r, false, until, err
		}
		if !found.Account.IsZero() {
			if _, err := d.settle(ctx, found); err != nil {
				return r, false, until, err
			}
			if found.Account.Key() == w.name {
				return r, false, until, nil
			}
			found.Members = []mail.Address{found.Account}
		}
		r, err = d.routeToAll(ctx, w.name, found.Members, seen)
		r.via, r.at, r.until = w.via, at, until
		return r, true, until, err
	}
	return r, false, until, nil
}

// hasRow reports whether somebody here has one of the names himself.
func (d *Directory) hasRow(ctx context.Context, names ...mail.Address) (there bool, err error) {
	err = d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		there = false
		for _, name := range names {
			found, err := own(tx, name)
			if err != nil || !found.IsZero() {
				there = err == nil
				return err
			}
		}
		return nil
	})
	return there, err
}

// routeToAll is the route of a name that a source says to stand for others. A member that
// is nobody gets nothing; one of which it cannot be told puts all off.
func (d *Directory) routeToAll(ctx context.Context, name mail.Address, members []mail.Address, seen map[mail.Address]bool) (route, error) {
	r := route{name: name}
	for _, m := range members {
		key := m.Key()
		if seen[key] {
			continue
		}
		if seen[key] = true; len(seen) > d.o.Recipients {
			return route{}, mail.Errorf(mail.Unavailable, "%s leads to more than %d addresses", name, d.o.Recipients)
		}
		local, err := d.IsLocal(ctx, key.Domain)
		if err != nil {
			return route{}, err
		}
		if !local {
			r.foreign, r.foreignBy = append(r.foreign, m), append(r.foreignBy, 0)
			continue
		}
		of, err := d.routeSeen(ctx, key, seen)
		if err != nil {
			return route{}, err
		}
		r.add(of)
	}
	return r, nil
}

// add has mail go where of leads, too.
func (r *route) add(of route) {
	for i, id := range of.accounts {
		if !slices.Contains(r.accounts, id) {
			r.accounts, r.names, r.by = append(r.accounts, id), append(r.names, of.names[i]), append(r.by, of.by[i])
		}
	}
	for i, a := range of.foreign {
		if !slices.Contains(r.foreign, a) {
			r.foreign, r.foreignBy = append(r.foreign, a), append(r.foreignBy, of.foreignBy[i])
		}
	}
	if of.via == viaCatchAll {
		return
	}
	for _, id := range of.owners {
		if !slices.Contains(r.owners, id) {
			r.owners = append(r.owners, id)
		}
	}
}

// settle has the account of somebody whom a source knows: it is made if it is not there,
// and may hold what the source says.
func (d *Directory) settle(ctx context.Context, f Entry) (lodger, error) {
	l, err := d.lodger(ctx, f.Account.Key())
	if err != nil {
		return l, err
	}
	if l.principal.Account == 0 {
		if err := d.makeFound(ctx, f); err != nil {
			return l, err
		}
		return d.lodger(ctx, f.Account.Key())
	}
	if f.Quota == nil {
		return l, nil
	}
	a, err := d.Account(ctx, f.Account)
	if err == nil && a.Quota.Octets != *f.Quota {
		err = d.SetQuota(ctx, f.Account, AllowanceChange{Octets: f.Quota})
	}
	return l, err
}

// makeFound makes the account of somebody whom a source knows. One that somebody else has
// made meanwhile is fine.
func (d *Directory) makeFound(ctx context.Context, f Entry) error {
	if err := checkNew(f.Account, ""); err != nil {
		d.log.Warn("an account cannot be made of what the directory of its domain says", "address", f.Account.String(), "entry", f.Name, obs.Err(err))
		return mail.Errorf(mail.Unavailable, "%s cannot be the address of an account", f.Account)
	}
	fresh, err := d.newFactors()
	if err != nil {
		return err
	}
	a := Account{Address: f.Account, Created: d.now(), Quota: inherits()}
	if f.Quota != nil {
		a.Quota.Octets = *f.Quota
	}
	err = d.change(ctx, func(tx *sqldb.Tx) (err error) {
		if a.ID, err = d.insertAccount(tx, a, secrets{factors: fresh.String()}); err != nil {
			return err
		}
		return setQuota(tx, a.ID, AllowanceChange{Octets: &a.Quota.Octets})
	})
	if err == nil {
		d.log.Info("account made, as the directory of its domain has it", "account", int64(a.ID), "address", f.Account.String(), "entry", f.Name)
	}
	if mail.KindOf(err) == mail.Exists {
		return nil
	}
	return err
}

// askSource asks the source of who's domain whether a password is right, or remembers it. If
// it is, who has an account from then on.
func (d *Directory) askSource(ctx context.Context, in *admission, who *claimed, prepared string) (bool, error) {
	all := d.sources.Load()
	ticket := d.sourceTicket(who.address, prepared)
	a, epoch, ok := all.answers.get(ticket)
	if ok && d.o.Now().Before(a.until) && (!a.right || who.account.principal.Account != 0) {
		return a.right, nil
	}
	s := all.of[who.address.Domain]
	if s == nil {
		return false, errSourceGone
	}
	if err := d.asking.enter(ctx, who.attempt, 1, in.left()); err != nil {
		return false, err
	}
	defer d.asking.leave(1)
	began := d.o.Now()
	found, err := s.Check(ctx, who.address, prepared)
	err = notAsked(err)
	who.spent = d.o.Now().Sub(began)
	if kind := mail.KindOf(err); err != nil && kind != mail.NotFound && kind != mail.Forbidden {
		return false, err
	}
	right := err == nil && found.Account.Key() == who.address // Else it is another name of somebody, which nobody logs in by.
	all.answers.put(ticket, answer{right, d.o.Now().Add(SourceMemory)}, epoch)
	if right {
		who.account, err = d.settle(ctx, found)
		return err == nil, err
	}
	return false, nil
}

// sourceTicket stands for a password of an address.
func (d *Directory) sourceTicket(a mail.Address, prepared string) (t [ticketSize]byte) {
	m := hmac.New(sha256.New, d.ticketKey)
	m.Write([]byte("source\x00" + a.String() + "\x00" + prepared))
	m.Sum(t[:0])
	return t
}

// checkNoSource checks that the password of a can be one that is kept here.
func (d *Directory) checkNoSource(a mail.Address) error {
	if !d.HasSource(a.Key().Domain) {
		return nil
	}
	return mail.Errorf(mail.Conflict, "the passwords of %s are in its LDAP directory: set it there; an account comes by itself with its first login or mail", a.Domain)
}
