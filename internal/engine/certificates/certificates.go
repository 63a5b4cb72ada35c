// Package certificates has the certificates that a certificate authority makes for us by
// ACME: it knows which are wanted, had and due, orders and renews them, keeps them with
// their keys, and says what went wrong.
//
// # What is wanted
//
// One certificate is for the host name of the server and the names of the configuration.
// Each domain whose mail is here has one of its own, for those of the names mta-sts,
// autoconfig and autodiscover before it that lead to this server: one that does not is left
// out, with the reason (want.go). Nothing is ever ordered because a client names it.
//
// # States of a certificate, a row of certificate
//
//	names   chain    what it is                             goes on when
//	none    none     none of its names leads here           one does; the DNS is asked every lookAgain
//	some    none     to be ordered                          an order succeeds; after a failure ever later (retry)
//	some    there    shown                                  it is due: the authority's window (RFC 9773), else a third of its
//	                                                        lifetime is left; or a name came; or its next key is old enough
//	none    there    shown until it ends; not renewed       a name leads here again
//	(its domain is gone)                                    the row goes, with its keys
//
// A key (certificate_key) is current, or next: made by RotateKey, announced for Announce, so
// that others can see records of it (TLSA), and taken by the renewal after that. A renewal
// keeps the key.
//
// A private key is sealed by world/secrets before its row exists, and its row is there
// before an order is made; a chain is there in one commit with the key that it is for. So a
// crash costs an order at most.
//
// # Several nodes
//
// One node orders: the row of certificate_lease has who, until when, and a fence, which what
// an order leads to is written under. Challenges are rows (certificate_challenge) until they
// are over, so that the node that the authority comes to answers. All nodes read what is new
// every refreshEvery.
//
// It deliberately knows no HTTP and no TLS: world/acme speaks to the authority, world/certs
// shows what is here.
package certificates

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"yubin/internal/dns"
	"yubin/internal/mail"
	"yubin/internal/world/acme"
	"yubin/internal/world/sqldb"
)

// Times.
const (
	Announce     = 3 * 24 * time.Hour // from a next key to the certificate that has it
	passEvery    = time.Minute        // what is due is done
	refreshEvery = time.Minute        // what other nodes did is seen
	lookAgain    = time.Hour          // from one question for a name to the next
	lookTime     = 20 * time.Second
	askWindow    = 6 * time.Hour // from one question to the authority when to renew to the next, if it does not say
	leastWindow  = 10 * time.Minute
	mostWindow   = 24 * time.Hour
	firstRetry   = 5 * time.Minute
	lastRetry    = 12 * time.Hour
	limitedRetry = time.Hour // at least, after the authority said that it is too much
	growAgain    = time.Hour // from a certificate to one with more names
	seenTime     = 2 * time.Minute
	seenEvery    = 2 * time.Second
	leaseTime    = acme.IssueTime + seenTime + 3*time.Minute
)

// Limits.
const (
	MaxDomains = 10_000 // that get a certificate
	maxOrders  = 20     // in one pass
	maxWindows = 20     // questions when to renew in one pass
	lookers    = 8      // names that are looked for at a time
	maxFault   = 600    // octets of the text of a failure
)

// Settings are what is configured.
type Settings struct {
	Off       bool
	Directory string // the URL of the authority
	Contact   mail.Address
	Kind      acme.Kind
	Hostname  mail.Domain
	Names     []string // beside the host name, in its certificate; ASCII
}

// Authority is the certificate authority: acme.Client is one.
type Authority interface {
	Register(ctx context.Context, key Signer, contact mail.Address, b acme.Binding) (acme.Account, error)
	Issue(ctx context.Context, a acme.Account, o acme.Order, s acme.Solver) (chain [][]byte, err error)
	Window(ctx context.Context, leaf *Leaf) (acme.Window, error)
}

// Resolver asks the DNS.
type Resolver interface {
	Addresses(ctx context.Context, n dns.Name) (dns.Answer[netip.Addr], error)
	TXT(ctx context.Context, n dns.Name) (dns.Answer[string], error)
	CNAME(ctx context.Context, n dns.Name) (dns.Answer[dns.Name], error)
}

// Zones writes records of dns-01 into the DNS.
type Zones interface {
	Put(ctx context.Context, n dns.Name, text string) error
	Remove(ctx context.Context, n dns.Name, text string) error
}

// Secrets seals private keys: secrets.Keyring does.
type Secrets interface {
	Seal(purpose, row string, secret []byte) ([]byte, error)
	Open(purpose, row string, sealed []byte) ([]byte, error)
}

// Directory knows the domains whose mail is here.
type Directory interface {
	Names(ctx context.Context) ([]mail.Domain, error)
}

// Options are what Certificates need. DB, Secrets, Directory, Resolver and Authority must
// be given.
type Options struct {
	DB        *sqldb.DB
	Secrets   Secrets
	Directory Directory
	Resolver  func() (Resolver, error)          // one that remembers nothing yet
	Authority func(Settings) (Authority, error) // called for each pass that has an order
	Binding   func() (acme.Binding, error)      // for a new account; nil for none
	Zones     Zones                             // nil if no zone takes updates
	Own       func() []netip.Addr               // the addresses of this machine
	Now       func() time.Time                  // nil means time.Now
	Random    io.Reader                         // nil means crypto/rand
	Log       *slog.Logger                      // nil drops
	Name      string                            // of this node, in the lease
	Alone     bool                              // no other process has the database: a lease that is left is nobody's
	Observe   func(name string, err error)      // hears what became of each order; nil for nobody
	Settings  Settings
}

// Certificates is the engine. Safe for concurrent use.
type Certificates struct {
	o     Options
	db    *sqldb.DB
	aside sqldb.Aside
	kick  chan struct{}
	shown atomic.Pointer[shelf]

	mu       sync.Mutex
	settings Settings
	fence    int64           // of our lease; 0 for none
	looked   map[string]look // what the DNS said, by name
	told     map[string]bool // what the log has been told
	passing  sync.Mutex      // one pass at a time
}

// Open prepares the tables and reads what there is. It starts nothing; see Run.
func Open(ctx context.Context, o Options) (*Certificates, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(string, error) {}
	}
	if err := o.DB.Migrate(ctx, "certificates", schema()); err != nil {
		return nil, err
	}
	c := &Certificates{o: o, db: o.DB, aside: sqldb.Aside{Log: o.Log}, kick: make(chan struct{}, 1), settings: o.Settings,
		looked: map[string]look{}, told: map[string]bool{}}
	c.shown.Store(&shelf{})
	return c, c.refresh(ctx, func(string, error) {}) // Run tells.
}

// Set changes what is configured.
func (c *Certificates) Set(s Settings) {
	c.mu.Lock()
	c.settings = s
	c.mu.Unlock()
	c.Poke()
}

// Poke has Run look at everything now: a domain came or went, or secrets can be read again.
func (c *Certificates) Poke() {
	c.mu.Lock()
	clear(c.looked)
	c.mu.Unlock()
	c.wake()
}

func (c *Certificates) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

func (c *Certificates) now() time.Time { return c.o.Now().UTC().Truncate(time.Millisecond) }

func (c *Certificates) settingsNow() Settings {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settings
}

// once reports whether the log has not been told of a matter yet.
func (c *Certificates) once(matter string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told[matter] || len(c.told) >= maxTold {
		return false
	}
	c.told[matter] = true
	return true
}

const maxTold = 1000

// Certificate is the one for a server name: that of the name, else one with a wildcard for
// it; "" is the host's. nil if there is none.
func (c *Certificates) Certificate(name string) *tls.Certificate { return c.shown.Load().find(name) }
