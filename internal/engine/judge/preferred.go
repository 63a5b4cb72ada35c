package judge

import (
	"cmp"
	"context"
	"fmt"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/preferences"
	"yubin/internal/mail"
)

// Preferences knows what accounts want: *preferences.Preferences.
type Preferences interface {
	Ask(ctx context.Context, account mail.AccountID, at mail.Domain, sender mail.Address) (preferences.Answer, error)
}

// The weights of lists.
const (
	weightAllowed = -20.0
	weightDenied  = 20.0
)

// preferred is what an account wants, in t and as a reason. A list is about the author, in
// From; who is kept out is so in MAIL FROM too. Who is on a list of those let in has to be
// proven; who is kept out has not. A person's list puts into Junk, one
// of the domain or the site refuses.
func (c *Case) preferred(ctx context.Context, f *Facts, account mail.AccountID, at mail.Domain, t *Thresholds) (reasons []Reason, least intake.Action) {
	if c.j.o.Preferences == nil {
		return nil, intake.Accept
	}
	a, err := c.j.o.Preferences.Ask(ctx, account, at, f.Author)
	if sender := mail.Address(f.ReversePath); err == nil && !a.Listed && !sender.IsZero() && sender != f.Author {
		var envelope preferences.Answer
		if envelope, err = c.j.o.Preferences.Ask(ctx, account, at, sender); envelope.Listed && !envelope.Allow {
			a = envelope
		}
	}
	if err != nil {
		c.j.o.Log.Warn("what an account wants could not be read; the message is judged without it", "err", err)
		return nil, intake.Accept
	}
	t.Junk, t.Refuse = cmp.Or(a.Junk, t.Junk), cmp.Or(a.Refuse, t.Refuse)
	whose := "the reader's list"
	if a.Scope != preferences.OfAccount(account) || account == 0 {
		whose = "a list of the administrator"
	}
	who := printable(a.Pattern)
	switch {
	case !a.Listed:
		return nil, intake.Accept
	case a.Allow && f.Authenticated == "" && f.Vouched == "":
		return []Reason{{Name: "allowed-unproven", Text: fmt.Sprintf("%s is on %s of senders to let in, but nothing proves that it wrote", who, whose)}}, intake.Accept
	case a.Allow:
		return []Reason{{Name: "allowed", Weight: weightAllowed, Text: fmt.Sprintf("%s is on %s of senders to let in", who, whose)}}, intake.Accept
	}
	least = intake.Junk
	r := Reason{Name: "denied", Weight: weightDenied, Text: fmt.Sprintf("%s is on %s of senders to keep out", who, whose), floor: true}
	if account != 0 && a.Scope == preferences.OfAccount(account) {
		r.Weight = t.Junk // Into Junk, and no more by itself.
	} else {
		least = intake.Refuse
	}
	return []Reason{r}, least
}
