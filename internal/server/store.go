package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"yubin/internal/engine/alarm"
	"yubin/internal/engine/audit"
	"yubin/internal/engine/certificates"
	"yubin/internal/engine/clients"
	"yubin/internal/engine/copies"
	"yubin/internal/engine/directory"
	"yubin/internal/engine/dnslist"
	"yubin/internal/engine/greylist"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/journal"
	"yubin/internal/engine/judge"
	"yubin/internal/engine/notify"
	"yubin/internal/engine/password"
	"yubin/internal/engine/preferences"
	"yubin/internal/engine/reports"
	"yubin/internal/engine/retention"
	"yubin/internal/engine/search"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/engine/zone"
	"yubin/internal/server/admin"
	"yubin/internal/server/metrics"
	"yubin/internal/session/ldapc"
	"yubin/internal/world/blob"
	"yubin/internal/world/config"
	"yubin/internal/world/datadir"
	"yubin/internal/world/files"
	"yubin/internal/world/heap"
	"yubin/internal/world/obs"
	"yubin/internal/world/secrets"
	"yubin/internal/world/sqldb"
)

// What stands in the data folder, beside the marks of datadir.
const (
	databaseFile = datadir.Database
	blobFolder   = datadir.Blobs
	tlsFolder    = "tls"

	journalFolder = "journal"
)

// lockWait is how long to wait for a data folder that is in use: commands that
// run while the server is down hold it for a moment.
const lockWait = 2 * time.Second

// Store is the engines over one data folder. The commands of administration
// use it while no server runs; a Server has one inside.
type Store struct {
	folder    *datadir.Dir
	free      func() // lets this process open the folder of the blobs again; nil before it is held
	db        *sqldb.DB
	blobs     *blob.Dir
	mail      *store.Store
	hub       *notify.Hub
	directory *directory.Directory
	secrets   *secrets.Keyring
	search    *search.Source
	budget    *heap.Budget // of what sessions hold; nil for no bound
	outgoing  outgoing
	intake    *intake.Intake
	judge     *judge.Judge
	lists     *dnslist.Lists
	reports   *reports.Reports
	copies    *copies.Book
	prefs     *preferences.Preferences
	retention *retention.Retention
	carriage  carriage
	gone      func(error) // hears that the post office is elsewhere now; nil if no server runs
	journal   *journal.Journal
	strangers *obs.Strangers // bounds what they have remembered
	metrics   *metrics.Metrics
	guests    guests
	warner    *warner
	watcher   *watcher
	selftest  *selftest
	learning  learning
	audit     *audit.Audit
	clients   *clients.Clients
	offered   atomic.Pointer[[]clients.Service] // what clients may use now
	zone      *zone.Zone
	oauth     atomic.Pointer[oauth]         // whose tokens are taken; nil for none
	known     atomic.Pointer[config.Config] // all that is configured, as it is now; of a command without one, the folder alone
	admin     *admin.Handler

	certificates *certificates.Certificates
	protection
	ldap []*ldapc.Client // whom the directory asks; a reload makes others
}

// OpenStore opens the data folder at path. The error is *datadir.MissingError if
// there is none, and
// *datadir.InUseError at once if a server has it.
func OpenStore(ctx context.Context, path string, d Deps) (*Store, error) {
	folder, err := datadir.Open(ctx, path, 0)
	if err != nil {
		return nil, err
	}
	return openStore(ctx, folder, config.Config{Data: path}, config.Config{Data: path}, d)
}

// OpenConfigured is OpenStore for a command that knows the configuration. Of it counts
// what the server's own work would differ by: its name and listeners, where secrets are,
// and how mail is signed.
func OpenConfigured(ctx context.Context, cfg config.Config, d Deps) (*Store, error) {
	folder, err := datadir.Open(ctx, cfg.Data, 0)
	if err != nil {
		return nil, err
	}
	return openStore(ctx, folder, forCommand(cfg), cfg, d)
}

// forCommand is what counts of a configuration for a command. One that was given the data folder
// alone has none: what counts for accounts that no rule is for is then taken to be the default.
func forCommand(cfg config.Config) config.Config {
	if cfg.Hostname == "" {
		cfg.Sending = config.Default().Sending
	}
	return config.Config{Hostname: cfg.Hostname, Listeners: cfg.Listeners, ACME: cfg.ACME, Data: cfg.Data, Secrets: cfg.Secrets, Folder: cfg.Folder, DKIM: cfg.DKIM, DNS: cfg.DNS,
		Queue: config.Queue{Lifetime: cfg.Queue.Lifetime}, Bans: cfg.Bans, Sending: cfg.Sending}
}

// MakeStore is OpenStore for a data folder that is made if there is none.
func MakeStore(ctx context.Context, path string, d Deps) (*Store, error) {
	return makeStore(ctx, config.Config{Data: path}, config.Config{Data: path}, 0, d)
}

// MakeConfigured is OpenConfigured for a data folder that is made if there is none.
func MakeConfigured(ctx context.Context, cfg config.Config, d Deps) (*Store, error) {
	return makeStore(ctx, forCommand(cfg), cfg, 0, d)
}

// makeStore opens a data folder with cfg; known is the whole configuration.
func makeStore(ctx context.Context, cfg, known config.Config, wait time.Duration, d Deps) (*Store, error) {
	folder, err := datadir.Make(ctx, cfg.Data, wait)
	if err != nil {
		return nil, err
	}
	return openStore(ctx, folder, cfg, known, d)
}

func openStore(ctx context.Context, folder *datadir.Dir, cfg, known config.Config, d Deps) (*Store, error) {
	s := &Store{folder: folder}
	s.known.Store(&known)
	if err := s.open(ctx, cfg, d); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, cfg config.Config, d Deps) error {
	s.metrics = metrics.New(metrics.Options{Version: d.Version, Now: d.Now, Log: d.Log})
	s.guests.now = d.Now
	s.warner, s.watcher = newWarner(s, cfg, d), newWatcher(s, cfg, d)
	blobs, err := s.openMail(ctx, cfg, d)
	if err != nil {
		return err
	}
	if err := s.openSecrets(cfg, d); err != nil {
		return err
	}
	s.directory, err = directory.Open(ctx, directory.Options{
		Secrets: s.secrets,
		DB:      s.db, Accounts: accounts{s}, Now: d.Now, Log: d.Log,
		Recipients: cfg.Limits.Recipients, Postmaster: cfg.Postmaster, NoRateLimit: cfg.Open, NoFloor: cfg.Open, Revoked: s.guests.revoke, Removed: s.domainRemoved,
		Needed:     func(tx *sqldb.Tx) ([]directory.Need, error) { return s.copies.Targets(tx) },
		Shared:     func(a netip.Addr) bool { return s.outgoing.router != nil && s.outgoing.router.Trusts(a) },
		HashMemory: hashMemory(d.Memory),
	})
	if err != nil {
		return err
	}
	if err := s.setSources(*s.known.Load(), d); err != nil {
		return err
	}
	s.clients = clients.New(s.directory, func() []clients.Service { return *s.offered.Load() })
	if err := s.openOutgoing(ctx, cfg, d); err != nil {
		return err
	}
	if err := s.openCertificates(ctx, cfg, d); err != nil {
		return err
	}
	if s.prefs, err = preferences.Open(ctx, preferences.Options{DB: s.db, Now: d.Now}); err != nil {
		return err
	}
	s.retention, err = retention.Open(ctx, retention.Options{DB: s.db, Mail: s.mail, Accounts: s.directory, Now: d.Now, Log: d.Log})
	if err != nil {
		return err
	}
	grey, err := greylist.Open(ctx, greylist.Options{DB: s.db, Now: d.Now})
	if err != nil {
		return err
	}
	if s.lists, err = s.newLists(cfg, d); err != nil {
		return err
	}
	s.judge = judge.New(judge.Options{Lists: s.lists, Greylist: grey, Preferences: s.prefs, Classifier: s.learning.lessons, Hostname: cfg.Hostname, Resolver: s.outgoing.resolver, Domains: s.directory, History: s.learning.history, Now: d.Now, Log: d.Log})
	if err := s.openProtection(ctx, cfg, d); err != nil {
		return err
	}
	if s.audit, err = audit.Open(ctx, audit.Options{DB: s.db, Now: d.Now, Log: d.Log}); err != nil {
		return err
	}
	if err := s.openZone(ctx, d); err != nil {
		return err
	}
	s.keep(cfg)
	s.journal, err = journal.Open(s.folder.Path(journalFolder), journal.Options{Now: d.Now, Log: d.Log, Keep: cfg.Queue.History})
	if err != nil {
		return err
	}
	s.strangers = obs.NewStrangers(s.recordMore(d.Now))
	if s.watcher.alarm, err = alarm.Open(ctx, s.db); err != nil {
		return err
	}
	s.selftest = newSelftest(s, d)
	s.admin = s.newAdmin(blobs, d)
	return nil
}

// keep has the store know what of the configuration changes with a reload.
func (s *Store) keep(cfg config.Config) {
	offered := servicesOf(cfg)
	s.offered.Store(&offered)
	s.mail.SetQuotaGrace(cfg.Limits.QuotaGrace)
	s.judge.SetPolicies(policies(cfg.Judge))
	s.mail.SetRetention(store.Retention{Expunged: cfg.Retention.Expunged, Changes: cfg.Retention.Changes, ChangeOctets: cfg.Retention.ChangesSize})
	s.audit.SetKeep(cfg.Retention.Audit)
	s.setProtection(cfg)
	if s.reports != nil {
		s.reports.Set(reportSettings(cfg.Reports))
	}
}

// hashMemory is how many KiB may be used to hash passwords at a time; 0 is as many
// as there are processors to use them.
func hashMemory(p heap.Plan) int {
	if most := int(password.DefaultCost().Memory) * runtime.GOMAXPROCS(0); p.Hashes > 0 && int(p.Hashes>>10) < most {
		return int(p.Hashes >> 10)
	}
	return 0
}

// openMail opens the database and the mail in it.
func (s *Store) openMail(ctx context.Context, cfg config.Config, d Deps) (blobs *blob.Dir, err error) {
	s.db, err = openDatabase(ctx, s.folder, cfg, sqldb.Options{
		Log: d.Log, Observe: s.metrics.Commit, CacheSize: d.Memory.Database,
	})
	if err != nil {
		return nil, err
	}
	if err := s.endMove(ctx); err != nil {
		return nil, err
	}
	if blobs, err = blob.Open(s.folder.Path(blobFolder), rand.Reader); err != nil {
		return nil, err
	}
	s.free, s.blobs = files.Hold(s.folder.Path(blobFolder)), blobs
	s.hub = new(notify.Hub)
	s.mail, err = store.Open(ctx, store.Options{
		DB: s.db, Blobs: blobs, Publish: s.publish, Now: d.Now, Rand: rand.Reader, Log: d.Log,
		Holders: []store.Holder{spool.Held, reports.Held}, ViewMemory: d.Memory.Views,
		Quotas: quotas{s}, Warn: s.warner.poke,
	})
	if err != nil {
		return nil, err
	}
	if err := s.learning.open(ctx, s, d); err != nil {
		return nil, err
	}
	s.search = search.NewSource(s.mail, cmp.Or(d.Memory.Search, search.DefaultMemory))
	if d.Memory.Sessions > 0 {
		s.budget = heap.NewBudget(d.Memory.Sessions)
	}
	return blobs, nil
}

// publish passes on what changed.
func (s *Store) publish(e store.Event) {
	s.hub.Publish(e)
	s.learning.heard(e)
}

func (s *Store) newAdmin(blobs *blob.Dir, d Deps) *admin.Handler {
	t := newTransfers(s, d)
	return admin.New(admin.Config{
		Domains: s.directory, Accounts: s.directory, Aliases: s.directory, Names: s.directory, Groups: s.directory, Declarer: s.directory,
		Copies: s.copies, Routes: s.outgoing.router, Networks: s.outgoing.router, Resolver: s.outgoing.resolver,
		Queue: s.outgoing.queue, Journal: s.journal, Signing: s.outgoing.signing, Policies: s.outgoing.policies, Secrets: s.secrets,
		Store:   checked{s.mail, s},
		Reports: s.reports,
		Judging: judging{s, d.Now}, Preferences: s.prefs,
		Transfers: t,
		Lost:      restorer{s, d.Now},
		Retention: s.retention,
		Bans:      s.bans, Administrates: s.admins.note,
		Sending:   s.sending,
		Junk:      training{t},
		Backups:   backups{s, d, blobs, new(sync.Mutex)},
		Moves:     moves{s, d, blobs, new(sync.Mutex)},
		Audit:     s.audit,
		Zone:      s.zone,
		Metrics:   s.metrics.Handler(),
		Overviews: s.watcher,
		Selftests: s.selftest,
		Clients:   s.clients,
		Status:    admin.Status{Version: d.Version, Started: d.Now(), Process: os.Getpid()}, Log: d.Log,

		Certificates: s.certificates,
	})
}

// record remembers what happened at the door, and counts it.
func (s *Store) record(e journal.Entry) {
	s.metrics.Record(e)
	s.watcher.record(e)
	if e.Kind == journal.Refused && e.User == "" && !s.strangers.Allow(e.Remote.Addr(), e.Octets()) {
		return
	}
	s.journal.Add(e)
}

// recordMore remembers that strangers were refused more often than is remembered
// one by one.
func (s *Store) recordMore(now func() time.Time) func([]obs.Excess) {
	return func(all []obs.Excess) {
		for _, e := range all {
			s.journal.Add(journal.Entry{At: now(), Kind: journal.Refused, Service: "mx", Code: 550,
				Remote: netip.AddrPortFrom(e.Network.Addr(), 0), Text: e.String()})
		}
	}
}

// Admin is the administration of the store.
func (s *Store) Admin() *admin.Handler { return s.admin }

// run does the work in the background until ctx is done.
func (s *Store) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g sync.WaitGroup
	var dbErr, mailErr error
	g.Go(func() {
		defer cancel() // Without the database there is nothing to do.
		dbErr = s.db.Run(ctx)
	})
	g.Go(func() { mailErr = s.mail.Run(ctx) })
	g.Go(func() { s.warner.run(ctx) })
	g.Go(func() { s.bans.Run(ctx) })
	g.Go(func() { s.sending.Run(ctx) })
	g.Go(func() { s.breaker.run(ctx) })
	g.Go(func() { s.retention.Run(ctx) })
	g.Go(func() { s.watcher.run(ctx) })
	g.Go(func() { s.selftest.run(ctx) })
	g.Go(func() { s.outgoing.signing.Run(ctx) })
	g.Go(func() { s.outgoing.policies.Run(ctx) })
	g.Go(func() { s.certificates.Run(ctx) })
	g.Go(func() { s.lists.Run(ctx) })
	g.Go(func() { s.reports.Run(ctx) })
	g.Go(func() { s.audit.Run(ctx) })
	g.Go(func() { s.directory.Run(ctx) })
	g.Go(func() { s.zone.Run(ctx) })
	g.Go(func() { s.learning.run(ctx) })
	g.Go(func() { s.journal.Run(ctx) })
	g.Go(func() { s.metrics.Run(ctx) })
	g.Wait()
	err := errors.Join(dbErr, mailErr)
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	return err
}

// Close closes the data folder.
func (s *Store) Close() error {
	for _, c := range s.ldap {
		c.Close()
	}
	var err error
	if s.db != nil {
		err = s.db.Close()
	}
	if s.free != nil {
		s.free()
	}
	return errors.Join(err, s.folder.Close())
}

// checked verifies the database file and the rows of the other engines as well as the mail.
type checked struct {
	*store.Store
	all *Store
}

// Check verifies rows.
func (c checked) Check(ctx context.Context, report func(problem string)) error {
	if err := c.others(ctx, report); err != nil {
		return err
	}
	return c.Store.Check(ctx, report)
}

// CheckDeep verifies rows and octets.
func (c checked) CheckDeep(ctx context.Context, report func(problem string)) error {
	if err := c.others(ctx, report); err != nil {
		return err
	}
	return c.Store.CheckDeep(ctx, report)
}

func (c checked) others(ctx context.Context, report func(problem string)) error {
	for _, check := range []func(context.Context, func(string)) error{
		c.all.db.Integrity, c.all.directory.Check, c.all.outgoing.router.Check, c.all.outgoing.signing.Check, c.all.certificates.Check, c.all.outgoing.spool.Check,
		c.all.reports.Check, c.all.copies.Check, c.all.retention.Check, c.all.bans.Check, c.all.sending.Check, c.all.learning.history.Check, c.all.learning.lessons.Check, c.all.outgoing.queue.Check,
	} {
		if err := check(ctx, report); err != nil {
			return err
		}
	}
	return nil
}
