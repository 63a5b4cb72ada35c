// Package courier makes one attempt to carry one message to recipients of one
// next hop: it connects to the hosts that engine/hosts finds (RFC 5321 §5.1), in
// their order, until every recipient has an outcome or no host is left.
//
// Invariants:
//   - A definite answer is never asked for twice: whoever was taken or refused
//     by one host is not offered to another, nor is a message whose answer got
//     lost after all of it had gone out.
//   - What a host could not take is Failed only if every host that was reached
//     said so for good; while one may take it later, it is Deferred.
//   - A message that demands TLS (RFC 8689) never goes out in clear, nor to a
//     host whose name is not proved.
//   - What TLSA records or a policy ask for (hosts.Terms) is met before the first
//     word about a message; a host that does not meet it is passed by.
//   - Every try is in the Attempts of the recipients that it was for.
//
// Which failure leads where is in classify.go and nowhere else.
//
// A Courier keeps a few idle sessions for the next message to the same host.
// It starts no goroutine; Run ends sessions that were idle for too long.
package courier

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"yubin/internal/engine/hosts"
	"yubin/internal/mail"
	"yubin/internal/mailauth/tlsrpt"
	"yubin/internal/world/netx"
	"yubin/internal/world/obs"
)

// MaxSessions is how many sessions one attempt begins: a host that can be reached
// and then fails costs minutes. See hosts for the limits of hosts and addresses.
const MaxSessions = 5

// Dialer makes connections: netx.Dialer does. From may be invalid.
type Dialer interface {
	Dial(ctx context.Context, to netip.AddrPort, from netip.Addr) (*netx.Conn, error)
}

// TLSObserver hears what TLS came to with each session, and with each host that a policy
// kept from being tried: for reports (RFC 8460). It must be quick.
type TLSObserver interface {
	ObserveTLS(tlsrpt.Observation)
}

// Conversation is what is said over one connection: smtpc.Client says it, and
// its methods say what theirs mean.
type Conversation interface {
	Open(ctx context.Context, o mail.Opening) (fault mail.Answer, ok bool)
	Send(ctx context.Context, t mail.Transaction) []mail.Answer
	Connection() mail.Connection
	Quit(ctx context.Context)
}

// source is our own address for a connection to addr; it may be invalid.
func source(hop mail.NextHop, addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return hop.SourceIPv4
	}
	return hop.SourceIPv6
}

// Config is what a Courier is made of. All fields must be set but Observer, Log and Idle.
type Config struct {
	Name     mail.Domain // what we call ourselves
	Finder   *hosts.Finder
	Dialer   Dialer
	Converse func(*netx.Conn) Conversation
	Now      func() time.Time
	Observer TLSObserver // nil for none
	Log      *slog.Logger
	Idle     IdleLimits // zero fields are the defaults
}

// Courier carries. Safe for concurrent use.
type Courier struct {
	cfg  Config
	idle *idleSessions
}

// New returns a Courier.
func New(cfg Config) *Courier {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Courier{cfg: cfg, idle: newIdleSessions(cfg.Idle, cfg.Now)}
}

// Run ends idle sessions in time, and all when ctx is done. Without it, they
// are only ended when a new one takes their place.
func (c *Courier) Run(ctx context.Context) error { return c.idle.run(ctx) }

// Carry tries to hand one message to all recipients of t by the next hop, and
// returns a Result for each, in their order. It returns when all is said, or
// soon after ctx is done; it may take an hour with hosts that are slow enough.
func (c *Courier) Carry(ctx context.Context, hop mail.NextHop, t mail.Transaction) []mail.Result {
	r := newRun(c, hop, t)
	r.carry(ctx)
	c.log(hop, t, r.results)
	return r.results
}

// log writes one line a recipient.
func (c *Courier) log(hop mail.NextHop, t mail.Transaction, results []mail.Result) {
	for i, res := range results {
		a := res.Decisive()
		c.cfg.Log.Info("attempt", "site", hop.Site(), obs.KeyFrom, t.ReversePath.String(), obs.KeyTo, t.Recipients[i].Address.String(),
			obs.KeyStatus, res.Outcome.String(), "host", a.Host, obs.KeyRemote, a.Remote, obs.KeyTLS, a.TLS, "verified", a.Verified, "terms", a.TLSTerms,
			"code", a.Code, "enhanced", a.Status(), "text", a.Text, obs.KeyTook, a.Took)
	}
}
