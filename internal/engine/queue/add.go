package queue

import (
	"slices"
	"strconv"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Recipient is one recipient of a message to be spooled.
type Recipient struct {
	mail.OutgoingRecipient
	Site string // mail.NextHop.Site of where it goes as far as is known; "" for the exchangers of its domain
	Via  string // a route to take whatever the tables say, or ""
	Hold Hold   // it is held from the beginning; the zero Hold: it is not
	// Filed says that the same commit files the message in a mailbox of the
	// recipient, and Expanded that the recipient is an alias whose addresses get
	// it (RFC 3461 §5.2.7.3). Either is not carried: there is only the report of
	// success to be made.
	Filed, Expanded bool
}

// Hold is why deliveries are held by something that is no operator.
type Hold struct {
	By   string // its name, by which they are found again: Filter.HeldBy
	Note string // for people, in the story of each message
}

// HeldBySending is Hold.By of mail of accounts that send unlike they do otherwise.
const HeldBySending = "sending"

// done reports whether r is one that is only reported.
func (r Recipient) done() bool { return r.Filed || r.Expanded }

// Add spools an item, whose Blob is held for it, for recipients, in the
// caller's transaction: see engine/intake. Expire is set here, and Arrived
// if it is zero. The queue knows of it as soon as it is durable. With known, the
// octets after the prefix, it is carried without being read again. Errors are of
// kind Invalid or TooLarge.
func (q *Queue) Add(tx *sqldb.Tx, it spool.Item, to []Recipient, known *Octets) (spool.ItemID, error) {
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
	reportAt := now
	if slices.ContainsFunc(to, func(r Recipient) bool { return !r.done() }) {
		reportAt = now.Add(q.o.Schedule.Gather) // Others may be reported with them.
	}
	for i, r := range to {
		row := newRow{Recipient: r, item: it, n: i + 1, due: due, reportAt: reportAt}
		if err := row.insert(tx, now); err != nil {
			return 0, err
		}
	}
	tx.OnCommit(func() { q.announce(it, to, due, reportAt, known) })
	return it.ID, nil
}

// newRow is a delivery that comes to be.
type newRow struct {
	Recipient
	item          spool.Item
	n             int
	due, reportAt time.Time
}

func (r newRow) insert(tx *sqldb.Tx, now time.Time) error {
	if len(r.ORCPT) > MaxORCPT {
		return mail.Errorf(mail.TooLarge, "an original recipient has over %d octets", MaxORCPT)
	}
	if r.done() {
		return r.insertOwed(tx, now)
	}
	state, due := Waiting, millis(r.due)
	if r.Hold.By != "" {
		state, due = Held, 0
	}
	tx.Do(`INSERT INTO queue_delivery (item, n, recipient, orcpt, notify, site, via, lane, state, due, report_at,
		attempts, deferrals, parked, noticed, owner, held_by, last)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, 0, 0, 0, 0, $11, '')`,
		r.item.ID, r.n, r.Address.String(), r.ORCPT, r.Notify, r.siteName(), r.Via, laneOf(r.item.Priority, 0), state, due, r.Hold.By)
	if r.Hold.By != "" {
		addEvent(tx, Delivery{DeliveryID: DeliveryID{r.item.ID, r.n}, OutgoingRecipient: r.OutgoingRecipient}, now, EventHold, r.Hold.Note, "")
	}
	return nil
}

// insertOwed inserts a delivery that is done, with its only attempt, by nobody
// else than us.
func (r newRow) insertOwed(tx *sqldb.Tx, now time.Time) error {
	if r.item.ReversePath.IsNull() {
		return mail.Errorf(mail.Internal, "nobody is told of the delivery of mail without a sender")
	}
	a := mail.Attempt{At: now, Phase: mail.PhaseAnswer, Enhanced: "2.1.5", Text: "filed in the mailbox", Ours: true, Outcome: mail.Delivered}
	if r.Expanded {
		a.Phase, a.Text = phaseExpanded, "passed on to the addresses of the alias"
	}
	last := formatRecord(a, r.Filed)
	tx.Do(`INSERT INTO queue_delivery (item, n, recipient, orcpt, notify, site, via, lane, state, due, report_at,
		attempts, deferrals, parked, noticed, owner, last)
		VALUES ($1, $2, $3, $4, $5, $6, '', $7, $8, 0, $9, 1, 0, 0, 0, 0, $10)`,
		r.item.ID, r.n, r.Address.String(), r.ORCPT, r.Notify, r.siteName(), laneOf(r.item.Priority, 0), Owed, millis(r.reportAt), last)
	d := Delivery{DeliveryID: DeliveryID{r.item.ID, r.n}, OutgoingRecipient: r.OutgoingRecipient}
	addEvent(tx, d, now, EventAttempt, "", last)
	return nil
}

// phaseExpanded is the phase of a Delivered attempt that expanded an alias: with
// a host that is the phase in which no message is delivered.
const phaseExpanded = mail.PhaseRoute

func (r Recipient) siteName() string {
	if r.Site != "" {
		return r.Site
	}
	return mail.NextHop{Kind: mail.HopMX, Domain: r.Address.Domain}.Site()
}

// announce puts what was just committed before the scheduler. What finds no
// room there is found in the database later.
func (q *Queue) announce(it spool.Item, to []Recipient, due, reportAt time.Time, all *Octets) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.o.Now()
	var known *kept
	if all != nil && q.o.Alone && !due.After(now) {
		known = all.kept(it)
	}
	for i, r := range to {
		switch {
		case r.done():
			if reportAt.Before(q.reportAt) {
				q.reportAt = reportAt
			}
			continue
		case r.Hold.By != "":
		case due.After(now):
			q.scan.dueAt(due)
		default:
			k := key{it.ID, r.siteName()}
			q.board.addOrMiss(k, laneOf(it.Priority, 0), senderKey(it), now)
			if known != nil {
				q.board.remember(k, known, r.waiting(DeliveryID{it.ID, i + 1}, due))
			}
		}
		q.o.Observe(Observation{Kind: ObservedSpooled, Site: r.siteName()})
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
