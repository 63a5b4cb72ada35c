package pop3d

import (
	"context"
	"time"

	"yubin/internal/mail"
	"yubin/internal/proto/pop3"
	"yubin/internal/world/netx"
)

// session is the state of one connection.
type session struct {
	srv      *Server
	conn     *netx.Conn
	listener Listener
	began    time.Time

	state     states
	user      string // of USER, until PASS
	utf8      bool
	principal mail.Principal // zero before login
	toldAway  bool           // in the log
	drop      *maildrop      // in the Transaction state

	errors    int // commands not understood
	strange   int // commands before login
	failures  int // logins
	retrieved int // messages sent by RETR
	removed   int // messages
}

func newSession(srv *Server, c *netx.Conn, l Listener) *session {
	return &session{srv: srv, conn: c, listener: l, began: srv.cfg.Now(), state: authorization}
}

// answer is what a command has to say.
type answer struct {
	pop3.Reply
	lines func(*pop3.LineWriter) error // of a multi-line answer; an error breaks the connection
	then  func() error                 // after the answer was written
}

// ok is a single-line answer.
func ok(text string) (answer, error) { return answer{Reply: pop3.OK(text)}, nil }

func (s *session) noop(context.Context, pop3.Command) (answer, error) { return ok("") }

// capa is CAPA (RFC 2449 §5).
func (s *session) capa(context.Context, pop3.Command) (answer, error) {
	return listing("capabilities follow", s.offers()), nil
}

// enableUTF8 is UTF8 (RFC 6856 §2.1): messages are sent as they are.
func (s *session) enableUTF8(context.Context, pop3.Command) (answer, error) {
	s.utf8 = true
	return ok("UTF-8 it is")
}

// lang is LANG (RFC 6856 §3.2).
func (s *session) lang(_ context.Context, cmd pop3.Command) (answer, error) {
	r := cmd.Args.(pop3.Lang).Range
	if r == "" {
		var all []string
		for _, l := range pop3.Languages() {
			all = append(all, l.Tag+" "+l.Name)
		}
		return listing("languages follow", all), nil
	}
	l, known := pop3.MatchLanguage(r)
	if !known {
		return answer{}, mail.Errorf(mail.NotFound, "this language is not known here")
	}
	return ok(l.Tag + " " + l.Name + " it is")
}

// listing is a short multi-line answer.
func listing(text string, all []string) answer {
	return answer{Reply: pop3.OK(text), lines: func(w *pop3.LineWriter) error {
		for _, line := range all {
			if _, err := w.Write([]byte(line + "\r\n")); err != nil {
				return err
			}
		}
		return nil
	}}
}

// quit is QUIT: from the Transaction state it is the UPDATE state (RFC 1939
// §6). The lock is free before the client hears of it.
func (s *session) quit(ctx context.Context, _ pop3.Command) (answer, error) {
	bye := answer{Reply: pop3.OK("bye"), then: func() error { return errQuit }}
	if s.drop == nil {
		return bye, nil
	}
	removed, err := s.drop.update(ctx)
	s.removed = removed
	s.leave()
	if err != nil {
		s.logFailure("QUIT", err)
		bye.Reply = pop3.Reply{Code: pop3.SysTemp, Text: "some deleted messages were not removed"}
	}
	return bye, nil
}

// leave gives the maildrop back; nothing in it changes.
func (s *session) leave() {
	if s.drop != nil {
		s.drop.close()
		s.drop = nil
		s.srv.locks.give(s.principal.Account)
	}
}
