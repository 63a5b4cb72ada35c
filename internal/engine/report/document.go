package report

import (
	"yubin/internal/engine/queue"
	"yubin/internal/proto/dsn"
)

// expired is "delivery time expired" (RFC 3463 §3.5), where nothing better is
// known of the reason.
var expired = dsn.Status{Class: dsn.Temporary, Subject: 4, Detail: 7}

// document is r in the nouns of the language of reports.
func (m *Maker) document(r queue.Report) dsn.Report {
	d := dsn.Report{
		ReportingMTA: dsn.DNS(m.cfg.Hostname),
		EnvelopeID:   dsn.EnvelopeID(r.Item.EnvID),
		Arrival:      r.Item.Arrived,
		DeliverBy:    r.Item.DeliverBy.At,
		HeldUntil:    r.Item.HoldUntil,
	}
	for _, t := range r.Recipients {
		d.Recipients = append(d.Recipients, recipient(t, r))
	}
	return d
}

func recipient(t queue.Told, r queue.Report) dsn.Recipient {
	p := dsn.Recipient{Final: dsn.Typed(t.Address), Action: actionOf(t.Action), FinalLogID: t.DeliveryID.String()}
	if original, err := dsn.ParseTyped(t.ORCPT); err == nil {
		p.Original = original
	}
	p.Attempted(t.Last)
	if t.Expired && (t.Last.At.IsZero() || p.Status.Subject == 0) {
		p.Status = expired
	}
	if t.Action == queue.ActionDelayed {
		p.WillRetryUntil = r.RetryUntil
	}
	return p
}

func actionOf(a queue.Action) dsn.Action {
	switch a {
	case queue.ActionDelayed:
		return dsn.Delayed
	case queue.ActionDelivered:
		return dsn.Delivered
	case queue.ActionRelayed:
		return dsn.Relayed
	case queue.ActionExpanded:
		return dsn.Expanded
	}
	return dsn.Failed
}

var _ queue.Reporter = (*Maker)(nil)
