package judge

import (
	"context"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/reports"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dmarc"
	"yubin/internal/mailauth/dmarcreport"
)

// Observer hears of every message that was judged: it is quick. *reports.Reports
// counts them for those who want reports about their domains.
type Observer interface {
	Note(ctx context.Context, o reports.Observation)
}

// Observe has the case tell by what it comes to. A case that is only tried is not told
// of.
func (c *Case) Observe(by Observer) { c.observer = by }

// observe tells of a message from one author, and of what became of it.
func (c *Case) observe(ctx context.Context, f *Facts, out intake.Judgement, to []intake.Recipient) {
	if c.observer == nil || len(c.author.domains) != 1 || !f.Client.Remote.IsValid() {
		return
	}
	o := reports.Observation{At: f.Now, Source: f.Client.Remote, From: c.author.domains[0], EnvelopeFrom: f.ReversePath.Domain, Verdict: f.DMARC,
		Done: dispositionOf(f.DMARC, foremost(out, to)), To: f.Recipients}
	if f.Vouched != "" && f.DMARC.Result == dmarc.Fail {
		o.Reasons = []dmarcreport.Reason{{Type: "trusted_forwarder", Comment: printable(string(f.Vouched))}}
	}
	if d, err := mail.ParseDomain(f.SPF.Domain); err == nil {
		o.SPF = dmarcreport.Sender{Domain: d, Result: f.SPF.Result.String()}
	}
	for _, v := range f.DKIM {
		if v.Signature != nil {
			o.DKIM = append(o.DKIM, dmarcreport.Signature{Domain: v.Signature.Domain, Selector: string(v.Signature.Selector), Result: v.Result.String()})
		}
	}
	c.observer.Note(ctx, o)
}

// foremost is the best that happens to a message among those whom it is for.
func foremost(out intake.Judgement, to []intake.Recipient) intake.Action {
	best := intake.Refuse
	for _, r := range to {
		for _, a := range r.Route.Accounts {
			best = min(best, out.Accounts[a].Action)
		}
		if len(r.Route.Onward) > 0 {
			best = min(best, out.Elsewhere.Action)
		}
	}
	return best
}

// dispositionOf is what was done by the policy, as a report says it (RFC 9990
// §3.1.1.9). That a message is junk for other reasons is told to nobody (§8.3).
func dispositionOf(v dmarc.Verdict, done intake.Action) dmarcreport.Disposition {
	switch {
	case v.Result != dmarc.Fail || v.Published == dmarc.NoPolicy || done == intake.Accept || done == intake.Defer:
		return dmarcreport.None
	case v.Published == dmarc.Reject && done == intake.Refuse:
		return dmarcreport.Reject
	}
	return dmarcreport.Quarantine
}
