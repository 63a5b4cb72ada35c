package resolver

import (
	"context"
	"time"

	wire "github.com/miekg/dns"

	"yubin/internal/dns"
)

// reply is what is known about a question. It is shared and never changed.
type reply struct {
	failure   dns.Failure
	detail    string
	records   []wire.RR
	name      dns.Name
	authentic bool
	expires   time.Time
	wide      bool // an NXDomain of the very name asked for: true for all types (RFC 2308 §5)
}

func (p reply) error(ctx context.Context, q question) *dns.Error {
	e := &dns.Error{Failure: p.failure, Name: q.name, Type: q.kind, Authentic: p.authentic, Expires: p.expires, Detail: p.detail}
	if p.failure == dns.Canceled {
		e.Err = ctx.Err()
	}
	return e
}

// chase asks until the chain of aliases ends. A recursive server answers with
// the whole chain; one that does not is asked again for where it led.
func (r *Resolver) chase(ctx context.Context, up *upstream, q question) reply {
	end := answer{name: q.name, ttl: MaxTTL, authentic: true}
	for {
		a := r.ask(ctx, up, question{end.name, q.kind})
		a.links += end.links
		a.ttl = min(a.ttl, end.ttl)
		a.authentic = a.authentic && end.authentic
		switch end = a; {
		case !a.more && a.links <= MaxAliases:
			return r.conclude(end)
		case a.links > MaxAliases:
			return r.conclude(answer{failure: dns.Loop})
		}
	}
}

func (r *Resolver) conclude(a answer) reply {
	if a.failure.Temporary() {
		a.ttl, a.authentic = FailureTTL, false
	}
	return reply{
		failure: a.failure, detail: a.detail, records: a.records, name: a.name, authentic: a.authentic,
		expires: r.o.Now().Add(a.ttl), wide: a.failure == dns.NXDomain && a.links == 0,
	}
}

// flight is a question that is being asked, and how many wait for the reply.
type flight struct {
	waiting int
	cancel  context.CancelFunc
	done    chan struct{} // closed when reply is set
	reply   reply
}

// resolve answers q from memory, from a lookup under way, or by a new one. A
// lookup goes on while anyone waits for it, and ends when nobody does.
func (r *Resolver) resolve(ctx context.Context, q question) (reply, Source) {
	if err := ctx.Err(); err != nil {
		return reply{failure: dns.Canceled}, Asked
	}
	r.mu.Lock()
	if p, ok := r.cache.get(q, r.o.Now()); ok {
		r.mu.Unlock()
		return p, Cached
	}
	f, source := r.flights[q], Shared
	if f == nil {
		f, source = r.launch(ctx, q), Asked
	}
	f.waiting++
	r.mu.Unlock()
	select {
	case <-f.done:
		return f.reply, source
	case <-ctx.Done():
		r.leave(q, f)
		return reply{failure: dns.Canceled}, source
	}
}

// launch starts a lookup; r.mu is held. It has what values ctx has, but not its
// end, since others may join.
func (r *Resolver) launch(ctx context.Context, q question) *flight {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), MaxLookup)
	f := &flight{cancel: cancel, done: make(chan struct{})}
	up := r.upstream.Load()
	r.flights[q] = f
	go func() {
		defer cancel()
		p := r.chase(ctx, up, q)
		r.land(q, f, up, p)
	}()
	return f
}

// land hands the reply to all that wait, and remembers it.
func (r *Resolver) land(q question, f *flight, up *upstream, p reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flights[q] == f {
		delete(r.flights, q)
	}
	if f.waiting > 0 && r.upstream.Load() == up {
		r.cache.put(q, p, r.o.Now())
	}
	f.reply = p
	close(f.done)
}

// leave takes one waiter away; the last one ends the lookup.
func (r *Resolver) leave(q question, f *flight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.waiting--; f.waiting > 0 {
		return
	}
	f.cancel()
	if r.flights[q] == f {
		delete(r.flights, q)
	}
}
