package smtpd

import (
	"context"
	"strings"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/sending"
	"yubin/internal/mail"
)

// isBounded reports whether what the client sends is bounded: it is an account's.
func (s *session) isBounded() bool {
	return s.srv.cfg.Sending != nil && s.submits() && s.client.Principal.Account != 0
}

// sender is who sends, and from where.
func (s *session) sender() sending.Sender {
	p := s.client.Principal
	return sending.Sender{Account: p.Account, Domain: p.Address.Domain, From: s.client.Remote.Addr()}
}

// may says whether the message may go to one recipient more. What is for our postmaster
// always may.
func (s *session) may(ctx context.Context, r *recipient) (err error) {
	r.ours = r.ours || strings.EqualFold(r.Address.Local, "postmaster") && s.srv.cfg.OurPostmaster != nil && s.srv.cfg.OurPostmaster(ctx, r.Address)
	if !s.isBounded() || r.ours {
		return nil
	}
	r.fresh, err = s.srv.cfg.Sending.May(ctx, s.sender(), r.Address, s.tx.fresh())
	return err
}

// fresh counts the recipients that are new to the account.
func (tx *transaction) fresh() (n int) {
	for _, r := range tx.recipients {
		if r.fresh {
			n++
		}
	}
	return n
}

// take counts the message, and marks those of its recipients that are held.
func (s *session) take(ctx context.Context, to []intake.Recipient) (sending.Taken, error) {
	if !s.isBounded() {
		return sending.Taken{}, nil
	}
	var fresh []mail.Address
	n := 0
	for _, r := range s.tx.recipients {
		if r.ours {
			continue
		}
		if n++; r.fresh {
			fresh = append(fresh, r.Address)
		}
	}
	if n == 0 {
		return sending.Taken{}, nil
	}
	taken, err := s.srv.cfg.Sending.Take(ctx, s.sender(), n, fresh)
	if taken.Hold != "" {
		for i, r := range s.tx.recipients {
			if !r.ours {
				to[i].Hold = queue.Hold{By: queue.HeldBySending, Note: taken.Hold}
			}
		}
	}
	return taken, err
}
