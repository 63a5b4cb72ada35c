package smtpd

import (
	"strconv"
	"time"

	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
)

// deliverByOffer is deliverby-param (RFC 2852 §2).
func (s *session) deliverByOffer() string { return seconds(s.srv.limits.DeliverBy) }

// futureReleaseOffer is the longest time, and when it would end (RFC 4865 §3).
func (s *session) futureReleaseOffer() string {
	until := s.srv.cfg.Now().Add(s.srv.limits.Hold).UTC()
	return seconds(s.srv.limits.Hold) + " " + until.Format(time.RFC3339)
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// extend takes what the parameters of MAIL ask for into the transaction, or
// says why that cannot be.
func (s *session) extend(c smtp.Mail) smtp.Reply {
	tx, now := &s.tx, s.srv.cfg.Now()
	tx.holdUntil = holdUntil(c, now)
	tx.deliverBy = deliverBy(c, now)
	by := time.Duration(c.By.Seconds) * time.Second
	switch hold := tx.holdUntil.Sub(now); {
	case !tx.holdUntil.IsZero() && hold > s.srv.limits.Hold:
		return status(501, 5, 5, 4, "a message is held for "+seconds(s.srv.limits.Hold)+" seconds at most")
	case c.By.Return && by < s.srv.limits.DeliverBy:
		return status(555, 5, 5, 4, "the time to deliver must be "+seconds(s.srv.limits.DeliverBy)+" seconds at least")
	case !tx.holdUntil.IsZero() && !tx.deliverBy.At.IsZero() && hold > by: // RFC 4865 §5.2.2
		return status(501, 5, 5, 4, "the message would be held beyond the time by which it is to be delivered")
	}
	return s.prioritize(c)
}

// holdUntil is when a message is released; zero if that is now.
func holdUntil(c smtp.Mail, now time.Time) time.Time {
	switch {
	case c.Given&smtp.ParamHoldFor != 0:
		return now.Add(time.Duration(c.HoldFor) * time.Second)
	case c.HoldUntil.After(now):
		return c.HoldUntil
	}
	return time.Time{}
}

func deliverBy(c smtp.Mail, now time.Time) mail.DeliverBy {
	if c.Given&smtp.ParamBy == 0 {
		return mail.DeliverBy{}
	}
	return mail.DeliverBy{At: now.Add(time.Duration(c.By.Seconds) * time.Second), Return: c.By.Return, Trace: c.By.Trace}
}

// prioritize sets the priority. Nobody raises it whom we do not know (RFC 6710
// §4.1); LMTP is spoken by those who trust each other.
func (s *session) prioritize(c smtp.Mail) smtp.Reply {
	s.tx.priority = c.Priority
	if c.Priority > 0 && !s.client.Authenticated && s.client.Profile != LMTP {
		s.tx.priority = 0
		return status(250, 2, 3, 6, "0 is the priority, as you are not logged in")
	}
	return status(250, 2, 1, 0, "ok")
}
