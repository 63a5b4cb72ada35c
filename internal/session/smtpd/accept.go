package smtpd

import (
	"context"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
)

// endMessage is told that all octets of the message came. It takes custody of
// the message or refuses it, and ends the transaction. LMTP wants a reply for
// each recipient, in order (RFC 2033 §4.2); SMTP one.
func (s *session) endMessage(ctx context.Context) []smtp.Reply {
	s.finish(ctx)
	s.findLoops()
	verdict := s.tx.content.fault
	if verdict.Code == 0 {
		verdict = s.accept(ctx)
	} else {
		s.logRejection(verdict, "", s.tx.content.cause)
	}
	s.answerAll(verdict)
	s.reset()
	return s.replies
}

var looped = status(554, 5, 4, 6, "the message was delivered to this recipient before: a loop")

// findLoops marks the recipients that a Delivered-To field names. Over SMTP
// there is one reply for all, so one loop refuses the message.
func (s *session) findLoops() {
	m := s.tx.content
	for _, value := range m.head.delivered {
		a, err := mail.ParseAddress(value)
		if err != nil {
			continue
		}
		for i := range s.tx.recipients {
			if r := &s.tx.recipients[i]; r.address.Key() == a.Key() {
				r.looped = true
				if s.client.Profile != LMTP {
					m.refuse(looped, nil)
				}
			}
		}
	}
}

// answerAll makes the replies of verdict.
func (s *session) answerAll(verdict smtp.Reply) {
	s.replies = s.replies[:0]
	if s.client.Profile != LMTP {
		s.replies = append(s.replies, verdict)
		return
	}
	for _, r := range s.tx.recipients {
		if r.looped && verdict.Positive() {
			s.replies = append(s.replies, looped)
		} else {
			s.replies = append(s.replies, verdict)
		}
	}
}

// accept gives the message to the Acceptor. A shutdown does not stop it: the
// client would not know who has the message.
func (s *session) accept(ctx context.Context) smtp.Reply {
	m, now := s.tx.content, s.srv.cfg.Now()
	filings := s.filings(now)
	if len(filings) == 0 {
		return looped
	}
	size := m.in.Size()
	if _, err := s.srv.cfg.Acceptor.Deliver(context.WithoutCancel(ctx), m.in, filings); err != nil {
		r := replyTo(err)
		s.logRejection(r, "", err)
		return r
	}
	s.accepted++
	s.errors, s.refusals, s.idle = 0, 0, 0
	s.logAccepted(&s.tx, size, len(filings), s.srv.cfg.Now().Sub(m.started))
	return status(250, 2, 0, 0, "accepted as "+s.tx.id)
}

// traceRoom is how long trace fields get in most cases, but for the Received.
const traceRoom = 256

// filings are one for each account, however many recipients led there; the
// first of them is named in Delivered-To.
func (s *session) filings(now time.Time) []store.Filing {
	received := appendReceived(make([]byte, 0, traceRoom), s.stamp(now))
	filings := make([]store.Filing, 0, s.tx.copies)
	var seen map[mail.AccountID]bool
	if s.tx.copies > 1 {
		seen = make(map[mail.AccountID]bool, s.tx.copies)
	}
	for _, r := range s.tx.recipients {
		if r.looped {
			continue
		}
		var trace []byte
		for _, id := range r.accounts {
			if seen[id] {
				continue
			}
			if trace == nil {
				trace = appendTrace(make([]byte, 0, len(received)+traceRoom), s.client.ReversePath, r.address, received)
			}
			if seen != nil {
				seen[id] = true
			}
			filings = append(filings, store.Filing{Account: id, Role: mail.RoleInbox, Trace: trace, Received: now})
		}
	}
	return filings
}

func (s *session) stamp(now time.Time) stamp {
	st := stamp{
		hello:  s.client.Hello,
		remote: s.client.Remote.Addr(),
		by:     s.srv.cfg.Hostname,
		with:   with(s.client.Profile, s.esmtp, s.tx.utf8, s.tls.on, s.client.Authenticated),
		tls:    s.tls,
		id:     s.tx.id,
		at:     now,
	}
	if len(s.tx.recipients) == 1 {
		st.to = s.tx.recipients[0].address
	}
	return st
}
