package server

import (
	"context"
	"sync"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
	"yubin/internal/world/netx"
)

// guests knows which connections belong to whom, so that an account that is
// disabled or removed is shown out at once, and who logged in with a password that is
// changed, removed or at its end.
type guests struct {
	now  func() time.Time
	mu   sync.Mutex
	here map[mail.AccountID]map[*guest]bool
}

// guest is one connection; who is zero until somebody logged in.
type guest struct {
	conn *netx.Conn
	who  mail.Principal
	end  *time.Timer // of the credential, if it has one
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

// admit notes that the connection of ctx is the principal's from now on, and nobody
// else's, until its credential ends. The error is for the client: there are too many.
func (g *guests) admit(ctx context.Context, p mail.Principal) error {
	one, ok := ctx.Value(guestKey{}).(*guest)
	if !ok || p.Account == 0 {
		return nil
	}
	if err := one.conn.LoggedIn(int64(p.Account)); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(one)
	one.who = p
	if until := p.Credential.Until; !until.IsZero() {
		one.end = time.AfterFunc(until.Sub(g.now()), func() {
			one.conn.Retire(mail.Errorf(mail.Forbidden, "the password that you logged in with has expired"))
		})
	}
	if g.here == nil {
		g.here = make(map[mail.AccountID]map[*guest]bool)
	}
	if g.here[p.Account] == nil {
		g.here[p.Account] = make(map[*guest]bool)
	}
	g.here[p.Account][one] = true
	return nil
}

func (g *guests) leave(one *guest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(one)
}

// remove takes one out. The caller holds the lock.
func (g *guests) remove(one *guest) {
	if one.end != nil {
		one.end.Stop()
	}
	delete(g.here[one.who.Account], one)
	if len(g.here[one.who.Account]) == 0 {
		delete(g.here, one.who.Account)
	}
}

// revoke ends the sessions that e is about: they hear nothing more, and each says
// why at once, or when what it is writing is finished.
func (g *guests) revoke(e directory.Ended) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for one := range g.here[e.Account] {
		if e.Credential == 0 || e.Credential == one.who.Credential.Number {
			one.conn.Retire(mail.Errorf(mail.Forbidden, "%s", e.Why))
		}
	}
}

// turnAway ends the connection of ctx, whose login did not hold to its end. It counts
// as the account's, and cannot be another's any more.
func (g *guests) turnAway(ctx context.Context) {
	if one, ok := ctx.Value(guestKey{}).(*guest); ok {
		one.conn.Retire(mail.Errorf(mail.Unavailable, "the login could not be finished; connect again"))
	}
}
