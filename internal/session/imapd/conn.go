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
	s.out.Status("", imap.OK, imap.CodeCapability(s.capabilityNames()...), s.srv.cfg.Hostname+" yubin ready")
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
	st, err := s.perform(ctx, cmd)
	if err != nil {
		if fatal(err) {
			return err
		}
		st = statusOf(ctx, err)
		s.logFailure(cmd.Name, err)
	}
	if st.cond != "" {
		s.out.Status(cmd.Tag, st.cond, st.code, st.text)
	}
	if s.loggedIn() {
		if st.cond != imap.OK && st.cond != "" || leadsNowhere(cmd.Name) {
			s.conn.Idled(ctx)
		} else {
			s.conn.Worked()
		}
	}
	return s.judge(st)
}

// leadsNowhere says of a command that nothing comes of it, however often it is sent.
func leadsNowhere(name string) bool {
	switch name {
	case "NOOP", "CHECK", "IDLE", "NAMESPACE", "CAPABILITY", "ENABLE", "ID":
		return true
	}
	return false
}

// perform checks the state, runs the method of the command and tells the client
// what changed in its mailbox.
func (s *session) perform(ctx context.Context, cmd *imap.Command) (status, error) {
	verb, known := imap.Lookup(cmd.Name)
	method := methodOf(cmd.Name)
	if !known || method.run == nil {
		return bad("unknown command")
	}
	if s.state()&verb.States == 0 {
		return s.wrongState(verb)
	}
	if method.fresh {
		if err := s.sync(ctx, false); err != nil {
			return status{}, err
		}
	}
	st, err := method.run(s, ctx, cmd)
	if err != nil && fatal(err) {
		return st, err
	}
	if syncErr := s.sync(ctx, verb.MayExpunge); syncErr != nil && err == nil {
		if fatal(syncErr) {
			return st, syncErr
		}
		s.logFailure(cmd.Name, syncErr) // What the command did is done; the news can come with the next one.
	}
	return st, err
}

func (s *session) wrongState(verb imap.Verb) (status, error) {
	switch {
	case verb.States&imap.NotAuthenticated != 0:
		return bad("already logged in")
	case !s.loggedIn():
		return bad("log in first")
	}
	return bad("select a mailbox first")
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
