package pop3d

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"yubin/internal/proto/pop3"
	"yubin/internal/proto/sasl"
	"yubin/internal/world/netx"
)

// Ends of a session that are not errors of the connection.
var (
	errQuit     = errors.New("pop3d: quit")
	errShutdown = errors.New("pop3d: the server is shutting down")
)

// dismissal ends a session with a reason for the client and the log.
type dismissal struct{ text string }

func (d *dismissal) Error() string { return d.text }

// lost is an error after which the client can be told nothing more, or nothing
// that it would not misread: of the connection, or in the middle of a message.
type lost struct{ err error }

func (l *lost) Error() string { return l.err.Error() }
func (l *lost) Unwrap() error { return l.err }

// run is the one loop of a connection.
func (s *session) run(ctx context.Context) {
	s.conn.SetReadTimeout(idleTimeout)
	s.conn.LimitReads(strangerTimeout)
	s.reply(pop3.OK(s.srv.cfg.Hostname + " POP3 ready"))
	var err error
	for err == nil {
		err = s.next(ctx)
	}
	if ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) { // Conn.Drain woke us.
		err = errShutdown
	}
	s.leave()
	s.goodbye(ctx, err)
	s.logEnd(ctx, err)
}

// next reads one command, runs it and writes its answer. The error ends the session.
func (s *session) next(ctx context.Context) error {
	if !s.conn.LineBuffered() {
		if err := s.conn.Flush(); err != nil {
			return &lost{err}
		}
	}
	if ctx.Err() != nil {
		return errShutdown
	}
	line, err := s.conn.ReadLine(s.maxLine())
	switch {
	case err == nil && len(line) > pop3.MaxLine && !isAuth(line):
		return s.fault(errors.New("the line is too long"))
	case err == nil:
		return s.execute(ctx, line)
	case err == netx.ErrLineTooLong:
		return s.tooLong()
	}
	return &lost{err}
}

// maxLine is how long a command may be now. Tokens are long, and clients send them with AUTH
// in one line: of all other commands it is still pop3.MaxLine.
func (s *session) maxLine() int {
	if s.state != authorization || !s.takesTokens() {
		return pop3.MaxLine
	}
	return pop3.MaxLine + sasl.MaxLine
}

// isAuth reports whether a line is AUTH with something behind it.
func isAuth(line []byte) bool {
	const auth = "AUTH "
	return len(line) > len(auth) && strings.EqualFold(string(line[:len(auth)]), auth)
}

// tooLong answers a line that was not read to its end, and drops the rest of it.
func (s *session) tooLong() error {
	if err := s.conn.SkipLine(pop3.MaxLine * maxErrors); err != nil {
		return &lost{err}
	}
	return s.fault(errors.New("the line is too long"))
}

// execute runs one command line.
func (s *session) execute(ctx context.Context, line []byte) error {
	if s.state == authorization {
		if s.strange++; s.strange > maxBeforeLogin {
			return &dismissal{"too many commands before a login"}
		}
	}
	cmd, err := pop3.Parse(line)
	if err != nil {
		return s.fault(err)
	}
	row := &s.srv.commands[cmd.Verb]
	if err := s.forbidden(row); err != nil {
		return s.fault(err)
	}
	a, err := row.run(s, ctx, cmd)
	if err != nil {
		err = s.failed(ctx, cmd.Verb.String(), err)
		s.idled(ctx)
		return err
	}
	if err = s.answer(a); row.flags&leadsNowhere != 0 {
		s.idled(ctx)
	} else {
		s.conn.Worked()
	}
	return err
}

// idled notes a command that led to nothing; before login they are counted.
func (s *session) idled(ctx context.Context) {
	if s.state != authorization {
		s.conn.Idled(ctx)
	}
}

// answer writes the reply, the lines that follow it, and does what comes after.
func (s *session) answer(a answer) error {
	s.reply(a.Reply)
	if a.lines != nil {
		w := pop3.NewLineWriter(s.conn)
		err := a.lines(w)
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			return &lost{err}
		}
	}
	if a.then != nil {
		return a.then()
	}
	return nil
}

// reply writes a status line. Errors of the connection show at Flush.
func (s *session) reply(r pop3.Reply) {
	var buf [pop3.MaxReply]byte
	_, _ = s.conn.Write(r.Append(buf[:0]))
}

// fault answers a command that is not understood or not allowed, and gives up
// on a client that sends little else. The text of err goes to the client; a
// *dismissal is the last that it hears.
func (s *session) fault(err error) error {
	var d *dismissal
	if errors.As(err, &d) {
		return d
	}
	s.reply(pop3.Reply{Text: err.Error()})
	if s.errors++; s.errors >= maxErrors {
		return &dismissal{"too many bad commands"}
	}
	return nil
}

// failed answers a command that went wrong.
func (s *session) failed(ctx context.Context, name string, err error) error {
	var l *lost
	if errors.As(err, &l) {
		return err
	}
	s.logFailure(name, err)
	s.reply(s.replyTo(ctx, err))
	return nil
}

// goodbye says why the session ends, if that is not clear. After a timeout
// nothing may be said (RFC 1939 §3).
func (s *session) goodbye(ctx context.Context, err error) {
	var d *dismissal
	switch {
	case errors.Is(err, errShutdown):
		s.reply(pop3.Reply{Code: pop3.SysTemp, Text: netx.Farewell(ctx) + "; nothing was deleted"})
	case errors.As(err, &d):
		s.reply(pop3.Reply{Text: d.text})
	case errors.Is(err, netx.ErrBareNewline):
		s.reply(pop3.Reply{Text: "a line must end in CR LF"})
	case errors.Is(err, netx.ErrLineTooLong):
		s.reply(pop3.Reply{Text: "the line is too long"})
	case !errors.Is(err, errQuit):
		return
	}
	_ = s.conn.Flush()
}

// reason names the end of a session for the log.
func reason(ctx context.Context, err error) string {
	var d *dismissal
	switch {
	case errors.Is(err, errQuit):
		return "quit"
	case errors.Is(err, errShutdown) && netx.ShownOut(ctx) != nil:
		return netx.Farewell(ctx)
	case errors.Is(err, errShutdown):
		return "shutdown"
	case errors.As(err, &d):
		return d.text
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, io.EOF):
		return "closed by client"
	}
	return "connection lost"
}
