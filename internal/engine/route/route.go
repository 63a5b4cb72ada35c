// Package route decides where mail for a recipient goes: into which accounts
// of this server, or nowhere. Addresses of other domains are refused, save for
// the postmaster at our own host name, whom every server must have (RFC 5321
// §4.5.1).
//
// It keeps nothing and writes nothing: a route can be asked for without sending.
package route

import (
	"context"
	"errors"
	"strings"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
)

// Directory says who has a local address: directory.Directory does.
type Directory interface {
	Resolve(ctx context.Context, a mail.Address) (directory.Resolution, error)
	Domains(ctx context.Context) ([]directory.Domain, error)
}

const postmaster = "postmaster"

// Routed is where mail for one recipient goes.
type Routed struct {
	Accounts []mail.AccountID // each once, at least one
	Detail   string           // the subaddress (RFC 5233)
}

// Router routes. Safe for concurrent use.
type Router struct {
	directory Directory
	hostname  mail.Domain
}

// New returns a Router over the directory, for a server of that name.
func New(d Directory, hostname mail.Domain) *Router { return &Router{d, hostname} }

// Route says where mail for a goes. Errors: Forbidden with the text "relaying
// denied" if its domain is not ours, NotFound if nobody here has that address,
// Forbidden with the cause directory.ErrDisabled if nobody who has it may
// receive mail.
func (r *Router) Route(ctx context.Context, a mail.Address) (Routed, error) {
	res, err := r.directory.Resolve(ctx, a)
	if isForeign(err) && a.Domain == r.hostname && strings.EqualFold(a.Local, postmaster) {
		res, err = r.hostPostmaster(ctx, err)
	}
	if isForeign(err) {
		return Routed{}, &mail.Error{Kind: mail.Forbidden, Text: "relaying denied", Err: err}
	}
	if err != nil {
		return Routed{}, err
	}
	return Routed{Accounts: res.Accounts, Detail: res.Detail}, nil
}

// isForeign reports whether err says that the domain is not ours.
func isForeign(err error) bool {
	return err != nil && mail.KindOf(err) == mail.Forbidden && !errors.Is(err, directory.ErrDisabled)
}

// hostPostmaster finds the postmaster of a host whose name is no local domain:
// that of the first domain. Without any it is otherwise.
func (r *Router) hostPostmaster(ctx context.Context, otherwise error) (directory.Resolution, error) {
	domains, err := r.directory.Domains(ctx)
	if err != nil {
		return directory.Resolution{}, err
	}
	if len(domains) == 0 {
		return directory.Resolution{}, otherwise
	}
	return r.directory.Resolve(ctx, mail.Address{Local: postmaster, Domain: domains[0].Name})
}
