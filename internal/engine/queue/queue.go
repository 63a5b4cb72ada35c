package queue

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Limits and sizes.
const (
	MaxRecipients = 1000 // of one item
	MaxWindow     = 8192 // pairs of item and site in memory
	siteWindow    = 512  // of them for one lane of one site
	maxIdle       = 8192 // sites with nothing to do whose health is remembered
	maxWanting    = 256  // sites for which the database is searched; for what is beyond, all of it is looked through
	maxProbes     = 2048 // sites with mail in memory that wait for their time; more have it put off
	feedStep      = 256  // rows looked at for one lane of a site that had no room
	jobRecipients = 100  // one transaction with a next hop (RFC 5321 §4.5.3.1.8)
	claimBatch    = 32   // jobs claimed in one commit
	scanStep      = 1024 // index rows looked at in one snapshot
	bulkSlice     = 500  // rows changed in one transaction
	probeStep     = 64   // sites for which put off mail is looked for in one transaction
	maxSettling   = 64   // jobs that are answered and not settled: no more are begun
	maxNote       = 1000 // octets of an operator's remark
	MaxORCPT      = 600  // octets of an original recipient, decoded; 500 encoded is the RFC's limit
	maxTelling    = 8    // reports being made at a time: others wait
)

// Times. Those of the schedule are defaults of Schedule.
const (
	DefaultLifetime    = 5 * 24 * time.Hour
	DefaultNoticeAfter = 4 * time.Hour
	DefaultHistory     = 30 * 24 * time.Hour
	DefaultGather      = 30 * time.Second // failures of one message within it share a report
	DefaultGrace       = 20 * time.Second // for jobs under way, at the end of Run

	leaseTime   = time.Minute
	heartbeat   = 15 * time.Second
	passEvery   = 2 * time.Minute        // the whole index of what is due is looked through
	passRest    = 10                     // times as long as the pass took, at least
	minRest     = 100 * time.Millisecond // after each pass
	scanPause   = 20 * time.Millisecond  // between steps that found nothing
	scanOverlap = 5 * time.Second
	parkTime    = 15 * time.Minute // what a pause puts off is looked at again
	retryOurs   = time.Minute      // after a failure of our own
	walkRest    = time.Second      // between steps of the walk along sites with put off mail
	minProbe    = time.Minute      // between probes of a dead site, doubled to
	maxProbe    = 15 * time.Minute
	siteMemory  = 10 * time.Minute // the window of a site without mail is remembered
)

// Limit bounds what is sent to one site.
type Limit struct {
	Concurrency int     // transactions at a time; 0 means DefaultConcurrency
	PerSecond   float64 // transactions begun in a second; 0 is no bound
}

// Limits bound what is sent.
type Limits struct {
	Total int              // transactions at a time; 0 means DefaultTotal
	Fresh int              // octets of messages kept in memory to be carried without being read; 0 means DefaultFresh
	Site  Limit            // of each site that is not in Sites
	Sites map[string]Limit // by mail.NextHop.Site
}

// Defaults of Limits.
const (
	DefaultTotal       = 200
	DefaultFresh       = 8 << 20
	DefaultConcurrency = 20
	firstConcurrency   = 5 // of a site not known
)

// Courier carries one message to some recipients at one next hop and says what
// became of each, in their order. It returns soon after ctx ends, with what it
// knows. A recipient without a result was not tried.
type Courier interface {
	Carry(ctx context.Context, hop mail.NextHop, t mail.Transaction) []mail.Result
}

// Hop is where a Router sends a recipient.
type Hop struct {
	mail.NextHop
	Route string // the name of the route, for Pause; "" if it has none
	Here  bool   // it is the Filer's, not the Courier's
}

// Question is what a Router is asked.
type Question struct {
	Recipient mail.Address
	Sender    mail.ReversePath
	Account   mail.AccountID // of the sender, or zero
	Via       string         // the route that an operator chose, or ""
}

// Router finds the next hop as the tables stand now. It is quick: hosts are
// looked up by the Courier. An error of kind Internal, Unavailable or
// RateLimited is temporary; any other means that mail there can never be sent,
// and its text is for the sender.
type Router interface {
	NextHop(ctx context.Context, q Question) (Hop, error)
}

// Action is what a report says of a recipient (RFC 3464 §2.3.3).
type Action uint8

// The actions.
const (
	ActionFailed Action = iota + 1
	ActionDelayed
	ActionDelivered // into a mailbox, here or by LMTP
	ActionRelayed   // to a host that does not report itself
	ActionExpanded  // an alias, to all its addresses
)

// Told is what a report says of one recipient.
type Told struct {
	Delivery // Last is the attempt that settled it
	Action   Action
	Expired  bool // failed because it took too long: Last only says why it waited
}

// Report is what a sender is to be told about one message.
type Report struct {
	Item       spool.Item
	Open       mail.Opener // the message, prefix included
	Recipients []Told
	RetryUntil time.Time // of ActionDelayed: when we give up
}

// Made says what became of a report.
type Made struct {
	Form  spool.Report
	Filed bool         // in mailboxes here
	Item  spool.ItemID // what was spooled of it, or zero
}

// Reporter makes reports as it reads the original, for that may be large. Tell
// makes one and sees to it that it reaches its reader, in one transaction with
// also: which is run, too, if the report goes nowhere because nobody can be told. An
// error is temporary, and nothing was done. They never go to a null reverse-path.
// One that is about mail from there is about a report, whole or small, that could
// not be delivered: it takes its small form, or tells the postmaster.
type Reporter interface {
	Tell(ctx context.Context, r Report, also func(*sqldb.Tx, Made) error) (Made, error)
}

// Filer files what has to wait for mailboxes here. File does so in one transaction
// with settle, which it gives what became of each recipient. If it fails nothing
// was filed, and what it returns is what becomes of the recipients.
type Filer interface {
	File(ctx context.Context, hop mail.NextHop, it spool.Item, t mail.Transaction, settle func(*sqldb.Tx, []mail.Result) error) (results []mail.Result, settled bool)
}

// Signer signs what leaves: signing.Signing does. Its error is temporary.
type Signer interface {
	Sign(ctx context.Context, it spool.Item, content mail.Opener, changed bool) (fields []byte, err error)
}

// Schedule says when things happen. Zero values mean the defaults.
type Schedule struct {
	Retry       []time.Duration // after the first deferral, the second, ...; the last is repeated
	Lifetime    time.Duration   // mail that is not delivered by then is returned
	NoticeAfter time.Duration   // the sender is told that mail is late; negative for never
	Gather      time.Duration   // see DefaultGather
	History     time.Duration   // settled mail is remembered
}

// Options say what a Queue is made of.
type Options struct {
	DB       *sqldb.DB
	Store    *store.Store
	Spool    *spool.Spool
	Courier  Courier // of what goes elsewhere
	Filer    Filer   // of what has a mailbox here
	Router   Router
	Reporter Reporter
	Signer   Signer // nil signs nothing

	Now     func() time.Time
	Rand    func() float64    // in [0, 1), for jitter; safe for concurrent use
	Log     *slog.Logger      // nil drops
	Observe func(Observation) // for metrics; must be quick; nil for none

	Name     string // of this node, in the table of lease holders
	Alone    bool   // no other process can have the database: whoever held leases is dead
	Limits   Limits
	Schedule Schedule
	Grace    time.Duration // see DefaultGrace
}

// Queue is the schedule of outgoing mail. Safe for concurrent use.
type Queue struct {
	o    Options
	db   *sqldb.DB
	kick chan struct{} // the loop has something to do

	mu        sync.Mutex
	board     *board
	pauses    pauses
	scan      scanner
	walk      walk
	frozen    map[key]int // what others than jobs are changing, by how many
	jobs      sync.WaitGroup
	reportAt  time.Time // owed reports are looked for
	reporting bool
	carrying  context.Context // of jobs; it ends later than Run's

	owner   atomic.Int64  // our number among the lease holders
	loading sync.Mutex    // held while pauses are read
	aside   sqldb.Aside   // what cannot be read
	telling chan struct{} // who makes a report has put one in
}

// Open prepares the tables. It starts nothing; see Run.
func Open(ctx context.Context, o Options) (*Queue, error) {
	o.setDefaults()
	if err := o.DB.Migrate(ctx, "queue", schema()); err != nil {
		return nil, err
	}
	q := &Queue{o: o, db: o.DB, kick: make(chan struct{}, 1), board: newBoard(o.Limits), frozen: map[key]int{},
		telling: make(chan struct{}, maxTelling), aside: sqldb.Aside{Log: o.Log}}
	return q, q.loadPauses(ctx)
}

func (o *Options) setDefaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(Observation) {}
	}
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	o.Schedule.setDefaults()
}

// SetLimits changes the limits; work under way goes on.
func (q *Queue) SetLimits(l Limits) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.board.setLimits(l)
	q.poke()
}

// poke wakes the loop.
func (q *Queue) poke() {
	select {
	case q.kick <- struct{}{}:
	default:
	}
}

// Observation is one thing that happened, for metrics.
type Observation struct {
	Kind    ObservationKind
	Site    string
	Outcome mail.Outcome // of ObservedAttempt and ObservedSettled
	Class   string       // its status in words of RFC 3463: "4.4.1"
	Took    time.Duration
	Account mail.AccountID // of ObservedSettled: whose mail it is, or zero
}

// ObservationKind says what happened.
type ObservationKind uint8

// The kinds.
const (
	ObservedSpooled  ObservationKind = iota // one recipient
	ObservedAttempt                         // at one recipient
	ObservedSettled                         // one recipient: Delivered or Failed
	ObservedReport                          // one report spooled or filed
	ObservedUntold                          // a failure that nobody can be told of
	ObservedParked                          // one recipient put off because of its site
	ObservedTakeover                        // one recipient of a dead lease holder
)
