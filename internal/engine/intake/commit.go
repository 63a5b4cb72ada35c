package intake

import (
	"context"

	"yubin/internal/engine/queue"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/world/sqldb"
)

// Receipt says what a commit did.
type Receipt struct {
	Plan  *Plan          // as it was committed: without those who turned out not to be able to have the message
	Filed []store.Filed  // of each of its filings
	Items []spool.ItemID // of each of its items
}

// Refusal is why a recipient, by its place, does not have the message; nil if it
// has.
func (r Receipt) Refusal(recipient int) error {
	if r.Plan == nil {
		return nil
	}
	return r.Plan.Refusal(recipient)
}

// Also is what is to be in the same transaction. It obeys what sqldb asks of every
// closure given to Write.
type Also func(*sqldb.Tx, Receipt) error

// Commit makes a plan true, all of it in one transaction, and returns when it is
// durable. Accounts that are gone or full by then are refusals. If all are refused
// nothing is kept, also is not run, the error is that of the first, and the receipt
// has them all. After any other error there is nothing either.
func (in *Intake) Commit(ctx context.Context, p *Plan, also ...Also) (Receipt, error) {
	if err := p.check(); err != nil {
		return Receipt{}, err
	}
	if p.nowhere() {
		return Receipt{Plan: p}, p.Refusals[0].Err
	}
	if len(p.Filings)+len(p.Items)+len(also) == 0 && p.keep == nil { // All routes throw it away.
		return Receipt{Plan: p}, nil
	}
	c := &commit{in: in, planned: p}
	want, err := c.prepare()
	if err != nil {
		return Receipt{}, err
	}
	want.Also = func(tx *sqldb.Tx, filed []store.Filed, held []store.BlobRef) error {
		if err := c.spool(tx, filed, held); err != nil {
			return err
		}
		for _, a := range also {
			if err := a(tx, c.receipt); err != nil {
				return err
			}
		}
		return nil
	}
	_, err = in.o.Store.Deliver(ctx, want)
	switch {
	case err == nil:
		return c.receipt, nil
	case c.receipt.Plan != nil && c.receipt.Plan.nowhere():
		return Receipt{Plan: c.receipt.Plan}, c.receipt.Plan.Refusals[0].Err
	}
	return Receipt{}, err
}

// commit is one Commit.
type commit struct {
	in      *Intake
	planned *Plan
	known   *queue.Octets   // of the message; nil if no item of the plan has it
	own     []*queue.Octets // of the items with a message of their own, in their order
	receipt Receipt         // what the transaction does; it may run again
}

// prepare ends the messages of the plan and says what the store is to do.
func (c *commit) prepare() (store.Posting, error) {
	p := c.planned
	want := store.Posting{Message: p.Message.Incoming, Decide: c.decide, Filings: make([]store.Filing, len(p.Filings))}
	for i, f := range p.Filings {
		want.Filings[i] = f.Filing
	}
	for _, it := range p.Items {
		switch {
		case it.Message != nil:
			known, err := queue.OctetsOf(it.Message.Incoming)
			if err != nil {
				return want, err
			}
			c.own = append(c.own, known)
			want.More = append(want.More, it.Message.Incoming)
		case c.known == nil:
			var err error
			if c.known, err = queue.OctetsOf(p.Message.Incoming); err != nil {
				return want, err
			}
		}
	}
	return want, nil
}

// decide is asked what becomes of the plan without some accounts.
func (c *commit) decide(refused store.Refused) (holds int, err error) {
	c.receipt = Receipt{Plan: c.planned}
	if !refused.None() {
		c.receipt.Plan = c.planned.Without(refused.Accounts)
	}
	if c.receipt.Plan.nowhere() {
		return 0, c.receipt.Plan.Refusals[0].Err
	}
	for _, it := range c.receipt.Plan.Items {
		if it.Message == nil {
			holds++
		}
	}
	if c.planned.keep != nil {
		holds++
	}
	return holds, nil
}

// spool gives the items to the queue and the Keeper its reference, and notes where the
// filings went.
func (c *commit) spool(tx *sqldb.Tx, filed []store.Filed, held []store.BlobRef) error {
	for _, f := range filed {
		if f.Email != 0 {
			c.receipt.Filed = append(c.receipt.Filed, f)
		}
	}
	own := 0
	for _, it := range c.receipt.Plan.Items {
		m, ref, known := c.planned.Message, held[0], c.known
		if it.Message != nil {
			m, ref, known = it.Message, held[1+own], c.own[own]
			own++
		}
		it.Blob, it.Prefix = ref, m.Before(it.Prefix)
		it.Size = int64(len(it.Prefix)) + m.Size()
		id, err := c.in.o.Queue.Add(tx, it.Item, it.Recipients, known)
		if err != nil {
			return err
		}
		c.receipt.Items = append(c.receipt.Items, id)
	}
	if c.planned.keep != nil {
		return c.planned.keep(tx, held[0], c.planned.keepPrefix())
	}
	return nil
}
