package server

import (
	"context"
	"errors"
	"io"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// homeward is the Filer of mail that waited here for its own mailboxes:
// because its sender had it held for a time (RFC 4865), or because its domain
// became ours meanwhile. With captured, where all mail ends here, the capture has
// the rest.
type homeward struct {
	store    *Store
	host     mail.Domain
	now      func() time.Time
	captured *capture // nil but for localserve
}

// File files the message for all recipients in one commit with settle. Who cannot
// have it is no reason to keep it from the others.
func (h *homeward) File(ctx context.Context, hop mail.NextHop, it spool.Item, t mail.Transaction, settle func(*sqldb.Tx, []mail.Result) error) ([]mail.Result, bool) {
	if hop.Kind != mail.HopLocal {
		return h.captured.file(ctx, hop, it, t, settle)
	}
	at := h.now()
	ways := make([]way, len(t.Recipients))
	var to []intake.Recipient // those with a way
	for i, r := range t.Recipients {
		w := &ways[i]
		routed, err := h.store.outgoing.router.Route(ctx, route.Question{Recipient: r.Address, Sender: t.ReversePath, Ours: true})
		if w.err = err; err == nil {
			w.place = len(to)
			to = append(to, intake.Recipient{Address: r.Address, Route: routed, Notify: r.Notify, ORCPT: r.ORCPT})
		}
	}
	// results are what became of the recipients, if those with a way have the
	// message but for whom the receipt refuses, or if none has, because of lost.
	results := func(r intake.Receipt, lost error) (list []mail.Result) {
		for _, w := range ways {
			err := w.err
			if err == nil {
				if err = r.Refusal(w.place); err == nil {
					err = lost
				}
			}
			a := verdict(err)
			a.At, a.Took, a.Host, a.Phase, a.Ours = at, h.now().Sub(at), string(h.host), mail.PhaseAnswer, true
			list = append(list, mail.Result{Outcome: a.Outcome, Attempts: []mail.Attempt{a}})
		}
		return list
	}
	if len(to) == 0 {
		return results(intake.Receipt{}, nil), false
	}
	it.Arrived = at
	e := intake.Envelope{Item: fromQueue(it), Each: true, FromQueue: true}
	r, err := h.store.takeIn(ctx, t, e, to, func(tx *sqldb.Tx, r intake.Receipt) error { return settle(tx, results(r, nil)) })
	return results(r, err), err == nil
}

// fromQueue is the envelope of mail that leaves the queue and may come back to it.
func fromQueue(it spool.Item) spool.Item {
	return spool.Item{Outgoing: it.Outgoing, Arrived: it.Arrived, Account: it.Account, Language: it.Language, Transaction: it.Transaction, MessageID: it.MessageID, SignFor: it.SignFor}
}

// takeIn brings a message of the queue to the intake again.
func (s *Store) takeIn(ctx context.Context, t mail.Transaction, e intake.Envelope, to []intake.Recipient, also intake.Also) (intake.Receipt, error) {
	octets, err := t.Content()
	if err != nil {
		return intake.Receipt{}, err
	}
	defer octets.Close()
	m := s.intake.Begin()
	defer m.Close()
	if _, err := io.Copy(m, octets); err != nil {
		return intake.Receipt{}, err
	}
	p, err := s.intake.Plan(ctx, m, e, to)
	if err != nil {
		return intake.Receipt{}, err
	}
	return s.intake.Commit(ctx, p, also)
}

// way is whether there is one to a recipient.
type way struct {
	place int // among those with one
	err   error
}

// verdict is what an error means for a recipient.
func verdict(err error) mail.Attempt {
	var rule *route.Refusal
	switch kind := mail.KindOf(err); {
	case err == nil:
		return mail.Attempt{Outcome: mail.Delivered, Enhanced: "2.0.0", Text: "filed"}
	case errors.Is(err, intake.ErrLoop):
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
