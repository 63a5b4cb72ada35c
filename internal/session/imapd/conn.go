package imapd

import (
	"context"
	"errors"
	"io"
	"os"

	"yubin/internal/proto/imap"
	"yubin/internal/world/netx"
)

// run is the one loop of a connection: greet, then read, check, run, answer.
func (s *session) run(ctx context.Context) {
	s.conn.SetReadTimeout(loginTimeout)
	s.conn.LimitReads(strangerTimeout)
	s.out.Status("", imap.OK, imap.CodeCapability(s.offers()...), s.srv.cfg.Hostname+" yubin ready")
	err := s.serve(ctx)
	s.leave()
	s.goodbye(ctx, err)
	s.logEnd(ctx, err)
}

// serve runs commands until the session ends; the error says why.
func (s *session) serve(ctx context.Context) error {
	for {
		if err := s.rest(); err != nil {
			return err
		}
		if ctx.Err() != nil { // Before what is here already, too.
			return ofConn(os.ErrDeadlineExceeded)
		}
		cmd, err := s.in.ReadCommand(s.mode)
		if err == nil {
			err = s.execute(ctx, &cmd)
		} else {
			err = s.unreadable(ctx, err)
		}
		if err == nil {
			err = ofConn(s.out.Err())
		}
		if err != nil {
			return err
		}
	}
}

// rest sends what is written if the next command is not there yet, and then
// holds as little as it can while it waits.
func (s *session) rest() error {
	if s.conn.LineBuffered() {
		return nil
	}
	s.resetEncoder()
	return ofConn(s.conn.Flush())
}

// resetEncoder drops the encoder's buffer.
func (s *session) resetEncoder() {
	s.out = imap.NewEncoder(s.conn)
	s.out.SetUTF8(s.mode.UTF8)
}

// execute runs one command and writes its tagged response.
func (s *session) execute(ctx context.Context, cmd *imap.Command) error {
	s.commands++
	row := &s.srv.commands[cmd.Verb]
	st, err := s.perform(ctx, row, cmd)
	if err != nil {
		if fatal(err) {
			return err
		}
		st = statusOf(ctx, err)
		s.logFailure(cmd.Verb.String(), err)
	}
	if st.cond != "" {
		s.out.Status(cmd.Tag, st.cond, st.code, st.text)
	}
	if s.loggedIn() {
		if st.cond != imap.OK && st.cond != "" || row.flags&leadsNowhere != 0 {
			s.conn.Idled(ctx)
		} else {
			s.conn.Worked()
		}
	}
	return s.judge(st)
}

// unreadable answers a command that could not be parsed; other errors pass.
func (s *session) unreadable(ctx context.Context, err error) error {
	var e *imap.Error
	switch {
	case errors.Is(err, netx.ErrLineTooLong):
		return &bye{imap.CodeTooBig, "the command line is too long"}
	case errors.Is(err, netx.ErrBareNewline):
		return &bye{"", "a line must end in CR LF"}
	case !errors.As(err, &e):
		return ofConn(err)
	case e.Close:
		return &bye{imap.CodeTooBig, e.Error()}
	}
	st := parseStatus(e)
	if e.Save && st.cond == imap.NO && s.box != nil {
		s.box.saved = nil
	}
	s.out.Status(e.Tag, st.cond, st.code, st.text)
	if s.loggedIn() {
		s.conn.Idled(ctx)
	}
	return s.judge(st)
}

// judge counts BAD responses in a row and gives up on a client that sends
// nothing else, or that does not come to log in.
func (s *session) judge(st status) error {
	if !s.loggedIn() {
		if s.strange++; s.strange >= maxBeforeLogin {
			return &bye{"", "too many commands before a login"}
		}
		if s.conn.Received() > maxOctetsBeforeLogin {
			return &bye{"", "too much before a login"}
		}
	}
	if st.cond != imap.BAD {
		s.bad = 0
		return nil
	}
	limit := maxBad
	if !s.loggedIn() {
		limit = maxBadBeforeLogin
	}
	if s.bad++; s.bad >= limit {
		return &bye{"", "too many bad commands"}
	}
	return nil
}

// lost is a connection that cannot be read or written any more.
type lost struct{ err error }

func (l *lost) Error() string { return l.err.Error() }

func (l *lost) Unwrap() error { return l.err }

// ofConn marks an error of the connection as one; nil stays nil.
func ofConn(err error) error {
	if err == nil {
		return nil
	}
	return &lost{err}
}

// fatal reports whether err ends the session.
func fatal(err error) bool {
	var b *bye
	var l *lost
	return errors.As(err, &b) || errors.As(err, &l) || errors.Is(err, errBroken) || errors.Is(err, errLogout)
}

// errLogout ends a session that said LOGOUT.
var errLogout = errors.New("imapd: logout")

// goodbye says why the session ends, if the client can still hear it.
func (s *session) goodbye(ctx context.Context, err error) {
	var b *bye
	switch {
	case errors.As(err, &b):
		s.out.Status("", imap.BYE, b.code, b.text)
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil:
		s.out.Status("", imap.BYE, imap.CodeUnavailable, netx.Farewell(ctx))
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.out.Status("", imap.BYE, "", "autologout; idle for too long")
	case errors.Is(err, netx.ErrLineTooLong), errors.Is(err, netx.ErrBareNewline):
		s.out.Status("", imap.BYE, "", "that is not IMAP")
	case !errors.Is(err, errLogout):
		return
	}
	_ = s.conn.Flush()
}

// reason names the end of a session for the log.
func reason(ctx context.Context, err error) string {
	var b *bye
	switch {
	case errors.Is(err, errLogout):
		return "logout"
	case errors.As(err, &b):
		return b.text
	case errors.Is(err, os.ErrDeadlineExceeded) && netx.ShownOut(ctx) != nil:
		return netx.Farewell(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil:
		return "shutdown"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, io.EOF):
		return "closed by client"
	}
	return "connection lost"
}
