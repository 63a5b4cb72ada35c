// Package imapc is the client's side of an IMAP conversation (RFC 3501, RFC
// 9051), as far as it takes to bring mail here from another server: log in, list
// mailboxes, list messages, read them. It changes nothing there but what Take removes: mailboxes are
// opened by EXAMINE and messages read by BODY.PEEK.
//
// Extensions that it uses where they are offered: STARTTLS, SASL-IR (RFC 4959),
// NAMESPACE (RFC 2342), LIST-EXTENDED (RFC 5258), SPECIAL-USE (RFC 6154).
//
// Limits: what is kept of a server's words is bounded, messages stream, and
// every wait has an end. What a server sends that is not IMAP ends the
// conversation.
//
// It is ours, and not a library, because it is small beside what it needs of
// one: octets that stream from the connection into the store.
package imapc

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"yubin/internal/mail"
	"yubin/internal/proto/imap"
	"yubin/internal/world/netx"
)

// Limits.
const (
	MaxLine       = 1 << 20  // octets of a line
	MaxLiteral    = 64 << 10 // octets of a literal that is no message
	MaxHeld       = 64 << 20 // octets of a message that comes before its UID
	MaxDepth      = 16       // of lists in lists
	MaxList       = 10_000   // values of a list
	Timeout       = 5 * time.Minute
	fetchAtOnce   = 4 // commands that are on their way
	messagesAPart = 32
)

// Security is how the connection is protected.
type Security uint8

// The ways.
const (
	ImplicitTLS Security = iota
	StartTLS
	Plain // only to this machine
)

// Login is who logs in.
type Login struct {
	User     string
	AuthzID  string // whose mail, if User is a master user (RFC 4616); or ""
	Password string
}

// Config is what a Client is made of.
type Config struct {
	Security Security
	TLS      *tls.Config // with the name to check
	Now      func() time.Time
}

// Client is one conversation. Not safe for concurrent use.
type Client struct {
	conn  *netx.Conn
	cfg   Config
	caps  map[string]bool
	tag   int
	fault error // the conversation cannot go on
}

// broken is a failure of the connection or of what the server says.
func broken(format string, args ...any) error {
	return mail.Errorf(mail.Unavailable, "the other server: "+format, args...)
}

// Open takes the conversation from its first octet to where it is logged in. The
// connection is one of netx.NewOutgoing and the Client's from here on.
func Open(ctx context.Context, conn *netx.Conn, cfg Config, l Login) (*Client, error) {
	c := &Client{conn: conn, cfg: cfg}
	err := c.open(ctx, l)
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Client) open(ctx context.Context, l Login) error {
	defer c.watch(ctx)()
	if c.cfg.Security == Plain && !c.conn.Loopback() {
		return mail.Errorf(mail.Forbidden, "a password is not sent without TLS to another machine")
	}
	if c.cfg.Security == ImplicitTLS {
		if err := c.handshake(ctx); err != nil {
			return err
		}
	}
	authenticated, err := c.greeting()
	if err != nil {
		return err
	}
	if err := c.capability(); err != nil {
		return err
	}
	if c.cfg.Security == StartTLS {
		if err := c.startTLS(ctx); err != nil {
			return err
		}
	}
	if authenticated {
		return nil
	}
	if err := c.logIn(l); err != nil {
		return err
	}
	return c.capability()
}

// watch ends the connection when ctx is done, until end is called.
func (c *Client) watch(ctx context.Context) (end func() bool) {
	return context.AfterFunc(ctx, c.conn.Abort)
}

func (c *Client) handshake(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	if err := c.conn.HandshakeClient(ctx, c.cfg.TLS); err != nil {
		return broken("no TLS: %w", err)
	}
	return nil
}

func (c *Client) greeting() (authenticated bool, err error) {
	r, err := c.read()
	if err != nil {
		return false, err
	}
	r.expect("* ")
	switch word := strings.ToUpper(r.atom()); word {
	case "OK":
		return false, r.err
	case "PREAUTH":
		return true, r.err
	default:
		return false, broken("it does not greet as IMAP does: %.80q", word)
	}
}

// capability asks what the server offers.
func (c *Client) capability() error {
	c.caps = make(map[string]bool)
	return c.do("CAPABILITY", func(r *response) error {
		if r.word != "CAPABILITY" {
			return nil
		}
		for r.space(); !r.atEnd() && len(c.caps) < MaxList; r.space() {
			c.caps[strings.ToUpper(r.atom())] = true
		}
		return r.err
	})
}

func (c *Client) startTLS(ctx context.Context) error {
	if !c.caps["STARTTLS"] {
		return broken("it does not offer STARTTLS")
	}
	if err := c.do("STARTTLS", nil); err != nil {
		return err
	}
	if err := c.handshake(ctx); err != nil {
		return err
	}
	return c.capability() // What was said before is void (RFC 9051 §6.2.1).
}

// logIn uses PLAIN, which knows of master users, or LOGIN.
func (c *Client) logIn(l Login) error {
	if strings.ContainsAny(l.User+l.AuthzID+l.Password, "\x00\r\n") {
		return mail.Errorf(mail.Invalid, "a name or password has a character that IMAP cannot carry")
	}
	secret := base64.StdEncoding.EncodeToString([]byte(l.AuthzID + "\x00" + l.User + "\x00" + l.Password))
	var err error
	switch {
	case c.caps["AUTH=PLAIN"] && c.caps["SASL-IR"]:
		err = c.do("AUTHENTICATE PLAIN "+secret, nil)
	case c.caps["AUTH=PLAIN"]:
		err = c.authenticate(secret)
	case l.AuthzID != "":
		return broken("it does not offer AUTH=PLAIN, which a master user needs")
	case c.caps["LOGINDISABLED"]:
		return broken("it takes no password on this connection")
	default:
		err = c.do(fmt.Sprintf("LOGIN %s %s", quote(l.User), quote(l.Password)), nil)
	}
	if err != nil && c.fault == nil {
		return mail.Errorf(mail.Forbidden, "the other server does not let %s in: %w", l.User, err)
	}
	return err
}

// authenticate waits to be asked for the secret.
func (c *Client) authenticate(secret string) error {
	tag, err := c.send("AUTHENTICATE PLAIN")
	if err != nil {
		return err
	}
	asked := false
	return c.await(tag, func(r *response) error {
		if !r.asks || asked {
			return nil
		}
		asked = true
		if _, err := c.conn.WriteString(secret + "\r\n"); err != nil {
			return c.broke(err)
		}
		if err := c.conn.Flush(); err != nil {
			return c.broke(err)
		}
		return nil
	})
}

// quote writes an astring. What cannot be quoted, CR, LF and NUL, is in no name
// that a server has sent, and logIn refuses it.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// send writes a command.
func (c *Client) send(command string) (tag string, err error) {
	if c.fault != nil {
		return "", c.fault
	}
	c.tag++
	tag = fmt.Sprintf("y%d", c.tag)
	c.conn.Bound(c.cfg.Now().Add(Timeout))
	if _, err := c.conn.WriteString(tag + " " + command + "\r\n"); err != nil {
		return "", c.broke(err)
	}
	if err := c.conn.Flush(); err != nil {
		return "", c.broke(err)
	}
	return tag, nil
}

// broke notes that the conversation is over.
func (c *Client) broke(err error) error {
	if c.fault == nil {
		c.fault = broken("the connection broke: %w", err)
	}
	return c.fault
}

// do runs a command. A NO or BAD is a *refusal.
func (c *Client) do(command string, untagged func(*response) error) error {
	tag, err := c.send(command)
	if err != nil {
		return err
	}
	return c.await(tag, untagged)
}

// refusal is what a server says that it does not do.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

// await gives the responses up to the one with tag to untagged; its first error
// is returned, after all was read.
func (c *Client) await(tag string, untagged func(*response) error) error {
	var first error
	for {
		r, err := c.read()
		if err != nil {
			return err
		}
		if r.head(tag) {
			return c.result(r, first)
		}
		if r.err == nil && r.word == "BYE" {
			return c.broke(fmt.Errorf("it said goodbye: %.200s", r.rest()))
		}
		if untagged != nil && r.err == nil && first == nil {
			first = untagged(r)
		}
		if err := r.finish(); err != nil {
			return c.broke(err)
		}
		if c.fault != nil {
			return c.fault
		}
	}
}

func (c *Client) result(r *response, first error) error {
	switch {
	case r.err != nil:
		return c.broke(r.err)
	case first != nil:
		return first
	case r.word == "OK":
		return nil
	}
	return &refusal{printable(r.rest())}
}

// printable is a server's words for people.
func printable(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
	return strings.TrimSpace(s[:min(len(s), 300)])
}

// read reads the first line of the next response.
func (c *Client) read() (*response, error) {
	if c.fault != nil {
		return nil, c.fault
	}
	c.conn.Bound(c.cfg.Now().Add(Timeout))
	line, err := c.conn.ReadLine(MaxLine)
	if err != nil {
		return nil, c.broke(err)
	}
	return &response{src: c.conn, line: string(line)}, nil
}

// Close says goodbye and closes the connection.
func (c *Client) Close() {
	if c.fault == nil {
		c.tag++
		c.conn.Bound(c.cfg.Now().Add(time.Second))
		if _, err := fmt.Fprintf(c.conn, "y%d LOGOUT\r\n", c.tag); err == nil {
			_ = c.conn.Flush() // It ends here whatever becomes of it.
		}
	}
	c.fault = broken("the connection is closed")
	_ = c.conn.Close()
}

// decodeName reads a mailbox name as the server writes it.
func decodeName(raw string) (string, bool) { return imap.ParseMailbox([]byte(raw), false) }
