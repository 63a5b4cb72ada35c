package pop3d

import (
	"cmp"
	"context"
	"log/slog"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
	"yubin/internal/world/obs"
)

// logger carries what all lines of a session have in common.
func (s *session) logger() *slog.Logger {
	return s.srv.cfg.Log.With(obs.KeyProto, "pop3", obs.KeyListen, s.listener.Name, obs.Remote(s.conn.Remote(), s.principal.Account != 0))
}

// logLogin writes the line of a login; cause is why it failed.
func (s *session) logLogin(mech, user string, cause error) {
	l := obs.Login{Proto: "pop3", Listen: s.listener.Name, Remote: s.conn.Remote(), User: user, Mech: mech, Reason: directory.Reason(cause), Err: cause,
		AppPassword: cmp.Or(directory.AppPassword(cause), s.principal.Credential.Name), Via: s.principal.Credential.Via}
	if st, secure := s.conn.TLS(); secure {
		l.TLS = obs.TLS(st.Version)
	}
	obs.LogLogin(s.srv.cfg.Log, l)
}

// logFailure notes what is our fault; the rest is the client's business. Of what is
// away for a time a session tells once: whoever is away says more in the log.
func (s *session) logFailure(command string, err error) {
	level := slog.LevelError
	switch kind := mail.KindOf(err); {
	case kind == mail.Unavailable && !s.toldAway:
		level, s.toldAway = slog.LevelWarn, true
	case kind != mail.Internal:
		return
	}
	s.logger().Log(context.Background(), level, "command failed", obs.KeyUser, s.principal.Address, obs.KeyCommand, command, obs.Err(err))
}

func (s *session) logEnd(ctx context.Context, err error) {
	s.logger().Info("session end", obs.KeyUser, s.principal.Address, obs.KeyReason, reason(ctx, err),
		"retrieved", s.retrieved, "removed", s.removed, obs.KeyIn, s.conn.Received(), obs.KeyOut, s.conn.Sent(),
		obs.KeyTook, s.srv.cfg.Now().Sub(s.began))
}
