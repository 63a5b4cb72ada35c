package intake

import (
	"context"
	"slices"

	"yubin/internal/engine/route"
	"yubin/internal/mail"
)

// forwardPaths are the reverse-paths of what goes on in the name of domains of ours.
func (in *Intake) forwardPaths(ctx context.Context, p *Plan) map[mail.Domain]mail.ReversePath {
	var paths map[mail.Domain]mail.ReversePath
	for _, r := range p.recipients {
		for _, o := range r.Route.Onward {
			if _, known := paths[o.Forward]; known || o.Forward == "" || in.o.Forwards == nil {
				continue
			}
			if paths == nil {
				paths = make(map[mail.Domain]mail.ReversePath)
			}
			paths[o.Forward] = in.o.Forwards.ReversePath(ctx, p.envelope.ReversePath, p.proven(), o.Forward)
		}
	}
	return paths
}

// proven reports whether the sender is who it says: who logged in, this server itself, a
// client that is believed, or one whom a judge found proven. Of mail that was in the queue
// it is not known any more.
func (p *Plan) proven() bool {
	e := p.envelope
	return e.Account != 0 || e.Ours || p.judgement.SenderProven || e.Judge == nil && !e.Stranger && !e.FromQueue
}

// items are what a message makes for the queue: one, and one more for each domain of ours
// in whose name it goes on with a reverse-path of its own.
type items struct {
	p    *Plan
	list []*Item
	of   map[mail.Domain]*Item // "" is the one of all else; nil before there is any
	seen map[mail.Address]bool // each address once
}

// item is that of what goes on in the name of a domain, or that of all else.
func (l *items) item(forward mail.Domain) *Item {
	path, renamed := l.p.paths[forward]
	if !renamed {
		forward, path = "", l.p.envelope.ReversePath
	}
	if it := l.of[forward]; it != nil {
		return it
	}
	it := &Item{Item: l.p.envelope.Item}
	it.ReversePath = path
	if it.Account == 0 && forward != "" {
		it.SignFor = forward
	}
	if found := l.p.judgement.Prefix; len(found) > 0 {
		it.Prefix = slices.Concat(found, it.Prefix)
	}
	if l.of == nil {
		l.of = make(map[mail.Domain]*Item)
	}
	l.of[forward], l.list = it, append(l.list, it)
	return it
}

// add adds one of those whom a recipient leads to.
func (l *items) add(r Recipient, o route.Onward, several bool) {
	if !l.seen[o.Address] {
		if l.seen == nil {
			l.seen = make(map[mail.Address]bool)
		}
		l.seen[o.Address] = true
		it := l.item(o.Forward)
		it.Recipients = append(it.Recipients, forward(r, o, several, l.p.envelope.FromQueue))
	}
}
