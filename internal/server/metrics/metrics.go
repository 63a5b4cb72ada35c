// Package metrics counts what a server does, for Prometheus. docs/metrics.md
// lists every metric; a test holds it to this package.
//
//	m := metrics.New(metrics.Options{Version: version, Now: time.Now, Log: log})
//	queue.Options{Observe: m.Queue}      // engines and sessions tell what happens
//	m.Watch(metrics.Sources{Queue: q})   // what is looked at when somebody asks
//	go m.Run(ctx)                        // looks through the queue when it is asked for
//	http.Handle("GET /metrics", m.Handler())
//
// There are three ways in. What happens is told by Queue, Record, Commit, Login
// and Lookup: they wait for nothing, and find their counter by a number instead
// of by labels. What is (connections, sizes, sites) is asked for at each scrape.
// What is but costs a look at every row (how long the queue is) is asked for in
// the background and seldom: see sampler.
//
// Every label has a bounded number of values. The registry is the server's own,
// so two servers in one process do not meet.
package metrics

import (
	"log/slog"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Limits.
const (
	maxServices = 16 // names of services that are told apart; the others are "other"
	maxSites    = 50 // sites that are told apart
	maxSiteName = 120
	maxScrapes  = 4 // at a time

	maxCertificates = 100 // that are told of
)

// Options say what Metrics is made of.
type Options struct {
	Version string
	Now     func() time.Time
	Log     *slog.Logger // nil drops
}

// Metrics is the measures of one server. Safe for concurrent use.
type Metrics struct {
	o        Options
	registry *prometheus.Registry
	sources  atomic.Pointer[Sources]
	services names
	mounts   names // of the web listener

	filters       *prometheus.CounterVec
	filterSeconds *prometheus.HistogramVec
	lists         *prometheus.CounterVec
	orders        *prometheus.CounterVec // of certificates
	listsAsked    *prometheus.GaugeVec

	bans          *prometheus.CounterVec
	sendingHeld   prometheus.Counter
	sendingLimits prometheus.Counter

	accepted       *counters // by service
	acceptedBytes  *counters // by service
	recipients     *counters // by service
	refusals       *counters // by service and reason
	acceptSeconds  prometheus.Histogram
	filed          prometheus.Counter
	logins         *counters // by login
	commitWrites   prometheus.Histogram
	commitSeconds  prometheus.Histogram
	syncSeconds    prometheus.Histogram
	commitsFailed  prometheus.Counter
	spooled        prometheus.Counter
	attempts       *counters // by outcome and reason
	attemptSeconds [outcomes]prometheus.Observer
	settled        *counters // by outcome and reason
	reports        prometheus.Counter
	untold         *counters // by reason
	parked         prometheus.Counter
	takeovers      prometheus.Counter
	lookups        *counters // by source and failure
	lookupSeconds  prometheus.Histogram
	webRequests    *counters // by mount and class of status
	webSeconds     prometheus.Histogram

	sampler *sampler
}

// New returns measures that are all zero.
func New(o Options) *Metrics {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	m := &Metrics{o: o, registry: prometheus.NewRegistry()}
	m.sources.Store(&Sources{})
	m.sampler = newSampler(o.Now, m.count, o.Log)
	m.makeDoor()
	m.makeStore()
	m.makeQueue()
	m.makeNames()
	m.makeJudging()
	m.makePolicy()
	m.registry.MustRegister(
		watched{m}, queueCollector{m}, siteCollector{m},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.gauge("yubin_build_info", "Always 1; the labels say what is running.",
		prometheus.Labels{"version": o.Version, "goversion": runtime.Version()}).Set(1)
	return m
}

// makeDoor makes what is counted where mail and people come in.
func (m *Metrics) makeDoor() {
	service := func(i int) []string { return []string{m.services.name(i)} }
	m.accepted = m.counters("yubin_messages_accepted_total", "Messages that were taken into custody.",
		maxServices+1, service, "service")
	m.acceptedBytes = m.counters("yubin_messages_accepted_bytes_total", "Octets of the messages that were accepted.",
		maxServices+1, service, "service")
	m.recipients = m.counters("yubin_recipients_accepted_total", "Recipients of the messages that were accepted.",
		maxServices+1, service, "service")
	m.refusals = m.counters("yubin_refusals_total", "Recipients and messages that were refused.",
		(maxServices+1)*int(reasons), func(i int) []string {
			return []string{m.services.name(i / int(reasons)), reason(i % int(reasons)).String()}
		}, "service", "reason")
	m.acceptSeconds = m.histogram("yubin_message_accept_seconds", "From MAIL to our answer, of messages that were accepted.",
		prometheus.ExponentialBuckets(0.001, 2.5, 14))
	m.filed = m.counter("yubin_recipients_filed_total", "Copies of accepted messages that were filed in mailboxes.")
	m.logins = m.counters("yubin_logins_total", "Logins, by how they ended.",
		int(logins), func(i int) []string { return []string{loginNames[i]} }, "result")
	m.webRequests = m.counters("yubin_web_requests_total", "Requests on the web listener, by what they were for and how they ended.",
		(maxServices+1)*len(statuses), func(i int) []string {
			return []string{m.mounts.name(i / len(statuses)), statuses[i%len(statuses)]}
		}, "mount", "status")
	m.webSeconds = m.histogram("yubin_web_request_seconds", "Time of one request, without reading its head.",
		prometheus.ExponentialBuckets(0.0005, 3, 11))
}

// makeStore makes what is counted at the store.
func (m *Metrics) makeStore() {
	m.commitWrites = m.histogram("yubin_commit_writes", "Writes in one commit.", prometheus.ExponentialBuckets(1, 2, 9))
	m.commitSeconds = m.histogram("yubin_commit_seconds", "Time of one commit, from its first write until it was durable.",
		prometheus.ExponentialBuckets(0.0001, 2.5, 13))
	m.syncSeconds = m.histogram("yubin_commit_sync_seconds", "Of the time of a commit, writing the WAL and syncing it.",
		prometheus.ExponentialBuckets(0.0001, 2.5, 13))
	m.commitsFailed = m.counter("yubin_commits_failed_total", "Commits of which nothing was kept.")
}

// makeQueue makes what is counted on the way out.
func (m *Metrics) makeQueue() {
	outcomeAndReason := func(i int) []string {
		return []string{outcomeNames[i/int(reasons)], reason(i % int(reasons)).String()}
	}
	m.spooled = m.counter("yubin_queue_spooled_total", "Recipients that came into the queue.")
	m.attempts = m.counters("yubin_queue_attempts_total", "Attempts to hand one recipient to one host.",
		outcomes*int(reasons), outcomeAndReason, "outcome", "reason")
	m.settled = m.counters("yubin_queue_settled_total", "Recipients that are done with.",
		outcomes*int(reasons), outcomeAndReason, "outcome", "reason")
	took := m.histogramVec("yubin_queue_attempt_seconds", "Time of one attempt.",
		prometheus.ExponentialBuckets(0.005, 3, 11), "outcome")
	for i, name := range outcomeNames {
		m.attemptSeconds[i] = took.WithLabelValues(name)
	}
	m.reports = m.counter("yubin_queue_reports_total", "Reports to senders that were spooled or filed.")
	m.untold = m.counters("yubin_queue_untold_total", "Failures that nobody can be told of.",
		int(reasons), func(i int) []string { return []string{reason(i).String()} }, "reason")
	m.parked = m.counter("yubin_queue_parked_total", "Times that a recipient was put off because its site is down or paused.")
	m.takeovers = m.counter("yubin_queue_takeovers_total", "Recipients taken over from a process that died.")
}

// makeNames makes what is counted when names are looked up.
func (m *Metrics) makeNames() {
	m.lookups = m.counters("yubin_dns_lookups_total", "Names looked up, by where the answer came from and how it ended.",
		sources*failures, func(i int) []string {
			return []string{sourceNames[i/failures], failureNames[i%failures]}
		}, "source", "result")
	m.lookupSeconds = m.histogram("yubin_dns_lookup_seconds", "Time of a lookup that was not answered from memory.",
		prometheus.ExponentialBuckets(0.0005, 3, 11))
}

// makeJudging makes what is counted when others are asked about mail.
func (m *Metrics) makeJudging() {
	m.filters = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "yubin_filter_answers_total", Help: "What filters of others said, step by step."}, []string{"filter", "result"})
	m.filterSeconds = m.histogramVec("yubin_filter_seconds", "Time of one step with a filter.", prometheus.ExponentialBuckets(0.001, 3, 11), "filter")
	m.orders = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "yubin_certificate_orders_total", Help: "Certificates that were ordered, by whether the authority made them."}, []string{"result"})
	m.lists = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "yubin_list_lookups_total", Help: "What lists in the DNS said about mail."}, []string{"list", "result"})
	m.listsAsked = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "yubin_list_asked", Help: "1 while a list in the DNS is asked, 0 while it is out of order."}, []string{"list"})
	m.registry.MustRegister(m.filters, m.orders, m.lists, m.listsAsked)
}

// makePolicy makes what is counted of those who are turned away or kept back.
func (m *Metrics) makePolicy() {
	m.bans = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "yubin_bans_total", Help: "Bans that were decided here, by the offence that weighed most."}, []string{"offence"})
	m.registry.MustRegister(m.bans)
	m.sendingLimits = m.counter("yubin_sending_limited_total", "Recipients refused for a time because an account had sent as much as it may.")
	m.sendingHeld = m.counter("yubin_sending_held_total", "Times that the mail of an account began to be kept back.")
}

// Ban counts a ban.
func (m *Metrics) Ban(offence string) { m.bans.WithLabelValues(offence).Inc() }

// SendingLimited counts a recipient of an account that may send no more for a time.
func (m *Metrics) SendingLimited() { m.sendingLimits.Inc() }

// SendingHeld counts an account whose mail begins to be kept back.
func (m *Metrics) SendingHeld() { m.sendingHeld.Inc() }

// Handler answers a scrape. It is for whoever may know how the server is doing:
// the names of sites are in it.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(m.o.Log.Handler(), slog.LevelWarn),
		MaxRequestsInFlight: maxScrapes,
	})
}
