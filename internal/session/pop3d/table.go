package pop3d

import (
	"context"
	"errors"
	"strings"

	"yubin/internal/proto/pop3"
)

// states is a set of states of a session (RFC 1939 §3). In the UPDATE state nothing
// is read.
type states uint8

// The states.
const (
	authorization states = 1 << iota
	transaction

	anyState = authorization | transaction
)

// flags are what else the loop must know of a command.
type flags uint8

const (
	leadsNowhere flags = 1 << iota // nothing comes of it, however often it is sent
	needsTLS                       // a handshake must be possible
	endsGroup                      // nothing may be pipelined behind it (RFC 2595 §4)
)

// command is a row of the table. Run carries out the command in a state that allows
// it: an error of a kind becomes a reply; a *lost ends the session.
type command struct {
	states states
	flags  flags
	offer  func(*session) string // the line of CAPA that says that it is there; nil of the minimal commands
	run    func(*session, context.Context, pop3.Command) (answer, error)
}

// commandTable says what a verb needs and does. A verb without a row is unknown.
func commandTable() [pop3.Verbs]command {
	return [pop3.Verbs]command{
		pop3.RETR: {transaction, 0, nil, (*session).retr},
		pop3.DELE: {transaction, 0, nil, (*session).dele},
		pop3.TOP:  {transaction, 0, always("TOP"), (*session).top},
		pop3.LIST: {transaction, 0, nil, (*session).list},
		pop3.UIDL: {transaction, 0, always("UIDL"), (*session).uidl},
		pop3.STAT: {transaction, leadsNowhere, nil, (*session).stat},
		pop3.NOOP: {transaction, leadsNowhere, nil, (*session).noop},
		pop3.RSET: {transaction, leadsNowhere, nil, (*session).rset},
		pop3.QUIT: {anyState, 0, nil, (*session).quit},
		pop3.CAPA: {anyState, leadsNowhere, nil, (*session).capa},
		pop3.USER: {authorization, 0, (*session).offerUser, (*session).userName},
		pop3.PASS: {authorization, 0, nil, (*session).pass},
		pop3.AUTH: {authorization, 0, (*session).offerMechanisms, (*session).auth},
		pop3.STLS: {authorization, needsTLS | endsGroup, (*session).offerTLS, (*session).stls},
		pop3.UTF8: {authorization, leadsNowhere, always("UTF8 USER"), (*session).enableUTF8},
		pop3.LANG: {anyState, leadsNowhere, always("LANG"), (*session).lang},
	}
}

// offers are the lines of CAPA: those of the commands, then those that tell how the
// server behaves. What is announced without TLS must stay true in both states; STLS
// is the exception (RFC 2595 §4).
func (s *session) offers() (lines []string) {
	for i := range s.srv.commands {
		if offer := s.srv.commands[i].offer; offer != nil {
			if line := offer(s); line != "" {
				lines = append(lines, line)
			}
		}
	}
	lines = append(lines, "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER")
	if v := s.srv.cfg.Version; v != "" {
		lines = append(lines, "IMPLEMENTATION "+v)
	}
	return lines
}

func always(line string) func(*session) string {
	return func(*session) string { return line }
}

func (s *session) offerUser() string {
	if !s.mayLogIn() {
		return ""
	}
	return "USER"
}

func (s *session) offerMechanisms() string {
	list := s.mechanisms()
	if len(list) == 0 {
		return ""
	}
	return "SASL " + strings.Join(list, " ")
}

func (s *session) offerTLS() string {
	if s.state != authorization || !s.mayStartTLS() {
		return ""
	}
	return "STLS"
}

// forbidden says why the command of a row is not allowed now, nil if it is. A
// *dismissal ends the session.
func (s *session) forbidden(row *command) error {
	switch {
	case row.states&s.state == 0 && s.state == authorization:
		return errors.New("log in first")
	case row.states&s.state == 0:
		return errors.New("already logged in")
	case row.flags&needsTLS != 0 && !s.mayStartTLS():
		return errors.New("TLS is not available here, or on already")
	case row.flags&endsGroup != 0 && s.conn.Buffered() > 0:
		return &dismissal{"input came before the answer to this command"}
	}
	return nil
}
