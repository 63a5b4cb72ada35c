// Package pop3d is the server side of POP3 (RFC 1939) with CAPA and response
// codes (RFC 2449, RFC 3206), STLS (RFC 2595), AUTH (RFC 5034), UTF8 and LANG
// (RFC 6856).
//
// One goroutine serves a connection, one command after another: conn.go reads a
// line, looks up the row of its verb in the table (table.go), checks state and flags,
// runs the method of the row and writes the answer. Clients may send
// commands ahead; output is flushed when no whole command waits.
//
// # The maildrop
//
// A maildrop is the INBOX as it stands at login, and only one session of an
// account has it at a time (in this process). Messages that come later are not
// in it. Nothing changes in the store before QUIT, and then only by removing
// what DELE marked; a session that ends in another way removes nothing. RETR
// does not set \Seen.
//
// The unique-id of a message is "UIDVALIDITY.UID" of the INBOX: never used
// again, however the process ends and whatever becomes of the message.
//
// # Deviations and choices
//
//   - The lock is against other POP3 sessions only (RFC 1939 §4 asks for more):
//     a message that an IMAP session expunges in the meantime is "no such
//     message" to RETR, and its number stays.
//   - Of messages with octets beyond ASCII in a header a client that did not say
//     UTF8 gets a surrogate (RFC 6856 §2.1; message.Surrogate), and its size is
//     what STAT and LIST count. -ERR [UTF8] is not used: clients stop at it and
//     never get the mail behind it. 8-bit bodies go out as they are (RFC 6152).
//     After UTF8 messages are sent as they are, and STLS is refused.
//   - Replies to LANG and all others are in English.
//   - EXPIRE NEVER: this server removes nothing by itself.
package pop3d

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/pop3"
	"yubin/internal/proto/sasl"
	"yubin/internal/world/netx"
)

// Times of a session.
const (
	idleTimeout     = 10 * time.Minute // autologout; RFC 1939 §3 asks for at least this, before login too
	strangerTimeout = 30 * time.Minute // in all, until somebody has logged in
	tlsTimeout      = 30 * time.Second // for the handshake of STLS
	updateTimeout   = 5 * time.Minute  // for the removal of messages at QUIT, even if the server stops
)

// Limits on what a client can do.
const (
	maxErrors        = 20        // commands that are not understood or not allowed, in one session
	maxBeforeLogin   = 100       // commands of any kind
	maxLoginFailures = 5         // in one session
	maxMessages      = 1_000_000 // shown of a maildrop: the oldest ones
	maxAhead         = 64        // messages read ahead of a client that fetches them in order
	maxAheadOctets   = 256 << 10 // of messages read ahead; a larger one is read alone
)

// Maildrops is what the server needs of the mail store.
type Maildrops interface {
	MailboxByRole(ctx context.Context, a mail.AccountID, role mail.Role) (store.Mailbox, error)
	View(ctx context.Context, id mail.MailboxID) (*store.View, error)
	RowsSince(ctx context.Context, id mail.MailboxID, since mail.ModSeq, uids []mail.UID, need store.Need, most int) (rows []store.Row, more int, err error)
	ExpungeAny(ctx context.Context, id mail.MailboxID, uids mail.UIDSet) ([]mail.UID, error)
}

// Config is what a Server is made of.
type Config struct {
	Hostname  string // for the greeting
	Version   string // for CAPA, one word as "yubin-1.0"; "" tells none
	Maildrops Maildrops
	// Login returns who checks the passwords of a client at from.
	Login func(from netip.Addr) sasl.Authenticator
	// Scram says whether there are keys for everybody who may log in, and so SCRAM is
	// offered; nil says yes.
	Scram func() bool
	// Tokens says whether clients on TLS may log in with tokens of OAuth; nil says no.
	Tokens func() bool
	// AllowPlainLoopback lets clients log in without TLS over loopback.
	AllowPlainLoopback bool
	// ChannelBinding offers SCRAM-SHA-256-PLUS to clients on TLS.
	ChannelBinding bool
	Now            func() time.Time
	Log            *slog.Logger
}

// Listener is what a session must know of where its connection came in.
type Listener struct {
	Name string
	// TLS is offered by STLS; nil where there is none, or TLS already.
	TLS *tls.Config
}

// Server serves POP3 connections.
type Server struct {
	cfg      Config
	locks    locks
	commands [pop3.Verbs]command
}

// New returns a server; it starts nothing.
func New(cfg Config) *Server { return &Server{cfg: cfg, commands: commandTable()} }

// Serve runs one connection to its end; the caller closes it. Once ctx is done
// the session ends before its next command, which Conn.Drain brings about; what
// DELE marked stays then.
func (s *Server) Serve(ctx context.Context, c *netx.Conn, l Listener) {
	newSession(s, c, l).run(ctx)
}

// Refusal is the line for a connection over the limits of its listener.
func Refusal(why netx.Refusal) string {
	return "-ERR [SYS/TEMP] " + why.String() + ", please try again later\r\n"
}
