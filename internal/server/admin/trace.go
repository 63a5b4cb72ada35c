package admin

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/journal"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// What is known of messages: how they came, where they were filed, what the
// queue did with them, and what was refused.
//
//	GET /v1/trace?about&since&limit   Trace
//
// about is an address, a Message-ID, or the name of a session or transaction;
// since is a time of RFC 3339.

// Limits of one trace.
const (
	MaxTrace  = 1000 // things told
	maxPlaces = 500  // copies in mailboxes that are looked for
)

// Journal is the memory of what came in: journal.Journal is.
type Journal interface {
	Find(ctx context.Context, needle string, since time.Time, limit int) ([]journal.Entry, error)
	Came(ctx context.Context, transaction string, at time.Time) (journal.Entry, error)
	Keep() time.Duration
	Begins() (time.Time, error)
}

// Shelves knows where mail is filed; the Store of a Config may be one.
type Shelves interface {
	MailboxByID(context.Context, mail.AccountID, mail.MailboxID) (store.Mailbox, error)
	Rows(ctx context.Context, id mail.MailboxID, uids []mail.UID, need store.Need) ([]store.Row, int, error)
}

// Owners knows accounts by their numbers; the Accounts of a Config may be one.
type Owners interface {
	AccountByID(context.Context, mail.AccountID) (directory.Account, error)
}

// OwnService is the service of what this server wrote itself, such as a letter to postmaster.
const OwnService = "this server"

// Trace is the answer to a trace, the newest first.
type Trace struct {
	About    string    `json:"about"`
	Since    time.Time `json:"since,omitzero"`
	Keep     float64   `json:"keep_seconds,omitempty"` // how long what came in is remembered
	Begins   time.Time `json:"begins,omitzero"`        // the first day that is remembered
	Messages []Traced  `json:"messages"`
	More     bool      `json:"more,omitempty"` // and more, older than these
}

// Traced is one message, or one refusal, as far as it is known.
type Traced struct {
	Came  *Arrival      `json:"came,omitempty"`
	Queue *QueueMessage `json:"queue,omitempty"` // its way through the queue
}

func (t Traced) at() time.Time {
	if t.Came != nil {
		return t.Came.At
	}
	return t.Queue.Arrived
}

// Arrival is a message that came in, or a refusal.
type Arrival struct {
	At          time.Time `json:"at"`
	Kind        string    `json:"kind"` // accepted or refused
	Service     string    `json:"service,omitempty"`
	Session     string    `json:"session,omitempty"`
	Transaction string    `json:"transaction,omitempty"`
	Client      string    `json:"client,omitempty"` // address and port
	Hello       string    `json:"hello,omitempty"`  // what the client called itself
	TLS         string    `json:"tls,omitempty"`
	User        string    `json:"user,omitempty"` // who logged in
	Sender      string    `json:"sender"`         // "" is <>
	Recipients  []string  `json:"recipients,omitempty"`
	MessageID   string    `json:"message_id,omitempty"`
	Size        int64     `json:"size,omitempty"`
	Seconds     float64   `json:"seconds,omitempty"`
	Item        int64     `json:"item,omitempty"` // its number in the queue
	Filed       []Place   `json:"filed,omitempty"`
	Code        int       `json:"code,omitempty"`
	Enhanced    string    `json:"enhanced,omitempty"`
	Text        string    `json:"text,omitempty"`
	Verdict     []string  `json:"verdict,omitempty"` // what was thought of the message, and each reason
}

// Place is a copy in a mailbox. Account and Mailbox are "" if they are gone.
type Place struct {
	Account string `json:"account,omitempty"`
	Mailbox string `json:"mailbox,omitempty"`
	UID     uint32 `json:"uid"`
	There   *bool  `json:"there,omitempty"` // still; absent if nobody looked
	Copy    string `json:"copy,omitempty"`  // the rule that made it, if it is a copy for somebody who is no recipient
}

func (h *Handler) trace(r *http.Request) (any, error) {
	query := r.URL.Query()
	t := Trace{About: strings.TrimSpace(query.Get("about")), Messages: []Traced{}}
	if t.About == "" {
		return nil, mail.Errorf(mail.Invalid, "give an address, a Message-ID or the name of a session")
	}
	if h.Journal == nil && h.Queue == nil {
		return nil, mail.Errorf(mail.Unavailable, "this server remembers nothing")
	}
	limit, err := pageLimit(query, MaxTrace)
	if err != nil {
		return nil, err
	}
	if s := query.Get("since"); s != "" {
		if t.Since, err = time.Parse(time.RFC3339, s); err != nil {
			return nil, mail.Errorf(mail.Invalid, "%q is no time like 2026-07-25T12:00:00Z", s)
		}
	}
	err = h.fill(r.Context(), &t, limit)
	return t, err
}

func (h *Handler) fill(ctx context.Context, t *Trace, limit int) error {
	look := newPlaces()
	covered := map[spool.ItemID]bool{}
	if h.Journal != nil {
		if err := h.traceJournal(ctx, t, limit, look, covered); err != nil {
			return err
		}
	}
	if h.Queue != nil {
		if err := h.traceQueue(ctx, t, limit, look, covered); err != nil {
			return err
		}
	}
	slices.SortStableFunc(t.Messages, func(a, b Traced) int { return b.at().Compare(a.at()) })
	if len(t.Messages) > limit {
		t.Messages, t.More = t.Messages[:limit], true
	}
	return nil
}

// traceJournal adds what came in, with the stories of what went on.
func (h *Handler) traceJournal(ctx context.Context, t *Trace, limit int, look *places, covered map[spool.ItemID]bool) (err error) {
	t.Keep = h.Journal.Keep().Seconds()
	if t.Begins, err = h.Journal.Begins(); err != nil {
		return err
	}
	entries, err := h.Journal.Find(ctx, t.About, t.Since, limit+1)
	if err != nil {
		return err
	}
	names := h.sitesNamer()
	for _, e := range entries {
		one := Traced{}
		if one.Came, err = h.arrivalOf(ctx, e, look); err != nil {
			return err
		}
		if e.Item != 0 && h.Queue != nil && !covered[e.Item] {
			covered[e.Item] = true
			s, err := h.Queue.Show(ctx, e.Item)
			switch {
			case err == nil:
				one.Queue = queueMessageOf(s, names)
			case mail.KindOf(err) != mail.NotFound:
				return err
			}
		}
		t.Messages = append(t.Messages, one)
	}
	return nil
}

// traceQueue adds what the queue knows and the journal did not find: our own
// reports, and what came for an address that stands for the one sought.
func (h *Handler) traceQueue(ctx context.Context, t *Trace, limit int, look *places, covered map[spool.ItemID]bool) error {
	var before spool.ItemID
	names := h.sitesNamer()
	for found := 0; found <= limit; {
		page, err := h.Queue.Trace(ctx, t.About, t.Since, before, min(limit+1, queue.MaxTrace))
		if err != nil {
			return err
		}
		for _, s := range page {
			found++
			before = s.Item.ID
			if covered[s.Item.ID] || s.Item.Arrived.Before(t.Since) {
				continue
			}
			one := Traced{Queue: queueMessageOf(s, names)}
			if one.Came, err = h.came(ctx, s.Item, look); err != nil {
				return err
			}
			t.Messages = append(t.Messages, one)
		}
		if len(page) < min(limit+1, queue.MaxTrace) {
			return nil
		}
	}
	return nil
}

// came is how an item came, or nil.
func (h *Handler) came(ctx context.Context, it spool.Item, look *places) (*Arrival, error) {
	if h.Journal == nil || it.Transaction == "" {
		return nil, nil
	}
	e, err := h.Journal.Came(ctx, it.Transaction, it.Arrived)
	if mail.KindOf(err) == mail.NotFound && err != nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return h.arrivalOf(ctx, e, look)
}

func (h *Handler) arrivalOf(ctx context.Context, e journal.Entry, look *places) (*Arrival, error) {
	a := &Arrival{At: e.At.UTC(), Kind: e.Kind.String(), Service: e.Service, Session: e.Session, Transaction: e.Transaction, Hello: e.Hello,
		TLS: e.TLS, User: e.User, Sender: e.ReversePath.String(), MessageID: e.MessageID, Size: e.Size, Seconds: e.Took.Seconds(),
		Item: int64(e.Item), Code: e.Code, Enhanced: e.Enhanced, Text: e.Text}
	if e.Remote.IsValid() {
		a.Client = e.Remote.String()
	}
	if e.Verdict != "" {
		a.Verdict = strings.Split(e.Verdict, "; ")
	}
	for _, r := range e.Recipients {
		a.Recipients = append(a.Recipients, r.String())
	}
	for _, f := range e.Filed {
		p, err := h.place(ctx, f, look)
		if err != nil {
			return nil, err
		}
		a.Filed = append(a.Filed, p)
	}
	return a, nil
}

// places remembers what was asked within one request.
type places struct {
	owners    map[mail.AccountID]string
	mailboxes map[mail.MailboxID]string
	left      int // of maxPlaces
}

func newPlaces() *places {
	return &places{map[mail.AccountID]string{}, map[mail.MailboxID]string{}, maxPlaces}
}

// place says where a copy was filed, by names, and whether it is there.
func (h *Handler) place(ctx context.Context, f journal.Filed, look *places) (p Place, err error) {
	p.UID, p.Copy = uint32(f.UID), f.Copy
	if p.Account, err = h.owner(ctx, f.Account, look); err != nil {
		return p, err
	}
	shelves, ok := h.Store.(Shelves)
	if !ok || look.left == 0 {
		return p, nil
	}
	look.left--
	name, known := look.mailboxes[f.Mailbox]
	if !known {
		m, err := shelves.MailboxByID(ctx, f.Account, f.Mailbox)
		if err != nil && mail.KindOf(err) != mail.NotFound {
			return p, err
		}
		name = string(m.Name)
		look.mailboxes[f.Mailbox] = name
	}
	p.Mailbox = name
	there := false
	if name != "" {
		rows, _, err := shelves.Rows(ctx, f.Mailbox, []mail.UID{f.UID}, 0)
		if err != nil && mail.KindOf(err) != mail.NotFound {
			return p, err
		}
		there = len(rows) > 0
	}
	p.There = &there
	return p, nil
}

func (h *Handler) owner(ctx context.Context, id mail.AccountID, look *places) (string, error) {
	owners, ok := h.Accounts.(Owners)
	if name, known := look.owners[id]; known || !ok {
		return name, nil
	}
	a, err := owners.AccountByID(ctx, id)
	if err != nil && mail.KindOf(err) != mail.NotFound {
		return "", err
	}
	look.owners[id] = a.Address.String()
	return look.owners[id], nil
}
