package route

import (
	"context"
	"strings"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/forward"
	"yubin/internal/mail"
)

const (
	postmaster = "postmaster"
	abuse      = "abuse"
)

// Route says at RCPT where mail for q.Recipient goes. Errors: Forbidden with the
// text "relaying denied" if the recipient is not ours and who asks may not
// relay; NotFound if nobody here has that address; Forbidden with the cause
// directory.ErrDisabled if nobody who has it may receive mail; Forbidden with
// the cause *Refusal if a route rejects it; Unavailable if a route that cannot be
// read decides.
func (r *Router) Route(ctx context.Context, q Question) (Routed, error) {
	local, err := r.o.Directory.IsLocal(ctx, q.Recipient.Domain)
	if err != nil {
		return Routed{}, err
	}
	t := r.tables.Load()
	if local {
		return r.routeLocal(ctx, t, q)
	}
	if r.isHostPostmaster(t, q.Recipient) {
		stand, ok, err := r.hostPostmaster(ctx)
		if err != nil {
			return Routed{}, err
		}
		if ok {
			q.Recipient = mail.Address{Local: q.Recipient.Key().Local, Domain: stand.Domain}
			return r.routeLocal(ctx, t, q)
		}
	}
	if t.permission(q) == "" {
		if c := t.relayer(q.Recipient); c.Route != nil && c.broken {
			return Routed{}, c.waits()
		}
		return Routed{}, mail.Errorf(mail.Forbidden, "relaying denied")
	}
	return t.send(t.choose(q.Recipient, q.Sender), q.Recipient)
}

// routeLocal routes a recipient at a local domain.
func (r *Router) routeLocal(ctx context.Context, t *tables, q Question) (Routed, error) {
	if c := t.chooseLocal(q.Recipient, false); c.Route != nil {
		return t.send(c, q.Recipient)
	}
	res, err := r.o.Directory.Resolve(ctx, q.Recipient)
	if mail.KindOf(err) == mail.NotFound {
		if c := t.chooseLocal(q.Recipient, true); c.Route != nil {
			return t.send(c, q.Recipient)
		}
		same, err := r.o.Directory.Canonical(ctx, q.Recipient)
		if err != nil {
			return Routed{}, err
		}
		if c := t.chooseLocal(same, true); c.Route != nil { // The domain is another name of the one that the route names.
			return t.send(c, same)
		}
		if r.o.Reports != nil && r.o.Reports(q.Recipient) {
			return Routed{Discard: ReportsOnly}, nil
		}
		if r.o.Returns != nil && forward.Looks(q.Recipient) {
			return r.routeReturn(ctx, t, q)
		}
	}
	if res.CatchAll && r.o.Returns != nil && forward.Looks(q.Recipient) {
		if back, err := r.routeReturn(ctx, t, q); err == nil { // Else it is no address of ours, but one that the catch-all gets.
			return back, nil
		}
	}
	if err != nil {
		return Routed{}, err
	}
	return t.forward(q, res)
}

// routeReturn routes a report about mail that was sent on.
func (r *Router) routeReturn(ctx context.Context, t *tables, q Question) (Routed, error) {
	if !q.Sender.IsNull() {
		return Routed{}, mail.Errorf(mail.Forbidden, "only reports about forwarded mail come to this address")
	}
	to, err := r.o.Returns.Return(ctx, q.Recipient)
	if err != nil {
		return Routed{}, err
	}
	local, err := r.o.Directory.IsLocal(ctx, to.Domain)
	if err != nil {
		return Routed{}, err
	}
	q.Recipient = to
	if local {
		res, err := r.o.Directory.Resolve(ctx, to)
		if err != nil {
			return Routed{}, err
		}
		return t.forward(q, res)
	}
	return t.send(t.choose(to, q.Sender), to)
}

// send goes by c, or by plain MX if it is none.
func (t *tables) send(c choice, to mail.Address) (Routed, error) {
	switch {
	case c.Route == nil:
		return Routed{Onward: []Onward{{Address: to, Hop: plain(to)}}}, nil
	case c.broken:
		return Routed{}, c.waits()
	case c.Action == Discard:
		return Routed{Discard: c.Name}, nil
	case c.Action == Reject:
		return Routed{}, c.refusal()
	}
	return Routed{Onward: []Onward{{Address: to, Hop: c.hop(to), Route: c.Name}}}, nil
}

// plain is the way to a without any route. The courier connects to an address
// literal itself.
func plain(a mail.Address) mail.NextHop { return mail.NextHop{Kind: mail.HopMX, Domain: a.Domain} }

// fan gathers where mail for all that an address leads to goes.
type fan struct {
	Routed
	refused []Onward // by routes that reject
	why     error    // the first refusal, or that a route cannot be read
	dropped string   // the last route that discards
}

// forward gives each of those that an address leads to what is his: the
// accounts here their copy, unless a route names them, and the others their way.
func (t *tables) forward(q Question, res directory.Resolution) (Routed, error) {
	f := fan{Routed: Routed{Detail: res.Detail}}
	for i, account := range res.Accounts {
		if c := t.chooseLocal(res.Names[i], false); c.Route != nil {
			f.add(t, c, res.Names[i], res.By[i])
			continue
		}
		f.Accounts, f.Names, f.By = append(f.Accounts, account), append(f.Names, res.Names[i]), append(f.By, res.By[i])
	}
	for i, to := range res.Foreign {
		f.add(t, t.choose(to, q.Sender), to, res.ForeignBy[i])
	}
	for i := range f.Onward {
		f.Onward[i].Forward = q.Recipient.Domain
	}
	return f.result()
}

func (f *fan) add(t *tables, c choice, to mail.Address, by mail.AccountID) {
	one, err := t.send(c, to)
	for i := range one.Onward {
		one.Onward[i].By = by
	}
	switch {
	case err != nil:
		f.refused = append(f.refused, Onward{Address: to, Hop: plain(to), Route: c.Name, By: by})
		if f.why == nil || mail.KindOf(err) == mail.Unavailable {
			f.why = err
		}
	case one.Discard != "":
		f.dropped = one.Discard
	default:
		f.Onward = append(f.Onward, one.Onward...)
	}
}

// result refuses what nobody takes. If some take it, those whom a route rejects
// go to the queue, where NextHop fails them, so that the sender is told.
func (f *fan) result() (Routed, error) {
	switch {
	case len(f.Accounts)+len(f.Onward) > 0:
		f.Onward = append(f.Onward, f.refused...)
		return f.Routed, nil
	case f.why != nil:
		return Routed{}, f.why
	}
	return Routed{Discard: f.dropped}, nil
}

// permission says why mail for a foreign address may go on; "" if it may not.
func (t *tables) permission(q Question) string {
	switch {
	case q.Account != 0:
		return "the sender has logged in"
	case q.User:
		return "the sender is a user of this machine"
	case q.Ours:
		return "the message is of this server itself"
	}
	if p, ok := t.trusting(q.Remote); ok {
		return "the client is in the trusted network " + p.String()
	}
	if c := t.relayer(q.Recipient); c.Route != nil && !c.broken {
		return "the route " + c.Name + " relays mail for " + c.by.pattern.String() + " from anybody"
	}
	return ""
}

// NextHop says where mail for q.Recipient goes on to as the tables stand now,
// and by which route, "" if by none. An error of kind Internal, Unavailable or
// RateLimited is temporary; any other means that mail there can never be sent,
// and its text is for the sender.
func (r *Router) NextHop(ctx context.Context, q Question) (hop mail.NextHop, route string, err error) {
	c, err := r.onward(ctx, r.tables.Load(), q)
	switch {
	case err != nil:
		return mail.NextHop{}, c.name(), err
	case c.kept:
		return mail.NextHop{Kind: mail.HopLocal}, "", nil
	case c.Route == nil:
		return plain(q.Recipient), "", nil
	case c.broken:
		return mail.NextHop{}, c.Name, c.waits()
	case c.Action == Reject:
		return mail.NextHop{}, c.Name, c.refusal()
	case c.Action == Discard:
		return mail.NextHop{}, c.Name, mail.Errorf(mail.Forbidden, "mail for %s is not carried any more", q.Recipient)
	}
	return c.hop(q.Recipient), c.Name, nil
}

func (c choice) name() string {
	if c.Route == nil {
		return ""
	}
	return c.Name
}

// onward chooses for mail that was accepted to be carried. The error is
// temporary.
func (r *Router) onward(ctx context.Context, t *tables, q Question) (choice, error) {
	if q.Via != "" {
		return t.via(q.Via)
	}
	local, err := r.o.Directory.IsLocal(ctx, q.Recipient.Domain)
	if err != nil {
		return choice{}, err
	}
	if !local {
		return t.choose(q.Recipient, q.Sender), nil
	}
	for _, unknown := range []bool{false, true} {
		if c := t.chooseLocal(q.Recipient, unknown); c.Route != nil {
			return c, nil
		}
	}
	return choice{kept: true}, nil
}

// via is the route that an operator chose.
func (t *tables) via(name string) (choice, error) {
	if r := t.routes[name]; r != nil {
		return choice{Route: r}, nil
	}
	return choice{}, mail.Errorf(mail.Unavailable, "there is no route %s", name)
}

// isHostPostmaster reports whether a is the postmaster at our own host name,
// whom every server must have (RFC 5321 §4.5.1), or who hears of abuse there
// (RFC 2142 §4), and no route names it.
func (r *Router) isHostPostmaster(t *tables, a mail.Address) bool {
	return a.Domain == r.o.Hostname && (strings.EqualFold(a.Local, postmaster) || strings.EqualFold(a.Local, abuse)) && t.chooseLocal(a, false).Route == nil
}

// hostPostmaster finds who stands in for the postmaster of a host whose name is
// no local domain: that of the first domain, if there is one.
func (r *Router) hostPostmaster(ctx context.Context) (stand mail.Address, ok bool, err error) {
	first, err := r.o.Directory.FirstDomain(ctx)
	if err != nil || first == "" {
		return mail.Address{}, false, err
	}
	return mail.Address{Local: postmaster, Domain: first}, true, nil
}
