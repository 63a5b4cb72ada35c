package smtpd

import (
	"context"
	"errors"
	"strings"
	"time"

	"yubin/internal/engine/filter"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/judge"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
	"yubin/internal/world/heap"
)

// transaction is what MAIL started, and what there is of its message.
type transaction struct {
	id         string
	mail       smtp.Mail
	holdUntil  time.Time // zero if the message is not held
	deliverBy  mail.DeliverBy
	priority   int8
	recipients []recipient
	held       heap.Hold // for recipients
	memory     int       // that they take
	commands   int       // RCPT commands
	copies     int       // accounts and addresses elsewhere, before duplicates are dropped
	spooled    int       // rows that the queue would have, at most
	content    *content
	chunk      chunk
	judged     *judge.Case // nil if nobody judges the message
	waited     bool        // for what it says of the sender
	filtered   *filter.Case
	aside      bool // a filter wants it kept aside
}

// recipient is one RCPT that was accepted.
type recipient struct {
	intake.Recipient
	refused error // why it cannot have the message after all; nil if it can
	added   bool  // by a filter: the client did not name it
	fresh   bool  // the account never wrote to it, nor heard from it
	ours    bool  // our postmaster
}

// What a recipient, and each account or address it leads to, take of memory in
// octets, about.
const (
	recipientMemory = 512
	copyMemory      = 256
)

// keptRecipients is how much room for recipients a session keeps.
const keptRecipients = 8

func (tx *transaction) reset() {
	if tx.content != nil {
		tx.content.close()
	}
	if tx.judged != nil {
		tx.judged.Close()
	}
	if tx.filtered != nil {
		tx.filtered.Close()
	}
	kept := tx.recipients
	clear(kept)
	if cap(kept) > keptRecipients {
		kept = nil
	}
	tx.held.Release()
	*tx = transaction{recipients: kept[:0]}
}

// mail is MAIL (RFC 5321 §4.1.1.2).
func (s *session) mail(ctx context.Context, cmd smtp.Command) smtp.Reply {
	c := cmd.(smtp.Mail)
	s.mails++
	s.client.ReversePath = c.ReversePath
	r, cause := s.checkMail(ctx, c)
	if r.Positive() {
		r = s.extend(c)
	}
	if r.Positive() {
		if no := s.openFilters(ctx, c); !no.Positive() {
			r = no
		}
	}
	if !r.Positive() {
		s.reject(r, nil, cause)
		s.reset()
		return r
	}
	s.tx.mail = c
	s.state = mailed
	if s.srv.cfg.Judge != nil && s.client.Profile == MX {
		s.tx.judged = s.srv.cfg.Judge.Open(judge.Client{Remote: s.client.Remote.Addr(), Hello: s.client.Hello, TLS: s.tls.on}, c.ReversePath)
	}
	return r
}

func (s *session) checkMail(ctx context.Context, c smtp.Mail) (r smtp.Reply, cause error) {
	switch {
	case s.mails > s.srv.limits.Transactions:
		return status(421, 4, 5, 3, "too many messages in one session; connect again"), nil
	case c.Given&^s.offered() != 0:
		return status(555, 5, 5, 4, "this parameter is not known here"), nil
	case c.Size > s.srv.limits.MessageSize:
		return s.tooLarge(), nil
	case c.NonASCII && !c.UTF8:
		return status(550, 5, 6, 7, "an address beyond ASCII needs SMTPUTF8"), nil
	}
	if s.client.Profile == Local {
		if err := s.srv.cfg.Users.Take(s.user); err != nil {
			return replyTo(err), err
		}
	}
	if s.submits() && !c.ReversePath.IsNull() {
		return s.checkSender(ctx, mail.Address(c.ReversePath))
	}
	return smtp.Reply{Code: 250}, nil
}

// checkSender says whether the principal may write as a.
func (s *session) checkSender(ctx context.Context, a mail.Address) (smtp.Reply, error) {
	var may bool
	var err error
	switch {
	case s.client.Profile != Local:
		may, err = s.srv.cfg.Identities.MayUse(ctx, s.client.Principal, a)
	case s.user.Trusted:
		may = true
	default:
		may, err = s.srv.cfg.Users.MayUse(ctx, s.user, a)
	}
	switch {
	case err != nil:
		return replyTo(err), err
	case !may:
		return s.notAs(a, ""), nil
	}
	return smtp.Reply{Code: 250}, nil
}

func (s *session) tooLarge() smtp.Reply {
	return status(552, 5, 3, 4, "the message is too large")
}

// rcpt is RCPT (RFC 5321 §4.1.1.3).
func (s *session) rcpt(ctx context.Context, cmd smtp.Command) smtp.Reply {
	c := cmd.(smtp.Rcpt)
	to := c.ForwardPath
	if c.Postmaster {
		to = s.srv.cfg.Postmaster
	}
	s.tx.commands++
	r, cause := s.checkRcpt(c)
	if r.Positive() && !strings.EqualFold(to.Local, "postmaster") { // Who takes all (RFC 5321 §4.5.1).
		r, cause = s.checkForbidden(ctx)
	}
	if r.Positive() {
		n, copies, spooled, state := len(s.tx.recipients), s.tx.copies, s.tx.spooled, s.state
		if r, cause = s.route(ctx, to, c); r.Positive() {
			if no := s.filterRcpt(ctx, to); !no.Positive() {
				s.tx.recipients, s.tx.copies, s.tx.spooled, s.state = s.tx.recipients[:n], copies, spooled, state
				r = no
			}
		}
	}
	if !r.Positive() {
		s.reject(r, []mail.Address{to}, cause)
		s.guessed(cause)
	}
	return r
}

func (s *session) checkRcpt(c smtp.Rcpt) (r smtp.Reply, cause error) {
	switch {
	case s.tx.commands > s.srv.limits.Recipients:
		return tooManyRecipients(), nil
	case c.Given&^s.offered() != 0:
		return status(555, 5, 5, 4, "this parameter is not known here"), nil
	case c.NonASCII && !s.tx.mail.UTF8:
		return status(553, 5, 6, 7, "an address beyond ASCII needs SMTPUTF8"), nil
	}
	return smtp.Reply{Code: 250}, nil
}

// senderWait is how long the first RCPT waits for what the sender's domain says of
// itself. What is not known by then is looked at with the message.
const senderWait = time.Second

// checkForbidden refuses who writes from a domain that sends nothing.
func (s *session) checkForbidden(ctx context.Context) (smtp.Reply, error) {
	if s.tx.judged == nil {
		return smtp.Reply{Code: 250}, nil
	}
	wait := senderWait
	if s.tx.waited {
		wait = 0
	}
	s.tx.waited = true
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if err := s.tx.judged.Forbidden(ctx); err != nil {
		return replyTo(err), err
	}
	return smtp.Reply{Code: 250}, nil
}

func tooManyRecipients() smtp.Reply { return status(452, 4, 5, 3, "too many recipients") }

func (s *session) route(ctx context.Context, to mail.Address, c smtp.Rcpt) (smtp.Reply, error) {
	routed, err := s.srv.cfg.Router.Route(ctx, &s.client, to)
	copies := len(routed.Accounts) + len(routed.Onward)
	if err == nil && copies == 0 && routed.Discard == "" {
		err = errors.New("smtpd: the router found nowhere to go and no error")
	}
	if err != nil {
		return replyTo(err), err
	}
	if len(routed.Accounts) > 0 && !s.tx.holdUntil.IsZero() { // The queue has it until then (RFC 4865).
		routed, copies = route.Routed{Onward: []route.Onward{intake.QueuedHere(to)}}, 1
	}
	if err := s.room(ctx, routed); err != nil {
		return replyTo(err), err
	}
	spooled := len(routed.Onward)
	if c.Notify&mail.NotifySuccess != 0 {
		spooled++ // We may be the ones to report.
	}
	if s.tx.copies+copies > s.srv.limits.Copies || s.tx.spooled+spooled > queue.MaxRecipients {
		return tooManyRecipients(), nil
	}
	s.tx.held.Of(s.share)
	s.tx.memory += recipientMemory + copies*copyMemory + len(to.Local) + len(c.ORCPT)
	if err := s.tx.held.Grow(s.tx.memory); err != nil {
		return replyTo(err), err
	}
	r := recipient{Recipient: intake.Recipient{Address: to, Route: routed, Notify: c.Notify, ORCPT: c.ORCPT}, ours: c.Postmaster}
	if err := s.may(ctx, &r); err != nil {
		return replyTo(err), err
	}
	s.tx.copies += copies
	s.tx.spooled += spooled
	s.tx.recipients = append(s.tx.recipients, r)
	s.state = rcpted
	return status(250, 2, 1, 5, "ok"), nil
}

// room finds out whether anybody behind an address has room for the message. Who
// of several has none is found when it is filed.
func (s *session) room(ctx context.Context, routed route.Routed) (err error) {
	if s.srv.cfg.Room == nil || len(routed.Onward) > 0 {
		return nil
	}
	for _, account := range routed.Accounts {
		if err = s.srv.cfg.Room.Room(ctx, account, s.tx.mail.Size); err == nil {
			return nil
		}
	}
	return err
}
