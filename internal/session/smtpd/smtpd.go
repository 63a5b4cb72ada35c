// Package smtpd is the server side of SMTP: one engine with four profiles, mx
// (RFC 5321), submission (RFC 6409, RFC 8314), lmtp (RFC 2033) and local, which is
// submission for users of this machine over a socket that says who they are.
//
// Extensions: PIPELINING (RFC 2920), SIZE (RFC 1870), 8BITMIME (RFC 6152),
// ENHANCEDSTATUSCODES (RFC 2034), STARTTLS (RFC 3207), AUTH (RFC 4954),
// SMTPUTF8 (RFC 6531), CHUNKING and BINARYMIME (RFC 3030), LIMITS (RFC 9422),
// DSN (RFC 3461, RFC 6533), DELIVERBY (RFC 2852), FUTURERELEASE (RFC 4865),
// MT-PRIORITY (RFC 6710), REQUIRETLS (RFC 8689).
//
// What it keeps true:
//
//   - A message is acknowledged after Intake.Commit returned, never before;
//     what was refused is kept nowhere.
//   - A recipient who cannot have the message after all, because the account was
//     removed or filled up while it came, or because it is a loop, is refused
//     alone: in LMTP by a reply, in SMTP, where others have the message, by the
//     queue, which tells the sender.
//   - No recipient is accepted that the Router does not accept, and submission
//     takes nothing from somebody who did not log in: it is no open relay.
//   - What is filed here and what goes on to others is one commit. Mail for
//     mailboxes of ours that is neither held nor to be reported never touches
//     the queue.
//   - What an account sends is bounded, and held in the queue if it sends unlike it does otherwise
//     (engine/sending); mail to the postmaster of this post office never is.
//   - Lines end in CRLF and nothing else, in commands and in messages, but for the
//     lines of messages of who has logged in, which may end in LF; what came
//     before a TLS handshake is not read after it. Both end the session
//     (CVE-2023-51764, CVE-2011-0411).
//   - Everything a client can send has a bound in Limits or in proto/smtp.
//
// conn.go is the only loop over the connection. A session takes commands and
// content and returns replies; it knows no socket. table.go says which command
// is allowed when, and what EHLO offers.
//
// It deliberately does not convert between body types or look up names, and what is
// junk engine/judge decides, which sees all octets of a stranger's message as they come. The header field "TLS-Required: No" (RFC 8689 §3) is passed on
// and needs nothing else: no policy that others publish is in force here, and a
// courier goes on without TLS where it fails, unless a route of ours forbids it.
package smtpd

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"yubin/internal/engine/bans"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/journal"
	"yubin/internal/engine/judge"
	"yubin/internal/engine/route"
	"yubin/internal/engine/sending"
	"yubin/internal/mail"
	"yubin/internal/proto/sasl"
	"yubin/internal/proto/smtp"
)

// Profile is the role in which a Server listens.
type Profile uint8

// The profiles.
const (
	MX         Profile = iota // mail from other servers
	Submission                // mail from the principals of this server
	LMTP                      // mail from a server that trusts us with the delivery
	Local                     // mail from the users of this machine: yubin sendmail
)

var profileNames = [...]string{"smtp", "submission", "lmtp", "sendmail"}

func (p Profile) String() string { return profileNames[p] }

// Client is what a Router may know of who is asking.
type Client struct {
	Profile       Profile
	Remote        netip.AddrPort // invalid on a local socket
	Hello         string         // what it called itself
	TLS           bool
	Authenticated bool           // in Local, the system says who it is
	Principal     mail.Principal // if Authenticated
	ReversePath   mail.ReversePath
}

// Router decides about recipients; it must not keep c. Errors: NotFound for an address that nobody
// has here, Forbidden where the client may not send to, and any other kind. What
// it returns leads somewhere: to accounts, onward, or into the void.
type Router interface {
	Route(ctx context.Context, c *Client, to mail.Address) (route.Routed, error)
}

// Room knows whether an account has room for a message of so many octets, 0 if
// that is not known. It must be quick; the commit decides. Errors: OverQuota, with
// the cause store.ErrLongFull where trying again is of no use; NotFound.
type Room interface {
	Room(ctx context.Context, account mail.AccountID, octets int64) error
}

// Identities knows which addresses a principal may write under.
type Identities interface {
	MayUse(ctx context.Context, p mail.Principal, a mail.Address) (bool, error)
}

// Intake takes custody of messages: *intake.Intake. What Plan says becomes true in
// one commit: after Commit returned without an error the message is durable for
// everybody but those whom the receipt refuses; after an error it is nowhere.
type Intake interface {
	Begin(taps ...intake.Tap) *intake.Message
	Plan(ctx context.Context, m *intake.Message, e intake.Envelope, to []intake.Recipient) (*intake.Plan, error)
	Commit(ctx context.Context, p *intake.Plan, also ...intake.Also) (intake.Receipt, error)
}

// Judge judges the messages of strangers: *judge.Judge.
type Judge interface {
	// Open begins the case of a message; nil if nothing of this client is judged.
	Open(client judge.Client, sender mail.ReversePath) *judge.Case
}

// Sending bounds how much an account sends: *sending.Sending.
type Sending interface {
	// May says whether a message may go to one recipient more, beside so many that are new to the
	// account, and whether this one is new. RateLimited with the time when it may.
	May(ctx context.Context, who sending.Sender, to mail.Address, before int) (isNew bool, err error)
	// Take counts a message, and says whether the queue is to hold it. RateLimited as May.
	Take(ctx context.Context, who sending.Sender, recipients int, fresh []mail.Address) (sending.Taken, error)
}

// Config is what a Server is made of. All fields are needed unless they say
// otherwise.
type Config struct {
	Profile    Profile
	Hostname   mail.Domain  // that we greet with and put into trace fields
	Postmaster mail.Address // who gets mail for <Postmaster>; zero means postmaster at Hostname
	Limits     Limits       // fields that are zero get their default

	// TLS returns the configuration for STARTTLS; nil offers none.
	TLS func() *tls.Config
	// Auth returns who checks logins from an address. Submission only.
	Auth func(from netip.Addr) sasl.Authenticator
	// Scram says whether there are keys for everybody who may log in, and so SCRAM is
	// offered; nil says yes.
	Scram func() bool
	// Tokens says whether clients on TLS may log in with tokens of OAuth; nil says no.
	Tokens func() bool
	// AllowPlainLoopback lets clients on the loopback interface log in without TLS.
	AllowPlainLoopback bool

	// HideClient leaves the name and address of who has logged in out of Received. The
	// id there leads to them in the log and the journal.
	HideClient bool

	// ChannelBinding offers SCRAM-SHA-256-PLUS to clients on TLS.
	ChannelBinding bool

	Router     Router
	Room       Room       // nil: there always is
	Identities Identities // Submission only
	Users      Users      // Local only
	Intake     Intake
	// Judge judges what comes. MX only; nil takes everything as it is.
	Judge Judge
	// Trusted says whether the word of a client at an address, on MX, is taken about who
	// sends. nil is nobody's.
	Trusted func(from netip.Addr) bool
	// Offended is told what a stranger at an address did that only those do who mean no good, or do
	// often; nil tells nobody. It must be quick.
	Offended func(from netip.Addr, what bans.Offence)
	// Brought is told that mail was taken from an address, on MX; nil tells nobody. It must be quick.
	Brought func(from netip.Addr)
	// Sending bounds what accounts send, in Submission and Local; nil bounds nobody.
	Sending Sending
	// OurPostmaster says whether an address is one of who looks after this post office: what
	// is for it Sending neither bounds nor holds. nil knows only <Postmaster>.
	OurPostmaster func(ctx context.Context, a mail.Address) bool
	// Filters are asked about what comes; nil asks nobody.
	Filters Filters
	// Wrote is told to whom an account's principal sent a message; nil tells nobody. It
	// must be quick.
	Wrote func(account mail.AccountID, to ...mail.Address)
	// Reports says whether a client at an address, on MX, may ask for reports: DSN
	// and DELIVERBY. nil is nobody.
	Reports func(from netip.Addr) bool
	// Language returns the language of who logged in, as a tag, for reports; nil
	// if none is known.
	Language func(ctx context.Context, p mail.Principal) string
	// Claims says whether the value of an Authentication-Results field claims to be
	// ours; such fields are taken out. nil says no.
	Claims func(value []byte) bool
	// Record is told of every message accepted and of every sender, recipient and
	// message refused; nil tells nobody. It must be quick.
	Record func(journal.Entry)

	Log   *slog.Logger
	Now   func() time.Time
	NewID func() string // of a session or message: letters and digits, never twice
}

// Server serves connections. Safe for concurrent use.
type Server struct {
	cfg        Config
	limits     Limits
	commands   [smtp.Verbs]command
	extensions []extension
	log        *slog.Logger
}

// New returns a Server. It starts nothing.
func New(cfg Config) *Server {
	if cfg.Postmaster.IsZero() {
		cfg.Postmaster = mail.Address{Local: "postmaster", Domain: cfg.Hostname}
	}
	return &Server{
		cfg:        cfg,
		limits:     cfg.Limits.withDefaults(),
		commands:   commandTable(),
		extensions: extensionTable(),
		log:        cfg.Log.With(keyProto, cfg.Profile.String()),
	}
}
