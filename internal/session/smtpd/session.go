package smtpd

import (
	"context"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/proto/sasl"
	"yubin/internal/proto/smtp"
	"yubin/internal/world/heap"
	"yubin/internal/world/obs"
)

// session is the state of one conversation. Its methods take what the client
// says and return replies; next tells the loop what to read then.
type session struct {
	srv    *Server
	id     string
	start  time.Time
	client Client
	state  states
	next   next
	esmtp  bool // greeted with EHLO or LHLO
	tls    tlsInfo
	plain  bool // logging in without TLS is allowed

	login login
	user  User // Local only
	tx    transaction
	share *heap.Share // of the memory of all sessions

	replies  []smtp.Reply // of the end of a message
	mails    int          // MAIL commands
	accepted int          // messages
	refused  int          // commands
	authFail int
	// Since the last accepted message:
	errors, refusals, idle, small int

	told     int        // refusals that stand in the log and the journal one by one
	untold   int        // those after
	lastTold smtp.Reply // of the last of these
}

// next is what the loop does after a reply.
type next uint8

const (
	readCommand next = iota
	readData
	readChunk
	readAuth
	handshake
	hangUp
)

// tlsInfo is what a session knows of its TLS connection.
type tlsInfo struct {
	on      bool
	number  uint16
	cipher  uint16
	binding func() sasl.Binding
}

func (t tlsInfo) version() string {
	if !t.on {
		return ""
	}
	return obs.TLS(t.number)
}

func (s *Server) newSession(c Client, loopback bool) *session {
	c.Profile = s.cfg.Profile
	return &session{
		srv:    s,
		id:     s.cfg.NewID(),
		start:  s.cfg.Now(),
		client: c,
		state:  fresh,
		plain:  loopback && s.cfg.AllowPlainLoopback,
	}
}

// secured is told that TLS is up. All that the client said before is forgotten
// (RFC 3207 §4.2).
func (s *session) secured(t tlsInfo) {
	s.reset()
	s.tls, s.client.TLS = t, true
	s.state, s.esmtp, s.client.Hello = fresh, false, ""
	s.client.Authenticated, s.client.Principal = false, mail.Principal{}
}

func (s *session) greeting() smtp.Reply {
	protocol := " ESMTP yubin"
	if s.client.Profile == LMTP {
		protocol = " LMTP yubin"
	}
	return smtp.Reply{Code: 220, Text: string(s.srv.cfg.Hostname) + protocol}
}

// note counts what was refused.
func (s *session) note(verb smtp.Verb, r smtp.Reply) {
	if r.Code < 500 {
		return
	}
	s.refused++
	if verb == smtp.RCPT {
		s.refusals++
	} else {
		s.errors++
	}
}

// overLimits returns the 421 for a client that gets nowhere.
func (s *session) overLimits() (r smtp.Reply, over bool) {
	l := &s.srv.limits
	switch {
	case s.errors >= l.Errors:
		return status(421, 4, 7, 0, "too many errors; closing"), true
	case s.refusals >= l.Refusals:
		return status(421, 4, 7, 0, "too many unknown recipients; closing"), true
	case s.idle >= l.Idle:
		return status(421, 4, 7, 0, "too many commands without a message; closing"), true
	case s.small > l.SmallChunks:
		return status(421, 4, 7, 0, "too many small chunks; closing"), true
	case s.authFail >= l.AuthFailures:
		return status(421, 4, 7, 0, "too many failed logins; closing"), true
	case s.tx.commands > 2*l.Recipients:
		return status(421, 4, 5, 3, "more than LIMITS allows; closing"), true
	}
	return smtp.Reply{}, false
}

// reset drops the transaction.
func (s *session) reset() {
	s.tx.reset()
	s.client.ReversePath = mail.ReversePath{}
	if s.state != fresh {
		s.state = ready
	}
}

// hello is EHLO, HELO and LHLO (RFC 5321 §4.1.1.1, RFC 2033 §4.1). It also
// ends a transaction, as RSET does.
func (s *session) hello(_ context.Context, cmd smtp.Command) smtp.Reply {
	c := cmd.(smtp.Hello)
	s.state = ready
	s.reset()
	s.esmtp, s.client.Hello = c.Greeting != smtp.HELO, c.Name
	if !s.esmtp {
		return smtp.Reply{Code: 250, Text: string(s.srv.cfg.Hostname)}
	}
	return smtp.Reply{Code: 250, Text: s.offers()}
}

func (s *session) rset(context.Context, smtp.Command) smtp.Reply {
	s.reset()
	return status(250, 2, 0, 0, "ok")
}

func (s *session) noop(context.Context, smtp.Command) smtp.Reply {
	return status(250, 2, 0, 0, "ok")
}

func (s *session) quit(context.Context, smtp.Command) smtp.Reply {
	s.next = hangUp
	return status(221, 2, 0, 0, "bye")
}

// vrfy tells nothing: who may know finds out with RCPT (RFC 5321 §7.3).
func (s *session) vrfy(context.Context, smtp.Command) smtp.Reply {
	return status(252, 2, 5, 0, "cannot verify, but RCPT will tell")
}

func (s *session) expn(context.Context, smtp.Command) smtp.Reply {
	return status(502, 5, 5, 1, "lists are not expanded here")
}

// help lists the commands, or shows the syntax of one.
func (s *session) help(_ context.Context, cmd smtp.Command) smtp.Reply {
	topic := smtp.ParseVerb(cmd.(smtp.Help).Topic)
	if row := s.srv.commands[topic]; topic != smtp.Unknown && row.profiles.has(s.client.Profile) {
		return status(214, 2, 0, 0, row.syntax)
	}
	var names []string
	for verb, row := range s.srv.commands {
		if row.run != nil && row.profiles.has(s.client.Profile) {
			names = append(names, smtp.Verb(verb).String())
		}
	}
	return status(214, 2, 0, 0, strings.Join(names, " "))
}

func (s *session) startTLS(context.Context, smtp.Command) smtp.Reply {
	if s.tls.on {
		return status(503, 5, 5, 1, "TLS is on already")
	}
	s.next = handshake
	return status(220, 2, 0, 0, "go ahead")
}
