package server

import (
	"context"
	"net/netip"

	"yubin/internal/mail"
	"yubin/internal/proto/sasl"
)

// authenticator is the directory as the conversations ask it: for a client at
// one address.
type authenticator struct {
	store *Store
	from  netip.Addr
	scram mail.Principal // of the exchange under way
}

// errNotProved says that the client did not know the password.
var errNotProved = mail.Errorf(mail.Forbidden, "the proof is wrong")

// Login checks a password.
func (a *authenticator) Login(ctx context.Context, user, password string) (mail.Principal, error) {
	p, err := a.store.directory.Login(ctx, user, password, a.from)
	a.store.metrics.Login(err)
	if err == nil {
		err = a.store.guests.admit(ctx, p.Account)
	}
	return p, err
}

// Scram returns the keys of user.
func (a *authenticator) Scram(ctx context.Context, user string) (sasl.StoredKeys, mail.Principal, error) {
	k, p, err := a.store.directory.Scram(ctx, user, a.from)
	a.scram = p
	return sasl.StoredKeys(k), p, err
}

// ScramDone tells the directory how an exchange ended.
func (a *authenticator) ScramDone(ctx context.Context, user string, proved bool) error {
	err := a.store.directory.ScramDone(ctx, user, a.from, proved)
	if err == nil && !proved {
		a.store.metrics.Login(errNotProved)
		return nil
	}
	a.store.metrics.Login(err)
	if err == nil {
		err = a.store.guests.admit(ctx, a.scram.Account)
	}
	return err
}
