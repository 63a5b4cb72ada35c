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
	from      netip.Addr
}

// Login checks a password.
func (a authenticator) Login(ctx context.Context, user, password string) (mail.Principal, error) {
	return a.directory.Login(ctx, user, password, a.from)
}

// Scram returns the keys of user.
func (a authenticator) Scram(ctx context.Context, user string) (sasl.StoredKeys, mail.Principal, error) {
	k, p, err := a.directory.Scram(ctx, user, a.from)
	return sasl.StoredKeys(k), p, err
}

// ScramDone tells the directory how an exchange ended.
func (a authenticator) ScramDone(ctx context.Context, user string, proved bool) error {
	return a.directory.ScramDone(ctx, user, a.from, proved)
}
