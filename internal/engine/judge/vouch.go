package judge

import (
	"context"
	"slices"
	"strings"

	"yubin/internal/engine/history"
	"yubin/internal/mail"
	"yubin/internal/mailauth/arc"
	"yubin/internal/mailauth/authres"
	"yubin/internal/mailauth/dkim"
	"yubin/internal/mailauth/spf"
)

// enough is how many messages of a sealer have to have come here, liked, for the site to
// believe it without being told to.
const enough = 20

// vouched is the domain that sent the message on and is believed about who wrote: a
// list that the administrator knows, authenticated; or the sealers of a chain of ARC,
// from the last on as long as they are trusted, one of whom saw the author authenticated.
func (c *Case) vouched(ctx context.Context, f *Facts) mail.Domain {
	p := c.j.policies.Load()
	for _, v := range f.DKIM {
		if v.Result == dkim.Pass && slices.Contains(p.KnownLists, v.Signature.Domain) {
			return v.Signature.Domain
		}
	}
	if d, err := mail.ParseDomain(f.SPF.Domain); err == nil && f.SPF.Result == spf.Pass && slices.Contains(p.KnownLists, d) {
		return d
	}
	if f.ARC.Result != arc.Pass || f.Author.IsZero() {
		return ""
	}
	for _, set := range slices.Backward(f.ARC.Sets) {
		if set.Seal == nil || !c.trusts(ctx, p, set.Seal.Domain) {
			return ""
		}
		if _, said, err := authres.ParseARC(set.Results); err == nil && sawAuthor(said, f.Author.Domain) {
			return set.Seal.Domain
		}
	}
	return ""
}

// trusts reports whether a sealer is believed: as configured, or because mail of its
// domain was kept here.
func (c *Case) trusts(ctx context.Context, p *Policies, sealer mail.Domain) bool {
	if slices.Contains(p.TrustedARC, sealer) {
		return true
	}
	if c.j.o.History == nil {
		return false
	}
	k, err := c.j.o.History.Ask(ctx, history.Site, history.Correspondent{Authenticated: sealer})
	return err == nil && k.Site.Domain.Received >= enough && k.Site.Domain.Liked()
}

// sawAuthor reports whether results say that the author's domain was authenticated: by
// DMARC, or by a signature of that domain.
func sawAuthor(f authres.Field, author mail.Domain) bool {
	is := func(value string) bool {
		d, err := mail.ParseDomain(strings.TrimPrefix(value, "@"))
		return err == nil && d == author
	}
	for _, r := range f.Results {
		switch {
		case r.Value != "pass":
		case r.Method == "dmarc" && is(r.Get("header", "from")), r.Method == "dkim" && is(r.Get("header", "d")):
			return true
		}
	}
	return false
}
