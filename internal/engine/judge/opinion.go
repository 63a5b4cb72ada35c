package judge

import (
	"context"
	"slices"
	"strings"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/extract"
	"yubin/internal/engine/history"
	"yubin/internal/engine/intake"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dkim"
	"yubin/internal/mailauth/dmarc"
	"yubin/internal/mailauth/spf"
)

// Judge implements intake.Judge: it waits for what was asked, and gives every account
// a verdict.
func (c *Case) Judge(ctx context.Context, m *intake.Message, e intake.Envelope, to []intake.Recipient) intake.Judgement {
	f := c.facts(ctx, m, to)
	p := c.j.policies.Load()
	reasons, floor := sender(f, p)
	reasons = append(reasons, applyRules(f)...)
	told, aside := c.others()
	reasons, floor = append(reasons, told...), max(floor, aside)
	out := intake.Judgement{SenderProven: f.SPF.Result == spf.Pass, Accounts: make(map[mail.AccountID]intake.Opinion)}
	c.judged, c.results = true, c.j.results(f)
	out.Prefix = c.results.Append(nil, e.UTF8)
	c.wrote = f.correspondent()
	for _, r := range to {
		for _, account := range r.Route.Accounts {
			if _, ok := out.Accounts[account]; ok {
				continue
			}
			v := c.weighFor(ctx, f, account, r.Address.Domain, reasons, floor, p.Thresholds)
			c.accounts = append(c.accounts, AccountVerdict{account, v})
			out.Accounts[account] = c.later(ctx, f, account, c.opinion(f, v, r.Address), v)
		}
	}
	if elsewhere := slices.ContainsFunc(to, func(r intake.Recipient) bool { return len(r.Route.Onward) > 0 }); elsewhere || len(c.accounts) == 0 {
		at := mail.Domain("")
		if len(to) > 0 {
			at = to[0].Address.Domain
		}
		c.site = c.weighFor(ctx, f, history.Site, at, reasons, floor, p.Thresholds)
		out.Elsewhere = c.opinion(f, c.site, mail.Address{Domain: at})
	}
	c.observe(ctx, f, out, to)
	return out
}

// weighFor makes the verdict of an account, which was written to at a domain: of what
// holds for all, of what it knows, and by what it wants.
func (c *Case) weighFor(ctx context.Context, f *Facts, account mail.AccountID, at mail.Domain, all []Reason, floor intake.Action, t Thresholds) Verdict {
	reasons := slices.Concat(all, c.known(ctx, f, account), c.content(ctx, f, account))
	wanted, least := c.preferred(ctx, f, account, at, &t)
	v := weigh(append(reasons, wanted...), max(floor, least), t)
	v.Unknown = f.Unknown
	return v
}

// opinion is what the intake is told of a verdict.
// The postmaster takes all (RFC 5321 §4.5.1): it is to whom those write who were refused.
func (c *Case) opinion(f *Facts, v Verdict, to mail.Address) intake.Opinion {
	o := intake.Opinion{Action: v.Action, Prefix: v.appendField(nil)}
	switch {
	case v.Action == intake.Refuse && isPostmaster(to):
		o.Action = intake.Junk
	case v.Action == intake.Refuse:
		o.Why = refuse(f, v, to.Domain)
	}
	return o
}

func isPostmaster(a mail.Address) bool { return strings.EqualFold(a.Local, "postmaster") }

// facts gathers what is known of a message that is complete.
func (c *Case) facts(ctx context.Context, m *intake.Message, to []intake.Recipient) *Facts {
	f := &Facts{Now: c.j.o.Now(), Hostname: c.j.o.Hostname, Client: c.client, ReversePath: c.sender, Author: c.author.address, From: c.author.fault,
		Content: new(extract.Content)}
	for _, one := range to {
		f.Recipients = append(f.Recipients, one.Address)
	}
	if msg, err := m.Finish(); err == nil {
		f.Message = msg
		if octets, err := m.Content(); err == nil {
			f.Content = extract.Read(octets, msg.Root)
			f.Returned = whoseReturned(c.sender, msg.Root, octets, f.Hostname)
			_ = octets.Close() // It was only read.
		}
	}
	c.askLists(listedLinks(f)...)
	c.octets.Finish()
	keys := make(map[dns.Name]dkim.KeyResult, len(c.keys))
	for _, k := range c.keys {
		keys[k.name] = k.key.get()
	}
	f.DKIM, f.ARC = c.signatures.Finish(keys), c.chain.Finish(keys)
	f.SPF = c.spf.get()
	rev := c.reverse.get()
	f.Reverse, f.ReverseName = rev.answer, rev.name
	c.whoWrote(ctx, f)
	f.Crowd, f.Unread = c.author.more, c.author.unread
	f.Vouched = c.vouched(ctx, f)
	c.hearLists(f)
	f.Unknown = append(f.Unknown, c.heard.Unknown...)
	return f
}

// policyWait is how long what is left to be asked about the author may take at the end:
// most of it was asked when the header was there, so that a slow key of a stranger's
// domain does not keep the policy of the author's from being known.
const policyWait = 2 * time.Second

// whoWrote asks DMARC about the author.
func (c *Case) whoWrote(ctx context.Context, f *Facts) {
	asking, cancel := context.WithTimeout(c.ctx, policyWait)
	defer cancel()
	var ids []dmarc.Identifier
	if d, err := mail.ParseDomain(f.SPF.Domain); err == nil {
		ids = append(ids, dmarc.Identifier{Method: dmarc.SPF, Domain: d, Outcome: spfOutcome(f.SPF.Result)})
	}
	if f.SPF.Result == spf.TempError {
		f.Unknown = append(f.Unknown, "SPF of "+printable(f.SPF.Domain)+" (the DNS did not answer)")
	}
	for _, v := range f.DKIM {
		if v.Signature == nil {
			continue
		}
		outcome := dmarc.NotPassed
		switch {
		case v.Result == dkim.Pass && v.Unsigned > 0: // Anybody can have added the rest of the body.
		case v.Result == dkim.Pass:
			outcome = dmarc.Passed
		case v.Result == dkim.TempError:
			outcome = dmarc.Unknown
			f.Unknown = append(f.Unknown, "the DKIM key of "+printable(string(v.Signature.Domain))+" (the DNS did not answer)")
		}
		ids = append(ids, dmarc.Identifier{Method: dmarc.DKIM, Domain: v.Signature.Domain, Outcome: outcome})
	}
	for i, d := range c.author.domains {
		v := c.policy(asking, i, d).Check(asking, ids)
		if i == 0 || worse(v, f.DMARC) {
			f.DMARC, f.Policed = v, d
		}
		if v.Result == dmarc.TempError {
			f.Unknown = append(f.Unknown, "the DMARC policy of "+printable(string(d))+" (the DNS did not answer)")
		}
	}
	f.Mine = c.ours(ctx)
	f.Ours = f.Mine != ""
	if f.Ours {
		f.MayBeProven = slices.ContainsFunc(ids, func(id dmarc.Identifier) bool {
			return id.Outcome == dmarc.Unknown && (within(f.Mine, id.Domain) || within(id.Domain, f.Mine))
		})
	}
	if len(c.author.domains) == 1 && !c.author.unread {
		f.AlignedSPF, f.AlignedDKIM = f.DMARC.SPF, f.DMARC.DKIM
		if f.DMARC.Result == dmarc.None || f.DMARC.Result == dmarc.TempError {
			f.AlignedSPF, f.AlignedDKIM = alignedWithoutPolicy(c.author.domains[0], ids)
		}
		if f.AlignedSPF || f.AlignedDKIM {
			f.Authenticated = c.author.domains[0]
		}
	}
}

// policy is what was found of the author's domain number i: if that failed, it is asked for again.
func (c *Case) policy(ctx context.Context, i int, d mail.Domain) *dmarc.Author {
	if i < len(c.policies) {
		select {
		case <-c.policies[i].done:
			if a := c.policies[i].value; a.Err() == nil {
				return a
			}
		case <-ctx.Done():
		}
	}
	return dmarc.Find(ctx, c.j.o.Resolver, d)
}

// ours is the first domain in From that is one of ours, or below one.
func (c *Case) ours(ctx context.Context) mail.Domain {
	for _, named := range c.author.named {
		for d, more := string(named), true; more && strings.Contains(d, "."); _, d, more = strings.Cut(d, ".") {
			if local, err := c.j.o.Domains.IsLocal(ctx, mail.Domain(d)); err == nil && local {
				return named
			}
		}
	}
	return ""
}

// alignedWithoutPolicy is what DMARC would find if the author's domain had a policy. The
// tree walk of RFC 9989 finds no organization where nobody has one, so what counts is a
// domain that is the author's, above it or below.
func alignedWithoutPolicy(author mail.Domain, ids []dmarc.Identifier) (bySPF, byDKIM bool) {
	for _, id := range ids {
		if id.Outcome != dmarc.Passed || !within(author, id.Domain) && !within(id.Domain, author) {
			continue
		}
		bySPF, byDKIM = bySPF || id.Method == dmarc.SPF, byDKIM || id.Method == dmarc.DKIM
	}
	return bySPF, byDKIM
}

// within reports whether a is b, or below it; nothing is below a single label.
func within(a, b mail.Domain) bool {
	return a == b || strings.Contains(string(b), ".") && strings.HasSuffix(string(a), "."+string(b))
}

// worse reports whether a asks for more than b.
func worse(a, b dmarc.Verdict) bool {
	if a.Result == dmarc.Fail && b.Result == dmarc.Fail {
		return a.Policy > b.Policy
	}
	return a.Result == dmarc.Fail
}

func spfOutcome(r spf.Result) dmarc.Outcome {
	switch r {
	case spf.Pass:
		return dmarc.Passed
	case spf.TempError:
		return dmarc.Unknown
	}
	return dmarc.NotPassed
}

// printable is s in printable ASCII, for a sentence: a stranger wrote it.
func printable(s string) string {
	const most = 120
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == ';' {
			return '?'
		}
		return r
	}, s)
}
