package route

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/directory"
	"yubin/internal/mail"
)

// Limits of an explanation.
const (
	maxExplained = 20 // next hops that are looked up
	maxNear      = 10 // routes that nearly matched
	maxMembers   = 50 // of an alias
)

// Step is one thing that was looked at, and what follows from it.
type Step struct {
	About string `json:"about"`
	Says  string `json:"says"`
}

// explainer gathers steps.
type explainer struct {
	r     *Router
	t     *tables
	q     Question
	dns   dns.Resolver
	now   time.Time
	steps []Step
}

func (x *explainer) say(about, format string, args ...any) {
	x.steps = append(x.steps, Step{about, fmt.Sprintf(format, args...)})
}

// Explain says step by step where mail for q.Recipient would go and why, with
// what the resolver answers. It sends nothing. The error is one of our own
// tables; what the DNS does not tell is a step.
func (r *Router) Explain(ctx context.Context, q Question, resolver dns.Resolver) ([]Step, error) {
	x := &explainer{r: r, t: r.tables.Load(), q: q, dns: resolver, now: r.o.Now()}
	x.say("recipient", "%s", q.Recipient)
	if stop, err := x.sender(ctx); stop || err != nil {
		return x.steps, err
	}
	if q.Via != "" {
		x.say("route", "%s was chosen by an operator, so the tables are not asked", q.Via)
		return x.steps, x.carry(ctx, q.Recipient)
	}
	local, err := r.o.Directory.IsLocal(ctx, q.Recipient.Domain)
	if err != nil {
		return nil, err
	}
	if !local && r.isHostPostmaster(x.t, q.Recipient) {
		if local, err = x.standIn(ctx); err != nil {
			return nil, err
		}
	}
	if local {
		err = x.local(ctx)
	} else {
		err = x.foreign(ctx)
	}
	return x.steps, err
}

// sender tells who sends. With stop it would be refused at MAIL.
func (x *explainer) sender(ctx context.Context) (stop bool, err error) {
	from := "<>"
	if !x.q.Sender.IsNull() {
		from = x.q.Sender.String()
	}
	if x.q.Account == 0 {
		x.say("sender", "%s, who has not logged in", from)
		return false, nil
	}
	if x.q.Sender.IsNull() {
		x.say("sender", "<>, logged in")
		return false, nil
	}
	may, err := x.r.o.Directory.MayUse(ctx, mail.Principal{Account: x.q.Account}, mail.Address(x.q.Sender))
	switch {
	case err != nil:
		return true, err
	case !may:
		x.say("sender", "%s is not an address of the account that has logged in, nor an alias that leads to it", from)
		x.say("result", "refused at MAIL")
		return true, nil
	}
	x.say("sender", "%s, an address of the account that has logged in", from)
	return false, nil
}

// standIn tells who is the postmaster of our host name, and goes on with him.
func (x *explainer) standIn(ctx context.Context) (local bool, err error) {
	stand, ok, err := x.r.hostPostmaster(ctx)
	if ok {
		stand.Local = x.q.Recipient.Key().Local
		x.say("postmaster", "%s is this server, and its mail goes to %s (RFC 5321 §4.5.1)", x.q.Recipient.Domain, stand)
		x.q.Recipient = stand
	}
	return ok, err
}

// local explains a recipient at a domain of ours.
func (x *explainer) local(ctx context.Context) error {
	x.say("domain", "%s is a domain of this server", x.q.Recipient.Domain)
	named := x.t.chooseLocal(x.q.Recipient, false)
	x.choice(x.q.Recipient, true, named)
	if named.Route == nil {
		if err := x.directory(ctx); err != nil {
			return err
		}
	}
	return x.result(ctx)
}

// foreign explains a recipient at another domain.
func (x *explainer) foreign(ctx context.Context) error {
	x.say("domain", "%s is not a domain of this server", x.q.Recipient.Domain)
	why := x.t.permission(x.q)
	if why == "" {
		x.say("permission", "relaying denied: nobody has logged in, %s, and no route relays mail for %s from anybody",
			x.client(), x.q.Recipient.Domain)
		return x.result(ctx)
	}
	x.say("permission", "relaying allowed: %s", why)
	x.choice(x.q.Recipient, false, x.t.choose(x.q.Recipient, x.q.Sender))
	return x.result(ctx)
}

func (x *explainer) client() string {
	if !x.q.Remote.IsValid() {
		return "no client address is given"
	}
	return "the client " + x.q.Remote.String() + " is in no trusted network"
}

// directory tells who has a local address.
func (x *explainer) directory(ctx context.Context) error {
	w, err := x.r.o.Directory.Way(ctx, x.q.Recipient)
	if err != nil {
		return err
	}
	if w.AliasOf != "" {
		x.say("directory", "%s is an alias of %s, and nobody has the address in it himself", x.q.Recipient.Domain, w.AliasOf)
	}
	x.say("directory", "%s", found(w, x.q.Recipient))
	for i, m := range w.Members {
		if i == maxMembers {
			x.say("", "... and %d more", len(w.Members)-i)
			break
		}
		x.say(kindOf(m), "%s%s%s", strings.Repeat("  ", m.Depth), directory.NameOf(m.Address), remark(m))
	}
	if w.Found == directory.FoundNothing {
		x.unknown(x.q.Recipient)
		if w.AliasOf != "" {
			x.unknown(mail.Address{Local: x.q.Recipient.Local, Domain: w.AliasOf})
		}
	}
	return nil
}

func found(w directory.Way, to mail.Address) string {
	switch w.Found {
	case directory.FoundName:
		return to.String() + " is a name here"
	case directory.FoundSubaddress:
		_, detail, _ := strings.Cut(to.Local, separator)
		return fmt.Sprintf("nobody has exactly this name; what stands before the %s is one, and %q its subaddress", separator, detail)
	case directory.FoundPostmaster:
		return "nobody is called " + to.Key().Local + " here; somebody stands in (RFC 5321 §4.5.1, RFC 2142 §4)"
	case directory.FoundCatchAll:
		return "nobody has this name; the catch-all of the domain gets it"
	}
	return "nobody has this name, and there is no catch-all"
}

func kindOf(m directory.Member) string {
	switch {
	case m.Foreign:
		return "elsewhere"
	case m.Account != 0:
		return "account"
	case m.Address.Domain == "":
		return "group"
	}
	return "alias"
}

func remark(m directory.Member) string {
	switch {
	case m.Again:
		return " (again: one copy)"
	case m.Disabled:
		return " is disabled and gets nothing"
	case m.Foreign:
		return " is outside this server"
	case m.SendsOn:
		return " sends its mail on, and keeps none"
	case m.Forwards:
		return " keeps a copy, and then sends its mail on"
	}
	return ""
}

// unknown tells which route takes what nobody has.
func (x *explainer) unknown(to mail.Address) {
	if c := x.t.chooseLocal(to, true); c.Route != nil {
		x.say("route", "%s takes what nobody here has of %s", c.Name, c.by.pattern)
	}
}

// result tells what Route answers, and where mail goes from there.
func (x *explainer) result(ctx context.Context) error {
	routed, err := x.r.Route(ctx, x.q)
	if err != nil {
		return x.refused(err)
	}
	switch routed.Discard {
	case "":
	case ReportsOnly:
		x.say("result", "accepted for the reports in it, which are read; nobody else gets the message")
	default:
		x.say("result", "accepted and dropped by the route %s; the sender is not told", routed.Discard)
	}
	if n := len(routed.Accounts); n > 0 {
		x.say("result", "filed in %s in the commit that accepts the message", counted(n, "mailbox", "mailboxes"))
	}
	for i, o := range routed.Onward {
		if i == maxExplained {
			x.say("", "... and %d more next hops", len(routed.Onward)-i)
			break
		}
		if err := x.onward(ctx, o.Address); err != nil {
			return err
		}
	}
	return nil
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "one " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// refused tells of an error of Route; what is our own trouble is returned.
func (x *explainer) refused(err error) error {
	if mail.KindOf(err) == mail.Internal {
		return err
	}
	if mail.KindOf(err) == mail.Unavailable {
		x.say("result", "put off at RCPT: %s", err)
		return nil
	}
	x.say("result", "refused at RCPT: %s%s", statusOf(err), err)
	return nil
}

// statusOf is the enhanced status code that a route set, and a space.
func statusOf(err error) string {
	if r := (*Refusal)(nil); errors.As(err, &r) {
		return r.Enhanced + " "
	}
	return ""
}

// onward tells how one address is reached: the recipient, whose route has been
// told, or one that it leads to.
func (x *explainer) onward(ctx context.Context, to mail.Address) error {
	if to == x.q.Recipient {
		return x.carry(ctx, to)
	}
	x.say("onward", "%s", to)
	local, err := x.r.o.Directory.IsLocal(ctx, to.Domain)
	switch {
	case err != nil:
		return err
	case local:
		x.choice(to, true, x.t.chooseLocal(to, false))
	default:
		x.choice(to, false, x.t.choose(to, x.q.Sender))
	}
	return x.carry(ctx, to)
}

// carry tells what the queue would do with mail for to.
func (x *explainer) carry(ctx context.Context, to mail.Address) error {
	q := x.q
	q.Recipient = to
	hop, _, err := x.r.NextHop(ctx, q)
	switch {
	case err != nil && mail.KindOf(err) == mail.Internal:
		return err
	case err != nil && mail.KindOf(err) == mail.Unavailable:
		x.say("result", "waits in the queue: %s", err)
		return nil
	case err != nil:
		x.say("result", "returned to the sender: %s%s", statusOf(err), err)
		return nil
	}
	x.hop(ctx, hop)
	return nil
}
