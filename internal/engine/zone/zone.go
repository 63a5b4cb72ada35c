// Package zone knows what a domain should have in the DNS so that its mail comes, is
// believed and is found by clients: as data (Wanted), compared with what there is
// (Check), and, where a zone takes updates, put there (Publish).
//
// What is wanted follows from what the site is: its name and addresses, the listeners,
// the keys of DKIM, the certificate, where reports go, and the policy of MTA-STS that
// its web listener hands out (Policy, RFC 8461). A domain that stands for another one is
// a domain like any other here: its mail has a way and signatures of its own.
//
// # Whose records are whose
//
// A record is ours, in a zone that others write too, if Publish put it there: table
// zone_record remembers what it put where. Of what it did not put there it takes nothing
// away, unless it is asked to (Replace). An exception are names that nobody else can mean:
// the selectors of our keys.
//
//	state      row   in the zone   left by a crash     who goes on
//	wanted     -     no            as it is            Publish
//	meant      yes   no            as it is            Publish adds what is wanted, whatever rows say
//	published  yes   yes           as it is            -
//	outdated   yes   yes           as it is            Publish takes it away, then the row
//
// A row is written before the record is added and goes after it was taken away: so what
// we put there is always known as ours.
//
// # What is found
//
// Check asks a resolver that remembers nothing, and then each name server of the zones by
// itself: some may not have heard of a change. It decides by meaning where a record has
// one: SPF is evaluated for our own addresses, a policy of DMARC is read, keys are
// compared. All of it ends after CheckTime.
//
// It deliberately knows no DNSSEC of its own: what is signed a validating resolver says.
package zone

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"yubin/internal/dns"
	"yubin/internal/engine/clients"
	"yubin/internal/engine/directory"
	"yubin/internal/engine/signing"
	"yubin/internal/mail"
	"yubin/internal/mailauth/mtasts"
	"yubin/internal/mailauth/spf"
	"yubin/internal/world/sqldb"
)

// Times.
const (
	TTL       = time.Hour        // with which records are written: how long others remember them
	CheckTime = 25 * time.Second // one check
	asked     = 8 * time.Second  // finding addresses where nobody has said them
)

// Limits of a check.
const (
	MaxServers = 16 // addresses of name servers of a zone that are asked
	MaxHosts   = 10 // mail exchangers that are looked at
	MaxShown   = 20 // records of a name that a finding shows
	MaxText    = 1 << 10
	atATime    = 32 // questions to the DNS, and connections
)

// Settings is what is configured.
type Settings struct {
	Host      mail.Domain  // of this server; "" is not known
	Addresses []netip.Addr // at which others reach it; empty: those of its interfaces, else what the DNS says
	TakesMail bool         // a listener takes mail from others
	Web       bool         // a listener speaks HTTPS where others find it: port 443
	// DMARC and TLS are who gets reports: an address, or a local part for each domain;
	// "" is nobody.
	DMARCReports, TLSReports string
	STSOff                   bool // there is no policy of MTA-STS
	STS                      mtasts.Mode
	STSAge                   time.Duration
	Zones                    []dns.Name     // that take updates; the longest that a name is in counts
	Server                   netip.AddrPort // that takes them
	Automatic                bool           // Run keeps up what Publish began
}

// Issuer is who issues certificates for this server (RFC 8659 §4.2, RFC 8657).
type Issuer struct {
	Domain  string // by which the authority is known: "letsencrypt.org"
	Account string // URI; "" for any account there
}

// Names asks the DNS: resolver.Resolver does.
type Names interface {
	spf.Resolver
	Addresses(ctx context.Context, host dns.Name) (dns.Answer[netip.Addr], error)
	Records(ctx context.Context, n dns.Name, t dns.Type) (dns.Answer[string], error)
}

// Resolvers makes who asks the DNS. What they return remembers nothing yet.
type Resolvers interface {
	// Ask asks the name server with that address and port, or for "" those that are
	// configured. The error is of kind Invalid.
	Ask(server string) (Names, error)
	// At asks a name server for what it has itself.
	At(server netip.AddrPort) (Names, error)
}

// Directory knows the domains.
type Directory interface {
	Domain(ctx context.Context, name mail.Domain) (directory.Domain, error)
	Names(ctx context.Context) ([]mail.Domain, error)
	IsLocal(ctx context.Context, name mail.Domain) (bool, error)
}

// Keys are those of DKIM: signing.Signing has them.
type Keys interface {
	Wanted(ctx context.Context, d mail.Domain) ([]signing.Record, error)
}

// Clients knows what mail clients are to use: clients.Clients does.
type Clients interface {
	Settings(ctx context.Context, d mail.Domain) (clients.Settings, error)
}

// Certificates are what this server shows.
type Certificates interface {
	// Shown is the certificate that a client gets which names host, and those above it;
	// none if there is none.
	Shown(host string) []*x509.Certificate
	// Next are the public keys, as in a certificate, of those that are announced.
	Next() [][]byte
	// Issuers are who issues them; none if that is not known.
	Issuers(ctx context.Context) ([]Issuer, error)
}

// Seen is a mail host as others see it.
type Seen struct {
	Fault    string // why there is no conversation; "" if there is one
	Refused  bool   // somebody said no: the machine is there
	TLS      string // version and cipher; "" without
	TLSFault string // why not
	Chain    []*x509.Certificate
}

// Hosts looks at other hosts as a stranger would.
type Hosts interface {
	// Look begins an SMTP conversation at an address, with a host of that name.
	Look(ctx context.Context, at netip.Addr, host dns.Name) Seen
	// Policy fetches the policy of MTA-STS of a domain (RFC 8461 §3.3).
	Policy(ctx context.Context, n Names, d mail.Domain) (mtasts.Policy, error)
}

// Updater writes into zones (RFC 2136): what is removed goes, what is added comes, in one
// step. An error says that nothing was changed, as far as can be known.
type Updater interface {
	Update(ctx context.Context, zone dns.Name, add, remove []dns.ZoneRecord) error
}

// Options are what a Zone needs. All but Now, Log, Roots, Updater and Own must be given.
type Options struct {
	DB           *sqldb.DB
	Directory    Directory
	Keys         Keys
	Clients      Clients
	Certificates Certificates
	Resolvers    Resolvers
	Hosts        Hosts
	Updater      Updater             // nil: nothing is published
	Settings     func() Settings     // of the moment
	Own          func() []netip.Addr // addresses of the interfaces of this machine; nil for none
	Roots        *x509.CertPool      // whom others believe; nil for those of the system
	Port         uint16              // of name servers; 0 is 53
	Now          func() time.Time    // nil means time.Now
	Log          *slog.Logger        // nil drops
}

// Zone answers for a site. Safe for concurrent use.
type Zone struct {
	o     Options
	aside sqldb.Aside

	mu      sync.Mutex
	failing map[mail.Domain]Failing
}

// Open prepares the table. It starts nothing; see Run.
func Open(ctx context.Context, o Options) (*Zone, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Own == nil {
		o.Own = func() []netip.Addr { return nil }
	}
	return &Zone{o: o, aside: sqldb.Aside{Log: o.Log}}, o.DB.Migrate(ctx, "zone", schema())
}
