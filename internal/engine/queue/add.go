package queue

import (
	"context"
	"strconv"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Recipient is one recipient of a message to be spooled.
type Recipient struct {
	mail.OutgoingRecipient
	Site string // mail.NextHop.Site of where it goes as far as is known; "" for the exchangers of its domain
	Via  string // a route to take whatever the tables say, or ""
}

// Add spools an item, whose Blob is held for it, for recipients, in the
// caller's transaction: see store.DeliverAlso. Expire is set here, and Arrived
// if it is zero. The queue knows of it as soon as it is durable. Errors are of
// kind Invalid or TooLarge.
func (q *Queue) Add(tx *sqldb.Tx, it spool.Item, to []Recipient) (spool.ItemID, error) {
	if len(to) == 0 || len(to) > MaxRecipients {
		return 0, mail.Errorf(mail.TooLarge, "a message is spooled for 1 to %d recipients", MaxRecipients)
	}
	now := q.o.Now()
	if it.Arrived.IsZero() {
		it.Arrived = now
	}
	it.Expire = q.o.Schedule.expire(it)
	due := now
	if it.HoldUntil.After(due) {
		due = it.HoldUntil
	}
	var err error
	if it.ID, err = q.o.Spool.Add(tx, it); err != nil {
		return 0, err
	}
	for i, r := range to {
		if err := insertDelivery(tx, it, i+1, r, due); err != nil {
			return 0, err
		}
	}
	tx.OnCommit(func() { q.announce(it, to, due) })
	return it.ID, nil
}

func insertDelivery(tx *sqldb.Tx, it spool.Item, n int, r Recipient, due time.Time) error {
	if len(r.ORCPT) > MaxORCPT {
		return mail.Errorf(mail.TooLarge, "an original recipient has over %d octets", MaxORCPT)
	}
	_, err := tx.Exec(`INSERT INTO queue_delivery (item, n, recipient, orcpt, notify, site, via, lane, state, due, report_at,
		attempts, deferrals, parked, noticed, owner, last)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, 0, 0, 0, 0, '')`,
		it.ID, n, r.Address.String(), r.ORCPT, r.Notify, r.siteName(), r.Via, laneOf(it.Priority, 0), Waiting, millis(due))
	return err
}

func (r Recipient) siteName() string {
	if r.Site != "" {
		return r.Site
	}
	return mail.NextHop{Kind: mail.HopMX, Domain: r.Address.Domain}.Site()
}

// announce puts what was just committed before the scheduler. What finds no
// room there is found in the database later.
func (q *Queue) announce(it spool.Item, to []Recipient, due time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.o.Now()
	for _, r := range to {
		q.o.Observe(Observation{Kind: ObservedSpooled, Site: r.siteName()})
		if due.After(now) {
			q.scan.dueAt(due)
		} else {
			q.board.add(key{it.ID, r.siteName()}, laneOf(it.Priority, 0), senderKey(it), now)
		}
	}
	q.poke()
}

// senderKey is by whom the senders within a site take turns.
func senderKey(it spool.Item) string {
	if it.Account != 0 {
		return "#" + strconv.FormatInt(int64(it.Account), 10)
	}
	return it.ReversePath.String()
}

// Accept files a message in local mailboxes and spools it for others, in one
// commit, and returns after it is durable. Its Blob and ID are set here. Without
// recipients nothing is spooled.
func (q *Queue) Accept(ctx context.Context, in *store.Incoming, filings []store.Filing, it spool.Item, to []Recipient) ([]store.Filed, spool.ItemID, error) {
	if len(to) == 0 {
		filed, err := q.o.Store.Deliver(ctx, in, filings)
		return filed, 0, err
	}
	var id spool.ItemID
	filed, err := q.o.Store.DeliverAlso(ctx, in, filings, func(tx *sqldb.Tx, ref store.BlobRef) (err error) {
		it.Blob = ref
		id, err = q.Add(tx, it, to)
		return err
	})
	return filed, id, err
}
