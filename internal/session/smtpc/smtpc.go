// Package smtpc is the client's side of one SMTP (RFC 5321) or LMTP (RFC 2033)
// conversation: it greets, starts TLS, logs in, and hands over messages.
//
// Extensions that it uses where they are offered: PIPELINING (RFC 2920), SIZE
// (RFC 1870), 8BITMIME (RFC 6152), CHUNKING and BINARYMIME (RFC 3030), SMTPUTF8
// (RFC 6531), STARTTLS (RFC 3207), AUTH (RFC 4954), ENHANCEDSTATUSCODES (RFC
// 2034), DSN (RFC 3461), DELIVERBY (RFC 2852), MT-PRIORITY (RFC 6710),
// REQUIRETLS (RFC 8689) and LIMITS (RFC 9422).
//
// What a host says is data: every step ends in a mail.Answer, which is the
// host's words or the kind of trouble there was. What follows from it, and
// whether another host is tried, is for the caller (session/courier).
//
// Invariants:
//   - A message goes out as it is, or not at all: what a host cannot take is
//     Lacking, and a content that is not what its envelope says ends the
//     connection before its last octets.
//   - An Answer of phase "answer" is only given when the last octets may have
//     left; with trouble then, the answer is lost. Before that, nothing was
//     delivered.
//   - Every wait has an absolute end, however slowly the host feeds us, and
//     what is kept of a host's words is bounded.
//   - A conversation that went wrong is broken: it says nothing more.
//
// Deviation: the last line of a message is ended by CRLF when it goes out by
// DATA, which has no other form (RFC 5321 §4.1.1.4).
package smtpc

import (
	"context"
	"crypto/tls"
	"time"

	"yubin/internal/mail"
	"yubin/internal/proto/smtp"
	"yubin/internal/world/netx"
	"yubin/internal/world/obs"
)

// Config is what all conversations share.
type Config struct {
	// TLS is the base of all TLS sessions: roots, session cache, versions. Which
	// names are checked is set by the Opening. Nil takes the system's roots.
	TLS *tls.Config
	// Now is the clock by which DELIVERBY counts, and certificates are judged that the
	// Opening says how to judge.
	Now func() time.Time
}

// Client is one conversation. One goroutine at a time uses it. The context of
// a method ends it by closing the connection.
type Client struct {
	conn   *netx.Conn
	cfg    Config
	ctx    context.Context // of the method that is running
	parser smtp.ReplyParser
	line   []byte // reused

	opening  mail.Opening
	offers   offers
	verified bool           // the certificate is good for opening.Host
	fault    mail.CertFault // why it is not
	broken   bool           // nothing can be said any more
	dirty    bool           // a transaction is open at the host
	mails    int            // MAIL commands so far
	domains  map[mail.Domain]bool
}

// New returns the client of a connection on which nothing was said yet. It
// owns the connection, which must be one of netx.NewOutgoing.
func New(c *netx.Conn, cfg Config) *Client {
	return &Client{conn: c, cfg: cfg, ctx: context.Background(), domains: map[mail.Domain]bool{}}
}

// begin makes ctx the one of the method that calls it, until end is called.
func (c *Client) begin(ctx context.Context) (end func()) {
	c.ctx = ctx
	stop := context.AfterFunc(ctx, c.conn.Abort)
	return func() {
		if !stop() {
			c.broken = true
		}
		c.ctx = context.Background()
	}
}

// Connection says what is known of the connection and of what the host offers.
func (c *Client) Connection() mail.Connection {
	k := mail.Connection{
		Verified: c.verified, Certificate: c.fault,
		DSN:       c.offers.has(extDSN),
		DeliverBy: c.offers.has(extDeliverBy),
		Spent:     c.spent(),
	}
	if st, ok := c.conn.TLS(); ok {
		k.TLS = obs.TLS(st.Version) + " " + tls.CipherSuiteName(st.CipherSuite)
	}
	return k
}

func (c *Client) spent() bool {
	return c.broken ||
		c.offers.mailMax > 0 && c.mails >= c.offers.mailMax ||
		c.offers.domainMax > 0 && len(c.domains) >= c.offers.domainMax
}

// Quit ends the conversation and closes the connection, after waiting a moment
// for the host's goodbye (RFC 5321 §4.1.1.10).
func (c *Client) Quit(ctx context.Context) {
	defer c.begin(ctx)()
	if !c.broken {
		_, _ = c.ask(smtp.Quit{}, QuitTimeout) // It ends here whatever the host says.
	}
	c.broken = true
	_ = c.conn.Close()
}
