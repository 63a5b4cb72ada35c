package directory

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"yubin/internal/mail"
)

// GateWait is how long a login waits behind others: for their outcome where only
// so many may be wrong, and for its turn to have its password hashed. Beyond it
// the client hears a temporary error, and nothing is counted.
const GateWait = 10 * time.Second

// errBusy is the answer to a login that waited too long.
var errBusy = &mail.Error{Kind: mail.Unavailable, Text: "too many logins at this moment; try again soon"}

// gate bounds the memory that hashing takes at a time, and gives turns to those
// who wait: first to networks that the owner of the account has used; in each of
// the two lines to one network after the other, and within a network to one
// account after the other. So who sends a thousand wrong passwords waits behind
// his own.
type gate struct {
	mu    sync.Mutex
	free  int
	lines [2]line
}

// line is a line of waiters: the next is the first of the first user of the first
// network.
type line []*networkLine

type networkLine struct {
	network netip.Prefix
	users   []*userLine
}

type userLine struct {
	user    userKey
	waiting []*waiter
}

// waiter is one computation that waits.
type waiter struct {
	need int
	in   chan struct{} // closed when it may start
}

// enter waits until need is free and it is a's turn, at most for limit if that is
// not 0. Errors: Unavailable, or that of ctx.
func (g *gate) enter(ctx context.Context, a attempt, need int, limit time.Duration) error {
	g.mu.Lock()
	if g.free >= need && len(g.lines[0])+len(g.lines[1]) == 0 {
		g.free -= need
		g.mu.Unlock()
		return nil
	}
	l := &g.lines[1]
	if a.known {
		l = &g.lines[0]
	}
	w := &waiter{need: need, in: make(chan struct{})}
	l.add(a, w)
	g.mu.Unlock()

	var late <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		late = t.C
	}
	var err error
	select {
	case <-w.in:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-late:
		err = errBusy
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !l.remove(a, w) {
		g.free += need // Its turn came just now.
	}
	g.grant()
	return err
}

// leave gives back what enter took.
func (g *gate) leave(need int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free += need
	g.grant()
}

// grant lets in whoever is next, as long as there is room. Nobody is overtaken by
// one who needs less.
func (g *gate) grant() {
	for {
		l := &g.lines[0]
		if len(*l) == 0 {
			l = &g.lines[1]
		}
		if len(*l) == 0 || (*l)[0].users[0].waiting[0].need > g.free {
			return
		}
		w := l.next()
		g.free -= w.need
		close(w.in)
	}
}

func (l *line) add(a attempt, w *waiter) {
	i := slices.IndexFunc(*l, func(n *networkLine) bool { return n.network == a.network })
	if i < 0 {
		i = len(*l)
		*l = append(*l, &networkLine{network: a.network})
	}
	n := (*l)[i]
	j := slices.IndexFunc(n.users, func(u *userLine) bool { return u.user == a.user })
	if j < 0 {
		j = len(n.users)
		n.users = append(n.users, &userLine{user: a.user})
	}
	n.users[j].waiting = append(n.users[j].waiting, w)
}

// next takes out who is next; his account goes to the end of its network's, and
// his network to the end of the line.
func (l *line) next() *waiter {
	n := (*l)[0]
	u := n.users[0]
	w := u.waiting[0]
	*l, n.users, u.waiting = (*l)[1:], n.users[1:], u.waiting[1:]
	if len(u.waiting) > 0 {
		n.users = append(n.users, u)
	}
	if len(n.users) > 0 {
		*l = append(*l, n)
	}
	return w
}

// remove takes out w; false if it is not there any more.
func (l *line) remove(a attempt, w *waiter) bool {
	for i, n := range *l {
		if n.network != a.network {
			continue
		}
		for j, u := range n.users {
			k := slices.Index(u.waiting, w)
			if u.user != a.user || k < 0 {
				continue
			}
			if u.waiting = slices.Delete(u.waiting, k, k+1); len(u.waiting) == 0 {
				n.users = slices.Delete(n.users, j, j+1)
			}
			if len(n.users) == 0 {
				*l = slices.Delete(*l, i, i+1)
			}
			return true
		}
	}
	return false
}
