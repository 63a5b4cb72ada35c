package smtpd

import (
	"context"
	"crypto/tls"
	"strconv"
	"strings"

	"yubin/internal/engine/filter"
	"yubin/internal/engine/route"
	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
	"yubin/internal/world/obs"
)

// Filters asks filters of others: *filter.Panel.
type Filters interface {
	Open(ctx context.Context, c filter.Connection, from filter.Sender) (*filter.Case, filter.Answer)
}

// openFilters tells the filters who brings a message. A name of the client in the reverse
// zone is not looked up for them.
func (s *session) openFilters(ctx context.Context, c smtp.Mail) smtp.Reply {
	if s.srv.cfg.Filters == nil {
		return smtp.Reply{Code: 250}
	}
	s.tx.id = s.srv.cfg.NewID()
	from := filter.Sender{ReversePath: c.ReversePath}
	if c.Size > 0 {
		from.Params = append(from.Params, "SIZE="+strconv.FormatInt(c.Size, 10))
	}
	conn := filter.Connection{Hostname: s.srv.cfg.Hostname, Client: s.client.Remote, Hello: s.client.Hello, ID: s.tx.id}
	if s.tls.on {
		conn.TLS, conn.Cipher = "TLSv"+strings.TrimPrefix(s.tls.version(), "TLS"), tls.CipherSuiteName(s.tls.cipher)
	}
	if s.client.Authenticated {
		conn.User = s.client.Principal.Address.String()
	}
	var a filter.Answer
	s.tx.filtered, a = s.srv.cfg.Filters.Open(ctx, conn, from)
	return answered(a)
}

// filterRcpt tells the filters of a recipient that has a route.
func (s *session) filterRcpt(ctx context.Context, to mail.Address) smtp.Reply {
	if s.tx.filtered == nil {
		return smtp.Reply{Code: 250}
	}
	return answered(s.tx.filtered.Rcpt(ctx, filter.Recipient{Address: to}))
}

// answered is the reply for what a filter says; 250 if it lets the client go on.
func answered(a filter.Answer) smtp.Reply {
	r := smtp.Reply{Code: a.Reply.Code, Enhanced: a.Reply.Enhanced, Text: a.Reply.Text}
	switch {
	case a.Do < filter.Defer:
		return smtp.Reply{Code: 250}
	case a.Do == filter.Defer && (r.Code/100 != 4 || r.Code == 421): // The session is ours to end.
		r.Code = 451
	case a.Do == filter.Reject && r.Code/100 != 5:
		r.Code = 550
	}
	if r.Enhanced.IsZero() {
		r.Enhanced = mail.Enhanced{Class: uint16(r.Code / 100), Subject: 7, Detail: 1}
	}
	if r.Text == "" {
		r.Text = map[filter.Do]string{filter.Defer: "a filter of this server asks to try again later", filter.Reject: "a filter of this server refuses this"}[a.Do]
	}
	return r
}

// filter shows the message to the filters, and does what they say. The reply is
// not positive if nobody is to have the message.
func (s *session) filter(ctx context.Context) smtp.Reply {
	if s.tx.filtered == nil {
		return smtp.Reply{Code: 250}
	}
	m := s.tx.content
	r := s.tx.filtered.End(ctx, m.in)
	if r.Message != nil {
		m.in.Close()
		m.in, m.high = r.Message, true // What it has now nobody has seen.
		m.in.CountFor(s.share)
	}
	if reply := answered(r.Answer); !reply.Positive() {
		return reply
	}
	if r.Do == filter.Discard {
		for i := range s.tx.recipients {
			s.tx.recipients[i].Route = route.Routed{Discard: "(a filter)"}
		}
		return smtp.Reply{Code: 250}
	}
	if r.Sender != nil {
		s.tx.mail.ReversePath = *r.Sender
	}
	s.changeRecipients(ctx, r)
	if s.tx.judged != nil {
		s.tx.judged.Hear(r)
	}
	s.tx.aside = r.Quarantine != ""
	return smtp.Reply{Code: 250}
}

// changeRecipients takes recipients away, and adds others, which are routed as if the
// client had named them. One that cannot be is left out, and the log tells.
func (s *session) changeRecipients(ctx context.Context, r filter.Result) {
	for _, a := range r.Remove {
		for i := range s.tx.recipients {
			if s.tx.recipients[i].Address == a {
				s.tx.recipients[i].Route = route.Routed{Discard: "(a filter)"}
			}
		}
	}
	for _, a := range r.Add {
		before := len(s.tx.recipients)
		reply, err := s.route(ctx, a, smtp.Rcpt{})
		if !reply.Positive() {
			s.srv.cfg.Log.Warn("a filter adds a recipient who cannot have mail", obs.KeySession, s.id, obs.KeyTo, a.String(), obs.KeyStatus, reply.Code, obs.KeyReason, reply.Text, obs.Err(err))
			continue
		}
		s.tx.recipients[before].added = true
	}
}
