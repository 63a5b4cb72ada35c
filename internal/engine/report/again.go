package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/mail"
	"yubin/internal/proto/dsn"
)

// again is what becomes of a report that could not be delivered. A small one
// goes to all who did not get it: what was refused for its form by one host
// comes to nobody twice.
func (m *Maker) again(ctx context.Context, r queue.Report, w io.Writer) (letter, error) {
	content, err := r.Open()
	if err != nil {
		return letter{}, fmt.Errorf("open the report that was not delivered: %w", err)
	}
	defer content.Close()
	doc, o, ok, err := dsn.Reopen(content)
	if err != nil {
		return letter{}, fmt.Errorf("read the report that was not delivered: %w", err)
	}
	if !ok { // It was not written by us as we are: its header says what it was.
		octets, err := r.Open()
		if err != nil {
			return letter{}, fmt.Errorf("open the report that was not delivered: %w", err)
		}
		defer octets.Close()
		return m.tellPostmaster(ctx, r, octets, mail.RetHeaders, w)
	}
	small, err := dsn.New(doc, o)
	if err != nil {
		return letter{}, err
	}
	if r.Item.Report == spool.WholeReport && slices.ContainsFunc(r.Recipients, isOfForm) {
		if _, err := small.WriteTo(w); err != nil {
			return letter{}, err
		}
		l := letter{item: itemOf(small)}
		l.item.RequireTLS, l.item.Report = r.Item.RequireTLS, spool.SmallReport
		for _, t := range r.Recipients {
			l.once = append(l.once, queue.Recipient{OutgoingRecipient: t.OutgoingRecipient, Site: t.Site, Via: t.Via})
		}
		return l, nil
	}
	if doc.Leading() == dsn.Delayed { // It is delivered yet, or there will be another report.
		return letter{}, nil
	}
	var b bytes.Buffer
	if _, err := small.WriteTo(&b); err != nil {
		return letter{}, err
	}
	return m.tellPostmaster(ctx, r, &b, mail.RetFull, w)
}

// isOfForm reports whether a host refused a report for what it is like, and not
// for where it goes. After DATA a host says little of why: what a report quotes
// may be what it does not like.
func isOfForm(t queue.Told) bool {
	a := t.Last
	if a.Outcome != mail.Failed {
		return false
	}
	s, _ := mail.ParseEnhanced(a.Enhanced)
	switch {
	case s.Subject == 6:
		return !a.Ours || s.Detail != 7 // The address needs SMTPUTF8, whatever the form.
	case s.Subject == 2 && (s.Detail == 2 || s.Detail == 3), s.Subject == 3 && s.Detail == 4:
		return true
	case a.Ours || s.Subject == 1 || s.Subject == 2:
		return false
	}
	return a.Code == 552 || a.Phase >= mail.PhaseData || a.Phase == mail.PhaseMail && slices.Contains([]int{501, 504, 555}, a.Code)
}

// unreachable is what becomes of a report to a sender whom no mail can reach,
// for a reason or for want of a mailbox.
func (m *Maker) unreachable(ctx context.Context, r queue.Report, to mail.Address, reason error, w io.Writer) (letter, error) {
	if !slices.ContainsFunc(r.Recipients, func(t queue.Told) bool { return t.Action == queue.ActionFailed }) {
		return letter{}, nil
	}
	original, err := r.Open()
	if err != nil {
		return letter{}, fmt.Errorf("open the message to report of: %w", err)
	}
	defer original.Close()
	now := m.cfg.Now()
	o := m.options(r, route.Routed{}, original, now)
	o.Ret, o.SevenBit = mail.RetHeaders, true
	small, err := dsn.New(m.document(r), o)
	if err != nil {
		return letter{}, err
	}
	var b bytes.Buffer
	if _, err := small.WriteTo(&b); err != nil {
		return letter{}, err
	}
	a := mail.Attempt{At: now, Phase: mail.PhaseRoute, Enhanced: "5.1.0", Text: "no mail can reach this address", Ours: true, Outcome: mail.Failed}
	var rule *route.Refusal
	switch {
	case errors.As(reason, &rule):
		a.Enhanced, a.Text = rule.Enhanced, reason.Error()
	case mail.KindOf(reason) == mail.NotFound:
		a.Enhanced, a.Text = "5.1.1", reason.Error()
	}
	lost := queue.Told{Action: queue.ActionFailed}
	lost.Address, lost.Last, lost.DeliveryID = to, a, queue.DeliveryID{Item: r.Item.ID}
	r.Recipients = []queue.Told{lost}
	return m.tellPostmaster(ctx, r, &b, mail.RetFull, w)
}

// tellPostmaster writes what the postmaster gets about a report, which is
// returned: to whom of r it could not be delivered, and why.
func (m *Maker) tellPostmaster(ctx context.Context, r queue.Report, report io.Reader, ret mail.Ret, w io.Writer) (letter, error) {
	to := m.cfg.Postmaster
	routed, err := m.cfg.Router.Route(ctx, route.Question{Recipient: to, Ours: true})
	if err != nil && isTemporary(err) {
		return letter{}, fmt.Errorf("find the way to the postmaster: %w", err)
	}
	now := m.cfg.Now()
	if err != nil || len(routed.Accounts)+len(routed.Onward) == 0 || !m.mayTell(now) {
		return letter{}, nil
	}
	tag, err := m.language(ctx, routed)
	if err != nil {
		return letter{}, err
	}
	o := dsn.Options{To: mail.ReversePath(to), From: to, Date: now, ID: m.cfg.NewID(), Languages: languagesOf(tag), Original: report,
		Ret: ret, SevenBit: true, Lost: true}
	d := dsn.Report{ReportingMTA: dsn.DNS(m.cfg.Hostname), Arrival: r.Item.Arrived}
	for _, t := range r.Recipients {
		d.Recipients = append(d.Recipients, recipient(t, r))
	}
	doc, err := dsn.New(d, o)
	if err != nil {
		return letter{}, err
	}
	if _, err := doc.WriteTo(w); err != nil {
		return letter{}, err
	}
	l := letterOf(doc, to, routed)
	l.item.Report = spool.LostReport
	return l, nil
}

// mayTell counts what the postmaster gets.
func (m *Maker) mayTell(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.hour) >= time.Hour {
		m.hour, m.lost = now, 0
	}
	m.lost++
	return m.lost <= LostPerHour
}
