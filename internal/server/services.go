package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"math"
	"net/netip"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/judge"
	"yubin/internal/engine/route"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/proto/sasl"
	"yubin/internal/session/imapd"
	"yubin/internal/session/pop3d"
	"yubin/internal/session/smtpd"
	"yubin/internal/session/webd"
	"yubin/internal/world/config"
	"yubin/internal/world/netx"
)

// firstReadTimeout bounds the wait for input until a session sets its own.
const firstReadTimeout = 5 * time.Minute

// services are the conversations as one configuration wants them. A reload
// makes new ones; sessions that began with the old ones end with them.
type services struct {
	smtp  map[smtpKind]*smtpd.Server
	imap  *imapd.Server
	pop3  *pop3d.Server
	web   *webd.Server
	users users // of this machine, as this configuration has them
}

// smtpKind is what SMTP servers differ by.
type smtpKind struct {
	profile smtpd.Profile
	tls     bool
}

// newServices keeps the POP3 server of old, if there is one: it knows who has
// which maildrop.
func (s *Server) newServices(c config.Config, old *services) *services {
	n := &services{smtp: map[smtpKind]*smtpd.Server{}, imap: imapd.New(s.imapConfig(c)), users: users{s.locals, c.Sendmail}}
	local := smtpKind{profile: smtpd.Local}
	n.smtp[local] = smtpd.New(s.smtpConfig(c, local))
	for _, p := range []smtpd.Profile{smtpd.MX, smtpd.Submission, smtpd.LMTP} {
		for _, withTLS := range []bool{false, true} {
			kind := smtpKind{p, withTLS}
			n.smtp[kind] = smtpd.New(s.smtpConfig(c, kind))
		}
	}
	if old != nil {
		n.pop3 = old.pop3
	} else {
		n.pop3 = pop3d.New(s.pop3Config(c))
	}
	n.web = webd.New(s.webConfig(c))
	return n
}

// handler runs the connections of l, each with the services of the moment it
// began. TLS is what STARTTLS offers, or nil.
func (s *Server) handler(l config.Listener, t *tls.Config) func(context.Context, *netx.Conn) {
	name := l.Service()
	if l.TLS == config.TLSImplicit {
		t = nil // It is on already.
	}
	switch l.Protocol {
	case config.IMAP:
		in := imapd.Listener{Name: name, TLS: t}
		return func(ctx context.Context, c *netx.Conn) { s.services.Load().imap.Serve(ctx, c, in) }
	case config.POP3:
		in := pop3d.Listener{Name: name, TLS: t}
		return func(ctx context.Context, c *netx.Conn) { s.services.Load().pop3.Serve(ctx, c, in) }
	case config.HTTP:
		return func(ctx context.Context, c *netx.Conn) { s.services.Load().web.Serve(ctx, c, name) }
	}
	if l.Profile == config.ProfileLocal {
		return s.serveLocal
	}
	kind := smtpKind{smtpProfile(l.Profile), t != nil}
	return func(ctx context.Context, c *netx.Conn) { s.services.Load().smtp[kind].Serve(ctx, c) }
}

func smtpProfile(p config.Profile) smtpd.Profile {
	switch p {
	case config.ProfileSubmission:
		return smtpd.Submission
	case config.ProfileLMTP:
		return smtpd.LMTP
	}
	return smtpd.MX
}

// login returns who checks the passwords of clients of a protocol.
func (s *Server) login(by directory.Protocol) func(from netip.Addr) sasl.Authenticator {
	return func(from netip.Addr) sasl.Authenticator {
		return &authenticator{store: s.store, from: directory.Client{Protocol: by, Addr: from}}
	}
}

// offersScram says whether SCRAM is offered: as c says, or else while it works for
// everybody.
func (s *Server) offersScram(c config.Config) func() bool {
	return func() bool {
		switch c.TLS.Scram {
		case config.ScramOn:
			return true
		case config.ScramOff:
			return false
		}
		ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
		defer cancel()
		return s.store.directory.OffersScram(ctx)
	}
}

// profileOf is how the configuration calls a profile.
func profileOf(p smtpd.Profile) config.Profile {
	switch p {
	case smtpd.Submission, smtpd.Local: // The same mail, of the same people.
		return config.ProfileSubmission
	case smtpd.LMTP:
		return config.ProfileLMTP
	}
	return config.ProfileMX
}

func (s *Server) smtpConfig(c config.Config, kind smtpKind) smtpd.Config {
	var offered func() *tls.Config
	if t := s.tls[config.SMTP]; kind.tls && t != nil {
		offered = func() *tls.Config { return t }
	}
	judging := strangers{s.store.judge, s.store.outgoing.router.Trusts, c.Judge.Local, s.store.reports}
	var who smtpd.Judge
	if kind.profile == smtpd.MX && !c.Judge.Off {
		who = judging
	}
	// No Postmaster: the router and the directory find one who exists.
	return smtpd.Config{
		Profile:            kind.profile,
		TLS:                offered,
		Hostname:           c.Hostname,
		Limits:             smtpLimits(c),
		Auth:               s.login(directory.Submission),
		Scram:              s.offersScram(c),
		Tokens:             s.store.takesTokens,
		AllowPlainLoopback: true,
		HideClient:         c.SubmissionHidesClient,
		ChannelBinding:     c.TLS.ChannelBinding,
		Router:             router{s.store.outgoing.router},
		Room:               s.store.mail,
		Identities:         s.store.directory,
		Users:              users{s.locals, c.Sendmail},
		Intake:             s.store.intake,
		Judge:              who,
		Trusted:            judging.known,
		Offended:           s.store.bans.Offended,
		Brought:            s.store.bans.Brought,
		Sending:            metered{s.store.sending, s.store.metrics.SendingLimited},
		OurPostmaster:      s.store.isOurPostmaster(c.Hostname),
		Filters:            s.newFilters(c, profileOf(kind.profile)),
		Wrote:              s.store.learning.history.WroteTo,
		Claims:             judge.Claims(c.Hostname),
		Record:             s.store.record,
		Reports: func(from netip.Addr) bool {
			return c.Limits.DSN == config.DSNAll || s.store.outgoing.router.Trusts(from)
		},
		Log:   s.deps.Log,
		Now:   s.deps.Now,
		NewID: rand.Text,
	}
}

// smtpLimits are those of c. Without limits on rates, a load generator may send
// all its messages in one session.
func smtpLimits(c config.Config) smtpd.Limits {
	l := smtpd.Limits{MessageSize: c.Limits.MessageSize, Recipients: c.Limits.Recipients, Copies: store.MaxFilings}
	if c.Open {
		l.Transactions = math.MaxInt32
	}
	return l
}

// router is the Router that the SMTP sessions want.
type router struct{ tables *route.Router }

// Route says where mail for to goes. Only servers are trusted for their network:
// people log in, and LMTP is for mail that ends here.
func (r router) Route(ctx context.Context, c *smtpd.Client, to mail.Address) (route.Routed, error) {
	q := route.Question{Recipient: to, Sender: c.ReversePath, Account: c.Principal.Account}
	switch c.Profile {
	case smtpd.MX:
		q.Remote = c.Remote.Addr()
	case smtpd.Local:
		q.User = true
	}
	return r.tables.Route(ctx, q)
}

func (s *Server) imapConfig(c config.Config) imapd.Config {
	return imapd.Config{
		Hostname:           string(c.Hostname),
		Version:            s.deps.Version,
		Mailboxes:          s.store.mail,
		Messages:           s.store.mail,
		Intake:             s.store.intake,
		Notifier:           s.store.hub,
		Login:              s.login(directory.IMAP),
		Scram:              s.offersScram(c),
		Tokens:             s.store.takesTokens,
		AllowPlainLoopback: true,
		ChannelBinding:     c.TLS.ChannelBinding,
		MaxMessage:         c.Limits.MessageSize,
		Search:             s.store.search,
		Now:                s.deps.Now,
		Log:                s.deps.Log,
	}
}

func (s *Server) pop3Config(c config.Config) pop3d.Config {
	return pop3d.Config{
		Hostname:           string(c.Hostname),
		Version:            "yubin-" + s.deps.Version,
		Maildrops:          s.store.mail,
		Login:              s.login(directory.POP3),
		Scram:              s.offersScram(c),
		Tokens:             s.store.takesTokens,
		AllowPlainLoopback: true,
		ChannelBinding:     c.TLS.ChannelBinding,
		Now:                s.deps.Now,
		Log:                s.deps.Log,
	}
}

// refusal is what a protocol says to a connection over the limits.
func refusal(p config.Protocol) func(netx.Refusal) string {
	switch p {
	case config.IMAP:
		return func(r netx.Refusal) string { return "* BYE [UNAVAILABLE] " + r.String() + "\r\n" }
	case config.POP3:
		return pop3d.Refusal
	case config.HTTP:
		return webd.Refusal
	}
	return func(r netx.Refusal) string { return "421 4.7.0 " + r.String() + "\r\n" }
}
