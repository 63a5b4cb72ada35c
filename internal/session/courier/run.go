package courier

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"yubin/internal/engine/hosts"
	"yubin/internal/mail"
	"yubin/internal/world/netx"
	"yubin/internal/world/obs"
)

// run is one attempt.
type run struct {
	c      *Courier
	hop    mail.NextHop
	t      mail.Transaction // its body type and UTF8 as they must be, see lighten
	demand mail.TLSDemand

	results              []mail.Result
	hope                 []bool // by recipient: a host that could not take it now may later
	pending              []int  // recipients for the host that is tried
	next                 []int  // recipients for the host after it
	dials                int
	faults               int  // sessions that went wrong
	looked               bool // lighten has read the content
	shortened, converted bool // so have shorten, convert
	changed              bool // one of them has changed the content
	signed               bool // fields are those of the content as it is now
	fields               []byte
	stopped              bool // nobody would do better
	cut                  bool // hosts are left that were not tried
}

func newRun(c *Courier, hop mail.NextHop, t mail.Transaction) *run {
	r := &run{
		c: c, hop: hop, t: t, demand: t.Demand(),
		results: make([]mail.Result, len(t.Recipients)),
		hope:    make([]bool, len(t.Recipients)),
	}
	for i := range t.Recipients {
		r.pending = append(r.pending, i)
	}
	return r
}

// carry tries the hosts until nobody is left to carry for.
func (r *run) carry(ctx context.Context) {
	search := r.c.cfg.Finder.Find(ctx, r.hop, r.demand)
	for !r.cut && !search.Done() {
		if r.cut = !r.goesOn(ctx); !r.cut {
			r.tier(ctx, search.Next(ctx))
		}
	}
	r.conclude(ctx)
}

// goesOn reports whether there is anything left to do, and may be done.
func (r *run) goesOn(ctx context.Context) bool {
	return len(r.pending) > 0 && !r.stopped && ctx.Err() == nil && r.dials < hosts.MaxAddresses && r.faults < MaxSessions
}

// tier tries all addresses of one tier.
func (r *run) tier(ctx context.Context, t hosts.Tier) {
	for _, f := range t.Faults() {
		r.route(ctx, f)
	}
	for _, h := range t.Hosts {
		if h.Told != nil && ctx.Err() == nil {
			r.tell(*h.Told)
		}
	}
	candidates := t.Candidates()
	// A session that is there already is the quickest way, and was the best
	// that could be had moments ago.
	slices.SortStableFunc(candidates, func(a, b hosts.Candidate) int { return r.cost(a) - r.cost(b) })
	for _, to := range candidates {
		if r.cut = !r.goesOn(ctx); r.cut {
			return
		}
		r.host(ctx, to)
	}
}

func (r *run) cost(to hosts.Candidate) int {
	if r.c.idle.has(r.key(to)) {
		return 0
	}
	return 1
}

func (r *run) key(to hosts.Candidate) key {
	k := key{addr: to.Addr, from: source(r.hop, to.Addr.Addr()), host: to.Host, policy: to.Terms.TLS,
		server: to.Terms.ServerName, implicit: r.hop.ImplicitTLS, lmtp: r.hop.Kind == mail.HopLMTP}
	if r.hop.Auth != nil {
		k.auth = *r.hop.Auth
	}
	if to.Terms.Trust != nil {
		k.trust = to.Terms.Trust.String()
	}
	return k
}

// host tries one address for all who are pending, by as many sessions as its
// limits ask for. Who is not settled is pending for the next.
func (r *run) host(ctx context.Context, to hosts.Candidate) {
	for len(r.pending) > 0 && !r.stopped && ctx.Err() == nil {
		s := r.session(ctx, to)
		if s == nil {
			break
		}
		r.converse(ctx, s, to)
		if out := r.c.idle.put(s); out != nil {
			out.Quit(ctx)
		}
	}
	r.pending = append(r.next, r.pending...)
	r.next = nil
	slices.Sort(r.pending)
}

// session returns an idle session or a new one; nil if there can be none, which
// is then recorded.
func (r *run) session(ctx context.Context, to hosts.Candidate) *session {
	if s := r.c.idle.take(r.key(to)); s != nil {
		return s
	}
	s, fault := r.open(ctx, to, to.Terms.TLS)
	if s == nil && mayBeInClear(fault, to.Terms.TLS) {
		s, fault = r.open(ctx, to, mail.TLSNone)
	}
	if s == nil && fault.Phase != mail.PhaseConnect {
		r.faults++
	}
	return s
}

// open makes a new session.
func (r *run) open(ctx context.Context, to hosts.Candidate, policy mail.TLSPolicy) (*session, mail.Answer) {
	at := r.c.cfg.Now()
	r.dials++
	conn, err := r.c.cfg.Dialer.Dial(ctx, to.Addr, source(r.hop, to.Addr.Addr()))
	if err != nil {
		fault := connectFault(ctx, err)
		r.recordAll(fault, r.attempt(to, at, mail.Connection{}))
		return nil, fault
	}
	s := &session{Conversation: r.c.cfg.Converse(conn), key: r.key(to), began: at}
	local := conn.Local().Addr()
	fault, ok := s.Open(ctx, mail.Opening{
		Name: r.c.cfg.Name, Host: to.Host, LMTP: r.hop.Kind == mail.HopLMTP,
		TLS: policy, Trust: to.Terms.Trust, ServerName: to.Terms.ServerName, ImplicitTLS: r.hop.ImplicitTLS, Auth: r.hop.Auth,
	})
	if policy == to.Terms.TLS { // Else it is the same session again, in clear.
		r.observe(to, local, s.Connection(), fault, ok)
	}
	if ok {
		return s, mail.Answer{}
	}
	a := r.attempt(to, at, s.Connection())
	s.Quit(ctx)
	if mayBeInClear(fault, policy) {
		r.note(fault, a)
	} else {
		r.recordAll(fault, a)
	}
	return nil, fault
}

// connectFault makes an Answer of a failed Dial.
func connectFault(ctx context.Context, err error) mail.Answer {
	a := mail.Answer{Phase: mail.PhaseConnect, Trouble: mail.Closed, Enhanced: "4.4.1", Text: "the connection could not be made"}
	var d *netx.DialError
	if errors.As(err, &d) {
		a.Text = d.Reason
		if d.Timeout {
			a.Trouble = mail.TimedOut
		}
	}
	if ctx.Err() != nil {
		a.Trouble, a.Enhanced, a.Text = mail.Canceled, "4.3.2", "given up"
	}
	return a
}

// converse hands the message over in as many transactions as the host wants,
// while the session lasts.
func (r *run) converse(ctx context.Context, s *session, to hosts.Candidate) {
	at := s.began
	if s.reused {
		at = r.c.cfg.Now()
	}
	attempt := func() mail.Attempt {
		a := r.attempt(to, at, s.Connection())
		a.TLSTerms = termsText(to.Terms, s.Connection())
		return a
	}
	for first := true; ; {
		r.shorten()
		t, err := r.transaction(ctx)
		if err != nil {
			r.recordAll(unsigned, attempt())
			return
		}
		answers := s.Send(ctx, t)
		if first && s.reused && slices.ContainsFunc(answers, isStale) {
			return
		}
		if slices.ContainsFunc(answers, isLacking) && (r.lighten() || r.convert()) {
			continue
		}
		s.messages++
		progress := r.apply(answers, attempt())
		if !progress && first && !s.reused {
			r.recordAll(noProgress, attempt())
			r.next, r.pending = append(r.next, r.pending...), nil
		}
		if len(r.pending) == 0 || r.stopped || !progress || s.Connection().Spent || ctx.Err() != nil {
			return
		}
		first, at = false, r.c.cfg.Now()
	}
}

// noProgress is said of a host whose limits leave no room for anybody.
var noProgress = mail.Answer{Phase: mail.PhaseMail, Trouble: mail.Garbled, Enhanced: "4.5.3",
	Text: "the host takes no recipient by its own limits"}

// unsigned is said of a message that should be signed and can be at another time.
var unsigned = mail.Answer{Phase: mail.PhaseMail, Trouble: mail.Unreadable, Enhanced: "4.3.0",
	Text: "the message could not be signed for the moment"}

// transaction is the message for those who are pending, signed as it is now.
func (r *run) transaction(ctx context.Context) (mail.Transaction, error) {
	if r.t.Sign != nil && !r.signed {
		fields, err := r.t.Sign(ctx, r.t.Content, r.changed)
		if err != nil {
			r.c.cfg.Log.Warn("a message could not be signed", obs.Err(err))
			return r.t, err
		}
		r.fields, r.signed = fields, true
	}
	t := r.t
	if len(r.fields) > 0 {
		t.Size += int64(len(r.fields))
		t.Content = behind(r.fields, r.t.Content)
	}
	t.Recipients = make([]mail.OutgoingRecipient, len(r.pending))
	for k, i := range r.pending {
		t.Recipients[k] = r.t.Recipients[i]
	}
	return t, nil
}

// behind is a content with fields before it.
func behind(fields []byte, open mail.Opener) mail.Opener {
	return func() (io.ReadCloser, error) {
		content, err := open()
		if err != nil {
			return nil, err
		}
		return readCloser{io.MultiReader(bytes.NewReader(fields), content), content}, nil
	}
}

// apply gives the answers of a transaction to the pending recipients. Those
// without an answer stay pending. Progress says that there was one.
func (r *run) apply(answers []mail.Answer, a mail.Attempt) (progress bool) {
	was := r.pending
	r.pending = nil
	for k, i := range was {
		if answers[k] == (mail.Answer{}) {
			r.pending = append(r.pending, i)
			continue
		}
		progress = true
		if r.record(i, answers[k], a) == nextHost {
			r.next = append(r.next, i)
		}
	}
	if len(r.next) > 0 {
		r.faults++
	}
	return progress
}

// attempt begins the record of an attempt.
func (r *run) attempt(to hosts.Candidate, at time.Time, k mail.Connection) mail.Attempt {
	return mail.Attempt{
		At: at, Took: r.c.cfg.Now().Sub(at), Host: to.Host, Remote: to.Addr,
		TLS: k.TLS, Verified: k.Verified, TLSTerms: to.Terms.String(), DSN: k.DSN, DeliverBy: k.DeliverBy,
	}
}

// record completes the attempt of one recipient by an answer, settles it if
// that is what follows, and says what does.
func (r *run) record(i int, ans mail.Answer, a mail.Attempt) next {
	v := classify(ans, r.demand == mail.TLSDemanded)
	r.add(i, completed(a, ans, v))
	switch v.next {
	case nextHost:
		r.hope[i] = r.hope[i] || v.outcome == mail.Deferred
	case stop:
		r.stopped = true
		fallthrough
	default:
		r.results[i].Outcome = v.outcome
	}
	return v.next
}

// completed is a with what was said and what follows.
func completed(a mail.Attempt, ans mail.Answer, v verdict) mail.Attempt {
	a.Phase, a.Code, a.Enhanced, a.Text = ans.Phase, ans.Code, ans.Enhanced, ans.Text
	a.Outcome, a.AnswerLost = v.outcome, v.lost
	if ans.Trouble != mail.NoTrouble {
		a.Ours, a.Enhanced = true, withClass(ans.Enhanced, v.outcome)
	}
	return a
}

func (r *run) add(i int, a mail.Attempt) {
	r.results[i].Attempts = append(r.results[i].Attempts, a)
}

// recordAll records what went wrong before any recipient was named.
func (r *run) recordAll(ans mail.Answer, a mail.Attempt) {
	for _, i := range r.pending {
		r.record(i, ans, a)
	}
}

// note records what went wrong and is made up for at once.
func (r *run) note(ans mail.Answer, a mail.Attempt) {
	for _, i := range r.pending {
		r.add(i, completed(a, ans, verdict{outcome: mail.Deferred}))
	}
}

// route records that a host, or all of them, could not be found.
func (r *run) route(ctx context.Context, f *hosts.Fault) {
	if ctx.Err() != nil {
		f = hosts.GivenUp(f.Host)
	}
	for _, i := range r.pending {
		r.add(i, mail.Attempt{
			At: r.c.cfg.Now(), Host: f.Host, Phase: mail.PhaseRoute, Code: f.Code, Enhanced: f.Enhanced, Text: f.Text,
			Ours: true, Outcome: f.Outcome,
		})
		r.hope[i] = r.hope[i] || f.Outcome == mail.Deferred
	}
}

// conclude gives an outcome to those who are still pending.
func (r *run) conclude(ctx context.Context) {
	r.pending = slices.DeleteFunc(r.pending, func(i int) bool { return r.results[i].Outcome != 0 })
	if r.cut || r.stopped {
		r.route(ctx, hosts.NotTried())
	}
	for _, i := range r.pending {
		r.results[i].Outcome = mail.Failed
		if r.hope[i] {
			r.results[i].Outcome = mail.Deferred
		}
	}
}
