// Package smtpd is the server side of SMTP: one engine with three profiles, mx
// (RFC 5321), submission (RFC 6409, RFC 8314) and lmtp (RFC 2033).
//
// Extensions: PIPELINING (RFC 2920), SIZE (RFC 1870), 8BITMIME (RFC 6152),
// ENHANCEDSTATUSCODES (RFC 2034), STARTTLS (RFC 3207), AUTH (RFC 4954),
// SMTPUTF8 (RFC 6531), CHUNKING and BINARYMIME (RFC 3030), LIMITS (RFC 9422).
//
// What it keeps true:
//
//   - A message is acknowledged after Acceptor.Deliver returned, never before;
//     what was refused is kept nowhere.
//   - No recipient is accepted that the Router does not accept, and submission
//     takes nothing from somebody who did not log in: it is no open relay.
//   - Lines end in CRLF and nothing else, in commands and in messages; what came
//     before a TLS handshake is not read after it. Both end the session
//     (CVE-2023-51764, CVE-2011-0411).
//   - Everything a client can send has a bound in Limits or in proto/smtp.
//
// conn.go is the only loop over the connection. A session takes commands and
// content and returns replies; it knows no socket. table.go says which command
// is allowed when, and what EHLO offers.
//
// It deliberately does not convert between body types, look up names, or decide
// what is spam.
package smtpd

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"yubin/internal/engine/store"
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
)

var profileNames = [...]string{"smtp", "submission", "lmtp"}

func (p Profile) String() string { return profileNames[p] }

// Client is what a Router may know of who is asking.
type Client struct {
	Profile       Profile
	Remote        netip.AddrPort // invalid on a local socket
	Hello         string         // what it called itself
	TLS           bool
	Authenticated bool
	Principal     mail.Principal // if Authenticated
	ReversePath   mail.ReversePath
}

// Routed says where mail for one recipient goes.
type Routed struct {
	Accounts []mail.AccountID // at least one
	Detail   string           // the subaddress (RFC 5233)
}

// Router decides about recipients; it must not keep c. Errors: NotFound for an address that nobody
// has here, Forbidden where the client may not send to, and any other kind.
type Router interface {
	Route(ctx context.Context, c *Client, to mail.Address) (Routed, error)
}

// Identities knows which addresses a principal may write under.
type Identities interface {
	MayUse(ctx context.Context, p mail.Principal, a mail.Address) (bool, error)
}

// Incoming is a message on its way in. Close is always called, and after
// Deliver took the message it does no harm.
type Incoming interface {
	io.Writer
	Size() int64
	Close()
}

// Acceptor takes custody of messages. Deliver is one commit: after it returned
// without an error the message is durable in every Filing, after an error in
// none. It is given what NewIncoming returned.
type Acceptor interface {
	NewIncoming() Incoming
	Deliver(ctx context.Context, in Incoming, to []store.Filing) ([]store.Filed, error)
}

// Into makes an Acceptor of the two methods of a store.
func Into[I Incoming](create func() I, deliver func(context.Context, I, []store.Filing) ([]store.Filed, error)) Acceptor {
	return into[I]{create, deliver}
}

type into[I Incoming] struct {
	create  func() I
	deliver func(context.Context, I, []store.Filing) ([]store.Filed, error)
}

func (a into[I]) NewIncoming() Incoming { return a.create() }

func (a into[I]) Deliver(ctx context.Context, in Incoming, to []store.Filing) ([]store.Filed, error) {
	own, ok := in.(I)
	if !ok {
		return nil, mail.Errorf(mail.Internal, "smtpd: the message is of another acceptor")
	}
	return a.deliver(ctx, own, to)
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
	// AllowPlainLoopback lets clients on the loopback interface log in without TLS.
	AllowPlainLoopback bool

	Router     Router
	Identities Identities // Submission only
	Acceptor   Acceptor

	Log   *slog.Logger
	Now   func() time.Time
	NewID func() string // of a session or message: letters and digits, never twice
}

// Server serves connections. Safe for concurrent use.
type Server struct {
	cfg      Config
	limits   Limits
	commands [smtp.Verbs]command
	log      *slog.Logger
}

// New returns a Server. It starts nothing.
func New(cfg Config) *Server {
	if cfg.Postmaster.IsZero() {
		cfg.Postmaster = mail.Address{Local: "postmaster", Domain: cfg.Hostname}
	}
	return &Server{
		cfg:      cfg,
		limits:   cfg.Limits.withDefaults(),
		commands: commandTable(),
		log:      cfg.Log.With(keyProto, cfg.Profile.String()),
	}
}
