package directory

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// Voucher is somebody outside whom we believe about who people are.
type Voucher struct {
	Name    string        // for the log
	Domains []mail.Domain // whose accounts he speaks for
	Makes   bool          // an account that he vouches for, and that is not there, is made
}

// Vouched is for whom a Voucher vouches.
type Vouched struct {
	Address mail.Address
	Via     string // what by, for the log
}

// Unproven is the cause (errors.As) of a Forbidden of Vouched: why nobody was vouched for, or
// why that does not count here.
type Unproven struct {
	Why   string // for the log
	Guess bool   // what was shown may be made up: it counts as a failed login
	Err   error  // what the client is to be told by; nil for nothing
}

func (u *Unproven) Error() string { return "directory: " + u.Why }
func (u *Unproven) Unwrap() error { return u.Err }

func unproven(why string, args ...any) error {
	return &mail.Error{Kind: mail.Forbidden, Text: "who you are could not be proved", Err: &Unproven{Why: fmt.Sprintf(why, args...)}}
}

// Vouched logs in the account of somebody for whom v vouches. What was shown stands for
// what the client showed of it: a token. User is who the client says to be, and must be the
// same; "" if it does not say. The function who asks v; its errors are a Forbidden with the
// cause Unproven, or Unavailable.
//
// What was shown cannot be guessed, so a failure counts for the network alone, and the
// same again does not count: NetworkFailures. What v has made, and is not for us or not any more,
// does not count at all: programs try an old token before they fetch a new one.
//
// Nothing here ends such a session but a change of the account: neither its passwords nor their
// limits are about it. Errors: Forbidden, with the cause Unproven or ErrDisabled; RateLimited;
// Unavailable.
func (d *Directory) Vouched(ctx context.Context, user, shown string, from Client, v Voucher, who func(context.Context) (Vouched, error)) (mail.Principal, error) {
	guest := claimed{client: from, name: "shown\x00" + shown}
	sum := sha256.Sum256([]byte(guest.name))
	copy(guest.user[:], sum[:])
	guest.network = obs.LoginNetwork(from.Addr)
	guest.shared = !guest.network.IsValid() || d.o.Shared(from.Addr)
	in, err := d.limits.admit(ctx, guest.attempt)
	if err != nil {
		return mail.Principal{}, err
	}
	found, err := who(ctx)
	if err == nil {
		guest.account, err = d.vouchedFor(ctx, found.Address, user, v)
	}
	var u *Unproven
	if errors.As(err, &u) && u.Guess {
		return mail.Principal{}, d.refuse(ctx, in, guest, d.guessed(guest, ""), u)
	}
	in.done()
	if err != nil {
		return mail.Principal{}, err
	}
	if guest.account.disabled {
		return mail.Principal{}, errDisabled()
	}
	p := guest.account.principal
	p.Credential.Via = found.Via
	if !guest.shared && !d.limits.off {
		d.remember(ctx, p, guest.network)
	}
	return p, nil
}

// vouchedFor finds the account at an address, or makes it.
func (d *Directory) vouchedFor(ctx context.Context, a mail.Address, user string, v Voucher) (lodger, error) {
	at, err := d.Canonical(ctx, a.Key())
	if err != nil {
		return lodger{}, err
	}
	if !slices.Contains(v.Domains, at.Domain) {
		return lodger{}, unproven("%s does not speak for the domain of %s", v.Name, a)
	}
	if user != "" {
		said, err := mail.ParseAddress(user)
		if err == nil {
			said, err = d.Canonical(ctx, said.Key())
		}
		if err != nil && mail.KindOf(err) != mail.Invalid {
			return lodger{}, err
		}
		if said != at {
			return lodger{}, unproven("the client says that it is %q, and the token is of %s", user, a)
		}
	}
	l, err := d.lodger(ctx, at)
	if err != nil || l.principal.Account != 0 {
		return l, err
	}
	if !v.Makes {
		return lodger{}, unproven("there is no account %s", at)
	}
	if err := d.makeVouched(ctx, mail.Address{Local: a.Local, Domain: at.Domain}, v); err != nil {
		return lodger{}, err
	}
	return d.lodger(ctx, at)
}

// offices are names by which people speak for a domain (RFC 2142), among them those that
// authorities for certificates write to (CA/Browser Forum, Baseline Requirements §3.2.2.4.4):
// whoever can choose a name at a voucher is not to become one of them.
var offices = []string{"postmaster", "abuse", "admin", "administrator", "hostmaster", "webmaster", "root", "security", "noc", "mailer-daemon"}

// makeVouched makes an account that has no password: its owner logs in by who vouches for
// him. One that somebody else has made meanwhile is fine.
func (d *Directory) makeVouched(ctx context.Context, a mail.Address, v Voucher) error {
	if err := checkNew(a, ""); err != nil {
		return unproven("%s cannot be the address of an account: %v", a, err)
	}
	switch key := a.Key(); {
	case strings.Contains(key.Local, separator):
		return unproven("there is no account %s, and none is made: what stands behind a %s is for who has the name before it", a, separator)
	case slices.Contains(offices, key.Local):
		return unproven("there is no account %s, and none is made: by such an address people speak for the domain", a)
	}
	f, err := d.newFactors()
	if err != nil {
		return err
	}
	made := Account{Address: a, Created: d.now(), Quota: inherits()}
	err = d.change(ctx, func(tx *sqldb.Tx) (err error) {
		made.ID, err = d.insertAccount(tx, made, secrets{factors: f.String()})
		return err
	})
	switch kind := mail.KindOf(err); {
	case err == nil:
		d.log.Info("account made", "account", int64(made.ID), "address", a.String(), "by", v.Name)
	case kind == mail.Exists:
		if _, err := d.Account(ctx, a); err != nil {
			return unproven("there is no account %s, and %v", a, err)
		}
	case kind == mail.NotFound:
		return unproven("there is no account %s, and none can be made: %v", a, err)
	default:
		return err
	}
	return nil
}
