package server

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"time"

	"yubin/internal/engine/alarm"
	"yubin/internal/engine/journal"
	"yubin/internal/engine/queue"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/world/certs"
	"yubin/internal/world/config"
	"yubin/internal/world/files"
	"yubin/internal/world/obs"
	"yubin/internal/world/sqldb"
)

// Times and thresholds of the watcher; those of config.Watch are not here.
const (
	watchEvery  = time.Minute
	watchCalm   = time.Hour       // what was in need of a hand is well when it was so for as long
	diskFull    = 100 << 20       // octets: with less, others had better not bring mail here (/readyz)
	diskLow     = 2 << 30         // at most; a smaller disk is low with a tenth
	aliveWait   = 5 * time.Second // for an answer of the database
	maxConcerns = 100
	maxPolicies = 10 // of others that cannot be fetched

	routeFails     = 10 * time.Minute // hosts of a route that do not answer are told of after it
	policyFails    = 24 * time.Hour   // policies of others that cannot be fetched are told of after it
	pauseForgotten = 24 * time.Hour   // a pause of a site or route is told of after it

	maxCertificates = 20 // that an overview shows; those that need a hand it tells of
)

// watcher sees when the server needs a hand: it says so in the log at once, to whoever
// asks, and by mail to the postmaster, once until it is well.
type watcher struct {
	s     *Store
	host  mail.Domain
	now   func() time.Time
	log   *slog.Logger
	alarm *alarm.Alarm
	room  func(folder string) (free, total uint64, ok bool)

	server atomic.Pointer[Server] // nil if none runs
	recent *obs.Recent
	watch  atomic.Pointer[config.Watch]
	poked  chan struct{}

	notReloaded atomic.Pointer[string] // what a reload left to be done; nil for nothing

	accepted, delivered atomic.Int64 // when, in milliseconds; 0 for never
	day                 dayCounts

	// These are run's alone.
	seen   map[string]admin.Concern // of the last look
	calm   map[string]time.Time     // told and not seen since
	filed  time.Time                // when the last summary was due
	began  time.Time                // of what the next one counts
	untold string                   // why the last letter could not be written
}

// dayCounts are what happened since the last summary.
type dayCounts struct{ accepted, refused, filed, sent, failed, deferred atomic.Int64 }

func (d *dayCounts) all() []*atomic.Int64 {
	return []*atomic.Int64{&d.accepted, &d.refused, &d.filed, &d.sent, &d.failed, &d.deferred}
}

func newWatcher(s *Store, cfg config.Config, d Deps) *watcher {
	w := &watcher{s: s, host: cfg.Hostname, now: d.Now, log: d.Log, room: files.Disk, began: d.Now(), seen: map[string]admin.Concern{},
		calm: map[string]time.Time{}, poked: make(chan struct{}, 1)}
	w.set(cfg.Watch)
	return w
}

// set changes what is watched for.
func (w *watcher) set(c config.Watch) { w.watch.Store(&c) }

// serving says that a server runs, whose log recent sees.
func (w *watcher) serving(s *Server, recent *obs.Recent) {
	w.recent = recent
	w.server.Store(s)
}

// record sees what happens at the door.
func (w *watcher) record(e journal.Entry) {
	if e.Kind == journal.Refused {
		w.day.refused.Add(1)
		return
	}
	w.accepted.Store(w.now().UnixMilli())
	w.day.accepted.Add(1)
	if n := len(e.Filed); n > 0 {
		w.delivered.Store(w.now().UnixMilli())
		w.day.filed.Add(int64(n))
	}
}

// observe sees what happens in the queue, as the metrics do.
func (w *watcher) observe(o queue.Observation) {
	w.s.metrics.Queue(o)
	if o.Kind == queue.ObservedSettled && o.Outcome == mail.Failed && o.Account != 0 && w.s.sending != nil {
		w.s.sending.Bounced(o.Account)
	}
	switch {
	case o.Kind == queue.ObservedSettled && o.Outcome == mail.Delivered:
		w.delivered.Store(w.now().UnixMilli())
		w.day.sent.Add(1)
	case o.Kind == queue.ObservedSettled:
		w.day.failed.Add(1)
	case o.Kind == queue.ObservedAttempt && o.Outcome == mail.Deferred:
		w.day.deferred.Add(1)
	}
}

// run looks every minute until ctx is done, and at once.
func (w *watcher) run(ctx context.Context) {
	if w.server.Load() == nil {
		return // A command has the folder.
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		why := ""
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			why = err.Error()
			if why != w.untold { // Once is enough.
				w.log.Warn("the postmaster could not be told how the server is", obs.Err(err))
			}
		}
		w.untold = why
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.poked:
		}
	}
}

// poke has it look at once.
func (w *watcher) poke() {
	select {
	case w.poked <- struct{}{}:
	default:
	}
}

// look logs what is new, and tells the postmaster what he does not know.
func (w *watcher) look(ctx context.Context) error {
	all := w.concerns(ctx)
	seen := map[string]admin.Concern{}
	for _, c := range all {
		seen[c.Cause] = c
		if was, ok := w.seen[c.Cause]; !ok || was.State != c.State {
			level := slog.LevelWarn
			if c.State == admin.Trouble {
				level = slog.LevelError
			}
			w.log.Log(ctx, level, "the server needs a hand", "cause", c.Cause, "what", c.Text)
		}
	}
	for cause := range w.seen {
		if _, still := seen[cause]; !still {
			w.log.Info("that is well again", "cause", cause)
		}
	}
	w.seen = seen
	if err := w.tell(ctx, all); err != nil {
		return err
	}
	return w.summarize(ctx)
}

// concerns are all that needs a hand now.
func (w *watcher) concerns(ctx context.Context) (all []admin.Concern) {
	c := *w.watch.Load()
	all = append(all, w.ofReload()...)
	all = append(all, w.ofDisk(c)...)
	all = append(all, w.ofCertificates(ctx)...)
	all = append(all, w.ofPauses()...)
	all = append(all, w.ofRoutes()...)
	all = append(all, w.ofQueue(c)...)
	all = append(all, w.ofSending(ctx)...)
	if err := w.alive(ctx); err != nil {
		all = append(all, admin.Concern{Cause: "database", State: admin.Trouble,
			Text: "the database does not answer: " + obs.Reason(err) + "; mail is refused for now. The log says more"})
	}
	all = append(all, w.ofRecords(ctx)...)
	return all[:min(len(all), maxConcerns)]
}

// alive fails if the database does not answer.
func (w *watcher) alive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, aliveWait)
	defer cancel()
	return w.s.db.Read(ctx, func(tx *sqldb.Tx) error { return tx.QueryRow(`SELECT 1`).Scan(new(int)) })
}

func (w *watcher) ofDisk(c config.Watch) []admin.Concern {
	folder := w.s.folder.Path(".")
	free, total, ok := w.room(folder)
	if !ok {
		return nil
	}
	low := uint64(c.DiskFree)
	if low == 0 {
		low = min(diskLow, total/10)
	}
	switch {
	case free < diskFull:
		return []admin.Concern{{Cause: "disk", State: admin.Trouble, Text: fmt.Sprintf("the disk of %s is full but for %s of %s: mail is taken until "+
			"nothing is left, and then refused for now. Make room there", folder, mebibytes(free), mebibytes(total))}}
	case free < low:
		return []admin.Concern{{Cause: "disk", State: admin.Warning, Text: fmt.Sprintf("the disk of %s is almost full: %s of %s are free. "+
			"Make room there; when it is full, mail is refused for now", folder, mebibytes(free), mebibytes(total))}}
	}
	return nil
}

func mebibytes(n uint64) string {
	if n >= 10<<30 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

func (w *watcher) certificates() []certs.Info {
	if s := w.server.Load(); s != nil {
		return s.Certificates()
	}
	return nil
}

// faultyCertificates looks at the files of certificates, reads those that changed, and
// tells of those that do not load.
func (w *watcher) faultyCertificates() []certs.Fault {
	s := w.server.Load()
	if s == nil {
		return nil
	}
	if c := s.certs.Load(); c != nil {
		return c.Faults()
	}
	return nil
}

// ofReload is the configuration that could not be taken over, or not all of it, until a
// reload succeeds.
func (w *watcher) ofReload() []admin.Concern {
	if text := w.notReloaded.Load(); text != nil {
		return []admin.Concern{{Cause: "configuration", State: admin.Warning, Text: *text}}
	}
	return nil
}

// reloaded remembers how a reload ended: what of it is left to be done, or "".
func (w *watcher) reloaded(text string) {
	if text == "" {
		w.notReloaded.Store(nil)
	} else {
		w.notReloaded.Store(&text)
	}
	w.poke()
}

// ofPauses are the pauses that somebody may have forgotten: that of all mail from its
// beginning, others after some time.
func (w *watcher) ofPauses() (all []admin.Concern) {
	for _, p := range w.s.admin.Pauses() {
		what, flag := "all outgoing mail", "--all"
		switch {
		case p.Scope == string(queue.PauseAll):
		case w.now().Sub(p.Since) < pauseForgotten:
			continue
		case p.Scope == string(queue.PauseSite):
			what, flag = "mail to "+p.Called, "--site '"+p.Called+"'"
		default:
			what, flag = "mail by the route "+p.Name, "--route "+p.Name
		}
		text := fmt.Sprintf("%s is paused since %s", what, p.Since.UTC().Format(time.DateTime+" MST"))
		if p.Why != "" {
			text += " (" + p.Why + ")"
		}
		all = append(all, admin.Concern{Cause: strings.TrimSuffix("paused:"+p.Scope+" "+p.Name, " "), State: admin.Warning,
			Text: text + `: "yubin queue resume ` + flag + `" lets it go out`})
	}
	return all
}

// ofRoutes are the routes to hosts, such as a smarthost, that take no mail: their hosts are
// the operator's choice, as is the login there. One that does not answer is told of when that
// lasts, a login that is refused at once.
func (w *watcher) ofRoutes() (all []admin.Concern) {
	routes := map[string]string{}
	for _, r := range w.s.outgoing.router.Routes() {
		if site := r.Site(); site != "" {
			routes[site] = r.Name
		}
	}
	for _, st := range w.s.outgoing.queue.Sites() {
		name := routes[st.Site]
		lasts := st.State == queue.SiteDown || st.State == queue.SiteFailing && (st.Login || w.now().Sub(st.Since) > routeFails)
		if name == "" || !lasts {
			continue
		}
		if st.Login {
			st.Words = "the login there is refused: " + st.Words
		}
		all = append(all, admin.Concern{Cause: "route:" + name, State: admin.Warning, Text: fmt.Sprintf("no mail goes out by the route %s since %s: %s; "+
			`it waits. "yubin queue list --site %s" shows it, "yubin route show %s" the route`, name, st.Since.UTC().Format(time.DateTime+" MST"), st.Words, name, name)})
	}
	return all
}

// ofRecords are records of ours in the DNS that are not kept up, and policies of others that
// cannot be fetched anew.
func (w *watcher) ofRecords(ctx context.Context) (all []admin.Concern) {
	for _, f := range w.s.zone.Failing() {
		all = append(all, admin.Concern{Cause: "dns:" + string(f.Domain), State: admin.Warning, Text: fmt.Sprintf("the records of %s are not kept up in the DNS since %s: %s; "+
			`"yubin dns check %s" says which are wrong, "yubin dns publish %s" tries again`, f.Domain, f.Since.UTC().Format(time.DateTime+" MST"), brief(f.Why), f.Domain, f.Domain)})
	}
	ctx, cancel := context.WithTimeout(ctx, aliveWait)
	defer cancel()
	list, err := w.s.outgoing.policies.Failing(ctx, w.now().Add(-policyFails))
	if err != nil {
		return all // What is wrong with the database is told elsewhere.
	}
	for _, f := range list[:min(len(list), maxPolicies)] {
		all = append(all, admin.Concern{Cause: "policy:" + string(f.Domain), State: admin.Warning, Text: fmt.Sprintf("the policy for mail to %s cannot be fetched anew since %s: %s; "+
			`mail goes by the old one until %s. "yubin mta-sts show %s" says more`, f.Domain, f.Failed.UTC().Format(time.DateTime+" MST"), f.Why,
			f.Expires.UTC().Format(time.DateTime+" MST"), f.Domain)})
	}
	return all
}

func (w *watcher) ofQueue(c config.Watch) (all []admin.Concern) {
	n, at, ok := w.s.metrics.Waiting()
	if !ok {
		return nil
	}
	if c.QueueOldest > 0 && !n.Late.IsZero() && at.Sub(n.Late) > c.QueueOldest {
		all = append(all, admin.Concern{Cause: "queue-oldest", State: admin.Warning, Text: fmt.Sprintf("mail that came at %s still waits to go out: "+
			`"yubin queue list" and "yubin queue sites" say why`, n.Late.UTC().Format(time.DateTime+" MST"))})
	}
	if c.QueueLength > 0 && n.Total() > c.QueueLength {
		all = append(all, admin.Concern{Cause: "queue-length", State: admin.Warning, Text: fmt.Sprintf("%d recipients are in the queue: "+
			`"yubin queue sites" says where they go; "yubin queue pause --all" stops it if somebody sends what should not go out`, n.Total())})
	}
	return all
}

// Overview is how the server is.
func (w *watcher) Overview(ctx context.Context) (admin.Overview, error) {
	s := w.server.Load()
	if s == nil {
		return admin.Overview{}, mail.Errorf(mail.Unavailable, "no server runs")
	}
	status := w.s.admin.Status
	o := admin.Overview{State: admin.Well, Concerns: w.concerns(ctx), Version: status.Version, Hostname: s.hostname(), Started: status.Started,
		Process: status.Process, Listeners: s.overListeners(), Accepted: fromMillis(w.accepted.Load()), Delivered: fromMillis(w.delivered.Load()),
		Pauses: w.s.admin.Pauses(), Memory: processMemory(), Certificates: []admin.Certificate{}, Warnings: []admin.LoggedWarning{}}
	for _, c := range o.Concerns {
		o.State = o.State.Worse(c.State)
	}
	if o.Concerns == nil {
		o.Concerns = []admin.Concern{}
	}
	if n, at, ok := w.s.metrics.Waiting(); ok {
		o.Queue, o.Counted = &admin.QueueCounts{}, at
		o.Queue.Add(n)
	}
	if free, total, ok := w.room(w.s.folder.Path(".")); ok {
		o.Disk = &admin.Disk{Folder: w.s.folder.Path("."), Free: free, Total: total}
	}
	if sizes, err := w.s.db.Sizes(); err == nil {
		o.Database = sizes.Database + sizes.WAL
	}
	list := w.certificates()
	for _, i := range list[:min(len(list), maxCertificates)] {
		o.Certificates = append(o.Certificates, admin.Certificate{File: i.Label(), Names: i.Names, Ends: i.NotAfter})
	}
	for _, l := range w.recent.List() {
		o.Warnings = append(o.Warnings, admin.LoggedWarning{Level: l.Level.String(), Message: l.Message, Reason: l.Reason, Count: l.Count, Last: l.Last})
	}
	return o, nil
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// processMemory is what the process has of the system.
func processMemory() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() - s[1].Value.Uint64())
}

func (s *Server) overListeners() []admin.OpenListener {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []admin.OpenListener{}
	for _, l := range s.listeners {
		list = append(list, admin.OpenListener{Service: l.config.Service(), Address: l.server.Addr().String(), TLS: string(l.config.TLS),
			Open: int(l.server.Stats().Open)})
	}
	return list
}
