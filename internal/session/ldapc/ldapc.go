// Package ldapc asks LDAP directories (proto/ldap) who people are: it is a directory.Source.
//
// A directory is several servers that know the same. They are asked in their order; one that
// cannot be asked is left alone for Rest, and while all are, the answer is Unavailable at once.
// A question, with its wait for a turn, its tries of other servers and all of its answers,
// takes at most Config.Timeout, and no more than Config.Connections run at a time: that many
// connections there are at most, each used by one question after the other. So what servers
// send is bounded alone (proto/ldap, MaxAnswer) and all together.
//
// Whatever is not an answer to the question is Unavailable: that no server is there, that what
// comes is not LDAP, that the service account is refused, that a server sends us elsewhere,
// that two entries fit where one is expected. "There is nobody" and "the password is wrong" are
// said only when a server said so about the person. Why a server could not be asked is logged
// when that begins, and when it ends.
//
// An empty password never leaves: servers take it for nobody's and let it in (RFC 4513
// §5.1.2). Passwords go over TLS, but to where the configuration says otherwise.
//
// References to other servers are not followed, nor are aliases; who answers is not
// asked for more than the attributes that are named.
package ldapc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"sync"
	"time"

	"yubin/internal/engine/directory"
	"yubin/internal/mail"
	"yubin/internal/proto/ldap"
	"yubin/internal/world/netx"
	"yubin/internal/world/obs"
)

// Bounds of a question.
const (
	MaxAnswer  = 1 << 20          // octets of all messages that answer it
	MaxMembers = 1000             // of the groups of an address
	Rest       = 5 * time.Second  // for which a server that could not be asked is left alone
	maxIdle    = 50 * time.Second // for which a connection is kept that nobody uses
)

// Security says when a server speaks TLS.
type Security int

// When.
const (
	StartTLS Security = iota
	Implicit          // from the first octet: ldaps
	Plain             // never
)

// Server is one of a directory.
type Server struct {
	Name     string // as the configuration has it
	Host     string // a name or an IP address; its certificate must be for it
	Port     uint16
	Security Security
}

// The variables of filters and names.
const (
	VarAddress = "address" // in the form of mail.Address.Key
	VarLocal   = "local"   // what stands before the @
	VarDomain  = "domain"
)

// Config says how a directory is asked. All is needed but what says otherwise.
type Config struct {
	Domains     []mail.Domain // whose people it has
	Servers     []Server
	Timeout     time.Duration // of one question
	Connections int           // at a time

	Roots    func() (*x509.CertPool, error) // for each connection; nil pool: the system's
	Service  string                         // who asks; "" is nobody
	Password func() (string, error)         // of Service, for each connection

	Base, GroupBase string
	Filter          ldap.Filter // finds a person; zero: nobody is looked for
	UserName        ldap.Name   // of who logs in; zero: Filter finds him
	Address         string      // the attribute with the address of the account; "": it is the one that is looked for
	Quota           string      // the attribute with what an account may hold; "" for none
	GroupFilter     ldap.Filter // finds groups; zero: there are none
	Member          string      // the attribute with who is in one: addresses, or names of entries

	Dial func(ctx context.Context, s Server) (*netx.Conn, error) // a connection of netx.NewOutgoing
	Now  func() time.Time
	Log  *slog.Logger
}

// Client is a directory. Safe for concurrent use.
type Client struct {
	cfg   Config
	turns chan struct{} // full while so many questions are asked as may be

	mu     sync.Mutex
	idle   []*talk
	states []state // of Config.Servers
	closed bool
}

// state is what is known of a server.
type state struct {
	failed error     // why it could not be asked last time; nil if it could
	until  time.Time // when it may be asked again
}

// New returns a Client. It connects to nobody.
func New(c Config) *Client {
	return &Client{cfg: c, turns: make(chan struct{}, c.Connections), states: make([]state, len(c.Servers))}
}

// Close closes the connections that are not in use, and the others when they are not any more.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, t := range c.idle {
		t.close()
	}
	c.idle = nil
}

var errBusy = &mail.Error{Kind: mail.Unavailable, Text: "too many ask the directory at this moment"}

// ask has a question asked of the first server that can be asked. The function may be
// called several times.
func (c *Client) ask(ctx context.Context, question func(*talk) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return errBusy
	}
	if t := c.takeIdle(); t != nil {
		err := t.run(ctx, question)
		if c.keep(t); !isFault(err) || ctx.Err() != nil {
			return told(err)
		}
		// It may have been closed while nobody used it.
	}
	return c.askAnew(ctx, question)
}

// askAnew is ask on connections that are made.
func (c *Client) askAnew(ctx context.Context, question func(*talk) error) error {
	open, failed := c.tryable()
	for i, at := range open {
		err := c.askOne(ctx, at, len(open)-i, question)
		if !isFault(err) {
			return told(err)
		}
		failed = err
		if ctx.Err() != nil {
			break
		}
	}
	return told(failed)
}

// askOne asks a server, which gets its part of the time that is left for so many.
func (c *Client) askOne(ctx context.Context, at, left int, question func(*talk) error) error {
	whole := ctx
	if until, ok := ctx.Deadline(); ok && left > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(until)/time.Duration(left))
		defer cancel()
	}
	t, err := c.open(ctx, at)
	if err == nil {
		err = t.run(ctx, question)
		c.keep(t)
	}
	if whole.Err() == nil || !errors.Is(whole.Err(), context.Canceled) { // Who goes away says nothing about the server.
		c.note(at, err)
	}
	return err
}

// tryable lists the servers that may be asked, and why the last of the others could not.
func (c *Client) tryable() (list []int, failed error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	for i, s := range c.states {
		if s.failed != nil && now.Before(s.until) {
			failed = s.failed
			continue
		}
		list = append(list, i)
	}
	return list, failed
}

// note remembers whether a server could be asked, and logs it when that changes.
func (c *Client) note(at int, err error) {
	if !isFault(err) {
		err = nil
	}
	c.mu.Lock()
	before := c.states[at].failed
	c.states[at] = state{err, c.cfg.Now().Add(Rest)}
	c.mu.Unlock()
	name := c.cfg.Servers[at].Name
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		c.cfg.Log.Warn("an LDAP server cannot be asked", "server", name, obs.KeyReason, err.Error())
	case err == nil && before != nil:
		c.cfg.Log.Info("an LDAP server can be asked again", "server", name)
	}
}

func (c *Client) takeIdle() *talk {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.idle) > 0 {
		t := c.idle[len(c.idle)-1]
		c.idle = c.idle[:len(c.idle)-1]
		if c.cfg.Now().Sub(t.used) < maxIdle {
			return t
		}
		t.close()
	}
	return nil
}

// keep keeps a connection for the next question if it is good for one.
func (c *Client) keep(t *talk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.used = c.cfg.Now(); t.broken || c.closed {
		t.close()
		return
	}
	c.idle = append(c.idle, t)
}

// fault is that a server could not be asked, or not answered what was asked.
type fault struct {
	why   string
	heard bool // it is there, and answers: no other server knows better
}

func (f *fault) Error() string { return f.why }

// isFault reports whether err is that a server could not be asked, so that another one
// may be.
func isFault(err error) bool {
	f := (*fault)(nil)
	return errors.As(err, &f) && !f.heard
}

// told is err for who asked: of faults the one Unavailable.
func told(err error) error {
	if f := (*fault)(nil); errors.As(err, &f) {
		return &mail.Error{Kind: mail.Unavailable, Text: "the LDAP directory cannot be asked: " + f.why, Err: f}
	}
	return err
}

// Probed is what became of trying a server.
type Probed struct {
	Server Server
	TLS    string // its version; "" for none
	Err    error  // why it cannot be asked
}

// Probe tries each server: it connects, and is let in as the service account.
func (c *Client) Probe(ctx context.Context) (list []Probed) {
	for i, s := range c.cfg.Servers {
		p := Probed{Server: s}
		ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
		t, err := c.open(ctx, i)
		if err == nil {
			err = t.run(ctx, (*talk).beService)
			if st, secure := t.conn.TLS(); secure {
				p.TLS = tls.VersionName(st.Version)
			}
			t.close()
		}
		cancel()
		p.Err = err
		list = append(list, p)
	}
	return list
}

var _ directory.Source = (*Client)(nil)
