package intake

import (
	"context"
	"slices"
	"time"

	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// Copier knows who gets a copy of a message beside its recipients. It is asked when a
// plan is made, with the message complete, and has no error: a message is not refused
// for a copy.
type Copier interface {
	Copies(ctx context.Context, e Envelope, to []Recipient, m *Message) []Copy
}

// Copy is a copy of a message for somebody who is no recipient. It is made if somebody
// gets the message.
type Copy struct {
	Name     string           // of what wants it
	Sender   mail.ReversePath // in whose name it travels, if it does; who is told if it cannot be delivered
	Prefix   []byte           // fields before it
	Accounts []mail.AccountID
	Names    []mail.Address   // of Accounts
	Mailbox  mail.MailboxName // of each of Accounts, made if there is none; "" is INBOX
	Onward   []route.Onward
}

// layCopies adds the copies: a filing for each account that can have it, an item for all
// others. Who gets the message into the same INBOX needs no copy there.
func (p *Plan) layCopies(seen map[mail.AccountID]bool) {
	for _, c := range p.extra {
		onward := c.Onward
		for i, account := range c.Accounts {
			if seen[account] && c.Mailbox == "" {
				continue
			}
			prefix := p.copyPrefix(c, true)
			if p.unable[account] != nil || len(p.Filings) >= store.MaxFilings || !store.ValidPrefix(p.Message.Before(prefix)) {
				onward = append(onward[:len(onward):len(onward)], QueuedHere(c.Names[i]))
				continue
			}
			f := store.Filing{Account: account, Role: mail.RoleInbox, Prefix: prefix, Received: p.envelope.Arrived, Ours: p.envelope.Ours}
			if c.Mailbox != "" {
				f.Role, f.Name, f.Make = "", c.Mailbox, true
			}
			p.Filings = append(p.Filings, Filing{Filing: f, For: -1, Copy: c.Name})
		}
		if len(onward) == 0 {
			continue
		}
		it := Item{Item: p.envelope.Item, Copy: c.Name}
		it.ReversePath, it.Account, it.SignFor, it.Language = c.Sender, 0, "", ""
		it.Prefix = p.copyPrefix(c, false)
		it.Ret, it.EnvID, it.DeliverBy, it.HoldUntil = 0, "", mail.DeliverBy{}, time.Time{}
		it.Report, it.About, it.Cause = spool.NoReport, 0, spool.CopyBy(c.Name)
		for _, o := range onward {
			if len(it.Recipients) == queue.MaxRecipients || slices.ContainsFunc(it.Recipients, func(r queue.Recipient) bool { return r.Address == o.Address }) {
				continue
			}
			it.Recipients = append(it.Recipients, queue.Recipient{OutgoingRecipient: mail.OutgoingRecipient{Address: o.Address, Notify: mail.NotifyFailure}, Site: o.Hop.Site()})
		}
		p.Items = append(p.Items, it)
	}
}

// copyPrefix are the fields before a copy: whose it is, what was thought of the message
// and how it came; of one for a mailbox, who sent it, too.
func (p *Plan) copyPrefix(c Copy, filed bool) []byte {
	var path []byte
	if filed {
		path = []byte("Return-Path: <" + p.envelope.ReversePath.String() + ">\r\n")
	}
	return slices.Concat(path, c.Prefix, p.judgement.Prefix, p.envelope.Prefix)
}
