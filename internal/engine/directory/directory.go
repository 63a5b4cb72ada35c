// Package directory knows who lives here: the local domains, the accounts with
// their passwords, and the aliases. It says where mail for an address goes
// (Resolve), who somebody is (Login, Scram), and which addresses they may write
// from (MayUse); and it is where an administrator changes all of that. Every
// change is durable when its method returns, and effective at once.
//
// # Where mail for an address goes
//
// The first of these that exists: the account or alias of exactly that name;
// the one whose name stands before the first "+" (subaddress, RFC 5233 §1);
// in a domain that is an alias of another, what the address is there; for postmaster
// (RFC 5321 §4.5.1), and for abuse (RFC 2142 §4) after whoever is the domain's
// postmaster by name, Options.Postmaster, or else the domain's first account; the
// domain's catch-all; for postmaster and abuse the first account of all. Local parts
// are compared as mail.Address.Key has them: case-folded. An alias, and a catch-all is one, leads to accounts, other aliases and
// addresses outside this server, and an account may send its mail on to such; members
// that are disabled are left out. Who keeps a copy of what is sent on has it first:
// Resolution.By. What a foreign host does with mail, and whether it comes back, is not
// known here: the count of hops ends such loops (RFC 5321 §6.3).
//
// # Rows
//
//	directory_domain        a local domain; alias_of is the one it is another name of,
//	                        which is none itself, or empty
//	directory_account       an account; password is a hash (password.Hash), or empty
//	                        for none; factors and scram are text as in RFC 5803, the
//	                        latter empty while only a hash is known; protocols and
//	                        networks say where its own password counts; version counts
//	                        the changes that end all its sessions; credentials is the
//	                        last number that one got, credential that of its own
//	                        password; forwarding says whether its mail is sent on, and
//	                        a copy kept
//	directory_app_password  an app password: a digest, and a key for SCRAM of the
//	                        account's factors
//	directory_second_factor the secret of one-time codes, sealed with Options.Secrets,
//	                        and the last step of which a code was used
//	directory_recovery_code a digest of one that is not used yet
//	directory_use           the last login with a credential, as it was written
//	directory_network       a network from which an owner has logged in, and when
//	                        last: MaxNetworks of an account, for NetworkAge
//	directory_alias         an alias, never of the same name as an account; a
//	                        catch-all has no local part
//	directory_target        what an alias leads to, to what an account sends on, or who
//	                        is in a group: each the name of an account or alias, or of
//	                        a group (without a domain), or an address of a domain that
//	                        is not local
//	directory_group         a group: accounts and other groups
//	directory_send_as       as whom an account, or else all of a group, may write: an
//	                        address, all of a domain (no local part), anybody (neither)
//	directory_site          one row, with id 1, once the site has a quota
//	directory_secret        the key that invents SCRAM salts
//
// Each method is one transaction: a crash leaves all of it or nothing; of an
// import, whole batches.
//
// Every change checks in its transaction that nothing is left pointing nowhere:
// what is still a target or the domain of something cannot be removed, and what
// leads to others neither loops nor nests deeper than MaxAliasDepth. An
// account's mailboxes come and go in the same transaction as its row.
//
// A row with a value that it cannot have stops none of the others: it is listed with
// what is wrong with it, told of by Check, and can be removed by what the list shows.
// Its own account waits: mail for it, and its logins, are put off. A target that
// nobody can have gets nothing, and an alias that has no others puts mail off. A
// quota that cannot be read is none.
//
// # Quotas
//
// An account, a domain and the site can each be given a bound on octets and one
// on messages. For each of the two the account's counts, else its domain's, else
// the site's, else there is none. A quota that is changed counts from the next
// message on.
//
// # Logins
//
// Somebody logs in by a credential: the account's own password, or an app password, which
// is made here for one device. Each has a scope, and a number that no other gets. An app
// password is so long that one fast digest tells it, so a login with it needs no turn. The
// own password is compared with its hash, a bounded number at a time, in fair turns
// (gate); one that was right is remembered, as a keyed digest, until it is changed.
// For SCRAM all credentials of an account have one salt and count, and the client's proof
// is tried with each; as many keys as an account can have are tried of everybody, so that
// the time does not tell how many there are. What is right and does not count, here or any
// more, gets the answer of a wrong password, as late as that.
// A hash that another server made is compared in its own scheme, and the login that
// brings the right password replaces it by ours and by keys for SCRAM, which such an
// account has none of before. Unknown users cost the work of our own hashes, and for
// SCRAM have a salt. Failures are told late, the work rounded up to FailureStep, so
// that nobody hears whose hash is of what scheme, and counted: for the network they came from, which is
// refused for minutes after NetworkFailures, and for the account, which from
// then on is slow to answer other networks and refuses nobody. In a network from
// which its owner has logged in, and in one that many share (this machine,
// Options.Shared), an account is counted by itself: see OwnFailures. The networks
// of an owner are rows, written with the first login of a day from each.
//
// Somebody else may vouch for people (Vouched): a provider of identities, who has shown who
// they are in his own way. An account may have no password at all, and live by that alone.
//
// A login is of one version of the account, and of one credential. Who registers a session
// asks Confirm afterwards: what a change did not find to revoke is refused there.
//
// # Domains whose people others know
//
// The people of a domain may be known by a Source, a directory of others: it is asked whether
// their own passwords are right, and nothing is kept of them here; app passwords are ours as
// everywhere. An account is made by the first login that is right, or the first mail for
// somebody whom the source knows, and is one like all others from then on: mail for it does
// not ask. An address that nobody has here is one of somebody there, or a group there, or
// nobody's; asked when mail comes, outside of transactions. What the source says is
// remembered for SourceMemory. While it cannot be asked, such logins and such mail are put
// off: nobody is refused for it. Whoever is gone there cannot log in; the account stays until
// it is removed here.
//
// # What is remembered
//
// Answers are remembered in memory until the next change of anything. That is
// enough for one process; it is not told of changes made by another.
//
// It deliberately does not end sessions that are open when an account is
// disabled or removed, and sends nothing itself.
package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"yubin/internal/engine/password"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Sizes of what is remembered, in entries.
const (
	maxRoutes      = 32 << 10
	maxDomains     = 8 << 10
	maxLodgers     = 8 << 10
	maxVerified    = 16 << 10
	maxQuotas      = 32 << 10
	maxWhereabouts = 8 << 10
	maxGrantees    = 8 << 10
)

// ErrDisabled is the cause (errors.Is) of the Forbidden that a disabled account
// gives: in SMTP 5.2.1 (RFC 3463 §3.3), not the 5.7.1 of other refusals.
var ErrDisabled = errors.New("directory: account is disabled")

// Accounts is what keeps the mail of accounts. Both run inside the
// directory's transaction.
type Accounts interface {
	CreateAccount(tx *sqldb.Tx, id mail.AccountID) error
	DeleteAccount(tx *sqldb.Tx, id mail.AccountID) error
}

// Ended says whose sessions must end: those that logged in with one credential of an
// account, or with any of them.
type Ended struct {
	Account    mail.AccountID
	Credential int    // mail.Credential.Number; 0 for all
	Why        string // for the client
}

// Options are what a Directory needs. DB and Accounts must be given.
type Options struct {
	DB       *sqldb.DB
	Accounts Accounts

	Now    func() time.Time                           // nil means time.Now
	Sleep  func(context.Context, time.Duration) error // nil means a timer; slows failed logins down
	Random io.Reader                                  // nil means crypto/rand
	Log    *slog.Logger                               // nil drops

	// Revoked is told, after the commit, whose open sessions must end. It must not
	// block. Nil drops.
	Revoked func(Ended)

	// Removed is told, in the transaction, which domain is removed. Nil drops.
	Removed func(tx *sqldb.Tx, name mail.Domain)

	// Secrets seals the secrets of second factors; nil makes none.
	Secrets Secrets

	// Needed lists, in the transaction, the addresses that others than the directory send
	// mail to: none of them goes while it is needed. Nil needs none.
	Needed func(tx *sqldb.Tx) ([]Need, error)

	// Shared says of an address whether many people log in from it: a webmail, a
	// proxy. This machine itself always counts so. Nil means none else.
	Shared func(netip.Addr) bool

	Recipients  int          // that a message may have: no alias has more members; 0 and more than MaxAliasMembers mean that
	Postmaster  mail.Address // who gets mail for postmaster of every domain; zero means the domain's first account
	NoRateLimit bool         // failed logins are neither slowed down nor limited
	NoFloor     bool         // passwords may be as weak as anybody likes

	Cost            password.Cost // of new password hashes; zero means password.DefaultCost
	ScramIterations int           // of new SCRAM keys; 0 means DefaultScramIterations
	HashMemory      int           // KiB that password hashing may use at a time; 0 means Cost.Memory for each processor
}

// Directory is safe for concurrent use.
type Directory struct {
	o      Options
	log    *slog.Logger
	limits *limits
	gate   *gate // KiB of memory for hashing
	aside  sqldb.Aside

	scramSecret []byte        // from the database: invents salts for unknown users
	ticketKey   []byte        // of this process: see ticket
	nobody      password.Hash // what a password for an unknown user is compared with

	routes   *cache[mail.Address, route]
	domains  *cache[mail.Domain, known]
	lodgers  *cache[mail.Address, lodger]
	verified *cache[[ticketSize]byte, struct{}]
	quotas   *cache[mail.AccountID, mail.Quota]
	first    *cache[struct{}, mail.Domain]
	networks *cache[mail.AccountID, []network]
	grants   *cache[mail.AccountID, []mail.Address]
	scram    *cache[struct{}, bool]
	uses     uses
	sources  atomic.Pointer[sources]
	asking   *gate // MaxAsking logins ask a source
}

// Open brings the tables up to date and returns the directory.
func Open(ctx context.Context, o Options) (*Directory, error) {
	o.setDefaults()
	d := &Directory{
		o:        o,
		log:      o.Log,
		limits:   newLimits(o.Now, o.Sleep, o.NoRateLimit),
		gate:     &gate{free: o.HashMemory},
		asking:   &gate{free: MaxAsking},
		aside:    sqldb.Aside{Log: o.Log},
		routes:   newCache[mail.Address, route](maxRoutes),
		domains:  newCache[mail.Domain, known](maxDomains),
		lodgers:  newCache[mail.Address, lodger](maxLodgers),
		verified: newCache[[ticketSize]byte, struct{}](maxVerified),
		quotas:   newCache[mail.AccountID, mail.Quota](maxQuotas),
		first:    newCache[struct{}, mail.Domain](1),
		networks: newCache[mail.AccountID, []network](maxWhereabouts),
		grants:   newCache[mail.AccountID, []mail.Address](maxGrantees),
		scram:    newCache[struct{}, bool](1),
	}
	d.SetSources(nil)
	if err := d.invent(); err != nil {
		return nil, err
	}
	if err := o.DB.Migrate(ctx, "directory", schema()); err != nil {
		return nil, err
	}
	return d, d.loadSecret(ctx)
}

func (o *Options) setDefaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Revoked == nil {
		o.Revoked = func(Ended) {}
	}
	if o.Removed == nil {
		o.Removed = func(*sqldb.Tx, mail.Domain) {}
	}
	if o.Shared == nil {
		o.Shared = func(netip.Addr) bool { return false }
	}
	if o.Recipients == 0 || o.Recipients > MaxAliasMembers {
		o.Recipients = MaxAliasMembers
	}
	if o.Cost == (password.Cost{}) {
		o.Cost = password.DefaultCost()
	}
	if o.ScramIterations == 0 {
		o.ScramIterations = DefaultScramIterations
	}
	if o.HashMemory == 0 {
		o.HashMemory = int(o.Cost.Memory) * runtime.GOMAXPROCS(0)
	}
}

// invent makes the secrets that last as long as the process.
func (d *Directory) invent() error {
	b, err := d.random(keySize + saltSize + keySize)
	if err != nil {
		return err
	}
	d.ticketKey = b[:keySize]
	d.nobody = password.Nobody(b[keySize:keySize+saltSize], b[keySize+saltSize:], d.o.Cost)
	return nil
}

func (d *Directory) random(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(d.o.Random, b); err != nil {
		return nil, &mail.Error{Kind: mail.Internal, Text: "no randomness", Err: err}
	}
	return b, nil
}

// change is DB.Write for what the caches must hear of. One at a time changes who
// has what address: what is free, led to or empty stays so until the commit.
func (d *Directory) change(ctx context.Context, fn func(*sqldb.Tx) error) error {
	return d.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		tx.Lock(sqldb.Directory)
		tx.OnCommit(d.forget)
		return fn(tx)
	})
}

// forget drops what was remembered of the rows. Tickets stay: they are of a
// password hash, and worth nothing once that is not the account's any more.
func (d *Directory) forget() {
	d.routes.clear()
	d.domains.clear()
	d.lodgers.clear()
	d.quotas.clear()
	d.first.clear()
	d.grants.clear()
	d.scram.clear()
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
