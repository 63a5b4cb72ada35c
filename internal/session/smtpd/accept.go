package smtpd

import (
	"context"
	"errors"
	"strconv"
	"time"

	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
	"yubin/internal/world/netx"
)

// endMessage is told that all octets of the message came. It takes custody of
// the message or refuses it, and ends the transaction. LMTP wants a reply for
// each recipient, in order (RFC 2033 §4.2); SMTP one. Whose session is shown out
// while the message comes sends nothing any more, not even what came to its end.
func (s *session) endMessage(ctx context.Context) []smtp.Reply {
	s.finish(ctx)
	s.findLoops()
	verdict, cause := s.tx.content.fault, s.tx.content.cause
	switch why := netx.ShownOut(ctx); {
	case why != nil:
		verdict, cause = farewell(ctx), why
	case verdict.Code == 0:
		verdict, cause = s.accept(ctx)
	}
	if !verdict.Positive() {
		s.reject(verdict, s.tx.addresses(), cause)
	}
	s.answerAll(verdict)
	s.reset()
	return s.replies
}

// addresses are the recipients.
func (tx *transaction) addresses() (list []mail.Address) {
	for _, r := range tx.recipients {
		list = append(list, r.address)
	}
	return list
}

func looped() smtp.Reply {
	return status(554, 5, 4, 6, "the message was delivered to this recipient before: a loop")
}

// findLoops refuses the recipients of ours that a Delivered-To field names.
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
			r.refused = looped()
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
		if r.refused.Code == 0 || !verdict.Positive() {
			s.replies = append(s.replies, verdict)
			continue
		}
		s.replies = append(s.replies, r.refused)
		s.reject(r.refused, []mail.Address{r.address}, r.cause)
	}
}

// maxRefusals is how often accounts may turn out to be gone or full while one
// message is accepted, each time others.
const maxRefusals = 4

// accept gives the message to the Acceptor. A shutdown does not stop it: the
// client would not know who has the message. What all routes throw away is
// accepted and kept nowhere. A recipient who turns out not to be able to have the
// message is no reason to refuse it for the others.
func (s *session) accept(ctx context.Context) (smtp.Reply, error) {
	ctx = context.WithoutCancel(ctx)
	m, now := s.tx.content, s.srv.cfg.Now()
	received := appendReceived(make([]byte, 0, traceRoom), s.stamp(now))
	for tries := 1; ; tries++ {
		if r := s.tx.allRefused(); r != nil {
			return r.refused, r.cause
		}
		if s.client.Profile != LMTP {
			s.tx.refusedGoOn()
		}
		a := acceptance{size: m.in.Size(), spooled: s.onward(), filings: s.filings(now, received)}
		if len(a.filings)+len(a.spooled) > 0 {
			var err error
			a.filed, a.item, err = s.srv.cfg.Acceptor.Accept(ctx, m.in, a.filings, s.item(ctx, a.spooled, received, now), a.spooled)
			var refused *store.Refused
			if errors.As(err, &refused) && tries <= maxRefusals {
				s.tx.refuse(refused)
				continue
			}
			if err != nil {
				return replyTo(err), err
			}
		}
		s.accepted++
		s.errors, s.refusals, s.idle, s.small = 0, 0, 0, 0
		r := a.reply(s.tx.id)
		s.recordAccepted(a, r)
		return r, nil
	}
}

// allRefused returns the first recipient if none can have the message.
func (tx *transaction) allRefused() *recipient {
	for _, r := range tx.recipients {
		if r.refused.Code == 0 {
			return nil
		}
	}
	return &tx.recipients[0]
}

// refuse takes the accounts that cannot have the message from the recipients.
// Who has no other is refused; else the queue has the account, which tries again
// or tells the sender.
func (tx *transaction) refuse(refused *store.Refused) {
	for i := range tx.recipients {
		r := &tx.recipients[i]
		var accounts []mail.AccountID
		var names []mail.Address
		var lost []route.Onward
		var why error
		for j, id := range r.accounts {
			name := r.address
			if j < len(r.names) {
				name = r.names[j]
			}
			if err := refused.Accounts[id]; err != nil {
				lost, why = append(lost, queuedHere(name)), err
			} else {
				accounts, names = append(accounts, id), append(names, name)
			}
		}
		switch {
		case why == nil:
		case len(accounts)+len(r.onward) == 0:
			r.refused, r.cause = replyTo(why), why
		default:
			r.accounts, r.names, r.onward = accounts, names, append(r.onward, lost...)
			tx.spooled += len(lost)
		}
	}
}

// refusedGoOn has the queue have the recipients that are refused. SMTP has one
// reply for all: the others get the message, and the sender is told of these by
// a report.
func (tx *transaction) refusedGoOn() {
	for i := range tx.recipients {
		if r := &tx.recipients[i]; r.refused.Code != 0 {
			r.accounts, r.names, r.onward = nil, nil, []route.Onward{queuedHere(r.address)}
			r.refused, r.cause = smtp.Reply{}, nil
			tx.spooled++
		}
	}
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
		if r.refused.Code != 0 {
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
