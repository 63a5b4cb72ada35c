package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// DeliveryID names one recipient of one item.
type DeliveryID struct {
	Item spool.ItemID
	N    int // from 1
}

func (id DeliveryID) String() string { return fmt.Sprintf("%d.%d", id.Item, id.N) }

// State is where a delivery stands. One that is settled, and told of if its
// sender wants to be told, has no row and no state.
type State uint8

// The states.
const (
	Waiting State = iota + 1 // for Due
	Held                     // until an operator releases it
	Active                   // being carried
	Owed                     // settled, but its sender is not told yet
)

var stateNames = [...]string{"", "waiting", "held", "active", "owed"}

func (s State) String() string {
	if int(s) >= len(stateNames) {
		return "unknown"
	}
	return stateNames[s]
}

// ParseState reads what String returns.
func ParseState(name string) (State, bool) {
	for i, n := range stateNames {
		if i > 0 && n == name {
			return State(i), true
		}
	}
	return 0, false
}

// Delivery is one recipient's progress.
type Delivery struct {
	DeliveryID
	mail.OutgoingRecipient
	Site      string // mail.NextHop.Site of where it goes
	Via       string // the route that an operator chose, or ""
	State     State
	Due       time.Time // the next attempt of one that waits; when the sender is told of one that is owed
	Attempts  int
	Deferrals int          // attempts, and times put off because its site is down
	Parked    bool         // put off because of its site
	Paused    bool         // it waits until an operator ends a pause; List, Show and Trace say so
	Noticed   bool         // the sender was told of the delay
	HeldBy    string       // what keeps one that is held: Hold.By, or "" for operators
	Last      mail.Attempt // At is zero before the first
	final     bool         // Last was into a mailbox, not onward

	// Unreadable says what is wrong with the row, if it has a value that it cannot
	// have; of the rest there is only what can be read. Such a delivery is held,
	// and can be dropped.
	Unreadable string
}

// lane orders deliveries at one site: mail of high priority first, then what is
// new and what is tried again, by turns, then mail of low priority.
type lane uint8

const (
	laneUrgent lane = iota
	laneFresh
	laneRetry
	laneLow
	lanes
)

func laneOf(priority int8, deferrals int) lane {
	switch {
	case priority > 0:
		return laneUrgent
	case priority < 0:
		return laneLow
	case deferrals > 0:
		return laneRetry
	}
	return laneFresh
}

const deliveryColumns = `d.item, d.n, d.recipient, d.orcpt, d.notify, d.site, d.via, d.state, d.due + d.report_at,
	d.attempts, d.deferrals, d.parked > 0, d.noticed, d.held_by, d.last`

// scanDelivery reads deliveryColumns, then more. A row that cannot be read is no
// error if it says which it is.
func scanDelivery(rows *sqldb.Rows, d *Delivery, more ...any) error {
	var recipient, last string
	var due int64
	err := rows.Scan(append([]any{&d.Item, &d.N, &recipient, &d.ORCPT, &d.Notify, &d.Site, &d.Via, &d.State, &due,
		&d.Attempts, &d.Deferrals, &d.Parked, &d.Noticed, &d.HeldBy, &last}, more...)...)
	if err == nil {
		d.Due = fromMillis(due)
		d.Address, err = mail.ParseAddress(recipient)
	}
	if err == nil {
		d.Last, d.final, err = parseRecord(last)
	}
	if err != nil && d.Item > 0 && d.N > 0 {
		d.Unreadable, err = sqldb.Why(err).Error(), nil
	}
	return err
}

// asUnreadable is the error about a row that cannot be read.
func (d *Delivery) asUnreadable() error {
	return &sqldb.Unreadable{Row: "delivery " + d.DeliveryID.String(), Err: errors.New(d.Unreadable)}
}

// readable divides rows into those that can be read and those that cannot, and
// tells of the latter.
func (q *Queue) readable(list []Delivery) (good, bad []Delivery) {
	for i, d := range list {
		switch {
		case d.Unreadable != "" && q.aside.Takes(d.asUnreadable()):
			if bad == nil {
				good = slices.Clone(list[:i])
			}
			bad = append(bad, d)
		case bad != nil:
			good = append(good, d)
		}
	}
	if bad == nil {
		good = list
	}
	return good, bad
}

// setAside holds deliveries that cannot be carried because they, or their item,
// cannot be read. They stand in the order of their items.
func (q *Queue) setAside(tx *sqldb.Tx, list []Delivery, now time.Time) error {
	for _, d := range list {
		q.o.Spool.Lock(tx, d.Item)
		n, err := tx.Exec(`UPDATE queue_delivery SET state = $1, due = 0, report_at = 0, parked = 0, owner = 0
			WHERE item = $2 AND n = $3 AND state <> $1`, Held, d.Item, d.N)
		if err != nil {
			return err
		}
		if n > 0 {
			addEvent(tx, d, now, EventHold, "it cannot be read; drop it", "")
		}
	}
	return nil
}

// deliveries runs a query of deliveryColumns.
func deliveries(tx *sqldb.Tx, where string, args ...any) ([]Delivery, error) {
	return scanDeliveries(askDeliveries(tx, where, args...).Rows())
}

func askDeliveries(tx *sqldb.Tx, where string, args ...any) *sqldb.Answer {
	return tx.Ask(`SELECT `+deliveryColumns+` FROM queue_delivery d `+where, args...)
}

func scanDeliveries(rows *sqldb.Rows, err error) (list []Delivery, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var d Delivery
		if err := scanDelivery(rows, &d); err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, rows.Err()
}

func ofItem(tx *sqldb.Tx, id spool.ItemID) ([]Delivery, error) {
	return deliveries(tx, `WHERE d.item = $1 ORDER BY d.n`, id)
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// record is an Attempt as it is kept.
type record struct {
	At         int64           `json:"at"`
	Took       int64           `json:"ms,omitempty"`
	Host       string          `json:"host,omitempty"`
	Remote     *netip.AddrPort `json:"addr,omitempty"`
	TLS        string          `json:"tls,omitempty"`
	Verified   bool            `json:"verified,omitempty"`
	TLSTerms   string          `json:"terms,omitempty"`
	Phase      mail.Phase      `json:"phase,omitempty"`
	Code       int             `json:"code,omitempty"`
	Enhanced   string          `json:"enh,omitempty"`
	Text       string          `json:"text,omitempty"`
	Ours       bool            `json:"ours,omitempty"`
	Outcome    mail.Outcome    `json:"end"`
	AnswerLost bool            `json:"lost,omitempty"`
	DSN        bool            `json:"dsn,omitempty"`
	DeliverBy  bool            `json:"by,omitempty"`
	Final      bool            `json:"final,omitempty"`
}

func formatRecord(a mail.Attempt, final bool) string {
	r := record{millis(a.At), a.Took.Milliseconds(), a.Host, nil, a.TLS, a.Verified, clip(a.TLSTerms, mail.MaxAttemptText), a.Phase, a.Code, a.Enhanced,
		clip(a.Text, mail.MaxAttemptText), a.Ours, a.Outcome, a.AnswerLost, a.DSN, a.DeliverBy, final}
	if a.Remote.IsValid() {
		r.Remote = &a.Remote
	}
	b, err := json.Marshal(r)
	if err != nil {
		panic("queue: an attempt cannot be written: " + err.Error()) // It has only strings and numbers.
	}
	return string(b)
}

func parseRecord(s string) (a mail.Attempt, final bool, err error) {
	if s == "" {
		return a, false, nil
	}
	var r record
	if err := json.Unmarshal([]byte(s), &r); err != nil || r.Outcome > mail.Failed || r.Phase > mail.PhaseAnswer {
		return a, false, mail.Errorf(mail.Internal, "the record of an attempt is unreadable: %w", err)
	}
	a = mail.Attempt{At: fromMillis(r.At), Took: time.Duration(r.Took) * time.Millisecond, Host: r.Host, TLS: r.TLS,
		Verified: r.Verified, TLSTerms: r.TLSTerms, Phase: r.Phase, Code: r.Code, Enhanced: r.Enhanced, Text: r.Text, Ours: r.Ours,
		Outcome: r.Outcome, AnswerLost: r.AnswerLost, DSN: r.DSN, DeliverBy: r.DeliverBy}
	if r.Remote != nil {
		a.Remote = *r.Remote
	}
	return a, r.Final, nil
}

// clip cuts s to at most n octets, between characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
