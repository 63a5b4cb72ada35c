package server

import (
	"context"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// captureHost is the host that the attempts of a capture name.
const captureHost = "capture"

// maxCapturePrefix leaves room for one more recipient, and for whom it is captured,
// within store.MaxPrefix.
const maxCapturePrefix = store.MaxPrefix - 8192

// capture files all mail for elsewhere for one account, where people who try things
// out can look at it. Nothing is carried away.
type capture struct {
	store *Store
	to    mail.Address
	now   func() time.Time
}

// file files the message once, whatever the number of its recipients; the
// fields before it say to whom it would have gone.
func (c *capture) file(ctx context.Context, hop mail.NextHop, it spool.Item, t mail.Transaction, settle func(*sqldb.Tx, []mail.Result) error) ([]mail.Result, bool) {
	at := c.now()
	results := func(err error) []mail.Result {
		a := mail.Attempt{At: at, Took: c.now().Sub(at), Host: captureHost, Phase: mail.PhaseAnswer, Ours: true,
			Outcome: mail.Delivered, Enhanced: "2.0.0", Text: "captured for " + c.to.String()}
		if err != nil {
			a.Outcome, a.Enhanced, a.Text = mail.Deferred, "4.3.0", "the message could not be filed for "+c.to.String()
		}
		list := make([]mail.Result, len(t.Recipients))
		for i := range list {
			list[i] = mail.Result{Outcome: a.Outcome, Attempts: []mail.Attempt{a}}
		}
		return list
	}
	who, err := c.store.directory.Resolve(ctx, c.to)
	if err == nil {
		it.Arrived = at
		e := intake.Envelope{Item: fromQueue(it), Each: true, FromQueue: true}
		e.Prefix = c.prefix(hop, t)
		to := []intake.Recipient{{Address: c.to, Route: route.Routed{Accounts: who.Accounts}}}
		_, err = c.store.takeIn(ctx, t, e, to, func(tx *sqldb.Tx, _ intake.Receipt) error { return settle(tx, results(nil)) })
	}
	return results(err), err == nil
}

// prefix are the fields that say where the message would have gone.
func (c *capture) prefix(hop mail.NextHop, t mail.Transaction) (fields []byte) {
	for _, r := range t.Recipients {
		if len(fields) > maxCapturePrefix {
			break
		}
		fields = append(fields, "X-Original-To: "+r.Address.String()+"\r\n"...)
	}
	return append(fields, "X-Captured-Site: "+hop.Site()+"\r\n"...)
}
