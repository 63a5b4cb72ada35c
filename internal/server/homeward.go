package server

import (
	"context"
	"errors"
	"io"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// homeward is the courier of mail that waited here for its own mailboxes:
// because its sender had it held for a time (RFC 4865), or because its domain
// became ours meanwhile. It files it. Mail for elsewhere is for the others.
type homeward struct {
	store  *Store
	host   mail.Domain
	now    func() time.Time
	others queue.Courier
}

// Carry files the message for all recipients in one commit.
func (h *homeward) Carry(ctx context.Context, hop mail.NextHop, t mail.Transaction) []mail.Result {
	if hop.Kind != mail.HopLocal {
		return h.others.Carry(ctx, hop, t)
	}
	at := h.now()
	results := make([]mail.Result, len(t.Recipients))
	attempts := make([]mail.Attempt, len(t.Recipients))
	m := mailing{seen: map[mail.AccountID]bool{}}
	for i, r := range t.Recipients {
		routed, err := h.store.outgoing.router.Route(ctx, route.Question{Recipient: r.Address, Sender: t.ReversePath, Ours: true})
		if err == nil {
			m.add(t.ReversePath, r, routed, at)
		}
		attempts[i] = verdict(err)
	}
	lost := h.file(ctx, t, m)
	for i, a := range attempts {
		if a.Outcome == mail.Delivered && lost != nil {
			a = verdict(lost)
		}
		a.At, a.Took, a.Host, a.Phase, a.Ours = at, h.now().Sub(at), string(h.host), mail.PhaseAnswer, true
		results[i] = mail.Result{Outcome: a.Outcome, Attempts: []mail.Attempt{a}}
	}
	return results
}

// mailing is where one message goes.
type mailing struct {
	filings []store.Filing
	onward  []queue.Recipient // an alias may lead elsewhere
	seen    map[mail.AccountID]bool
}

func (m *mailing) add(from mail.ReversePath, r mail.OutgoingRecipient, routed route.Routed, at time.Time) {
	trace := []byte("Return-Path: <" + from.String() + ">\r\nDelivered-To: " + r.Address.String() + "\r\n")
	for _, a := range routed.Accounts {
		if !m.seen[a] {
			m.seen[a] = true
			m.filings = append(m.filings, store.Filing{Account: a, Role: mail.RoleInbox, Trace: trace, Received: at})
		}
	}
	for _, o := range routed.Onward {
		out := mail.OutgoingRecipient{Address: o.Address, ORCPT: r.ORCPT, Notify: r.Notify &^ mail.NotifySuccess}
		if r.Notify != 0 && out.Notify == 0 {
			out.Notify = mail.NotifyNever // Success is told already, of the address that was written to.
		}
		m.onward = append(m.onward, queue.Recipient{OutgoingRecipient: out, Site: o.Hop.Site()})
	}
}

// file is one commit.
func (h *homeward) file(ctx context.Context, t mail.Transaction, m mailing) error {
	if len(m.filings)+len(m.onward) == 0 {
		return nil
	}
	octets, err := t.Content()
	if err != nil {
		return err
	}
	defer octets.Close()
	in := h.store.mail.NewIncoming()
	defer in.Close()
	if _, err := io.Copy(in, octets); err != nil {
		return err
	}
	_, _, err = h.store.outgoing.queue.Accept(ctx, in, m.filings, spool.Item{Outgoing: t.Outgoing}, m.onward)
	return err
}

// verdict is what an error means for a recipient.
func verdict(err error) mail.Attempt {
	var rule *route.Refusal
	switch kind := mail.KindOf(err); {
	case err == nil:
		return mail.Attempt{Outcome: mail.Delivered, Enhanced: "2.0.0", Text: "filed"}
	case errors.As(err, &rule):
		return mail.Attempt{Outcome: mail.Failed, Enhanced: rule.Enhanced, Text: err.Error()}
	case errors.Is(err, directory.ErrDisabled):
		return mail.Attempt{Outcome: mail.Failed, Enhanced: "5.2.1", Text: err.Error()}
	case kind == mail.NotFound:
		return mail.Attempt{Outcome: mail.Failed, Enhanced: "5.1.1", Text: err.Error()}
	case errors.Is(err, store.ErrLongFull):
		return mail.Attempt{Outcome: mail.Failed, Enhanced: "5.2.2", Text: err.Error()}
	case kind == mail.OverQuota:
		return mail.Attempt{Outcome: mail.Deferred, Enhanced: "4.2.2", Text: err.Error()}
	}
	return mail.Attempt{Outcome: mail.Deferred, Enhanced: "4.3.0", Text: "the message could not be filed"}
}
