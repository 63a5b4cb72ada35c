package pop3d

import (
	"crypto/tls"
	"log/slog"

	"yubin/internal/mail"
	"yubin/internal/world/obs"
)

// logger carries what all lines of a session have in common.
func (s *session) logger() *slog.Logger {
	return s.srv.cfg.Log.With(obs.KeyProto, "pop3", obs.KeyListen, s.listener.Name, obs.KeyRemote, s.conn.Remote())
}

func (s *session) logLogin(mech string) {
	version := ""
	if st, secure := s.conn.TLS(); secure {
		version = tls.VersionName(st.Version)
	}
	s.logger().Info("login", obs.KeyUser, s.principal.Address, obs.KeyMech, mech, obs.KeyTLS, version)
}

func (s *session) logRefusal(mech, user string, err error) {
	kind := mail.KindOf(err)
	attrs := []any{obs.KeyUser, user, obs.KeyMech, mech, obs.KeyReason, kind.String()}
	if kind == mail.Internal || kind == mail.Unavailable {
		attrs = append(attrs, obs.Err(err))
	}
	s.logger().Warn("login refused", attrs...)
}

// logFailure notes what is our fault; the rest is the client's business.
func (s *session) logFailure(command string, err error) {
	if kind := mail.KindOf(err); kind == mail.Internal || kind == mail.Unavailable {
		s.logger().Error("command failed", obs.KeyUser, s.principal.Address, obs.KeyStatus, command, obs.Err(err))
	}
}

func (s *session) logEnd(err error) {
	s.logger().Info("session end", obs.KeyUser, s.principal.Address, obs.KeyReason, reason(err),
		"retrieved", s.retrieved, "removed", s.removed, obs.KeyIn, s.conn.Received(), obs.KeyOut, s.conn.Sent(),
		obs.KeyTook, s.srv.cfg.Now().Sub(s.began))
}
