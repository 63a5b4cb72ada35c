package route

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/hosts"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Directory says who has a local address: directory.Directory does.
type Directory interface {
	IsLocal(ctx context.Context, name mail.Domain) (bool, error)
	Resolve(ctx context.Context, a mail.Address) (directory.Resolution, error)
	Canonical(ctx context.Context, a mail.Address) (mail.Address, error)
	FirstDomain(ctx context.Context) (mail.Domain, error)
	Way(ctx context.Context, a mail.Address) (directory.Way, error)
	MayUse(ctx context.Context, p mail.Principal, a mail.Address) (bool, error)
}

// Returns knows whose mail was forwarded: *forward.Forwarder.
type Returns interface {
	Return(ctx context.Context, a mail.Address) (mail.Address, error)
}

// Options are what a Router needs. DB, Directory, Hostname and Ourselves must be
// given.
type Options struct {
	DB        *sqldb.DB
	Directory Directory
	Hostname  mail.Domain      // of this server
	Now       func() time.Time // nil means time.Now
	Log       *slog.Logger     // nil drops

	// Reports says which addresses of ours take reports for the server, whether or not
	// somebody has them; nil for none.
	Reports func(mail.Address) bool

	// Returns says whom mail to an address is for that was made for a report about
	// forwarded mail; nil for none.
	Returns Returns

	// What Explain says of what couriers do.
	Ourselves hosts.Ourselves
	Policies  hosts.Policies // of MTA-STS, for explanations; nil for none
	Port      uint16         // of SMTP hosts for which no route names one; 0 is 25
	Captured  mail.Address   // who gets all mail that would leave; zero if it leaves
}

// Router routes. Safe for concurrent use.
type Router struct {
	o        Options
	changing sync.Mutex // held by who changes the rows until the tables show it
	tables   atomic.Pointer[tables]
	aside    sqldb.Aside // rows that cannot be read
}

// Open brings the tables up to date and returns the router.
func Open(ctx context.Context, o Options) (*Router, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := o.DB.Migrate(ctx, "route", schema()); err != nil {
		return nil, err
	}
	r := &Router{o: o, aside: sqldb.Aside{Log: o.Log}}
	return r, r.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		t, err := load(tx)
		if err == nil {
			r.show(t)
		}
		return err
	})
}

// show makes t the tables, and tells of what cannot be read.
func (r *Router) show(t *tables) {
	for _, u := range t.unreadable {
		r.aside.Takes(&u)
	}
	r.tables.Store(t)
}
