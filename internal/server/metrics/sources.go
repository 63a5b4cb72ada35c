package metrics

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"yubin/internal/engine/queue"
	"yubin/internal/world/certs"
	"yubin/internal/world/files"
	"yubin/internal/world/heap"
	"yubin/internal/world/netx"
	"yubin/internal/world/sqldb"
)

// Queue is the queue as it is looked at.
type Queue interface {
	Count(context.Context, queue.Filter) (queue.Counts, error)
	Sites() []queue.SiteStatus
}

// Listener is an open listener.
type Listener struct {
	Protocol string // "imap"
	Service  string // "imaps"
	netx.Stats
}

// Memory is memory of one use that has a bound.
type Memory struct {
	Use string // "sessions"
	heap.BudgetStats
}

// Sources are what is looked at when somebody asks. What is nil is left out.
type Sources struct {
	Queue     Queue
	Listeners func() []Listener
	Sizes     func() (sqldb.Sizes, error)
	Traffic   func() sqldb.Traffic
	Memory    func() []Memory
	// Bans counts the networks that are turned away, Held the accounts whose mail is kept
	// back.
	Bans, Held func() int
	// Certificates are those in use.
	Certificates func() []certs.Info
	Folder       string // the data folder, for the room on its disk; "" for none
}

// Watch sets what is looked at.
func (m *Metrics) Watch(s Sources) { m.sources.Store(&s) }

// What is asked for at a scrape.
var (
	openDesc = desc("yubin_connections_open", "Connections that are open now.", "service", "protocol")
	connDesc = desc("yubin_connections_total", "Connections that were accepted.", "service", "protocol")
	overDesc = desc("yubin_connections_refused_total", "Connections that were refused because of a limit or a ban.", "service", "protocol", "limit")
	tlsDesc  = desc("yubin_tls_handshakes_failed_total", "Connections that ended in their TLS handshake.", "service", "protocol")
	sizeDesc = desc("yubin_store_bytes", "Octets of the files of the database.", "file")
	busyDesc = desc("yubin_database_connections_busy", "Connections to the database server that are in use now.")
	poolDesc = desc("yubin_database_connections_limit", "Connections to the database server that may be in use.")
	awayDesc = desc("yubin_database_away", "1 while the database server cannot be reached.")
	tripDesc = desc("yubin_database_round_trips_total", "Questions to the database server that were waited for.")
	anewDesc = desc("yubin_database_transactions_again_total", "Transactions that were run again because others stood in their way.")
	heldDesc = desc("yubin_memory_held_bytes", "Octets of memory that are held, of those that have a bound.", "use")
	mostDesc = desc("yubin_memory_limit_bytes", "Octets of memory that may be held.", "use")
	fullDesc = desc("yubin_memory_refused_total", "Times that somebody was refused or shown out for want of memory.", "use")
	certDesc = desc("yubin_certificate_expiry_seconds", "Seconds until the end of a certificate in use; negative when it has passed.", "certificate")
	bansDesc = desc("yubin_bans", "Networks that are turned away now.")
	keptDesc = desc("yubin_sending_held_accounts", "Accounts whose mail is kept back because they send unlike they do otherwise.")
	roomDesc = desc("yubin_disk_free_bytes", "Octets that may still be written on the disk of the data folder.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

func gauge(out chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func count(out chan<- prometheus.Metric, d *prometheus.Desc, v uint64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

// watched collects connections and sizes.
type watched struct{ m *Metrics }

func (w watched) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{openDesc, connDesc, overDesc, tlsDesc, sizeDesc, roomDesc, certDesc, heldDesc, mostDesc, fullDesc,
		busyDesc, poolDesc, awayDesc, tripDesc, anewDesc, bansDesc, keptDesc} {
		out <- d
	}
}

func (w watched) Collect(out chan<- prometheus.Metric) {
	from := w.m.sources.Load()
	if from.Listeners != nil {
		collectListeners(out, from.Listeners())
	}
	if from.Sizes != nil {
		if sizes, err := from.Sizes(); err == nil {
			gauge(out, sizeDesc, float64(sizes.Database), "database")
			gauge(out, sizeDesc, float64(sizes.WAL), "wal")
		}
	}
	if from.Bans != nil {
		gauge(out, bansDesc, float64(from.Bans()))
	}
	if from.Held != nil {
		gauge(out, keptDesc, float64(from.Held()))
	}
	if from.Traffic != nil {
		collectTraffic(out, from.Traffic())
	}
	if from.Memory != nil {
		for _, m := range from.Memory() {
			gauge(out, heldDesc, float64(m.Held), m.Use)
			gauge(out, mostDesc, float64(m.Total), m.Use)
			count(out, fullDesc, m.Refused, m.Use)
		}
	}
	if from.Certificates != nil {
		for i, c := range from.Certificates() {
			if i < maxCertificates {
				gauge(out, certDesc, c.NotAfter.Sub(w.m.o.Now()).Seconds(), c.Label())
			}
		}
	}
	if from.Folder != "" {
		if free, ok := files.Free(from.Folder); ok {
			gauge(out, roomDesc, float64(free))
		}
	}
}

// collectTraffic tells of a database on a server; a file has none.
func collectTraffic(out chan<- prometheus.Metric, t sqldb.Traffic) {
	if t.Most == 0 {
		return
	}
	away := 0.0
	if t.Away {
		away = 1
	}
	gauge(out, busyDesc, float64(t.Busy))
	gauge(out, poolDesc, float64(t.Most))
	gauge(out, awayDesc, away)
	count(out, tripDesc, uint64(t.RoundTrips))
	count(out, anewDesc, uint64(t.Again))
}

// collectListeners sums up the listeners of a service: it may have several.
func collectListeners(out chan<- prometheus.Metric, list []Listener) {
	sums := map[[2]string]netx.Stats{}
	for _, l := range list {
		key := [2]string{l.Service, l.Protocol}
		s := sums[key]
		s.Open += l.Open
		s.Accepted += l.Accepted
		s.Refused += l.Refused
		s.OfAddress += l.OfAddress
		s.Banned += l.Banned
		s.BadHandshakes += l.BadHandshakes
		sums[key] = s
	}
	for key, s := range sums {
		service, protocol := key[0], key[1]
		gauge(out, openDesc, float64(s.Open), service, protocol)
		count(out, connDesc, s.Accepted, service, protocol)
		count(out, overDesc, s.Refused-s.OfAddress-s.Banned, service, protocol, "total")
		count(out, overDesc, s.OfAddress, service, protocol, "address")
		count(out, overDesc, s.Banned, service, protocol, "ban")
		count(out, tlsDesc, s.BadHandshakes, service, protocol)
	}
}
