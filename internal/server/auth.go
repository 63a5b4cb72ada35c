package server

import (
	"context"
	"net/netip"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
	"yubin/internal/proto/sasl"
)

// authenticator is the directory as the conversations ask it: for a client at
// one address.
type authenticator struct {
	directory *directory.Directory
	guests    *guests
	from      netip.Addr
	scram     mail.Principal // of the exchange under way
}

// Login checks a password.
func (a *authenticator) Login(ctx context.Context, user, password string) (mail.Principal, error) {
	p, err := a.directory.Login(ctx, user, password, a.from)
	if err == nil {
		a.guests.admit(ctx, p.Account)
	}
	return p, err
}

// Scram returns the keys of user.
func (a *authenticator) Scram(ctx context.Context, user string) (sasl.StoredKeys, mail.Principal, error) {
	k, p, err := a.directory.Scram(ctx, user, a.from)
	a.scram = p
	return sasl.StoredKeys(k), p, err
}

// ScramDone tells the directory how an exchange ended.
func (a *authenticator) ScramDone(ctx context.Context, user string, proved bool) error {
	err := a.directory.ScramDone(ctx, user, a.from, proved)
	if err == nil && proved {
		a.guests.admit(ctx, a.scram.Account)
	}
	return err
}
