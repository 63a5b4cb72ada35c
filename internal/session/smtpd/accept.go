package smtpd

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"yubin/internal/engine/filter"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/judge"
	"yubin/internal/engine/spool"
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
	verdict, cause := s.tx.content.fault, s.tx.content.cause
	switch why := netx.ShownOut(ctx); {
	case why != nil:
		verdict, cause = farewell(ctx), why
	case verdict.Code == 0:
		verdict, cause = s.accept(ctx)
	}
	if !verdict.Positive() && (s.client.Profile != LMTP || !s.tx.someRefused()) {
		s.reject(verdict, s.tx.addresses(), cause)
	}
	s.answerAll(verdict)
	s.reset()
	return s.replies
}

// answerAll makes the replies of verdict; who was refused alone has one of its own.
func (s *session) answerAll(verdict smtp.Reply) {
	s.replies = s.replies[:0]
	if s.client.Profile != LMTP {
		s.replies = append(s.replies, verdict)
		return
	}
	for _, r := range s.tx.recipients {
		switch {
		case r.added:
			continue
		case r.refused == nil:
			s.replies = append(s.replies, verdict)
			continue
		}
		own := replyTo(r.refused)
		s.replies = append(s.replies, own)
		s.reject(own, []mail.Address{r.Address}, r.refused)
	}
}

// addresses are the recipients.
func (tx *transaction) addresses() (list []mail.Address) {
	for _, r := range tx.recipients {
		list = append(list, r.Address)
	}
	return list
}

func (tx *transaction) someRefused() bool {
	return slices.ContainsFunc(tx.recipients, func(r recipient) bool { return r.refused != nil })
}

// accept brings the message to the Intake: what becomes of it is planned there, and
// committed. A shutdown does not stop it: the client would not know who has the
// message. What all routes throw away is accepted and kept nowhere.
func (s *session) accept(ctx context.Context) (smtp.Reply, error) {
	ctx = context.WithoutCancel(ctx)
	m := s.tx.content
	if r := s.filter(ctx); !r.Positive() {
		return r, nil
	}
	to := make([]intake.Recipient, len(s.tx.recipients))
	for i, r := range s.tx.recipients {
		to[i] = r.Recipient
	}
	if s.tx.judged != nil {
		if err := m.held.Grow(s.tx.judged.Memory() + judge.Reading(m.in.Size())); err != nil {
			return replyTo(err), err
		}
	}
	taken, err := s.take(ctx, to)
	if err != nil {
		return replyTo(err), err
	}
	plan, err := s.srv.cfg.Intake.Plan(ctx, m.in, s.envelope(ctx, s.srv.cfg.Now()), to)
	if err != nil {
		taken.Undo()
		return replyTo(err), err
	}
	a := acceptance{size: m.in.Size()}
	a.Receipt, err = s.srv.cfg.Intake.Commit(ctx, plan)
	for i := range s.tx.recipients {
		s.tx.recipients[i].refused = a.Refusal(i)
	}
	if err != nil {
		taken.Undo()
		return replyTo(err), err
	}
	s.accepted++
	s.brought()
	s.errors, s.refusals, s.idle, s.small = 0, 0, 0, 0
	s.tellAccepted(a.Receipt)
	r := a.reply(s.tx.id)
	s.recordAccepted(a, r)
	return r, nil
}

// tellAccepted tells those who remember who wrote to whom.
func (s *session) tellAccepted(r intake.Receipt) {
	if s.tx.judged != nil {
		var accounts []mail.AccountID
		for _, f := range r.Plan.Filings {
			if f.Copy == "" {
				accounts = append(accounts, f.Account)
			}
		}
		s.tx.judged.Taken(accounts)
	}
	if s.client.Principal.Account != 0 && s.srv.cfg.Wrote != nil {
		s.srv.cfg.Wrote(s.client.Principal.Account, s.tx.addresses()...)
	}
}

// envelope is what came with the message. Its Received field goes before every copy
// of it.
func (s *session) envelope(ctx context.Context, now time.Time) intake.Envelope {
	m := s.tx.mail
	e := intake.Envelope{
		Each:     s.client.Profile == LMTP,
		Stranger: s.client.Profile == MX && (s.srv.cfg.Trusted == nil || !s.srv.cfg.Trusted(s.client.Remote.Addr())),
		Item: spool.Item{
			Prefix: s.received(now),
			Outgoing: mail.Outgoing{
				ReversePath: m.ReversePath, Body: s.body(), UTF8: m.UTF8, RequireTLS: m.RequireTLS,
				Ret: m.Ret, EnvID: m.EnvID, Priority: s.tx.priority, DeliverBy: s.tx.deliverBy,
			},
			Arrived:     now,
			HoldUntil:   s.tx.holdUntil,
			Transaction: s.tx.id,
			MessageID:   s.messageID(),
		},
	}
	if s.tx.judged != nil {
		e.Judge = s.tx.judged
	} else if s.tx.aside {
		e.Judge = filter.Aside{}
	}
	if s.client.Profile == Local && s.client.Principal.Account == 0 { // Nobody's address is an account's.
		e.SignFor = cmp.Or(s.tx.content.author, s.client.Principal.Address.Domain)
	}
	if s.client.Authenticated {
		e.Account = s.client.Principal.Account
		if s.srv.cfg.Language != nil && s.tx.spooled > 0 {
			e.Language = s.srv.cfg.Language(ctx, s.client.Principal)
		}
	}
	return e
}

// body is what a next hop must take. Quirk: some clients send 8-bit text without
// a word; it is not to get lost at a host that takes 7 bits. Whether this one did
// is not known if it was not to go on when it came.
func (s *session) body() mail.Body {
	if s.tx.mail.Body == mail.Body7Bit && (s.tx.content.high || !s.tx.content.onward) {
		return mail.Body8BitMIME
	}
	return s.tx.mail.Body
}

// acceptance is what became of a message that was accepted.
type acceptance struct {
	intake.Receipt
	size int64
}

// item is what the queue has of the message; zero if it has none.
func (a acceptance) item() spool.ItemID {
	if len(a.Items) == 0 || a.Plan.Items[0].Copy != "" { // Of copies for others the client hears nothing.
		return 0
	}
	return a.Items[0]
}

// reply tells the client the names under which the message can be traced.
func (a acceptance) reply(id string) smtp.Reply {
	text := "accepted as " + id
	if item := a.item(); item != 0 {
		text += ", queued as " + strconv.FormatInt(int64(item), 10)
	}
	return status(250, 2, 0, 0, text)
}

// receivedRoom is how long a Received field gets in most cases.
const receivedRoom = 320

// hiddenClient stands in Received for a client that is not told of.
const hiddenClient = "authenticated-user"

func (s *session) received(now time.Time) []byte {
	b := make([]byte, 0, receivedRoom)
	if s.client.Profile == Local {
		return appendLocal(b, s.stamp(now), s.user)
	}
	return appendReceived(b, s.stamp(now))
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
	if s.srv.cfg.HideClient && s.client.Authenticated {
		st.hello, st.remote = hiddenClient, netip.Addr{}
	}
	if len(s.tx.recipients) == 1 {
		st.to = s.tx.recipients[0].Address
	}
	return st
}
