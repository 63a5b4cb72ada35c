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
	"yubin/internal/message"
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

// Carry files the message for all recipients in one commit. Who cannot have it
// is no reason to keep it from the others.
func (h *homeward) Carry(ctx context.Context, hop mail.NextHop, t mail.Transaction) []mail.Result {
	if hop.Kind != mail.HopLocal {
		return h.others.Carry(ctx, hop, t)
	}
	at := h.now()
	ways := make([]way, len(t.Recipients))
	for i, r := range t.Recipients {
		w := &ways[i]
		w.OutgoingRecipient = r
		w.routed, w.err = h.store.outgoing.router.Route(ctx, route.Question{Recipient: r.Address, Sender: t.ReversePath, Ours: true})
	}
	lost := h.file(ctx, t, ways, at)
	results := make([]mail.Result, len(ways))
	for i, w := range ways {
		if w.err == nil {
			w.err = lost
		}
		a := verdict(w.err)
		a.At, a.Took, a.Host, a.Phase, a.Ours = at, h.now().Sub(at), string(h.host), mail.PhaseAnswer, true
		results[i] = mail.Result{Outcome: a.Outcome, Attempts: []mail.Attempt{a}}
	}
	return results
}

// way is how one recipient gets the message.
type way struct {
	mail.OutgoingRecipient
	routed route.Routed
	err    error // it does not
}

// errLoop is of a recipient that a Delivered-To field names (see smtpd).
var errLoop = errors.New("server: the message was delivered to this recipient before")

// maxRefusals is how often accounts may turn out to be gone or full while a
// message is filed, each time others.
const maxRefusals = 4

// file is one commit. Recipients who cannot have the message get an error in
// ways; the error is for all others.
func (h *homeward) file(ctx context.Context, t mail.Transaction, ways []way, at time.Time) error {
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
	msg, err := in.Finish()
	if err != nil {
		return err
	}
	findLoops(msg, ways)
	for range maxRefusals {
		m := mailingOf(t.ReversePath, ways, at)
		if len(m.filings)+len(m.onward) == 0 {
			return nil
		}
		var refused *store.Refused
		_, _, err = h.store.outgoing.queue.Accept(ctx, in, m.filings, spool.Item{Outgoing: t.Outgoing}, m.onward)
		if !errors.As(err, &refused) {
			return err
		}
		for i := range ways {
			ways[i].refuse(refused)
		}
	}
	return err
}

func findLoops(msg *message.Message, ways []way) {
	for _, value := range msg.Header.DeliveredTo {
		a, err := mail.ParseAddress(value)
		for i := range ways {
			if w := &ways[i]; err == nil && w.err == nil && len(w.routed.Accounts) > 0 && w.Address.Key() == a.Key() {
				w.err = errLoop
			}
		}
	}
}

// refuse takes the accounts that cannot have the message from w. If it has
// others, they are delivered to by themselves: the queue has them from now on.
func (w *way) refuse(refused *store.Refused) {
	r := w.routed
	w.routed.Accounts, w.routed.Names = nil, nil
	var why error
	for i, id := range r.Accounts {
		if err := refused.Accounts[id]; err != nil {
			why = err
			w.routed.Onward = append(w.routed.Onward, route.Onward{Address: r.Names[i], Hop: mail.NextHop{Kind: mail.HopLocal}})
		} else {
			w.routed.Accounts, w.routed.Names = append(w.routed.Accounts, id), append(w.routed.Names, r.Names[i])
		}
	}
	if why != nil && len(w.routed.Accounts)+len(r.Onward) == 0 {
		w.err = why
	}
}

// mailing is where one message goes.
type mailing struct {
	filings []store.Filing
	onward  []queue.Recipient // an alias may lead elsewhere
}

func mailingOf(from mail.ReversePath, ways []way, at time.Time) (m mailing) {
	seen := map[mail.AccountID]bool{}
	for _, w := range ways {
		if w.err != nil {
			continue
		}
		trace := []byte("Return-Path: <" + from.String() + ">\r\nDelivered-To: " + w.Address.String() + "\r\n")
		for _, a := range w.routed.Accounts {
			if !seen[a] {
				seen[a] = true
				m.filings = append(m.filings, store.Filing{Account: a, Role: mail.RoleInbox, Trace: trace, Received: at})
			}
		}
		for _, o := range w.routed.Onward {
			out := mail.OutgoingRecipient{Address: o.Address, ORCPT: w.ORCPT, Notify: w.Notify &^ mail.NotifySuccess}
			if w.Notify != 0 && out.Notify == 0 {
				out.Notify = mail.NotifyNever // Success is told already, of the address that was written to.
			}
			m.onward = append(m.onward, queue.Recipient{OutgoingRecipient: out, Site: o.Hop.Site()})
		}
	}
	return m
}

// verdict is what an error means for a recipient.
func verdict(err error) mail.Attempt {
	var rule *route.Refusal
	switch kind := mail.KindOf(err); {
	case err == nil:
		return mail.Attempt{Outcome: mail.Delivered, Enhanced: "2.0.0", Text: "filed"}
	case errors.Is(err, errLoop):
		return mail.Attempt{Outcome: mail.Failed, Enhanced: "5.4.6", Text: "the message was delivered to this recipient before: a loop"}
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
