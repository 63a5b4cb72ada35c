package server

import (
	"context"
	"sync"

	"yubin/internal/mail"
	"yubin/internal/world/netx"
)

// guests knows which connections belong to whom, so that an account that is
// disabled, removed or given another password is shown out at once.
type guests struct {
	mu   sync.Mutex
	here map[mail.AccountID]map[*guest]bool
}

// guest is one connection; account is zero until somebody logged in.
type guest struct {
	conn    *netx.Conn
	account mail.AccountID
}

type guestKey struct{}

// received wraps the handler of a listener: its context carries the guest.
func (g *guests) received(serve func(context.Context, *netx.Conn)) func(context.Context, *netx.Conn) {
	return func(ctx context.Context, c *netx.Conn) {
		one := &guest{conn: c}
		defer g.leave(one)
		serve(context.WithValue(ctx, guestKey{}, one), c)
	}
}

// admit notes that the connection of ctx is the account's from now on, and nobody
// else's. The error is for the client: there are too many.
func (g *guests) admit(ctx context.Context, account mail.AccountID) error {
	one, ok := ctx.Value(guestKey{}).(*guest)
	if !ok || account == 0 {
		return nil
	}
	if err := one.conn.LoggedIn(int64(account)); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(one)
	one.account = account
	if g.here == nil {
		g.here = make(map[mail.AccountID]map[*guest]bool)
	}
	if g.here[account] == nil {
		g.here[account] = make(map[*guest]bool)
	}
	g.here[account][one] = true
	return nil
}

func (g *guests) leave(one *guest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(one)
}

// remove takes one out. The caller holds the lock.
func (g *guests) remove(one *guest) {
	delete(g.here[one.account], one)
	if len(g.here[one.account]) == 0 {
		delete(g.here, one.account)
	}
}

// revoke ends the sessions of the account: they hear nothing more, and each says
// why at once, or when what it is writing is finished.
func (g *guests) revoke(account mail.AccountID, why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for one := range g.here[account] {
		one.conn.Retire(mail.Errorf(mail.Forbidden, "%s", why))
	}
}

// turnAway ends the connection of ctx, whose login did not hold to its end. It counts
// as the account's, and cannot be another's any more.
func (g *guests) turnAway(ctx context.Context) {
	if one, ok := ctx.Value(guestKey{}).(*guest); ok {
		one.conn.Retire(mail.Errorf(mail.Unavailable, "the login could not be finished; connect again"))
	}
}
