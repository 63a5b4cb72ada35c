package smtpd

import (
	"context"
	"time"

	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/mail"
)

// onward are the recipients that the queue must know of: addresses elsewhere,
// each once, and those of ours whose delivery the sender wants to hear of. Nil
// for mail that is done with when it is filed.
func (s *session) onward() []queue.Recipient {
	if s.tx.spooled == 0 {
		return nil // Nothing is onward, and no report is wanted.
	}
	list := make([]queue.Recipient, 0, s.tx.spooled)
	seen := make(map[mail.Address]bool, s.tx.spooled)
	for i := range s.tx.recipients {
		r := &s.tx.recipients[i]
		if r.refused.Code != 0 {
			continue
		}
		for _, o := range r.onward {
			if !seen[o.Address] {
				seen[o.Address] = true
				list = append(list, queue.Recipient{OutgoingRecipient: r.forward(o), Site: o.Hop.Site()})
			}
		}
		if own, wanted := r.report(); wanted && !s.client.ReversePath.IsNull() {
			list = append(list, own)
		}
	}
	return list
}

// heldHere is the way of mail for an address of ours that is to wait: the queue
// has it until then (RFC 4865).
func heldHere(to mail.Address) route.Routed {
	return route.Routed{Onward: []route.Onward{queuedHere(to)}}
}

// queuedHere is the way to an address of ours through the queue.
func queuedHere(to mail.Address) route.Onward {
	return route.Onward{Address: to, Hop: mail.NextHop{Kind: mail.HopLocal}}
}

// several reports whether r is an alias with more than one address behind it.
func (r *recipient) several() bool { return len(r.accounts)+len(r.onward) > 1 }

// forward is r on its way to one address. Who wrote to an alias is told of the
// alias. Success at one of several addresses is nothing to report, for the
// expansion is (RFC 3461 §5.2.7.3 (c)).
func (r *recipient) forward(o route.Onward) mail.OutgoingRecipient {
	out := mail.OutgoingRecipient{Address: o.Address, ORCPT: r.orcpt, Notify: r.notify}
	if out.ORCPT == "" && o.Address != r.address {
		out.ORCPT = originalRecipient(r.address)
	}
	if r.several() && out.Notify&mail.NotifySuccess != 0 {
		if out.Notify &^= mail.NotifySuccess; out.Notify == 0 {
			out.Notify = mail.NotifyNever
		}
	}
	return out
}

// originalRecipient is a as the value of ORCPT, decoded (RFC 3461 §5.2.1 (d)); ""
// if that is longer than the queue takes.
func originalRecipient(a mail.Address) string {
	orcpt := "rfc822;" + a.String()
	if a.NeedsUTF8() {
		orcpt = "utf-8;" + a.String()
	}
	if len(orcpt) > queue.MaxORCPT {
		return ""
	}
	return orcpt
}

// report is r as somebody whose delivery here, or expansion, is to be reported
// by us (RFC 3461 §5.2.3, §5.2.7.3). Of an alias with one address elsewhere the
// last host reports (§5.2.7.2).
func (r *recipient) report() (own queue.Recipient, wanted bool) {
	own.OutgoingRecipient = mail.OutgoingRecipient{Address: r.address, ORCPT: r.orcpt, Notify: r.notify}
	own.Filed = len(r.accounts) > 0 && len(r.onward) == 0
	own.Expanded = !own.Filed && r.several()
	return own, r.notify&mail.NotifySuccess != 0 && (own.Filed || own.Expanded)
}

// item is the message as it is spooled for to.
func (s *session) item(ctx context.Context, to []queue.Recipient, received []byte, now time.Time) spool.Item {
	if len(to) == 0 {
		return spool.Item{}
	}
	m := s.tx.mail
	it := spool.Item{
		Outgoing: mail.Outgoing{
			ReversePath: m.ReversePath, Body: s.body(), UTF8: m.UTF8, RequireTLS: m.RequireTLS,
			Ret: m.Ret, EnvID: m.EnvID, Priority: s.tx.priority, DeliverBy: s.tx.deliverBy,
		},
		Trace:       received,
		Arrived:     now,
		HoldUntil:   s.tx.holdUntil,
		Transaction: s.tx.id,
		MessageID:   s.messageID(),
	}
	if s.client.Authenticated {
		it.Account = s.client.Principal.Account
		if s.srv.cfg.Language != nil {
			it.Language = s.srv.cfg.Language(ctx, s.client.Principal)
		}
	}
	return it
}

// body is what a next hop must take. Quirk: some clients send 8-bit text without
// a word; it is not to get lost at a host that takes 7 bits. Whether this one did
// is not known if it was not to go on when it came.
func (s *session) body() mail.Body {
	if s.tx.mail.Body == mail.Body7Bit && (s.tx.content.high || !s.tx.content.onward) {
		return mail.Body8BitMIME
	}
	return s.tx.mail.Body
}
