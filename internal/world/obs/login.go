package obs

import (
	"context"
	"log/slog"
	"net/netip"

	"yubin/internal/mail"
)

// Login is an attempt to log in. All protocols write it in one form, for people
// and for programs that read the log.
type Login struct {
	Proto   string
	Listen  string // name of the listener
	Session string // "" where sessions have no name
	Remote  netip.AddrPort
	User    string // who it was, or was said to be
	Mech    string
	TLS     string // version of TLS, or "" without it
	Reason  string // why it was refused, in a word or two; "" if it was right
	Err     error  // shown if it is a failure of our own
}

// LogLogin writes the line of an attempt: "login", or the warning "login refused"
// with its reason.
func LogLogin(log *slog.Logger, l Login) {
	level, event := slog.LevelInfo, "login"
	if l.Reason != "" {
		level, event = slog.LevelWarn, "login refused"
	}
	var attrs []slog.Attr
	for _, a := range []struct{ key, value string }{
		{KeyProto, l.Proto}, {KeyListen, l.Listen}, {KeySession, l.Session}, {KeyRemote, ""},
		{KeyUser, l.User}, {KeyMech, l.Mech}, {KeyTLS, l.TLS}, {KeyReason, l.Reason},
	} {
		switch {
		case a.key == KeyRemote && l.Remote.IsValid():
			attrs = append(attrs, Remote(l.Remote, l.Reason == ""))
		case a.value != "" || a.key == KeyUser || a.key == KeyTLS:
			attrs = append(attrs, slog.String(a.key, a.value))
		}
	}
	if kind := mail.KindOf(l.Err); l.Err != nil && (kind == mail.Internal || kind == mail.Unavailable) {
		attrs = append(attrs, Err(l.Err))
	}
	log.LogAttrs(context.Background(), level, event, attrs...)
}
