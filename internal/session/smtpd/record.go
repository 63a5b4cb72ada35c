package smtpd

import (
	"fmt"

	"yubin/internal/engine/bans"
	"yubin/internal/engine/journal"
	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
)

// maxTold is how many refusals of one session the log and the journal tell one
// by one; the others are one line and one entry at its end.
const maxTold = 20

// reject tells the log and the journal of a refused sender, recipient or
// message: to is nobody, one, or all.
func (s *session) reject(r smtp.Reply, to []mail.Address, cause error) {
	if s.told >= maxTold {
		s.untold++
		s.lastTold = r
		return
	}
	s.told++
	var one string
	if len(to) == 1 {
		one = to[0].String()
	}
	s.logRejection(r, one, cause)
	if s.srv.cfg.Record == nil {
		return
	}
	e := s.entry(journal.Refused, r)
	e.Recipients = to
	if m := s.tx.content; m != nil {
		e.Transaction, e.Size, e.Took, e.MessageID = s.tx.id, m.size, e.At.Sub(m.started), s.messageID()
	}
	s.srv.cfg.Record(e)
}

// harmless is how many unknown recipients a stranger may name in a session before they
// count as what those do who gather addresses.
const harmless = 5

// offended tells what a stranger did.
func (s *session) offended(what bans.Offence) {
	if s.srv.cfg.Offended != nil && !s.client.Authenticated {
		s.srv.cfg.Offended(s.client.Remote.Addr(), what)
	}
}

// guessed is told of a recipient that was refused: who names many whom nobody knows, and
// brings no mail for anybody, gathers addresses. A few, or beside mail, count little: by session after
// session that adds up, too.
func (s *session) guessed(cause error) {
	switch {
	case s.client.Profile != MX || cause == nil || mail.KindOf(cause) != mail.NotFound:
	case s.accepted == 0 && s.refusals >= harmless:
		s.offended(bans.UnknownRecipient)
	default:
		s.offended(bans.StrayRecipient)
	}
}

// brought tells that mail of a stranger was taken.
func (s *session) brought() {
	if s.srv.cfg.Brought != nil && s.client.Profile == MX {
		s.srv.cfg.Brought(s.client.Remote.Addr())
	}
}

// logMore tells of the refusals that were not told one by one.
func (s *session) logMore() {
	if s.untold == 0 {
		return
	}
	r := s.lastTold
	r.Text = fmt.Sprintf("and %d more in this session, the last with: %s", s.untold, r.Text)
	s.logRejection(r, "", nil)
	if s.srv.cfg.Record != nil {
		e := s.entry(journal.Refused, r)
		e.More = s.untold - 1
		s.srv.cfg.Record(e)
	}
}

// recordAccepted tells the log and the journal of an accepted message.
func (s *session) recordAccepted(a acceptance, r smtp.Reply) {
	took := s.srv.cfg.Now().Sub(s.tx.content.started)
	s.logAccepted(a, took)
	if s.srv.cfg.Record == nil {
		return
	}
	e := s.entry(journal.Accepted, r)
	e.Transaction, e.Size, e.Took, e.MessageID, e.Item = s.tx.id, a.size, took, s.messageID(), a.item()
	for _, rcpt := range s.tx.recipients {
		if rcpt.refused == nil {
			e.Recipients = append(e.Recipients, rcpt.Address)
		}
	}
	for i, f := range a.Filed {
		e.Filed = append(e.Filed, journal.Filed{Account: a.Plan.Filings[i].Account, Mailbox: f.Mailbox, UID: f.UID, Copy: a.Plan.Filings[i].Copy})
	}
	s.srv.cfg.Record(e)
}

// entry is what all entries of a session have in common.
func (s *session) entry(kind journal.Kind, r smtp.Reply) journal.Entry {
	e := journal.Entry{
		At:          s.srv.cfg.Now(),
		Kind:        kind,
		Service:     s.client.Profile.String(),
		Session:     s.id,
		Remote:      s.client.Remote,
		Hello:       s.calls(),
		TLS:         s.tls.version(),
		User:        s.client.Principal.Address.String(),
		ReversePath: s.client.ReversePath,
		Code:        r.Code,
		Enhanced:    r.Enhanced.String(),
		Text:        r.Text,
	}
	if s.tx.judged != nil {
		e.Verdict = s.tx.judged.Summary()
	}
	return e
}

// maxLoggedID is how much of a Message-ID is told of.
const maxLoggedID = 400

// messageID is that of the header, or the one that we gave the message.
func (s *session) messageID() string {
	m := s.tx.content
	if len(m.header.MessageID) == 0 {
		return m.givenID
	}
	id := m.header.MessageID
	return clean(id[:min(len(id), maxLoggedID)])
}
