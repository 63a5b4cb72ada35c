package server

import (
	"cmp"
	"context"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
	"yubin/internal/proto/sasl"
)

// authenticator is the directory as the conversations ask it: for one client.
type authenticator struct {
	store *Store
	from  directory.Client
}

// Login checks a password.
func (a *authenticator) Login(ctx context.Context, user, password string) (mail.Principal, error) {
	p, err := a.store.directory.Login(ctx, user, password, a.from)
	return a.end(ctx, p, err)
}

// Scram returns the keys of user.
func (a *authenticator) Scram(ctx context.Context, user string) (sasl.StoredKeys, sasl.Finish, error) {
	login, err := a.store.directory.Scram(ctx, user, a.from)
	if err != nil {
		a.store.metrics.Login(err)
		a.store.guessed(a.from.Addr, err)
		return sasl.StoredKeys{}, nil, err
	}
	keys := sasl.StoredKeys{Salt: login.Salt, Iterations: login.Iterations}
	for _, k := range login.Keys {
		keys.Keys = append(keys.Keys, sasl.Key(k))
	}
	return keys, func(ctx context.Context, proved func() int) (mail.Principal, error) {
		p, err := login.Finish(ctx, proved)
		return a.end(ctx, p, err)
	}, nil
}

// end registers the session of a login that was right, so that whoever changes the
// account finds it, and asks the directory whether that came in time.
func (a *authenticator) end(ctx context.Context, p mail.Principal, err error) (mail.Principal, error) {
	full := error(nil) // Too many sessions are no failed login.
	if err == nil {
		if full = a.store.guests.admit(ctx, p); full == nil {
			if err = a.store.directory.Confirm(ctx, p); err != nil {
				a.store.guests.turnAway(ctx)
			}
		}
	}
	a.store.metrics.Login(err)
	a.store.guessed(a.from.Addr, err)
	if err = cmp.Or(err, full); err != nil {
		return mail.Principal{}, err
	}
	return p, nil
}
