// Package report tells senders what became of their mail: it makes the
// delivery reports that the queue asks for (RFC 3461 §6, RFC 3464, RFC 6522)
// and finds where they go. The sender of a message who has a mailbox here finds
// the report in it at once; for all others it is a message to be carried.
//
// The document itself is the language of proto/dsn. Its text is in the language
// of the sender's account, and in English for those whose language is not known.
//
// A report always gets through. One that a host refuses for its form (it is too
// large, needs an extension, quotes what the host dislikes) is made again, small:
// 7bit, with the header of the message alone. If that fails too, or the sender
// cannot be reached at all, the postmaster gets it. Each step is taken once, so
// there is no loop.
//
// A report streams: what it quotes of the message is never in memory as a whole.
// It starts nothing. There is no report to the null reverse-path (RFC 5321
// §4.5.5).
package report

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/dsn"
)

// Router finds where a sender gets mail.
type Router interface {
	Route(ctx context.Context, q route.Question) (route.Routed, error)
}

// Languages knows what language the owner of an account reads, as a tag (RFC
// 5646); "" if it is not known.
type Languages interface {
	Language(ctx context.Context, id mail.AccountID) (tag string, err error)
}

// Config is what a Maker is made of. All fields are needed.
type Config struct {
	Hostname   mail.Domain // of this host, which reports
	Postmaster mail.Address
	Router     Router
	Languages  Languages
	Now        func() time.Time
	NewID      func() string // dsn.MinID to dsn.MaxID letters and digits, random
}

// LostPerHour is how many reports that reach nobody the postmaster gets in an
// hour: mail with forged senders must not fill a mailbox. Of more there are a
// line in the log and an event.
const LostPerHour = 100

// Maker makes reports. Safe for concurrent use.
type Maker struct {
	cfg Config

	mu   sync.Mutex
	hour time.Time // since when lost are counted
	lost int
}

// New returns a Maker.
func New(cfg Config) *Maker { return &Maker{cfg: cfg} }

// Make writes the report that r asks for to w. If nobody can be told it gives an
// empty Made, and nothing is written; an error is temporary.
func (m *Maker) Make(ctx context.Context, r queue.Report, w io.Writer) (queue.Made, error) {
	if r.Item.ReversePath.IsNull() {
		return m.again(ctx, r, w)
	}
	to := mail.Address(r.Item.ReversePath)
	routed, err := m.cfg.Router.Route(ctx, route.Question{Recipient: to, Ours: true})
	switch {
	case err != nil && isTemporary(err):
		return queue.Made{}, fmt.Errorf("find the way to the sender: %w", err)
	case err != nil, len(routed.Accounts)+len(routed.Onward) == 0:
		return m.unreachable(ctx, r, to, err, w)
	}
	if r.Item.Language == "" {
		if r.Item.Language, err = m.language(ctx, routed); err != nil {
			return queue.Made{}, err
		}
	}
	return m.write(w, r, to, routed)
}

// language is what the first who has a mailbox here reads; "" if it is not known.
func (m *Maker) language(ctx context.Context, routed route.Routed) (tag string, err error) {
	if len(routed.Accounts) == 0 {
		return "", nil
	}
	if tag, err = m.cfg.Languages.Language(ctx, routed.Accounts[0]); err != nil && !isTemporary(err) {
		return "", nil
	}
	return tag, err
}

func isTemporary(err error) bool {
	switch mail.KindOf(err) {
	case mail.Internal, mail.Unavailable, mail.RateLimited:
		return true
	}
	return false
}

func (m *Maker) write(w io.Writer, r queue.Report, to mail.Address, routed route.Routed) (queue.Made, error) {
	original, err := r.Open()
	if err != nil {
		return queue.Made{}, fmt.Errorf("open the message to report of: %w", err)
	}
	defer original.Close()
	now := m.cfg.Now()
	doc, err := dsn.New(m.document(r), m.options(r, original, now))
	if err != nil {
		return queue.Made{}, err
	}
	if _, err := doc.WriteTo(w); err != nil {
		return queue.Made{}, err
	}
	made := queue.Made{Filings: m.filings(routed, to, now)}
	m.carry(&made, doc, routed)
	made.Item.RequireTLS, made.Item.Report = r.Item.RequireTLS, spool.WholeReport
	return made, nil
}

// returned is how much of the message a report returns: of one that demands TLS
// only the header, for its way back may have none (RFC 8689 §5).
func returned(it spool.Item) mail.Ret {
	if it.RequireTLS {
		return mail.RetHeaders
	}
	return it.Ret
}

func (m *Maker) options(r queue.Report, original io.Reader, now time.Time) dsn.Options {
	o := dsn.Options{
		To:       r.Item.ReversePath,
		From:     m.cfg.Postmaster,
		Date:     now,
		ID:       m.cfg.NewID(),
		Original: original,
		Body:     r.Item.Body,
		UTF8:     r.Item.UTF8,
		Ret:      returned(r.Item),
	}
	o.Languages = languagesOf(r.Item.Language)
	return o
}

// languagesOf is the language of a tag, if reports are written in it.
func languagesOf(tag string) []dsn.Language {
	if l, err := dsn.ParseLanguage(tag); err == nil {
		return []dsn.Language{l}
	}
	return nil
}

// filings are the copies for the sender's own mailboxes.
func (m *Maker) filings(routed route.Routed, to mail.Address, now time.Time) (list []store.Filing) {
	trace := []byte("Return-Path: <>\r\nDelivered-To: " + to.String() + "\r\n")
	for _, a := range routed.Accounts {
		list = append(list, store.Filing{Account: a, Role: mail.RoleInbox, Trace: trace, Received: now, Ours: true})
	}
	return list
}

// carry makes the report a message for those who are elsewhere. Nobody is told
// what becomes of it (RFC 3461 §6.1).
func (m *Maker) carry(made *queue.Made, doc *dsn.Message, routed route.Routed) {
	made.Item = itemOf(doc)
	for _, o := range routed.Onward {
		made.Recipients = append(made.Recipients, queue.Recipient{
			OutgoingRecipient: mail.OutgoingRecipient{Address: o.Address, Notify: mail.NotifyNever},
			Site:              o.Hop.Site(),
		})
	}
}

// itemOf is what is spooled of a report.
func itemOf(doc *dsn.Message) spool.Item {
	e := doc.Envelope()
	return spool.Item{Outgoing: mail.Outgoing{Body: e.Body, UTF8: e.UTF8}, MessageID: "<" + doc.MessageID() + ">"}
}
