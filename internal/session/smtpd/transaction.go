package smtpd

import (
	"context"
	"errors"

	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
)

// transaction is what MAIL started, and what there is of its message.
type transaction struct {
	id         string
	body       mail.Body
	utf8       bool
	recipients []recipient
	commands   int // RCPT commands
	copies     int // accounts, before duplicates are dropped
	content    *content
	chunk      chunk
}

// recipient is one RCPT that was accepted.
type recipient struct {
	address  mail.Address
	accounts []mail.AccountID
	looped   bool // a Delivered-To field says that it had this message before
}

// keptRecipients is how much room for recipients a session keeps.
const keptRecipients = 8

func (tx *transaction) reset() {
	if tx.content != nil {
		tx.content.close()
	}
	kept := tx.recipients
	clear(kept)
	if cap(kept) > keptRecipients {
		kept = nil
	}
	*tx = transaction{recipients: kept[:0]}
}

// mail is MAIL (RFC 5321 §4.1.1.2).
func (s *session) mail(ctx context.Context, cmd smtp.Command) smtp.Reply {
	c := cmd.(smtp.Mail)
	s.mails++
	s.client.ReversePath = c.ReversePath
	if r, cause := s.checkMail(ctx, c); !r.Positive() {
		s.logRejection(r, "", cause)
		s.reset()
		return r
	}
	s.tx.body, s.tx.utf8 = c.Body, c.UTF8
	s.state = mailed
	return status(250, 2, 1, 0, "ok")
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
	if s.client.Profile == Submission && !c.ReversePath.IsNull() {
		return s.checkSender(ctx, mail.Address(c.ReversePath))
	}
	return smtp.Reply{Code: 250}, nil
}

// checkSender says whether the principal may write as a.
func (s *session) checkSender(ctx context.Context, a mail.Address) (smtp.Reply, error) {
	may, err := s.srv.cfg.Identities.MayUse(ctx, s.client.Principal, a)
	switch {
	case err != nil:
		return replyTo(err), err
	case !may:
		return status(550, 5, 7, 1, "you may not send as "+a.String()), nil
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
	switch {
	case s.tx.commands > s.srv.limits.Recipients:
		return status(452, 4, 5, 3, "too many recipients")
	case c.NonASCII && !s.tx.utf8:
		r := status(553, 5, 6, 7, "an address beyond ASCII needs SMTPUTF8")
		s.logRejection(r, to.String(), nil)
		return r
	}
	return s.route(ctx, to)
}

func (s *session) route(ctx context.Context, to mail.Address) smtp.Reply {
	routed, err := s.srv.cfg.Router.Route(ctx, &s.client, to)
	if err == nil && len(routed.Accounts) == 0 {
		err = errors.New("smtpd: the router found no account and no error")
	}
	if err != nil {
		r := replyTo(err)
		s.logRejection(r, to.String(), err)
		return r
	}
	if s.tx.copies += len(routed.Accounts); s.tx.copies > s.srv.limits.Copies {
		s.tx.copies -= len(routed.Accounts)
		return status(452, 4, 5, 3, "too many recipients")
	}
	s.tx.recipients = append(s.tx.recipients, recipient{address: to, accounts: routed.Accounts})
	s.state = rcpted
	return status(250, 2, 1, 5, "ok")
}
