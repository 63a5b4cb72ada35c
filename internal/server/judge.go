package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/judge"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/world/config"
	"yubin/internal/world/resolver"
)

// strangers judges the mail of those whom this site does not know.
type strangers struct {
	judge  *judge.Judge
	trusts func(netip.Addr) bool
	local  bool // clients on this machine are strangers too
	heard  judge.Observer
}

// Open begins a case, unless the client is trusted.
func (s strangers) Open(client judge.Client, sender mail.ReversePath) *judge.Case {
	if s.known(client.Remote) {
		return nil
	}
	c := s.judge.Open(client, sender)
	c.Observe(s.heard)
	return c
}

// known reports whether a client is no stranger.
func (s strangers) known(a netip.Addr) bool {
	return !a.IsValid() || a.IsLoopback() && !s.local || s.trusts(a)
}

// policies are those of c.
func policies(c config.Judge) judge.Policies {
	p := judge.Policies{
		Thresholds: judge.Thresholds{Junk: c.Junk, Refuse: c.Refuse},
		TrustedARC: c.TrustedARC, KnownLists: c.KnownLists, Greylist: c.Greylist, RefuseOwn: make(map[mail.Domain]bool),
	}
	for _, d := range c.RefuseOwn {
		p.RefuseOwn[d] = true
	}
	return p
}

// judging says what would become of a message, and keeps nothing.
type judging struct {
	s   *Store
	now func() time.Time
}

// Thresholds implements admin.Judging.
func (g judging) Thresholds() judge.Thresholds {
	c := g.s.known.Load().Judge
	return judge.Thresholds{Junk: c.Junk, Refuse: c.Refuse}
}

// Judge implements admin.Judging.
func (g judging) Judge(ctx context.Context, q admin.JudgeQuestion, octets io.Reader) (out admin.Judged, err error) {
	j := g.s.judge
	if q.Resolver != "" {
		server, err := config.ParseServer(q.Resolver)
		if err != nil {
			return out, mail.Errorf(mail.Invalid, "the resolver must be an address and a port, not %q", q.Resolver)
		}
		other, err := resolver.New(resolver.Options{Upstream: resolver.Upstream{Servers: []netip.AddrPort{server}}})
		if err != nil {
			return out, err
		}
		j = j.With(other)
	}
	c := j.Open(q.Client, q.From)
	defer c.Close()
	if err := c.Forbidden(ctx); err != nil {
		return admin.Judged{Action: "refuse", Reply: err.Error()}, nil
	}
	to, err := g.recipients(ctx, q)
	if err != nil {
		return out, err
	}
	m := g.s.intake.Begin()
	defer m.Close()
	if err := copyMessage(io.MultiWriter(caseWriter{c}, m), octets); err != nil {
		return out, err
	}
	e := intake.Envelope{Item: spool.Item{Arrived: g.now()}, Judge: c}
	e.ReversePath = q.From
	plan, err := g.s.intake.Plan(ctx, m, e, to)
	var refusal *judge.Refusal
	switch {
	case errors.As(err, &refusal):
		out.Action, out.Reply = "refuse", refusal.Enhanced.String()+" "+refusal.Text
		if refusal.Later {
			out.Action = "later"
		}
	case err != nil:
		return out, err
	default:
		out.Action, out.Plan = "deliver", strings.Split(strings.TrimSuffix(plan.Words(g.nameOf(ctx)), "\n"), "\n")
	}
	results := c.Results()
	out.Results = string(results.Append(nil, false))
	return out, g.verdicts(ctx, c, &out)
}

// caseWriter writes to a case.
type caseWriter struct{ *judge.Case }

func (w caseWriter) Write(p []byte) (int, error) {
	w.Case.Write(p)
	return len(p), nil
}

// copyMessage copies a message as it would come: with lines that end in CRLF.
func copyMessage(w io.Writer, octets io.Reader) error {
	all, err := io.ReadAll(octets) // The handler bounds it.
	if err != nil {
		return mail.Errorf(mail.Invalid, "the message cannot be read: %w", err)
	}
	for line := range bytes.Lines(all) {
		if text, ok := bytes.CutSuffix(line, []byte("\n")); ok && !bytes.HasSuffix(text, []byte("\r")) {
			line = append(bytes.Clone(text), "\r\n"...)
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// recipients routes those who are asked about. Without any the message is for nobody
// who is known.
func (g judging) recipients(ctx context.Context, q admin.JudgeQuestion) (to []intake.Recipient, err error) {
	for _, a := range q.To {
		routed, err := g.s.outgoing.router.Route(ctx, route.Question{Recipient: a, Sender: q.From, Remote: q.Client.Remote})
		if err != nil {
			return nil, err
		}
		to = append(to, intake.Recipient{Address: a, Route: routed})
	}
	return to, nil
}

// nameOf calls accounts by their addresses.
func (g judging) nameOf(ctx context.Context) func(mail.AccountID) string {
	return func(id mail.AccountID) string {
		a, err := g.s.directory.AccountByID(ctx, id)
		if err != nil {
			return fmt.Sprintf("account %d", id)
		}
		return a.Address.String()
	}
}

// verdicts adds those of c, and what the worst of them comes to.
func (g judging) verdicts(ctx context.Context, c *judge.Case, out *admin.Judged) error {
	for _, v := range c.Verdicts() {
		by := admin.JudgedBy{Action: v.Word(), Score: v.Score, Junk: v.Limits.Junk, Refuse: v.Limits.Refuse, Reasons: v.Reasons,
			Unknown: v.Unknown, Otherwise: v.Otherwise()}
		if v.Account != 0 {
			a, err := g.s.directory.AccountByID(ctx, v.Account)
			if err != nil {
				return err
			}
			by.Account = a.Address.String()
		}
		if v.Action == intake.Junk && out.Action == "deliver" {
			out.Action = v.Word()
		}
		out.Verdicts = append(out.Verdicts, by)
	}
	return nil
}
