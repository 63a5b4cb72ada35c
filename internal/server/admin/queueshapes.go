package admin

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"yubin/internal/engine/queue"
	"yubin/internal/engine/spool"
	"yubin/internal/mail"
)

// QueueDelivery is one recipient's progress. Sender, Size, Arrived and Expire
// are those of its message; of a QueueMessage they are left out.
type QueueDelivery struct {
	ID        string        `json:"id"` // "12.1": the message and which of its recipients
	Item      int64         `json:"item"`
	Recipient string        `json:"recipient"`
	State     string        `json:"state"`             // waiting, held, active or owed
	Due       time.Time     `json:"due,omitzero"`      // the next attempt; of owed, when its sender is told
	Attempts  int           `json:"attempts"`          // so far
	Site      string        `json:"site"`              // where it goes
	SiteName  string        `json:"site_name"`         // what people call that
	Route     string        `json:"route,omitempty"`   // that an operator chose
	Parked    bool          `json:"parked,omitempty"`  // put off because its site is down or paused
	Paused    bool          `json:"paused,omitempty"`  // it waits until an operator ends a pause
	HeldBy    string        `json:"held_by,omitempty"` // what keeps it, if no operator does: "sending"
	Noticed   bool          `json:"noticed,omitempty"` // its sender was told that it is late
	Last      *QueueAttempt `json:"last,omitempty"`
	Sender    *string       `json:"sender,omitempty"` // "" is <>
	Size      int64         `json:"size,omitempty"`
	Arrived   time.Time     `json:"arrived,omitzero"`
	Expire    time.Time     `json:"expire,omitzero"`

	// Unreadable says what is wrong with the row, if it cannot be read: it is held,
	// the fields above are what could be read, and it can be dropped.
	Unreadable string `json:"unreadable,omitempty"`
}

// QueueAttempt is one try to hand on a message.
type QueueAttempt struct {
	At         time.Time `json:"at"`
	Seconds    float64   `json:"seconds"`
	Host       string    `json:"host,omitempty"`
	Address    string    `json:"address,omitempty"` // with the port
	TLS        string    `json:"tls,omitempty"`     // version and cipher suite; in clear without
	Verified   bool      `json:"verified,omitempty"`
	TLSTerms   string    `json:"tls_terms,omitempty"` // who asked for what of TLS, and in a test whether it was so
	Outcome    string    `json:"outcome"`             // delivered, deferred or failed
	Phase      string    `json:"phase,omitempty"`     // what the words answer
	Code       int       `json:"code,omitempty"`
	Enhanced   string    `json:"enhanced,omitempty"`
	Text       string    `json:"text,omitempty"`
	Ours       bool      `json:"ours,omitempty"`        // the words are this server's
	AnswerLost bool      `json:"answer_lost,omitempty"` // it may have been delivered
	Untried    bool      `json:"untried,omitempty"`     // it was put off without an attempt: the words are of the last one at its site
}

// QueueEvent is one thing that happened to a message or a recipient.
type QueueEvent struct {
	At        time.Time     `json:"at"`
	ID        string        `json:"id,omitempty"` // of the recipient; the whole message without
	Recipient string        `json:"recipient,omitempty"`
	Kind      string        `json:"kind"` // attempt, expired, report, untold, or an act
	Note      string        `json:"note,omitempty"`
	Attempt   *QueueAttempt `json:"attempt,omitempty"`
}

// QueueMessage is the story of one message.
type QueueMessage struct {
	Item        int64           `json:"item"`
	Sender      string          `json:"sender"` // "" is <>
	Size        int64           `json:"size"`
	Arrived     time.Time       `json:"arrived"`
	HoldUntil   time.Time       `json:"hold_until,omitzero"`
	DeliverBy   time.Time       `json:"deliver_by,omitzero"`
	Expire      time.Time       `json:"expire"`
	Settled     time.Time       `json:"settled,omitzero"` // nobody waits for it any more
	MessageID   string          `json:"message_id,omitempty"`
	Transaction string          `json:"transaction,omitempty"`
	EnvID       string          `json:"envid,omitempty"`
	Priority    int             `json:"priority,omitempty"`
	RequireTLS  bool            `json:"require_tls,omitempty"`
	TLSOptional bool            `json:"tls_optional,omitempty"`
	Copy        string          `json:"copy,omitempty"`    // the rule that made it, if it is a copy
	Forward     bool            `json:"forward,omitempty"` // an account that keeps the message too sends it on, in its own name
	Came        *Arrival        `json:"came,omitempty"`    // how it came, if that is remembered
	Deliveries  []QueueDelivery `json:"deliveries"`        // those that are not settled
	Events      []QueueEvent    `json:"events"`

	// Unreadable says what is wrong with the row of the message, if it cannot be read.
	Unreadable string `json:"unreadable,omitempty"`
}

// QueueCounts sums up deliveries.
type QueueCounts struct {
	Total   int       `json:"total"`
	Waiting int       `json:"waiting"`
	Held    int       `json:"held"`
	Active  int       `json:"active"`
	Owed    int       `json:"owed"`
	Parked  int       `json:"parked"` // of those that wait
	Oldest  time.Time `json:"oldest,omitzero"`
}

// Add adds more to c.
func (c *QueueCounts) Add(more queue.Counts) {
	c.Total += more.Total()
	c.Waiting += more.Waiting
	c.Held += more.Held
	c.Active += more.Active
	c.Owed += more.Owed
	c.Parked += more.Parked
	if c.Oldest.IsZero() || !more.Oldest.IsZero() && more.Oldest.Before(c.Oldest) {
		c.Oldest = more.Oldest
	}
}

// QueueSite is what is known of a site.
type QueueSite struct {
	Site        string    `json:"site"`           // its key: all that a session depends on
	Name        string    `json:"name"`           // what people call it: "example.net via mx"
	State       string    `json:"state"`          // up, failing, down, paused or unknown
	Since       time.Time `json:"since,omitzero"` // of the state
	Next        time.Time `json:"next,omitzero"`  // when it is tried; of one that answers, when the first of its mail is due
	Words       string    `json:"words,omitempty"`
	Waiting     int       `json:"waiting"`        // recipients that wait for it, those being carried included
	Held        int       `json:"held,omitempty"` // and those that are held
	Queued      int       `json:"queued"`         // messages in memory that wait for their turn
	More        bool      `json:"more,omitempty"` // and more in the store
	Busy        int       `json:"busy"`           // transactions under way
	Concurrency int       `json:"concurrency"`    // transactions allowed at a time; 0 if nobody spoke with it lately
}

// QueuePause says that mail is not to be sent.
type QueuePause struct {
	Scope  string    `json:"scope"` // all, site or route
	Name   string    `json:"name,omitempty"`
	Called string    `json:"called,omitempty"` // what people call the site
	Since  time.Time `json:"since,omitzero"`
	Why    string    `json:"why,omitempty"`

	// Unknown says of a new pause that nobody has mail for that site, and none went there lately.
	Unknown bool `json:"unknown,omitempty"`
}

func queueDeliveryOf(l queue.Listed, names sitesNamer) QueueDelivery {
	d := deliveryOf(l.Delivery, names)
	sender := l.Sender.String()
	d.Sender, d.Size, d.Arrived, d.Expire = &sender, l.Size, l.Arrived, l.Expire
	return d
}

func deliveryOf(d queue.Delivery, names sitesNamer) QueueDelivery {
	out := QueueDelivery{ID: d.String(), Item: int64(d.Item), Recipient: d.Address.String(), State: d.State.String(), Due: d.Due,
		Attempts: d.Attempts, Site: d.Site, SiteName: names.name(d.Site), Route: d.Via, Parked: d.Parked, Paused: d.Paused, Noticed: d.Noticed,
		Unreadable: d.Unreadable}
	if d.State == queue.Held {
		out.HeldBy = d.HeldBy
	}
	if !d.Last.At.IsZero() {
		out.Last = attemptOf(d.Last)
	}
	return out
}

func attemptOf(a mail.Attempt) *QueueAttempt {
	out := &QueueAttempt{At: a.At, Seconds: a.Took.Seconds(), Host: a.Host, TLS: a.TLS, Verified: a.Verified, TLSTerms: a.TLSTerms, Outcome: a.Outcome.String(),
		Phase: a.Phase.String(), Code: a.Code, Enhanced: a.Enhanced, Text: a.Text, Ours: a.Ours, AnswerLost: a.AnswerLost}
	if a.Remote.IsValid() {
		out.Address = a.Remote.String()
	}
	var why string
	if why, out.Untried = queue.Untried(a); why != "" {
		out.Text = why
	}
	return out
}

func queueMessageOf(s queue.Story, names sitesNamer) *QueueMessage {
	it := s.Item
	m := &QueueMessage{Item: int64(it.ID), Sender: it.ReversePath.String(), Size: it.Size, Arrived: it.Arrived, HoldUntil: it.HoldUntil,
		DeliverBy: it.DeliverBy.At, Expire: it.Expire, Settled: it.Settled, MessageID: it.MessageID, Transaction: it.Transaction,
		Unreadable: s.Unreadable, EnvID: it.EnvID, Priority: int(it.Priority), RequireTLS: it.RequireTLS,
		Copy: it.Cause.Rule(), Forward: it.Cause == spool.KeptForward, TLSOptional: it.Demand() == mail.TLSWaived, Deliveries: []QueueDelivery{}, Events: []QueueEvent{}}
	for _, d := range s.Deliveries {
		m.Deliveries = append(m.Deliveries, deliveryOf(d, names))
	}
	for _, e := range s.Events {
		m.Events = append(m.Events, eventOf(e))
	}
	return m
}

func eventOf(e queue.Event) QueueEvent {
	out := QueueEvent{At: e.At, Recipient: e.Recipient.String(), Kind: string(e.Kind), Note: e.Note}
	if e.N > 0 {
		out.ID = e.DeliveryID.String()
	}
	if e.Kind == queue.EventAttempt {
		out.Attempt = attemptOf(e.Attempt)
	}
	return out
}

// parseDeliveryID reads "12" or "12.1".
func parseDeliveryID(s string) (id queue.DeliveryID, err error) {
	item, n, some := strings.Cut(s, ".")
	number, err := strconv.ParseInt(item, 10, 64)
	id.Item = spool.ItemID(number)
	if err == nil && some {
		id.N, err = strconv.Atoi(n)
	}
	if err != nil || id.Item < 1 || id.N < 0 || some && id.N == 0 {
		return id, mail.Errorf(mail.Invalid, "%q is no number of a message (12) or of one of its recipients (12.1)", s)
	}
	return id, nil
}

// parseDeliveryIDs reads IDs and puts them in order, each once: who is of a
// message that is there as a whole is left out.
func parseDeliveryIDs(texts []string) ([]queue.DeliveryID, error) {
	var ids []queue.DeliveryID
	for _, s := range texts {
		id, err := parseDeliveryID(s)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b queue.DeliveryID) int {
		return cmp.Or(cmp.Compare(a.Item, b.Item), cmp.Compare(a.N, b.N))
	})
	var out []queue.DeliveryID
	for _, id := range ids {
		if n := len(out); n > 0 && out[n-1].Item == id.Item && (out[n-1].N == 0 || out[n-1].N == id.N) {
			continue
		}
		out = append(out, id)
	}
	return out, nil
}

// queryFilter reads a filter from a query; query writes one.
func queryFilter(q url.Values) QueueFilter {
	return QueueFilter{IDs: q["id"], Sender: q.Get("sender"), NullSender: q.Has("null_sender"), Recipient: q.Get("recipient"),
		Domain: q.Get("domain"), Site: q.Get("site"), State: q.Get("state"), Older: q.Get("older"), Younger: q.Get("younger")}
}

func (f QueueFilter) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"sender": f.Sender, "recipient": f.Recipient, "domain": f.Domain, "site": f.Site,
		"state": f.State, "older": f.Older, "younger": f.Younger} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.NullSender {
		q.Set("null_sender", "true")
	}
	if len(f.IDs) > 0 {
		q["id"] = f.IDs
	}
	return q
}
