package imapd

import (
	"slices"

	"yubin/internal/proto/sasl"
)

// phase is a set of the moments of a session that capabilities depend on.
type phase uint8

const (
	beforeLogin phase = 1 << iota
	afterLogin
	always = beforeLogin | afterLogin
)

// capabilities is the table of what is implemented: the names that CAPABILITY
// tells and when. STARTTLS, LOGINDISABLED and AUTH= depend on the connection.
var capabilities = [...]struct {
	name string
	when phase
}{
	{"IMAP4rev1", always},
	{"IMAP4rev2", always},
	{"ENABLE", always},        // RFC 5161
	{"ID", always},            // RFC 2971
	{"SASL-IR", always},       // RFC 4959
	{"IDLE", always},          // RFC 2177
	{"LITERAL-", beforeLogin}, // RFC 7888
	{"LITERAL+", afterLogin},
	{"BINARY", afterLogin},             // RFC 3516
	{"CHILDREN", afterLogin},           // RFC 3348
	{"CREATE-SPECIAL-USE", afterLogin}, // RFC 6154
	{"ESEARCH", afterLogin},            // RFC 4731
	{"LIST-EXTENDED", afterLogin},      // RFC 5258
	{"LIST-STATUS", afterLogin},        // RFC 5819
	{"MOVE", afterLogin},               // RFC 6851
	{"NAMESPACE", afterLogin},          // RFC 2342
	{"SEARCHRES", afterLogin},          // RFC 5182
	{"SPECIAL-USE", afterLogin},        // RFC 6154
	{"STATUS=SIZE", afterLogin},        // RFC 8438
	{"UIDPLUS", afterLogin},            // RFC 4315
	{"UNSELECT", afterLogin},           // RFC 3691
}

// capabilityNames lists what the session offers now.
func (s *session) capabilityNames() []string {
	now := beforeLogin
	if s.loggedIn() {
		now = afterLogin
	}
	var names []string
	for _, c := range capabilities {
		if c.when&now != 0 {
			names = append(names, c.name)
		}
	}
	if now == afterLogin {
		return names
	}
	if s.offersTLS() {
		names = append(names, "STARTTLS")
	}
	if !s.plainAllowed() {
		names = append(names, "LOGINDISABLED")
	}
	for _, m := range s.mechanisms() {
		names = append(names, "AUTH="+m)
	}
	return names
}

// mechanisms lists the SASL mechanisms that may be used on the connection now.
func (s *session) mechanisms() []string {
	_, secure := s.conn.TLS()
	return sasl.Mechanisms(secure && s.srv.cfg.ChannelBinding, s.plainAllowed())
}

func (s *session) offersMechanism(name string) bool {
	return slices.Contains(s.mechanisms(), name)
}

// offersTLS reports whether STARTTLS would be taken.
func (s *session) offersTLS() bool {
	_, secure := s.conn.TLS()
	return !secure && s.listener.TLS != nil
}

// plainAllowed reports whether passwords may cross the connection as they are.
func (s *session) plainAllowed() bool {
	if _, secure := s.conn.TLS(); secure {
		return true
	}
	return s.srv.cfg.AllowPlainLoopback && s.conn.Loopback()
}
