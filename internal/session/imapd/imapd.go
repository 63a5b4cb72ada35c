// Package imapd is the server side of IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC
// 9051), both at once: a session speaks rev1 until ENABLE IMAP4rev2 (RFC 9051
// Appendix A). The extensions are those that the table of commands offers: table.go.
//
// One goroutine serves a connection, one command after another: Serve reads a
// command, looks up its row in the table, checks state and flags, runs the method of
// the row and writes the tagged response. Nothing runs ahead, so of the ambiguities
// of RFC 9051 §5.5 one is left: a client that sends sequence numbers before it heard
// the answer to a command that may tell of expunges. It is told of those of others
// afterwards.
//
// # Numbering
//
// A session holds the store.View that its client has been told of, and message
// sequence numbers are positions in it. Before a command that looks at messages
// and after every command the session takes the mailbox's current view and
// tells the difference: EXPUNGE, EXISTS, FETCH with UID and FLAGS. Before the
// command, and after FETCH, STORE and SEARCH without UID, EXPUNGE may not be
// sent (RFC 9051 §7.5.1); then the vanished messages stay in the session's view
// until it may. In IDLE the same is done as soon as the store says that
// something changed, by a few goroutines shared by all sessions; the goroutine
// of the session waits for DONE and holds nothing.
//
// Messages that another session expunged and this client has not been told of
// (RFC 2180 §4) stay readable: the store keeps them, and FETCH and SEARCH answer
// as before, with the flags that the client knows. STORE, COPY and MOVE do their
// work for the other messages and answer OK, with [EXPUNGEISSUED] where no other
// code stands. Of what the store does not keep any more FETCH gives NIL.
//
// A mailbox that is deleted while it is selected ends the sessions that have it
// selected with BYE; the session that deletes it goes back to the authenticated
// state with [CLOSED].
//
// # Deviations and choices
//
//   - Keywords can always be created; FLAGS lists those RFC 9051 §2.3.2 asks
//     for and those in use.
//   - APPEND of content with NUL octets (literal8) is NO [UNKNOWN-CTE]: such
//     octets could not be shown by BODY[] (RFC 3516 §4.4, §6).
//   - LITERAL- is offered before login, LITERAL+ after it; RFC 7888 §5 forbids
//     both at once. A stranger cannot make the server read large literals.
//   - SEARCH takes sequence numbers beyond the mailbox as matching nothing;
//     other commands answer BAD (RFC 9051 §9, seq-number). Quirk: clients search
//     "1:*" in empty mailboxes.
//   - Mailbox names come normalized to NFC (RFC 9051 §5.1); where that changed
//     the name, OLDNAME tells in rev2.
package imapd

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/search"
	"yubin/internal/engine/store"
	"yubin/internal/engine/turns"
	"yubin/internal/mail"
	"yubin/internal/proto/imap"
	"yubin/internal/proto/sasl"
	"yubin/internal/world/netx"
)

// Times a session waits for its client.
const (
	strangerTimeout = 5 * time.Minute  // in all, until somebody has logged in
	loginTimeout    = time.Minute      // before authentication (RFC 9051 §5.4 allows less than after)
	idleTimeout     = 30 * time.Minute // after it, the least that RFC 9051 §5.4 allows
	tlsTimeout      = 30 * time.Second // for a handshake
)

// Limits on a client that misbehaves.
const (
	maxBadBeforeLogin    = 3         // BAD responses in a row
	maxBad               = 20        // likewise, once logged in
	maxBeforeLogin       = 100       // commands of any kind
	maxOctetsBeforeLogin = 256 << 10 // of all of them
	maxLoginFailures     = 4
)

// DefaultMaxMessage is the largest message APPEND takes if Config names none,
// in octets.
const DefaultMaxMessage = 64 << 20

// Mailboxes is what the server needs of the store's mailboxes.
type Mailboxes interface {
	Mailboxes(ctx context.Context, a mail.AccountID) ([]store.Mailbox, error)
	Mailbox(ctx context.Context, a mail.AccountID, name mail.MailboxName) (store.Mailbox, error)
	CreateMailbox(ctx context.Context, a mail.AccountID, name mail.MailboxName, role mail.Role) (store.Mailbox, error)
	DeleteMailbox(ctx context.Context, a mail.AccountID, name mail.MailboxName) error
	RenameMailbox(ctx context.Context, a mail.AccountID, from, to mail.MailboxName) error
	Subscribe(ctx context.Context, a mail.AccountID, name mail.MailboxName, on bool) error
	Subscriptions(ctx context.Context, a mail.AccountID) ([]mail.MailboxName, error)
}

// Messages is what the server needs of the messages in a mailbox.
type Messages interface {
	search.Rows
	View(ctx context.Context, id mail.MailboxID) (*store.View, error)
	Keep(k *store.Keep, v *store.View, who store.Yielder)
	SetFlags(ctx context.Context, id mail.MailboxID, uids mail.UIDSet, c store.FlagChange) (mail.UIDSet, error)
	Copy(ctx context.Context, from mail.MailboxID, uids mail.UIDSet, to mail.MailboxID) (store.Copied, error)
	Move(ctx context.Context, from mail.MailboxID, uids mail.UIDSet, to mail.MailboxID) (store.Copied, error)
	Expunge(ctx context.Context, id mail.MailboxID, only mail.UIDSet) ([]mail.UID, error)
	TakeRecent(ctx context.Context, id mail.MailboxID) (first mail.UID, err error)
}

// Intake takes new messages: *intake.Intake.
type Intake interface {
	Begin(taps ...intake.Tap) *intake.Message
	File(ctx context.Context, m *intake.Message, to ...store.Filing) ([]store.Filed, error)
	Room(ctx context.Context, a mail.AccountID, octets int64) error
}

// Notifier tells of changes in an account. The callback must not block.
type Notifier interface {
	Subscribe(a mail.AccountID, changed func(store.Event)) (cancel func())
}

// Config is what a Server is made of.
type Config struct {
	Hostname  string // for the greeting
	Version   string // for ID; "" tells none
	Mailboxes Mailboxes
	Messages  Messages
	Intake    Intake
	Notifier  Notifier
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
	MaxMessage     int64          // octets of one APPEND; 0 means DefaultMaxMessage
	MaxWork        time.Duration  // of a processor for one command; 0 means DefaultMaxWork
	Search         *search.Source // of Messages; nil makes one
	Now            func() time.Time
	Log            *slog.Logger
}

// Listener is what a session must know of where its connection came in.
type Listener struct {
	Name string
	// TLS is offered by STARTTLS; nil where there is none, or TLS already.
	TLS *tls.Config
}

// Server serves IMAP connections.
type Server struct {
	cfg      Config
	push     pusher
	search   *search.Source
	turns    *turns.Table // half of the processors for one account while others want some
	decoded  decodedBodies
	commands [imap.Verbs]command
	gather   sync.Pool     // of *[gatherSize]byte, for FETCH
	ahead    chan struct{} // has an element for each FETCH that reads ahead
}

// New returns a server; it starts nothing.
func New(cfg Config) *Server {
	if cfg.MaxMessage == 0 {
		cfg.MaxMessage = DefaultMaxMessage
	}
	if cfg.Search == nil {
		cfg.Search = search.NewSource(cfg.Messages, search.DefaultMemory)
	}
	if cfg.MaxWork == 0 {
		cfg.MaxWork = DefaultMaxWork
	}
	processors := runtime.GOMAXPROCS(0)
	return &Server{
		cfg:      cfg,
		commands: commandTable(),
		search:   cfg.Search,
		gather:   sync.Pool{New: func() any { return new([gatherSize]byte) }},
		turns:    turns.New(processors, max(1, processors/2), processors),
		ahead:    make(chan struct{}, maxAhead),
	}
}

// Serve runs one connection to its end; the caller closes it. Once ctx is done
// the session says BYE as soon as its command is finished and no line has
// begun, which Conn.Drain brings about.
func (s *Server) Serve(ctx context.Context, c *netx.Conn, l Listener) {
	sess := newSession(s, c, l)
	sess.run(ctx)
}
