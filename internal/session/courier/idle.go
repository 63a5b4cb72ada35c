package courier

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"yubin/internal/mail"
)

// IdleLimits bound the sessions that are kept for the next message.
type IdleLimits struct {
	Total    int           // sessions, 256
	PerHost  int           // sessions, 20
	Time     time.Duration // that one waits for the next message, 15 s
	Age      time.Duration // of one at its last message, 5 min
	Messages int           // by one, 100
}

func (l IdleLimits) withDefaults() IdleLimits {
	for _, f := range []struct {
		at *int
		is int
	}{{&l.Total, 256}, {&l.PerHost, 20}, {&l.Messages, 100}} {
		if *f.at == 0 {
			*f.at = f.is
		}
	}
	if l.Time == 0 {
		l.Time = 15 * time.Second
	}
	if l.Age == 0 {
		l.Age = 5 * time.Minute
	}
	return l
}

// key is equal for sessions that can stand for each other.
type key struct {
	addr     netip.AddrPort
	from     netip.Addr
	host     string
	auth     mail.Credentials // with the password: who has another is not let in by this one
	policy   mail.TLSPolicy
	trust    string // which certificates are good, "" those for host
	server   string // the name that the host was told, "" host
	implicit bool
	lmtp     bool
}

// session is an open conversation.
type session struct {
	Conversation
	key      key
	began    time.Time
	idleAt   time.Time
	messages int
	reused   bool // it was idle before
}

// idleSessions is the store of idle sessions.
type idleSessions struct {
	limits IdleLimits
	now    func() time.Time

	mu    sync.Mutex
	byKey map[key][]*session // each in the order in which they became idle
	total int
	ended bool // run is over: who is put now would wait for ever
}

func newIdleSessions(l IdleLimits, now func() time.Time) *idleSessions {
	return &idleSessions{limits: l.withDefaults(), now: now, byKey: map[key][]*session{}}
}

// take returns the session for k that was used last, or nil.
func (p *idleSessions) take(k key) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.byKey[k]
	if len(list) == 0 {
		return nil
	}
	s := list[len(list)-1]
	if p.expired(s) {
		return nil // All others are older; run ends them.
	}
	p.set(k, list[:len(list)-1])
	s.reused = true
	return s
}

// has reports whether take would return one.
func (p *idleSessions) has(k key) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.byKey[k]
	return len(list) > 0 && !p.expired(list[len(list)-1])
}

func (p *idleSessions) set(k key, list []*session) {
	p.total += len(list) - len(p.byKey[k])
	if p.byKey[k] = list; len(list) == 0 {
		delete(p.byKey, k)
	}
}

func (p *idleSessions) expired(s *session) bool { return p.now().Sub(s.idleAt) >= p.limits.Time }

// put keeps s, and returns the session that must be ended instead: s itself or
// the oldest of its key; nil if there is room. Nothing is kept after run.
func (p *idleSessions) put(s *session) (out *session) {
	now := p.now()
	if s.Connection().Spent || s.messages >= p.limits.Messages || now.Sub(s.began) >= p.limits.Age {
		return s
	}
	s.idleAt = now
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.byKey[s.key]
	switch {
	case p.ended:
		return s
	case len(list) >= p.limits.PerHost:
		out, list = list[0], list[1:]
	case p.total >= p.limits.Total:
		return s
	}
	p.set(s.key, append(list[:len(list):len(list)], s))
	return out
}

// run ends what expires, until ctx is done; then all the rest.
func (p *idleSessions) run(ctx context.Context) error {
	ticker := time.NewTicker(max(p.limits.Time/2, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			endAll(ctx, p.sweep(p.expired))
		case <-ctx.Done():
			p.mu.Lock()
			p.ended = true
			p.mu.Unlock()
			endAll(context.WithoutCancel(ctx), p.sweep(func(*session) bool { return true }))
			return nil
		}
	}
}

// sweep takes out all sessions that out says.
func (p *idleSessions) sweep(out func(*session) bool) []*session {
	p.mu.Lock()
	defer p.mu.Unlock()
	var gone []*session
	for k, list := range p.byKey {
		var kept []*session
		for _, s := range list {
			if out(s) {
				gone = append(gone, s)
			} else {
				kept = append(kept, s)
			}
		}
		p.set(k, kept)
	}
	return gone
}

// endAll says goodbye on all at once: a host may take its time.
func endAll(ctx context.Context, sessions []*session) {
	var wg sync.WaitGroup
	for _, s := range sessions {
		wg.Go(func() { s.Quit(ctx) })
	}
	wg.Wait()
}
