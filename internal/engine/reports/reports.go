// Package reports is about what mail servers report to each other once a day: who sent
// mail in a domain's name (DMARC aggregate reports, RFC 9990), and how TLS with its hosts
// went (RFC 8460). It keeps what others report of our domains, says what it means, and
// reports to others what came here under their names, and what became of our sessions
// with them. Files that begin with tls are about the latter; all else is alike for both
// kinds, or about the former.
//
// # Received
//
// Mail for an address of Settings.Addresses goes where such mail goes anyway; if
// nobody has the address it is taken all the same, for the reports. Besides, the
// commit that takes it holds its octets for us (intake.Keeper), and a loop reads
// them in the background, one after another. Each of the addresses takes both kinds. The
// bounds of mailauth/dmarcreport and mailauth/tlsrpt keep one report within some seconds
// of a processor.
//
//	state      rows                                      after a crash
//	arrived    reports_arrival, which holds the octets   the loop reads it
//	read       reports_received with reports_row or      as it is
//	           reports_tls: the same commit gives the
//	           octets back
//	forgotten  none, after Settings.Keep                 the sweep goes on
//
// A report is kept once, by domain, organization and its own number, however often
// it comes. Only what is about a domain of ours, or one below, is kept: there is no
// other reason to believe that it was meant for us. Nor is one
// whose author is forged, as the Authentication-Results say that the door put in
// front of it. Who reports under a name without a policy is believed.
//
// What is kept of a day about a domain of ours and all below it has bounds, for each
// kind, with a share for each reporter (bounds.go): what one sends leaves room for the
// others. Who reports about TLS is proven by a signature alone (RFC 8460 §3).
// What a report says of our policy is no more than that: the one that is shown, and
// that advice goes by, is asked for in the DNS when somebody looks (policy.go).
//
// # Sent
//
//	Note     a message was judged: it is counted in memory, by day, policy domain
//	         and all that a record of a report says (note.go); ObserveTLS likewise
//	         counts a session with another server, by the domain of the mail
//	flush    every few seconds that becomes rows: reports_day, reports_seen; a crash
//	         loses what was not written yet, and nobody misses a count in a report
//	due      a report is made once a day has ended, at a moment that was drawn
//	         when its row was made, so that not all go at once (send.go)
//	sent     the mail and the mark on reports_day are one commit, which fails if the
//	         mark is there: so there is one report a day and domain, whoever makes it
//
// Who takes up a due row moves its due time on by leaseTime first. If it dies, or the
// DNS does not answer, somebody does it then; if several nodes share the database,
// each row is one node's for that time.
//
// Reports have the null reverse-path, so nothing comes back to be answered, and a
// report that cannot be delivered is dropped by the queue. Of mail for our own
// addresses for reports nothing is counted: two servers that report to each other
// would report of that for ever.
//
// Whether a domain wants reports about TLS is asked when one is due (tlssend.go): a day
// of one that wants none is forgotten then. They go by mail, or to a server by HTTPS;
// what went by HTTPS before a crash took the mark goes again, with the same number.
//
// Failure reports (RFC 9991) are neither sent nor read.
//
// It starts nothing but what Run does, and asks the DNS only when a report is sent,
// or somebody looks at what was received.
package reports

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/route"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dmarc"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// Octets are what others sent: *store.Store.
type Octets interface {
	OpenBlob(ctx context.Context, ref store.BlobRef, prefix []byte) (*store.Content, error)
	ReleaseBlob(tx *sqldb.Tx, ref store.BlobRef) error
}

// Domains knows what domains are ours.
type Domains interface {
	IsLocal(ctx context.Context, name mail.Domain) (bool, error)
}

// Router finds where a report goes.
type Router interface {
	Route(ctx context.Context, q route.Question) (route.Routed, error)
}

// Intake makes mail of a report: *intake.Intake.
type Intake interface {
	Begin(taps ...intake.Tap) *intake.Message
	Plan(ctx context.Context, m *intake.Message, e intake.Envelope, to []intake.Recipient) (*intake.Plan, error)
	Commit(ctx context.Context, p *intake.Plan, also ...intake.Also) (intake.Receipt, error)
}

// Poster hands a report to a server that a stranger named, by HTTPS: *web.Public. The
// error says why there was no answer; of kind Invalid or Forbidden it will always be so.
type Poster interface {
	Post(ctx context.Context, uri, mediaType string, body []byte) (status int, err error)
}

// Kind is what reports are about.
type Kind string

// The kinds.
const (
	DMARC Kind = "dmarc"
	TLS   Kind = "tls"
)

// String is the kind as people write it.
func (k Kind) String() string { return strings.ToUpper(string(k)) }

// Options say what Reports are made of. All are needed but Log and Poster.
type Options struct {
	DB       *sqldb.DB
	Octets   Octets // over the same DB, with Held among its Holders
	Domains  Domains
	Router   Router
	Intake   Intake
	Resolver dmarc.Resolver
	Poster   Poster      // nil: nothing is sent by HTTPS
	Hostname mail.Domain // of this host, which reports
	Version  string      // of the program
	Now      func() time.Time
	Rand     func() float64 // in [0, 1)
	Log      *slog.Logger
}

// Settings are what can change while it runs.
type Settings struct {
	// Addresses take reports: a whole address, or a local part alone, which stands
	// for that name at each domain of ours. None: no reports are read.
	Addresses    []string
	Send         bool          // reports are sent
	Organization string        // who reports; "" is the host name
	Contact      mail.Address  // for questions about them; zero is postmaster at the host name
	Keep         time.Duration // how long reports are kept; 0 means DefaultKeep
}

// DefaultKeep is how long reports are kept: a year and a month, to compare.
const DefaultKeep = 400 * 24 * time.Hour

// Reports keeps and sends reports. Safe for concurrent use.
type Reports struct {
	o        Options
	settings atomic.Pointer[Settings]
	waiting  atomic.Int64  // rows of reports_arrival, about
	arrived  chan struct{} // something is to be read
	aside    sqldb.Aside   // rows that cannot be read
	told     told          // bounds

	mu      sync.Mutex
	pending pending // what was noted and is not written yet

	flushing sync.Mutex // held by Flush
	days     map[Kind]*dayCount
}

// Open prepares the tables.
func Open(ctx context.Context, o Options, s Settings) (*Reports, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := Prepare(ctx, o.DB); err != nil {
		return nil, err
	}
	r := &Reports{o: o, arrived: make(chan struct{}, 1), aside: sqldb.Aside{Log: o.Log}, pending: newPending(),
		days: map[Kind]*dayCount{DMARC: {}, TLS: {}}}
	r.Set(s)
	err := o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		var n int64
		if err := tx.QueryRow(`SELECT count(*) FROM reports_arrival`).Scan(&n); err != nil {
			return err
		}
		r.waiting.Store(n)
		return nil
	})
	return r, err
}

// Prepare makes the tables, for who needs no more than that there are some.
func Prepare(ctx context.Context, db *sqldb.DB) error { return db.Migrate(ctx, "reports", schema()) }

// Set changes the settings.
func (r *Reports) Set(s Settings) {
	if s.Keep == 0 {
		s.Keep = DefaultKeep
	}
	if s.Organization == "" {
		s.Organization = string(r.o.Hostname)
	}
	if s.Contact.IsZero() {
		s.Contact = r.postmaster()
	}
	r.settings.Store(&s)
}

func (r *Reports) postmaster() mail.Address {
	return mail.Address{Local: "postmaster", Domain: r.o.Hostname}
}

// IsAddress reports whether mail for an address at a domain of ours is for reports,
// whoever else has it.
func (r *Reports) IsAddress(a mail.Address) bool {
	a = a.Key()
	for _, own := range r.settings.Load().Addresses {
		if whole, err := mail.ParseAddress(own); err == nil {
			if whole.Key() == a {
				return true
			}
		} else if strings.EqualFold(own, a.Local) {
			return true
		}
	}
	return false
}

// How often Run looks for work, beside what it hears of.
const (
	flushEvery = 5 * time.Second
	sendEvery  = time.Minute
	sweepEvery = time.Hour
	againAfter = time.Minute // a failure
)

// Run reads, writes and sends until ctx ends, and writes what was noted at last.
func (r *Reports) Run(ctx context.Context) {
	var g sync.WaitGroup
	g.Go(func() { r.repeat(ctx, againAfter, r.arrived, "reports that came cannot be read", r.readAll) })
	g.Go(func() { r.repeat(ctx, flushEvery, nil, "what is to be reported cannot be written", r.Flush) })
	for _, kind := range []Kind{DMARC, TLS} { // What one waits for is not the other's.
		g.Go(func() {
			r.repeat(ctx, sendEvery, nil, kind.String()+" reports cannot be sent", func(ctx context.Context) error { return r.sendDue(ctx, kind) })
		})
	}
	g.Go(func() { r.repeat(ctx, sweepEvery, nil, "old reports cannot be removed", r.Sweep) })
	g.Wait()
	if err := r.Flush(context.WithoutCancel(ctx)); err != nil {
		r.o.Log.Warn("what was to be reported of the last seconds is lost", obs.Err(err))
	}
}

// repeat does something at once, whenever it is poked and after a time.
func (r *Reports) repeat(ctx context.Context, every time.Duration, poked <-chan struct{}, trouble string, do func(context.Context) error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for failed := false; ; {
		err := do(ctx)
		if err != nil && ctx.Err() == nil && !failed { // It is told once.
			r.o.Log.Warn(trouble+"; it goes on in a moment", obs.Err(err))
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-poked:
		case <-tick.C:
		}
	}
}
