package obs

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"strings"

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

	Via         string // what somebody else vouched by; "" for a password
	AppPassword string // its name, if it was one; "" for the account's own password
}

// subscriber is how many bits of an IPv6 address one subscriber usually has for
// himself.
const subscriber = 64

// LoginNetwork is what failed logins are counted by: an IPv4 address, or of IPv6
// what one subscriber has. It is the zero Prefix for this machine itself.
func LoginNetwork(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || a.IsLoopback() {
		return netip.Prefix{}
	}
	bits := a.BitLen()
	if a.Is6() {
		bits = subscriber
	}
	p, _ := a.Prefix(bits)
	return p
}

// LogLogin writes the line of an attempt: "login", or the warning "login refused"
// with its reason. What the client chose, its user name, stands behind all that
// programs go by.
func LogLogin(log *slog.Logger, l Login) {
	level, event, network := slog.LevelInfo, "login", ""
	if l.Reason != "" {
		level, event = slog.LevelWarn, "login refused"
		if n := LoginNetwork(l.Remote.Addr()); n.IsValid() {
			network = n.String()
		}
	}
	var attrs []slog.Attr
	for _, a := range []struct{ key, value string }{
		{KeyProto, l.Proto}, {KeyListen, l.Listen}, {KeySession, l.Session}, {KeyRemote, ""},
		{KeyNetwork, network}, {KeyReason, l.Reason}, {KeyMech, l.Mech}, {KeyTLS, l.TLS}, {KeyUser, l.User},
		{"via", l.Via}, {"app_password", l.AppPassword},
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

// TLS is what a version of TLS is called wherever it is shown, "TLS1.3": a word, so that
// lines of the log and Received fields can be searched for it.
func TLS(version uint16) string { return strings.ReplaceAll(tls.VersionName(version), " ", "") }
