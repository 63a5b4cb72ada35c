package queue

import (
	"context"
	"strconv"
	"strings"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// EventKind says what happened to a message or to one of its recipients.
type EventKind string

// The kinds.
const (
	EventAttempt EventKind = "attempt" // Event.Attempt tells of it
	EventExpired EventKind = "expired" // it took too long
	EventReport  EventKind = "report"  // the sender was told; Note says where the report is
	EventUntold  EventKind = "untold"  // the sender cannot be told
	EventHold    EventKind = "hold"    // and the rest: by an operator
	EventRelease EventKind = "release"
	EventRetry   EventKind = "retry"
	EventReroute EventKind = "reroute"
	EventFail    EventKind = "fail"
	EventDrop    EventKind = "drop"
)

// Event is one thing that happened.
type Event struct {
	DeliveryID              // N is 0 for the whole message
	At         time.Time    // when it was kept
	Recipient  mail.Address // zero for the whole message
	Kind       EventKind
	Note       string
	Attempt    mail.Attempt // of EventAttempt
}

// addEvent adds to the story of an item, which is locked.
func addEvent(tx *sqldb.Tx, d Delivery, at time.Time, kind EventKind, note, record string) {
	tx.Do(`INSERT INTO queue_event (item, seq, at, n, recipient, kind, note, record)
		SELECT $1, coalesce(max(seq), 0) + 1, $2, $3, $4, $5, $6, $7 FROM queue_event WHERE item = $1`,
		d.Item, millis(at), d.N, d.Address.String(), kind, clip(note, maxNote), record)
}

// item is the number of the item in a text.
func (id DeliveryID) item() string { return strconv.FormatInt(int64(id.Item), 10) }

// Story is all that is known of a message.
type Story struct {
	Item       spool.Item
	Deliveries []Delivery // those that are not settled, or whose report is owed
	Events     []Event    // in their order

	// Unreadable says what is wrong with the row of Item, if it has a value that it
	// cannot have; of the rest there is what can be read.
	Unreadable string
}

// Show tells the story of one message. NotFound if it never was, or is settled
// for longer than Schedule.History.
func (q *Queue) Show(ctx context.Context, id spool.ItemID) (s Story, err error) {
	err = q.db.Read(ctx, func(tx *sqldb.Tx) error {
		s, err = q.story(tx, id)
		return err
	})
	q.markPauses(ctx, &s)
	return s, err
}

func (q *Queue) story(tx *sqldb.Tx, id spool.ItemID) (s Story, err error) {
	if s.Item, err = q.o.Spool.Item(tx, id); q.aside.Takes(err) {
		s.Unreadable = sqldb.Why(err).Error()
	} else if err != nil {
		return s, err
	}
	if s.Deliveries, err = ofItem(tx, id); err != nil {
		return s, err
	}
	carried := q.carried()
	for i := range s.Deliveries {
		carried.mark(&s.Deliveries[i])
		q.markProbe(&s.Deliveries[i])
	}
	s.Events, err = events(tx, id)
	return s, err
}

func events(tx *sqldb.Tx, id spool.ItemID) (list []Event, err error) {
	rows, err := tx.Query(`SELECT at, n, recipient, kind, note, record FROM queue_event WHERE item = $1 ORDER BY seq`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		e := Event{DeliveryID: DeliveryID{Item: id}}
		var at int64
		var recipient, record string
		if err := rows.Scan(&at, &e.N, &recipient, &e.Kind, &e.Note, &record); err != nil {
			return nil, err
		}
		e.At = fromMillis(at)
		err := e.Recipient.UnmarshalText([]byte(recipient))
		if err == nil {
			e.Attempt, _, err = parseRecord(record)
		}
		if err != nil { // What there is to know of it is shown.
			e.Note = strings.TrimSpace(e.Note + " (cannot be read: " + err.Error() + ")")
		}
		list = append(list, e)
	}
	return list, rows.Err()
}

// MaxTrace is how many stories one Trace gives.
const MaxTrace = 200

// Trace finds messages that came since a time, the youngest first, by a sender's
// or recipient's address or by a Message-ID, before the item before if that is
// not zero. There is no index for it: it looks through all that is remembered
// since then, a million messages in some seconds.
func (q *Queue) Trace(ctx context.Context, addressOrMessageID string, since time.Time, before spool.ItemID, limit int) (found []Story, err error) {
	limit = min(max(limit, 1), MaxTrace)
	if before == 0 {
		before = 1<<63 - 1
	}
	id := strings.TrimSuffix(strings.TrimPrefix(addressOrMessageID, "<"), ">")
	err = q.db.Read(ctx, func(tx *sqldb.Tx) error {
		found = nil
		first, err := firstSince(tx, since)
		if err != nil {
			return err
		}
		ids, err := itemIDs(tx, `SELECT id FROM spool_item WHERE id >= $1 AND id < $2 AND (message_id IN ($3, $4) OR lower(sender) = $5)
			UNION SELECT item FROM queue_delivery WHERE item >= $1 AND item < $2 AND lower(recipient) = $5
			UNION SELECT item FROM queue_event WHERE item >= $1 AND item < $2 AND lower(recipient) = $5
			ORDER BY 1 DESC LIMIT $6`, first, before, id, "<"+id+">", foldASCII(id), limit)
		for _, id := range ids {
			s, err := q.story(tx, id)
			if err != nil {
				return err
			}
			found = append(found, s)
		}
		return err
	})
	for i := range found {
		q.markPauses(ctx, &found[i])
	}
	return found, err
}

// clockSlack is how far the times of items may be out of the order of their
// numbers.
const clockSlack = time.Hour

// firstSince gives an item before which none came since a time. Items are
// numbered as they come, so it is found by halves.
func firstSince(tx *sqldb.Tx, since time.Time) (spool.ItemID, error) {
	if since.IsZero() {
		return 0, nil
	}
	at := millis(since.Add(-clockSlack))
	var low, high spool.ItemID
	if err := tx.QueryRow(`SELECT coalesce(min(id), 1), coalesce(max(id), 0) + 1 FROM spool_item`).Scan(&low, &high); err != nil {
		return 0, err
	}
	for low < high {
		middle := low + (high-low)/2
		var arrived int64
		err := tx.QueryRow(`SELECT arrived FROM spool_item WHERE id >= $1 ORDER BY id LIMIT 1`, middle).Scan(&arrived)
		switch {
		case err != nil:
			return 0, err
		case arrived < at:
			low = middle + 1
		default:
			high = middle
		}
	}
	return low, nil
}

// sweepSlice is how many settled items are forgotten in one transaction.
const sweepSlice = 200

// sweep forgets what was settled long ago, in slices.
func (q *Queue) sweep(ctx context.Context, now time.Time) error {
	for n := sweepSlice; n == sweepSlice; {
		err := q.db.Write(ctx, func(tx *sqldb.Tx) error {
			ids, err := q.o.Spool.Forget(tx, now.Add(-q.o.Schedule.History), sweepSlice)
			n = len(ids)
			for _, id := range ids {
				tx.Do(`DELETE FROM queue_event WHERE item = $1`, id)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
