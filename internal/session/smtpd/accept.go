package smtpd

import (
	"context"
	"slices"
	"strconv"
	"time"

	"yubin/internal/engine/queue"
	"yubin/internal/engine/spool"
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
	verdict, cause := s.tx.content.fault, s.tx.content.cause
	if verdict.Code == 0 {
		verdict, cause = s.accept(ctx)
	}
	if !verdict.Positive() {
		s.reject(verdict, s.tx.addresses(false), cause)
	} else if again := s.tx.addresses(true); len(again) > 0 {
		s.reject(looped(), again, nil)
	}
	s.answerAll(verdict)
	s.reset()
	return s.replies
}

// addresses are the recipients; only those that looped, or all.
func (tx *transaction) addresses(looped bool) (list []mail.Address) {
	for _, r := range tx.recipients {
		if r.looped || !looped {
			list = append(list, r.address)
		}
	}
	return list
}

func (tx *transaction) allLooped() bool {
	return !slices.ContainsFunc(tx.recipients, func(r recipient) bool { return !r.looped })
}

func looped() smtp.Reply {
	return status(554, 5, 4, 6, "the message was delivered to this recipient before: a loop")
}

// findLoops marks the recipients of ours that a Delivered-To field names. Over
// SMTP there is one reply for all, so one loop refuses the message.
func (s *session) findLoops() {
	m := s.tx.content
	before := make(map[mail.Address]bool, len(m.header.DeliveredTo))
	for _, value := range m.header.DeliveredTo {
		if a, err := mail.ParseAddress(value); err == nil {
			before[a.Key()] = true
		}
	}
	if len(before) == 0 {
		return
	}
	for i := range s.tx.recipients {
		if r := &s.tx.recipients[i]; len(r.accounts) > 0 && before[r.address.Key()] {
			r.looped = true
			if s.client.Profile != LMTP {
				m.refuse(looped(), nil)
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
			s.replies = append(s.replies, looped())
		} else {
			s.replies = append(s.replies, verdict)
		}
	}
}

// accept gives the message to the Acceptor. A shutdown does not stop it: the
// client would not know who has the message. What all routes throw away is
// accepted and kept nowhere.
func (s *session) accept(ctx context.Context) (smtp.Reply, error) {
	if s.tx.allLooped() {
		return looped(), nil
	}
	ctx = context.WithoutCancel(ctx)
	m, now := s.tx.content, s.srv.cfg.Now()
	a := acceptance{size: m.in.Size(), spooled: s.onward()}
	received := appendReceived(make([]byte, 0, traceRoom), s.stamp(now))
	a.filings = s.filings(now, received)
	if len(a.filings)+len(a.spooled) > 0 {
		var err error
		a.filed, a.item, err = s.srv.cfg.Acceptor.Accept(ctx, m.in, a.filings, s.item(ctx, a.spooled, received, now), a.spooled)
		if err != nil {
			return replyTo(err), err
		}
	}
	s.accepted++
	s.errors, s.refusals, s.idle = 0, 0, 0
	r := a.reply(s.tx.id)
	s.recordAccepted(a, r)
	return r, nil
}

// acceptance is what became of a message that was accepted.
type acceptance struct {
	size    int64
	filings []store.Filing
	filed   []store.Filed
	spooled []queue.Recipient
	item    spool.ItemID
}

// reply tells the client the names under which the message can be traced.
func (a acceptance) reply(id string) smtp.Reply {
	text := "accepted as " + id
	if a.item != 0 {
		text += ", queued as " + strconv.FormatInt(int64(a.item), 10)
	}
	return status(250, 2, 0, 0, text)
}

// traceRoom is how long trace fields get in most cases, but for the Received.
const traceRoom = 256

// filings are one for each account, however many recipients led there; the
// first of them is named in Delivered-To.
func (s *session) filings(now time.Time, received []byte) []store.Filing {
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
		with:   with(s.client.Profile, s.esmtp, s.tx.mail.UTF8, s.tls.on, s.client.Authenticated),
		tls:    s.tls,
		id:     s.tx.id,
		at:     now,
	}
	if s.tx.mail.Given&smtp.ParamPriority != 0 {
		st.priority = strconv.Itoa(int(s.tx.priority))
	}
	if len(s.tx.recipients) == 1 {
		st.to = s.tx.recipients[0].address
	}
	return st
}
