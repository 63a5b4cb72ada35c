package intake

import (
	"context"
	"slices"

	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
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
// in whose name it goes on with a reverse-path of its own, and for each account that keeps
// it and sends it on.
type items struct {
	p    *Plan
	list []*Item
	of   map[mail.Domain]*Item    // "" is the one of all else; nil before there is any
	by   map[mail.AccountID]*Item // of accounts that keep it; nil before there is any
	seen map[mail.Address]bool    // each address once
}

// maxKept is how many items there are of accounts that keep a message: what others send on
// goes as if they kept none.
const maxKept = MaxItems / 2

// item is that of what goes on in the name of a domain, or that of all else.
func (l *items) item(forward mail.Domain) *Item {
	path, renamed := l.p.paths[forward]
	if !renamed {
		forward, path = "", l.p.envelope.ReversePath
	}
	if it := l.of[forward]; it != nil {
		return it
	}
	it := l.make(path, forward)
	if l.of == nil {
		l.of = make(map[mail.Domain]*Item)
	}
	l.of[forward] = it
	return it
}

// make makes an item that goes on from a reverse-path, in the name of a domain if there is one.
func (l *items) make(path mail.ReversePath, forward mail.Domain) *Item {
	it := &Item{Item: l.p.envelope.Item}
	it.ReversePath = path
	if it.Account == 0 && forward != "" {
		it.SignFor = forward
	}
	if found := l.p.judgement.Prefix; len(found) > 0 {
		it.Prefix = slices.Concat(found, it.Prefix)
	}
	l.list = append(l.list, it)
	return it
}

// kept is the item of what an account sends on that keeps the message too. Its sender was
// served, so it goes on in the owner's name, who hears of what fails; of mail that nobody is
// told about nobody is. It is nil for all else.
func (l *items) kept(r Recipient, o route.Onward) *Item {
	if it := l.by[o.By]; o.By == 0 || it != nil {
		return it
	}
	i := slices.Index(r.Route.Accounts, o.By)
	if i < 0 || i >= len(r.Route.Names) || len(l.by) == maxKept {
		return nil
	}
	path := l.p.envelope.ReversePath
	if !path.IsNull() {
		path = mail.ReversePath(r.Route.Names[i])
	}
	it := l.make(path, o.Forward)
	it.Cause, it.Language, it.Report, it.About = spool.KeptForward, "", spool.NoReport, 0
	it.Ret, it.EnvID, it.DeliverBy = 0, "", mail.DeliverBy{} // They are about reports to the sender.
	if l.by == nil {
		l.by = make(map[mail.AccountID]*Item)
	}
	l.by[o.By] = it
	return it
}

// add adds one of those whom a recipient leads to.
func (l *items) add(r Recipient, o route.Onward, several bool) {
	if !l.seen[o.Address] {
		if l.seen == nil {
			l.seen = make(map[mail.Address]bool)
		}
		l.seen[o.Address] = true
		to := forward(r, o, several, l.p.envelope.FromQueue)
		it := l.kept(r, o)
		switch {
		case it == nil:
			it = l.item(o.Forward)
		case it.ReversePath.IsNull():
			to.Notify = mail.NotifyNever
		default:
			to.Notify = 0
		}
		it.Recipients = append(it.Recipients, to)
	}
}
