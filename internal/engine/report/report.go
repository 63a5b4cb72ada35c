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

	"yubin/internal/engine/forward"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/mail"
	"yubin/internal/proto/dsn"
	"yubin/internal/world/sqldb"
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

// Intake makes mail of a report: *intake.Intake.
type Intake interface {
	Begin(taps ...intake.Tap) *intake.Message
	Plan(ctx context.Context, m *intake.Message, e intake.Envelope, to []intake.Recipient) (*intake.Plan, error)
	Commit(ctx context.Context, p *intake.Plan, also ...intake.Also) (intake.Receipt, error)
}

// Config is what a Maker is made of. All fields are needed.
type Config struct {
	Hostname   mail.Domain // of this host, which reports
	Postmaster mail.Address
	Router     Router
	Languages  Languages
	Intake     Intake
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

// letter is a report that was written, and who gets it: nobody if both are empty.
type letter struct {
	item spool.Item         // its envelope
	to   []intake.Recipient // its reader
	once []queue.Recipient  // or those whom it did not reach in another form
}

// Tell implements queue.Reporter.
func (m *Maker) Tell(ctx context.Context, r queue.Report, also func(*sqldb.Tx, queue.Made) error) (queue.Made, error) {
	msg := m.cfg.Intake.Begin()
	defer msg.Close()
	l, err := m.write(ctx, r, msg)
	if err != nil {
		return queue.Made{}, err
	}
	p, err := m.plan(ctx, r, l, msg)
	if err != nil {
		return queue.Made{}, err
	}
	made := queue.Made{Form: l.item.Report}
	_, err = m.cfg.Intake.Commit(ctx, p, func(tx *sqldb.Tx, done intake.Receipt) error {
		made.Filed, made.Item = len(done.Filed) > 0, 0
		if len(done.Items) > 0 {
			made.Item = done.Items[0]
		}
		return also(tx, made)
	})
	return made, err
}

// plan says what becomes of a letter. It has the priority of the message that it is
// about (RFC 6710 §4.6).
func (m *Maker) plan(ctx context.Context, r queue.Report, l letter, msg *intake.Message) (*intake.Plan, error) {
	l.item.Arrived, l.item.Priority, l.item.About = m.cfg.Now(), r.Item.Priority, r.Item.ID
	if r.Item.Report != spool.NoReport {
		l.item.About = r.Item.About
	}
	switch {
	case len(l.once) > 0:
		return &intake.Plan{Message: msg, Items: []intake.Item{{Item: l.item, Recipients: l.once}}}, nil
	case len(l.to) == 0:
		return &intake.Plan{Message: msg}, nil
	}
	return m.cfg.Intake.Plan(ctx, msg, intake.Envelope{Item: l.item, Ours: true}, l.to)
}

// write writes the report that r asks for to w. If nobody can be told it gives an
// empty letter, and nothing is written; an error is temporary.
func (m *Maker) write(ctx context.Context, r queue.Report, w io.Writer) (letter, error) {
	if r.Item.ReversePath.IsNull() {
		return m.again(ctx, r, w)
	}
	to := mail.Address(r.Item.ReversePath)
	routed, err := m.cfg.Router.Route(ctx, route.Question{Recipient: to, Ours: true})
	switch {
	case err != nil && isTemporary(err):
		return letter{}, fmt.Errorf("find the way to the sender: %w", err)
	case err != nil, len(routed.Accounts)+len(routed.Onward) == 0:
		return m.unreachable(ctx, r, to, err, w)
	}
	if r.Item.Language == "" {
		if r.Item.Language, err = m.language(ctx, routed); err != nil {
			return letter{}, err
		}
	}
	return m.tell(w, r, to, routed)
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

// tell writes a report for its sender.
func (m *Maker) tell(w io.Writer, r queue.Report, to mail.Address, routed route.Routed) (letter, error) {
	original, err := r.Open()
	if err != nil {
		return letter{}, fmt.Errorf("open the message to report of: %w", err)
	}
	defer original.Close()
	now := m.cfg.Now()
	doc, err := dsn.New(m.document(r), m.options(r, routed, original, now))
	if err != nil {
		return letter{}, err
	}
	if _, err := doc.WriteTo(w); err != nil {
		return letter{}, err
	}
	l := letterOf(doc, to, routed)
	l.item.RequireTLS, l.item.Report = r.Item.RequireTLS, spool.WholeReport
	return l, nil
}

// returned is how much of the message a report returns: of one that demands TLS
// only the header, for its way back may have none (RFC 8689 §5).
func returned(it spool.Item) mail.Ret {
	if it.RequireTLS {
		return mail.RetHeaders
	}
	return it.Ret
}

func (m *Maker) options(r queue.Report, routed route.Routed, original io.Reader, now time.Time) dsn.Options {
	o := dsn.Options{
		To:       shownTo(r.Item.ReversePath, routed),
		Copy:     r.Item.Cause.Rule(),
		Forward:  r.Item.Cause == spool.KeptForward,
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

// shownTo is whom a report is to, for people: who is behind a reverse-path that
// engine/forward made, be that the sender or the postmaster.
func shownTo(path mail.ReversePath, routed route.Routed) mail.ReversePath {
	switch {
	case !forward.Looks(mail.Address(path)) || len(routed.Accounts)+len(routed.Onward) == 0:
		return path
	case len(routed.Accounts) == 0 && len(routed.Onward) == 1:
		return mail.ReversePath(routed.Onward[0].Address)
	}
	return mail.ReversePath{Local: "postmaster", Domain: path.Domain}
}

// languagesOf is the language of a tag, if reports are written in it.
func languagesOf(tag string) []dsn.Language {
	if l, err := dsn.ParseLanguage(tag); err == nil {
		return []dsn.Language{l}
	}
	return nil
}

// letterOf is a report for one reader. Nobody is told what becomes of it (RFC 3461
// §6.1).
func letterOf(doc *dsn.Message, to mail.Address, routed route.Routed) letter {
	return letter{item: itemOf(doc), to: []intake.Recipient{{Address: to, Route: routed, Notify: mail.NotifyNever}}}
}

// itemOf is the envelope of a report.
func itemOf(doc *dsn.Message) spool.Item {
	e := doc.Envelope()
	return spool.Item{Outgoing: mail.Outgoing{Body: e.Body, UTF8: e.UTF8}, MessageID: "<" + doc.MessageID() + ">"}
}
