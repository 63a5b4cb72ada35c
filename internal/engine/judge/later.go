package judge

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/mail"
)

// Greylist has strangers come again: *greylist.List.
type Greylist interface {
	Admit(ctx context.Context, client netip.Addr, sender mail.ReversePath, account mail.AccountID) (wait time.Duration, err error)
}

// later has somebody whom nobody knows and nothing proves come again, where that is
// wished. What is to be in Junk or refused anyway need not wait.
func (c *Case) later(ctx context.Context, f *Facts, account mail.AccountID, o intake.Opinion, v Verdict) intake.Opinion {
	if c.j.o.Greylist == nil || !c.j.policies.Load().Greylist || o.Action != intake.Accept || f.Authenticated != "" || f.Vouched != "" ||
		v.Score < 0 || !f.Client.Remote.IsValid() || len(f.Unknown) > 0 {
		return o
	}
	wait, err := c.j.o.Greylist.Admit(ctx, f.Client.Remote, f.ReversePath, account)
	if err != nil {
		c.j.o.Log.Warn("who came before could not be read; the message is taken", "err", err)
		return o
	}
	if wait > 0 {
		o.Action = intake.Defer
		o.Why = &Refusal{Enhanced: mail.Enhanced{Class: 4, Subject: 7, Detail: 1}, Later: true,
			Text: fmt.Sprintf("you are not known here yet; send it again in %d minutes", int(wait.Minutes())+1)}
	}
	return o
}
