// Package intake is the one door by which a message becomes mail. Whoever has a
// message (SMTP in all profiles, APPEND, an import, a restore, a report or notice
// of this server, mail from the queue) brings it here, and nobody else files or
// spools.
//
// # The way through
//
//	Begin    a Message takes octets as they come; taps see them (message.go)
//	Plan     what is to become of it: filings in mailboxes, items for the queue,
//	         refusals; each account is asked for its wish (plan.go, wish.go)
//	Commit   the plan becomes true, all of it in one transaction (commit.go)
//
// A Plan is data. It is made without a database, can be printed and compared, and
// may be written by hand by who needs no wishes: File does so, for APPEND and what a
// backup puts back. Import is for many messages at once that keep their UIDs, and
// needs no plan: all go into one mailbox.
//
// # What holds
//
//   - Custody begins when Commit returns without an error, and then for all of the
//     plan; until then nothing of it is anywhere.
//   - Between Plan and Commit the world may change. A mailbox that is gone means
//     INBOX. An account that is gone, or full, is the refusal of those who lead
//     there, and nobody else's: where each recipient has an answer of its own it
//     gets that; where there is one answer for all, the queue has the refused and
//     tells the sender.
//   - What has to be true together with the mail, such as that a delivery of the
//     queue is settled or that a message of an import was taken, is given to Commit
//     and is in the same transaction.
//   - All that may take long is done before, under one deadline (Options.Deadline).
//
// Who judges a message (Envelope.Judge) does so in Plan, before the wishes; from
// the first octet on a tap is at hand, and after the last one Message.Content. Items
// may be added to a plan before it is committed: they stay if somebody is refused.
//
// It deliberately knows no protocol, does not route, and does not retry.
package intake

import (
	"context"
	"time"

	"yubin/internal/engine/queue"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// DefaultDeadline is how long a Plan may take.
const DefaultDeadline = 30 * time.Second

// Queue takes over what is for others: *queue.Queue.
type Queue interface {
	Add(tx *sqldb.Tx, it spool.Item, to []queue.Recipient, known *queue.Octets) (spool.ItemID, error)
}

// Forwards gives mail that goes on in the name of a domain of ours its reverse-path:
// *forward.Forwarder. Proven says that the sender is no forgery.
type Forwards interface {
	ReversePath(ctx context.Context, sender mail.ReversePath, proven bool, at mail.Domain) mail.ReversePath
}

// Options say what an Intake is made of.
type Options struct {
	Store    *store.Store
	Queue    Queue         // over the same database; nil where nothing can be spooled
	Wishes   Wishes        // nil: everybody's is Plain
	Copier   Copier        // nil: nobody gets copies
	Keeper   Keeper        // nil: nobody wants octets for itself
	Forwards Forwards      // nil: what goes on keeps its reverse-path
	Deadline time.Duration // of a Plan; 0 means DefaultDeadline
}

// Intake is the door. Safe for concurrent use.
type Intake struct{ o Options }

// New returns an Intake. It starts nothing.
func New(o Options) *Intake {
	if o.Wishes == nil {
		o.Wishes = Plain{}
	}
	if o.Deadline == 0 {
		o.Deadline = DefaultDeadline
	}
	return &Intake{o}
}

// Begin starts to receive a message, which taps see too. The caller closes it.
func (in *Intake) Begin(taps ...Tap) *Message { return NewMessage(in.o.Store.NewIncoming(), taps...) }

// Room says whether an account has room for so many octets more: store.Store.Room.
func (in *Intake) Room(ctx context.Context, account mail.AccountID, octets int64) error {
	return in.o.Store.Room(ctx, account, octets)
}

// File files a message as it is told, without asking for wishes. The results stand
// in the order of to.
func (in *Intake) File(ctx context.Context, m *Message, to ...store.Filing) ([]store.Filed, error) {
	p := &Plan{Message: m}
	for _, f := range to {
		p.Filings = append(p.Filings, Filing{Filing: f, For: -1})
	}
	r, err := in.Commit(ctx, p)
	return r.Filed, err
}
