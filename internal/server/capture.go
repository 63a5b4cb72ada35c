package server

import (
	"context"
	"io"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// captureHost is the host that the attempts of a capture name.
const captureHost = "capture"

// maxCaptureTrace leaves room for one more recipient within store.MaxTrace.
const maxCaptureTrace = store.MaxTrace - 4096

// capture is a courier that carries nothing away: all mail for elsewhere is
// filed for one account, where people who try things out can look at it.
type capture struct {
	store     *store.Store
	directory *directory.Directory
	to        mail.Address
	now       func() time.Time
}

// Carry files the message once, whatever the number of its recipients; the
// fields before it say to whom it would have gone.
func (c *capture) Carry(ctx context.Context, hop mail.NextHop, t mail.Transaction) []mail.Result {
	a := mail.Attempt{At: c.now(), Host: captureHost, Phase: mail.PhaseAnswer, Ours: true}
	if err := c.file(ctx, hop, t); err != nil {
		a.Outcome, a.Enhanced, a.Text = mail.Deferred, "4.3.0", "the message could not be filed for "+c.to.String()
	} else {
		a.Outcome, a.Enhanced, a.Text = mail.Delivered, "2.0.0", "captured for "+c.to.String()
	}
	a.Took = c.now().Sub(a.At)
	results := make([]mail.Result, len(t.Recipients))
	for i := range results {
		results[i] = mail.Result{Outcome: a.Outcome, Attempts: []mail.Attempt{a}}
	}
	return results
}

func (c *capture) file(ctx context.Context, hop mail.NextHop, t mail.Transaction) error {
	who, err := c.directory.Resolve(ctx, c.to)
	if err != nil {
		return err
	}
	octets, err := t.Content()
	if err != nil {
		return err
	}
	defer octets.Close()
	in := c.store.NewIncoming()
	defer in.Close()
	if _, err := io.Copy(in, octets); err != nil {
		return err
	}
	var filings []store.Filing
	trace := c.trace(hop, t)
	for _, a := range who.Accounts {
		filings = append(filings, store.Filing{Account: a, Role: mail.RoleInbox, Trace: trace, Received: c.now()})
	}
	_, err = c.store.Deliver(ctx, in, filings)
	return err
}

func (c *capture) trace(hop mail.NextHop, t mail.Transaction) []byte {
	trace := []byte("Return-Path: <" + t.ReversePath.String() + ">\r\nDelivered-To: " + c.to.String() + "\r\n")
	for _, r := range t.Recipients {
		if len(trace) > maxCaptureTrace {
			break
		}
		trace = append(trace, "X-Original-To: "+r.Address.String()+"\r\n"...)
	}
	return append(trace, "X-Captured-Site: "+hop.Site()+"\r\n"...)
}
