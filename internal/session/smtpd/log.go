package smtpd

import (
	"cmp"
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
	"yubin/internal/world/obs"
)

// Keys of log attributes: those of obs, and our own.
const (
	keyProto      = obs.KeyProto
	keyID         = "id"         // of an accepted message, as in its Received field
	keyRecipients = "recipients" // how many
	keyErrors     = "errors"     // commands refused in a session
	keyHello      = "hello"      // what the client calls itself
	keyPriority   = "priority"   // that the client asked for
)

// logEnd writes the line of the session's end.
func (s *session) logEnd(reason string) {
	if !s.srv.log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	s.srv.log.LogAttrs(context.Background(), slog.LevelInfo, "session end",
		slog.String(obs.KeySession, s.id),
		obs.Remote(s.client.Remote, s.client.Principal.Account != 0 || s.accepted > 0),
		slog.String(keyHello, s.calls()),
		slog.String(obs.KeyTLS, s.tls.version()),
		slog.String(obs.KeyUser, s.client.Principal.Address.String()),
		slog.Int(obs.KeyCount, s.accepted),
		slog.Int(keyErrors, s.refused),
		slog.String(obs.KeyReason, reason),
		slog.Duration(obs.KeyTook, s.srv.cfg.Now().Sub(s.start)))
}

// maxNamed is how many recipients the line of an accepted message names.
const maxNamed = 10

// some names the recipients, not all of many.
func (tx *transaction) some() string {
	if len(tx.recipients) == 1 {
		return tx.recipients[0].Address.String()
	}
	var b strings.Builder
	for i, r := range tx.recipients {
		switch {
		case i == maxNamed:
			return b.String() + " and " + strconv.Itoa(len(tx.recipients)-i) + " more"
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(r.Address.String())
	}
	return b.String()
}

// logAccepted writes the line of an accepted message.
func (s *session) logAccepted(a acceptance, took time.Duration) {
	attrs := []slog.Attr{
		slog.String(obs.KeySession, s.id),
		slog.String(keyID, s.tx.id),
		slog.String(obs.KeyFrom, s.client.ReversePath.String()),
		slog.String(obs.KeyTo, s.tx.some()),
		slog.Int64(obs.KeySize, a.size),
		slog.Int(keyRecipients, len(s.tx.recipients)),
		slog.Int(obs.KeyCount, len(a.Filed)),
	}
	if item := a.item(); item != 0 {
		attrs = append(attrs, slog.Int64(obs.KeyItem, int64(item)))
	}
	if s.tx.mail.Given&smtp.ParamPriority != 0 { // RFC 6710 §4.1
		attrs = append(attrs, slog.Int(keyPriority, int(s.tx.mail.Priority)))
	}
	s.srv.log.LogAttrs(context.Background(), slog.LevelInfo, "accepted", append(attrs, slog.Duration(obs.KeyTook, took))...)
}

// logRejection tells of a refused sender, recipient or message. The cause of a
// failure of our own goes to the log and nowhere else.
func (s *session) logRejection(r smtp.Reply, to string, cause error) {
	level := slog.LevelInfo
	if cause != nil && mail.KindOf(cause) == mail.Internal {
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.String(obs.KeySession, s.id),
		obs.Remote(s.client.Remote, s.client.Principal.Account != 0),
		slog.String(obs.KeyFrom, s.client.ReversePath.String()),
		slog.String(obs.KeyTo, to),
		slog.Int(obs.KeyStatus, r.Code),
		slog.String(obs.KeyReason, r.Text),
	}
	if cause != nil {
		attrs = append(attrs, obs.Err(cause))
	}
	s.srv.log.LogAttrs(context.Background(), level, "rejection", attrs...)
}

// logLogin writes the line of a login; cause is why it failed.
func (s *session) logLogin(mechanism, user string, cause error) {
	l := obs.Login{Session: s.id, Remote: s.client.Remote, User: user, Mech: mechanism, Reason: directory.Reason(cause), Err: cause,
		AppPassword: cmp.Or(directory.AppPassword(cause), s.client.Principal.Credential.Name), Via: s.client.Principal.Credential.Via, TLS: s.tls.version()}
	obs.LogLogin(s.srv.log, l)
}
