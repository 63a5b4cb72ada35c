// Package signing has the keys with which mail is signed when it leaves (DKIM, RFC
// 6376): it makes them with the domains, keeps them sealed, says what is to stand in
// the DNS, looks whether it does, and replaces them on a schedule.
//
// # States of a key
//
//	state      what it does                                 goes on when
//	new        waits for its record                          the record is seen in the DNS
//	published  its record is seen; others may not see it yet  Settle has passed, or there is nothing else to sign with
//	active     signs                                          its successor does
//	retired    its record stays, for mail that is under way;  Keep has passed: the lifetime of mail in a queue
//	           the private key is gone
//	revoked    its record says p= (RFC 6376 §3.6.1)           revokedFor has passed: the row goes, and the record may
//
// Of an owner there is one active key of each algorithm: RSA with 2048 bits, which
// everybody verifies, and Ed25519 (RFC 8463). One whose record is not in the DNS, as
// far as that can be told for patience, does not sign, whatever its state: a
// signature that nobody can verify is worth less than none. When the record is back
// it signs again. Trouble of the DNS changes nothing.
//
// # Owners, and the zone
//
// A key is a domain's own, under selectors with the day it was made
// (y20260131r._domainkey.example.org), or the site's, in a zone that the site runs
// once for all domains (Policy.Zone). The zone has two selectors for each algorithm
// (yr1, yr2, ye1, ye2), which take turns; a domain has four CNAME records that point
// to them and never change, so that replacing keys touches the zone alone. All domains
// share the keys of the zone; each signs with them once its own CNAME records are
// seen. A domain's own keys go on until then.
//
// # Rows
//
//	signing_key    a key; private is a PKCS #8 sealed by world/secrets for its number
//	               (purpose "dkim"), NULL when it has none any more
//	signing_sight  what the DNS says of a key at a domain ("" is the zone itself)
//	signing_lease  who looks after all of it: one node, for leaseTime
//
// Every change reads the rows again in its transaction, under one lock; the lease
// only keeps nodes from doing the same work. Each change of a state is one commit: a
// crash leaves the key in the state before or after. A private key is sealed before
// its row exists.
//
// A key that cannot be opened, as secrets.key is another one, does not sign and is
// told of; new ones are made on request (Rotate), never by themselves: the file may
// only be missing for the moment.
//
// What was read is remembered for a minute, or until this process changes it, so
// another node's change counts a minute later.
//
// It deliberately writes no zone: what is to be published, people or their tools do.
package signing

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"sync"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/spool"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Times.
const (
	DefaultRotate = 180 * 24 * time.Hour // from one key to the next
	DefaultKeep   = 5 * 24 * time.Hour   // see Policy.Keep
	Settle        = time.Hour            // from seeing a record to signing with it: others may remember that there was none
	revokedFor    = 30 * 24 * time.Hour
	patience      = time.Hour // a record that is gone for so long is gone

	passEvery  = 10 * time.Minute // what is due is done
	lookNew    = 10 * time.Minute // a record that is waited for is looked for again
	lookOld    = 6 * time.Hour    // one that was seen
	lookTime   = 20 * time.Second // one look
	leaseTime  = 3 * passEvery
	rememberIt = time.Minute
)

// lookers is how many records are looked for at a time.
const lookers = 8

// Bits is the size of the RSA keys (RFC 8301 §3.2).
const Bits = 2048

// Algorithm is what a key is for.
type Algorithm uint8

// The algorithms, in the order in which they sign.
const (
	RSA     Algorithm = iota + 1 // rsa-sha256
	Ed25519                      // ed25519-sha256 (RFC 8463)
)

// Algorithms are all of them.
var Algorithms = [...]Algorithm{RSA, Ed25519}

var algorithmNames = [...]string{"", "rsa", "ed25519"}

// String is the word of the tag "k" of a record.
func (a Algorithm) String() string { return algorithmNames[a] }

// letter is what selectors of the algorithm end in, or begin with.
func (a Algorithm) letter() string { return algorithmNames[a][:1] }

// State is how far a key is; see the package comment.
type State uint8

// The states, in their order.
const (
	New State = iota + 1
	Published
	Active
	Retired
	Revoked
)

var stateNames = [...]string{"", "new", "published", "active", "retired", "revoked"}

func (s State) String() string { return stateNames[s] }

// Owner is whose a key is: a domain's or that of the zone of the site.
type Owner struct {
	Name mail.Domain
	Zone bool
}

// Policy is what is configured.
type Policy struct {
	Off    bool          // nothing is signed, and nothing is made by itself
	Zone   mail.Domain   // in which the keys of all domains are; "" for none
	Rotate time.Duration // how long a key signs; 0 means DefaultRotate, negative for ever
	Keep   time.Duration // how long the record of one that signs no more is needed; 0 means DefaultKeep
}

// Resolver asks the DNS.
type Resolver interface {
	TXT(ctx context.Context, n dns.Name) (dns.Answer[string], error)
	CNAME(ctx context.Context, n dns.Name) (dns.Answer[dns.Name], error)
}

// Secrets seals what is kept: secrets.Keyring does.
type Secrets interface {
	Seal(purpose, row string, secret []byte) ([]byte, error)
	Open(purpose, row string, sealed []byte) ([]byte, error)
	Current() string
}

// Directory knows the domains: directory.Directory does.
type Directory interface {
	// Names lists the local domains.
	Names(ctx context.Context) ([]mail.Domain, error)
	IsLocal(ctx context.Context, name mail.Domain) (bool, error)
	MayUse(ctx context.Context, p mail.Principal, a mail.Address) (bool, error)
}

// Options are what a Signing needs. DB, Secrets, Directory and Resolver must be given.
type Options struct {
	DB        *sqldb.DB
	Secrets   Secrets
	Directory Directory
	Resolver  func() (Resolver, error) // one that remembers nothing yet
	Hostname  mail.Domain              // of this server: reports come from it
	Reports   mail.Domain              // for which reports are signed where the host's name has no keys; "" for none

	Now    func() time.Time // nil means time.Now
	Random io.Reader        // nil means crypto/rand
	Log    *slog.Logger     // nil drops
	Name   string           // of this node, in the lease
	Alone  bool             // no other process has the database: a lease that is left is nobody's
	Policy Policy
}

// Signing is the keys. Safe for concurrent use.
type Signing struct {
	o     Options
	db    *sqldb.DB
	aside sqldb.Aside
	kick  chan struct{}

	mu      sync.Mutex
	policy  Policy
	fence   int64 // of our lease; 0 for none
	signers map[mail.Domain]remembered
	made    map[spool.ItemID]made
	epoch   int             // of the rows, as this process changes them
	opened  map[int64]Key   // private keys that are open, by number
	told    map[string]bool // what the log has been told
	all     time.Time       // when all domains were last looked after
}

// Open prepares the tables. It starts nothing; see Run.
func Open(ctx context.Context, o Options) (*Signing, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := o.DB.Migrate(ctx, "signing", schema()); err != nil {
		return nil, err
	}
	s := &Signing{o: o, db: o.DB, aside: sqldb.Aside{Log: o.Log}, kick: make(chan struct{}, 1), told: map[string]bool{}}
	s.SetPolicy(o.Policy)
	return s, nil
}

// SetPolicy changes what is configured.
func (s *Signing) SetPolicy(p Policy) {
	if p.Rotate == 0 {
		p.Rotate = DefaultRotate
	}
	if p.Keep == 0 {
		p.Keep = DefaultKeep
	}
	s.mu.Lock()
	s.policy = p
	s.mu.Unlock()
	s.forget()
	s.Poke()
}

func (s *Signing) now() time.Time { return s.o.Now().UTC().Truncate(time.Millisecond) }

func (s *Signing) policyNow() Policy {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.policy
}

// Poke has Run look after all domains now: one has come or gone, or secrets can be
// read again.
func (s *Signing) Poke() {
	s.mu.Lock()
	s.all = time.Time{}
	s.mu.Unlock()
	s.forget()
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// forget drops what is remembered of the rows.
func (s *Signing) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signers, s.made = nil, nil
	s.epoch++
}
