package imapd

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/proto/imap"
	"yubin/internal/world/heap"
	"yubin/internal/world/netx"
	"yubin/internal/world/obs"
)

// session is the state of one connection. All of it belongs to the goroutine
// of Serve, save that during IDLE whoever holds mu may use what sync uses.
type session struct {
	srv      *Server
	conn     *netx.Conn
	listener Listener
	in       *imap.Reader
	out      *imap.Encoder
	command  heap.Hold // for the command that is being read or carried out
	mode     imap.Mode
	rev2     bool // ENABLE IMAP4rev2 was done

	principal mail.Principal
	toldAway  bool      // in the log
	box       *selected // nil unless a mailbox is selected
	failures  int       // logins that failed
	bad       int       // BAD responses in a row
	strange   int       // commands before login

	commands, fetched, appended, expunged int // for the log

	mu     sync.Mutex
	idling context.Context // not nil while in IDLE; under mu
	queued atomic.Bool     // waits for the pusher, or is to be pushed again
}

func newSession(srv *Server, conn *netx.Conn, l Listener) *session {
	s := &session{srv: srv, conn: conn, listener: l}
	s.mode.Decode = decodeCharset
	s.out = imap.NewEncoder(conn)
	s.in = imap.NewReader(conn, s.proceed)
	s.command.Of(conn.Share())
	s.in.Count(s.roomFor)
	return s
}

// roomFor takes memory for a command that is being read, or gives it back.
func (s *session) roomFor(octets int) bool {
	if octets == 0 {
		s.command.Release()
		return true
	}
	return s.command.Grow(octets) == nil
}

// proceed asks the client for a literal that it waits with.
func (s *session) proceed() error {
	s.out.Continue("go ahead")
	return ofConn(s.conn.Flush())
}

func (s *session) loggedIn() bool { return s.principal.Account != 0 }

// leave deselects the mailbox.
func (s *session) leave() {
	if s.box != nil {
		s.srv.cfg.Messages.Keep(&s.box.keep, nil, nil)
	}
	s.box = nil
}

// mailboxName checks a name that a client gave.
func mailboxName(name string) (mail.MailboxName, error) { return mail.ParseMailboxName(name) }

// oldName is what OLDNAME must say of a name that came as given and is name
// now: "" unless normalization changed it (RFC 9051 §5.1). A separator at the
// end and the case of INBOX are no part of a name.
func oldName(given string, name mail.MailboxName) string {
	given = strings.TrimSuffix(given, mail.MailboxSeparator)
	first, rest, _ := strings.Cut(given, mail.MailboxSeparator)
	if strings.EqualFold(first, string(mail.Inbox)) {
		first = string(mail.Inbox)
	}
	if rest != "" {
		first += mail.MailboxSeparator + rest
	}
	if first == string(name) {
		return ""
	}
	return given
}

// decodeCharset turns the text of a SEARCH into UTF-8.
func decodeCharset(charset string, text []byte) (string, bool) {
	if !message.KnownCharset(charset) {
		return "", false
	}
	var b strings.Builder
	r := message.NewCharsetReader(strings.NewReader(string(text)), charset)
	buf := make([]byte, 512)
	for {
		n, err := r.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String(), true
		}
	}
}

// logFailure notes what is our fault. Of what is away for a time a session tells once:
// whoever is away says more in the log.
func (s *session) logFailure(command string, err error) {
	level := slog.LevelError
	switch kind := mail.KindOf(err); {
	case kind == mail.Unavailable && !s.toldAway:
		level, s.toldAway = slog.LevelWarn, true
	case kind != mail.Internal:
		return
	}
	s.srv.cfg.Log.Log(context.Background(), level, "command failed", obs.KeyProto, "imap", obs.KeyRemote, s.conn.Remote(),
		obs.KeyUser, s.principal.Address, obs.KeyCommand, command, obs.Err(err))
}

// logLogin writes the line of a login; cause is why it failed.
func (s *session) logLogin(mech, user string, cause error) {
	l := obs.Login{Proto: "imap", Listen: s.listener.Name, Remote: s.conn.Remote(), User: user, Mech: mech, Reason: directory.Reason(cause), Err: cause,
		AppPassword: cmp.Or(directory.AppPassword(cause), s.principal.Credential.Name), Via: s.principal.Credential.Via}
	if st, secure := s.conn.TLS(); secure {
		l.TLS = obs.TLS(st.Version)
	}
	obs.LogLogin(s.srv.cfg.Log, l)
}

func (s *session) logEnd(ctx context.Context, err error) {
	s.srv.cfg.Log.Info("session end", obs.KeyProto, "imap", obs.KeyListen, s.listener.Name, obs.Remote(s.conn.Remote(), s.loggedIn()),
		obs.KeyUser, s.principal.Address, obs.KeyReason, reason(ctx, err), "commands", s.commands,
		"fetched", s.fetched, "appended", s.appended, "expunged", s.expunged)
}
