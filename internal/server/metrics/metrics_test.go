package metrics

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"yubin/internal/dns"
	"yubin/internal/engine/journal"
	"yubin/internal/engine/queue"
	"yubin/internal/mail"
	"yubin/internal/session/webd"
	"yubin/internal/world/netx"
	"yubin/internal/world/resolver"
	"yubin/internal/world/sqldb"
)

// fakeQueue is a Queue that says what it is told to.
type fakeQueue struct {
	counts  queue.Counts
	err     error
	counted atomic.Int32
	took    time.Duration // each count
	sites   []queue.SiteStatus
}

func (f *fakeQueue) Count(context.Context, queue.Filter) (queue.Counts, error) {
	f.counted.Add(1)
	if f.took > 0 {
		<-time.After(f.took)
	}
	return f.counts, f.err
}

func (f *fakeQueue) Sites() []queue.SiteStatus { return f.sites }

// values are what a scrape gives, by name and labels: `x{a="b"}`. Of a
// histogram it is the count.
func values(t testing.TB, m *Metrics) map[string]float64 {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, one := range f.Metric {
			all[f.GetName()+labelsOf(one)] = valueOf(one)
		}
	}
	return all
}

func labelsOf(m *dto.Metric) string {
	var list []string
	for _, l := range m.Label {
		list = append(list, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	if len(list) == 0 {
		return ""
	}
	return "{" + strings.Join(list, ",") + "}"
}

func valueOf(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Histogram != nil:
		return float64(m.Histogram.GetSampleCount())
	}
	return m.Gauge.GetValue()
}

// want compares some of the values.
func want(t *testing.T, m *Metrics, wanted map[string]float64) {
	t.Helper()
	got := values(t, m)
	for name, v := range wanted {
		if g, ok := got[name]; !ok || g != v {
			t.Errorf("%s is %v (%v), want %v", name, g, ok, v)
		}
	}
}

// TestRecord: what comes in is counted by listener, refusals by their reason.
func TestRecord(t *testing.T) {
	m := New(Options{Now: time.Now})
	a := mail.Address{Local: "a", Domain: "example.org"}
	m.Record(journal.Entry{Kind: journal.Accepted, Service: "mx", Size: 100, Recipients: []mail.Address{a, a},
		Filed: []journal.Filed{{UID: 1}}, Took: time.Millisecond})
	m.Record(journal.Entry{Kind: journal.Accepted, Service: "mx", Size: 50, Recipients: []mail.Address{a}})
	for _, r := range []struct {
		enhanced string
		code     int
	}{{"5.1.1", 550}, {"5.1.2", 550}, {"4.7.1", 451}, {"", 421}, {"", 503}, {"5.9.1", 550}, {"5.12.1", 550}, {"x", 0}} {
		m.Record(journal.Entry{Kind: journal.Refused, Service: "submission", Enhanced: r.enhanced, Code: r.code})
	}
	want(t, m, map[string]float64{
		`yubin_messages_accepted_total{service="mx"}`:                 2,
		`yubin_messages_accepted_bytes_total{service="mx"}`:           150,
		`yubin_recipients_accepted_total{service="mx"}`:               3,
		`yubin_recipients_filed_total`:                                1,
		`yubin_message_accept_seconds`:                                2,
		`yubin_refusals_total{reason="5.1",service="submission"}`:     2,
		`yubin_refusals_total{reason="4.7",service="submission"}`:     1,
		`yubin_refusals_total{reason="4.0",service="submission"}`:     1,
		`yubin_refusals_total{reason="5.0",service="submission"}`:     2,
		`yubin_refusals_total{reason="5.other",service="submission"}`: 2,
	})
}

// TestQueue: every kind of observation is counted where it belongs.
func TestQueue(t *testing.T) {
	m := New(Options{Now: time.Now})
	observe(m)
	want(t, m, map[string]float64{
		`yubin_queue_spooled_total`:                                    1,
		`yubin_queue_attempts_total{outcome="deferred",reason="4.4"}`:  1,
		`yubin_queue_attempts_total{outcome="delivered",reason="2.0"}`: 1,
		`yubin_queue_attempts_total{outcome="failed",reason="5.1"}`:    1,
		`yubin_queue_attempt_seconds{outcome="deferred"}`:              1,
		`yubin_queue_settled_total{outcome="delivered",reason="2.0"}`:  1,
		`yubin_queue_settled_total{outcome="failed",reason="5.1"}`:     1,
		`yubin_queue_reports_total`:                                    1,
		`yubin_queue_untold_total{reason="5.1"}`:                       1,
		`yubin_queue_parked_total`:                                     1,
		`yubin_queue_takeovers_total`:                                  1,
		`yubin_queue_attempt_seconds{outcome="failed"}`:                1,
		`yubin_web_requests_total{mount="setup",status="2xx"}`:         1,
		`yubin_web_requests_total{mount="none",status="4xx"}`:          1,
		`yubin_web_request_seconds`:                                    2,
	})
}

// observe has one of each observation.
func observe(m *Metrics) {
	for _, o := range []queue.Observation{
		{Kind: queue.ObservedSpooled, Site: "mx:example.org"},
		{Kind: queue.ObservedAttempt, Outcome: mail.Deferred, Class: "4.4.1", Took: time.Second},
		{Kind: queue.ObservedAttempt, Outcome: mail.Delivered, Class: "2.0.0", Took: time.Second},
		{Kind: queue.ObservedAttempt, Outcome: mail.Failed, Class: "5.1.1", Took: time.Second},
		{Kind: queue.ObservedSettled, Outcome: mail.Delivered, Class: "2.0.0"},
		{Kind: queue.ObservedSettled, Outcome: mail.Failed, Class: "5.1.1"},
		{Kind: queue.ObservedReport},
		{Kind: queue.ObservedUntold, Class: "5.1.1"},
		{Kind: queue.ObservedParked},
		{Kind: queue.ObservedTakeover},
	} {
		m.Queue(o)
	}
	m.Web(webd.Request{Mount: "setup", Status: 200, Took: time.Millisecond})
	m.Web(webd.Request{Status: 421})
}

// TestOthers: commits, logins and lookups.
func TestOthers(t *testing.T) {
	m := New(Options{Now: time.Now})
	m.Commit(sqldb.Commit{Writes: 3, Took: 2 * time.Millisecond, Sync: time.Millisecond})
	m.Commit(sqldb.Commit{Writes: 1, Failed: true})
	for _, err := range []error{nil, mail.Errorf(mail.Forbidden, "no"), mail.Errorf(mail.RateLimited, "later"), errors.New("?")} {
		m.Login(err)
	}
	m.Lookup(resolver.Lookup{Failure: dns.NXDomain, Source: resolver.Asked})
	m.Lookup(resolver.Lookup{Source: resolver.Cached})
	m.Lookup(resolver.Lookup{Failure: dns.Canceled, Source: resolver.Shared})
	want(t, m, map[string]float64{
		`yubin_commit_writes`:                                        1,
		`yubin_commit_seconds`:                                       1,
		`yubin_commit_sync_seconds`:                                  1,
		`yubin_commits_failed_total`:                                 1,
		`yubin_logins_total{result="ok"}`:                            1,
		`yubin_logins_total{result="refused"}`:                       1,
		`yubin_logins_total{result="limited"}`:                       1,
		`yubin_logins_total{result="error"}`:                         1,
		`yubin_dns_lookups_total{result="nxdomain",source="asked"}`:  1,
		`yubin_dns_lookups_total{result="found",source="cached"}`:    1,
		`yubin_dns_lookups_total{result="canceled",source="shared"}`: 1,
		`yubin_dns_lookup_seconds`:                                   2,
	})
}

// TestFailureNames: dns has no failure that the metrics have no name for.
func TestFailureNames(t *testing.T) {
	if int(dns.Canceled) != failures-1 {
		t.Errorf("the last failure of dns is %d; failureNames has %d", dns.Canceled, failures)
	}
	if int(resolver.Cached) != sources-1 {
		t.Errorf("the last source of resolver is %d; sourceNames has %d", resolver.Cached, sources)
	}
}

// TestWatched: listeners of one service are summed up, files are measured.
func TestWatched(t *testing.T) {
	m := New(Options{Now: time.Now})
	m.Watch(Sources{
		Listeners: func() []Listener {
			return []Listener{
				{"imap", "imaps", netx.Stats{Open: 2, Accepted: 5, Refused: 3, OfAddress: 1, BadHandshakes: 1}},
				{"imap", "imaps", netx.Stats{Open: 1, Accepted: 1}},
				{"smtp", "mx", netx.Stats{Open: 7, Accepted: 9}},
			}
		},
		Sizes:   func() (sqldb.Sizes, error) { return sqldb.Sizes{Database: 4096, WAL: 32}, nil },
		Traffic: func() sqldb.Traffic { return sqldb.Traffic{RoundTrips: 12, Again: 2, Busy: 3, Most: 16, Away: true} },
		Folder:  t.TempDir(),
	})
	want(t, m, map[string]float64{
		`yubin_connections_open{protocol="imap",service="imaps"}`:                          3,
		`yubin_connections_total{protocol="imap",service="imaps"}`:                         6,
		`yubin_connections_refused_total{limit="total",protocol="imap",service="imaps"}`:   2,
		`yubin_connections_refused_total{limit="address",protocol="imap",service="imaps"}`: 1,
		`yubin_tls_handshakes_failed_total{protocol="imap",service="imaps"}`:               1,
		`yubin_connections_open{protocol="smtp",service="mx"}`:                             7,
		`yubin_store_bytes{file="database"}`:                                               4096,
		`yubin_store_bytes{file="wal"}`:                                                    32,
		`yubin_database_connections_busy`:                                                  3,
		`yubin_database_connections_limit`:                                                 16,
		`yubin_database_away`:                                                              1,
		`yubin_database_round_trips_total`:                                                 12,
		`yubin_database_transactions_again_total`:                                          2,
	})
	if free := values(t, m)["yubin_disk_free_bytes"]; free <= 0 {
		t.Errorf("%v octets are free", free)
	}
}

// TestNothingWatched: a server without a queue has a scrape all the same.
func TestNothingWatched(t *testing.T) {
	m := New(Options{Now: time.Now, Version: "1.2.3"})
	all := values(t, m)
	for name := range all {
		if strings.HasPrefix(name, "yubin_queue_deliveries") || strings.HasPrefix(name, "yubin_site") {
			t.Errorf("%s of no queue", name)
		}
	}
	if all["go_goroutines"] == 0 || all["process_open_fds"] == 0 {
		t.Error("the process is not measured")
	}
}

// TestTwoServers: two in one process count apart.
func TestTwoServers(t *testing.T) {
	a, b := New(Options{Now: time.Now}), New(Options{Now: time.Now})
	a.Queue(queue.Observation{Kind: queue.ObservedReport})
	want(t, a, map[string]float64{`yubin_queue_reports_total`: 1})
	want(t, b, map[string]float64{`yubin_queue_reports_total`: 0})
}

// TestServices: names of services beyond the bound are one.
func TestServices(t *testing.T) {
	m := New(Options{Now: time.Now})
	for i := range 3 * maxServices {
		for range 2 {
			m.Record(journal.Entry{Kind: journal.Accepted, Service: fmt.Sprint("service", i)})
		}
	}
	want(t, m, map[string]float64{
		`yubin_messages_accepted_total{service="service0"}`:  2,
		`yubin_messages_accepted_total{service="service15"}`: 2,
		`yubin_messages_accepted_total{service="other"}`:     2 * 2 * maxServices,
	})
}

// TestSites: the busiest have names, the rest is summed up; labels are valid and
// differ whatever sites are called.
func TestSites(t *testing.T) {
	m := New(Options{Now: time.Now})
	q := &fakeQueue{}
	for i := range 200 {
		q.sites = append(q.sites, queue.SiteStatus{Site: fmt.Sprintf("mx:s%03d.example", i), InMemory: i, Concurrency: 2})
	}
	q.sites[0].Busy, q.sites[1].Down, q.sites[2].Paused = 1, true, true
	m.sampler.next = time.Now().Add(time.Hour) // Nobody runs it.
	m.Watch(Sources{Queue: q})
	want(t, m, map[string]float64{
		`yubin_sites{state="known"}`:                     200,
		`yubin_sites{state="down"}`:                      1,
		`yubin_sites{state="paused"}`:                    1,
		`yubin_site_busy{site="mx:s000.example"}`:        1,
		`yubin_site_waiting{site="mx:s199.example"}`:     199,
		`yubin_site_waiting{site="mx:s151.example"}`:     151,
		`yubin_site_concurrency{site="mx:s151.example"}`: 2,
		`yubin_site_waiting{site="other"}`:               150 * 151 / 2,
		`yubin_site_concurrency{site="other"}`:           300,
		`yubin_site_down{site="other"}`:                  1,
		`yubin_site_paused{site="other"}`:                1,
	})
	if _, ok := values(t, m)[`yubin_site_waiting{site="mx:s150.example"}`]; ok {
		t.Error("51 sites have names")
	}
	q.sites = nil
	for _, name := range []string{"other", "\xff", "\xfe", strings.Repeat("x", 500), strings.Repeat("x", 501), "", strings.Repeat("é", 100)} {
		q.sites = append(q.sites, queue.SiteStatus{Site: name, Busy: 1})
	}
	n := 0
	for name, v := range values(t, m) { // Gather refuses labels that are the same or no UTF-8.
		if strings.HasPrefix(name, "yubin_site_busy{") && v == 1 && len(name) < 200 {
			n++
		}
	}
	if n != len(q.sites) {
		t.Errorf("%d of %d strange names are there", n, len(q.sites))
	}
}

// TestHandler: a scrape as Prometheus makes it.
func TestHandler(t *testing.T) {
	m := New(Options{Now: time.Now, Version: "1.2.3"})
	m.Queue(queue.Observation{Kind: queue.ObservedReport})
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body := w.Body.String()
	for _, line := range []string{"\nyubin_queue_reports_total 1\n", `version="1.2.3"`, "# TYPE yubin_commit_seconds histogram"} {
		if w.Code != 200 || !strings.Contains(body, line) {
			t.Errorf("%d without %q:\n%.500s", w.Code, line, body)
		}
	}
}

func BenchmarkQueueAttempt(b *testing.B) {
	m := New(Options{Now: time.Now})
	o := queue.Observation{Kind: queue.ObservedAttempt, Outcome: mail.Delivered, Class: "2.1.5", Took: 80 * time.Millisecond}
	for b.Loop() {
		m.Queue(o)
	}
	m.Web(webd.Request{Mount: "setup", Status: 200, Took: time.Millisecond})
	m.Web(webd.Request{Status: 421})
}

func BenchmarkRecord(b *testing.B) {
	m := New(Options{Now: time.Now})
	m.services.number("mx")
	e := journal.Entry{Kind: journal.Accepted, Service: "submission", Size: 4096, Recipients: make([]mail.Address, 1),
		Filed: make([]journal.Filed, 1), Took: 3 * time.Millisecond}
	for b.Loop() {
		m.Record(e)
	}
}

func BenchmarkCommit(b *testing.B) {
	m := New(Options{Now: time.Now})
	for b.Loop() {
		m.Commit(sqldb.Commit{Writes: 12, Took: 2 * time.Millisecond, Sync: time.Millisecond})
	}
}

// BenchmarkScrape has as many series as bounds allow, about.
func BenchmarkScrape(b *testing.B) {
	m := New(Options{Now: time.Now})
	q := &fakeQueue{}
	for i := range 1000 {
		q.sites = append(q.sites, queue.SiteStatus{Site: fmt.Sprintf("mx:s%03d.example", i), InMemory: i})
	}
	m.Watch(Sources{Queue: q})
	m.sampler.next = time.Now().Add(time.Hour)
	for i := range maxServices {
		for r := range reasons {
			m.Record(journal.Entry{Kind: journal.Refused, Service: fmt.Sprint(i), Enhanced: r.String() + ".1"})
		}
	}
	for b.Loop() {
		if _, err := m.registry.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}

// The queue and the store fit.
var _ Queue = (*queue.Queue)(nil)

// TestAssembly: a store of its own tells what it commits, and is measured.
func TestAssembly(t *testing.T) {
	m := New(Options{Now: time.Now})
	db, err := sqldb.Open(t.Context(), sqldb.Options{Path: filepath.Join(t.TempDir(), "a.db"), Observe: m.Commit})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	m.Watch(Sources{Sizes: db.Sizes})
	before := values(t, m)
	if err := db.Migrate(t.Context(), "test", []string{`CREATE TABLE t (id {id}, octets {blob} NOT NULL)`}); err != nil {
		t.Fatal(err)
	}
	if err := db.Write(t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.Insert(`INSERT INTO t (octets) VALUES ($1)`, make([]byte, 2<<20))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	after := values(t, m)
	if after["yubin_commit_seconds"] <= before["yubin_commit_seconds"] || after["yubin_commits_failed_total"] != 0 {
		t.Errorf("commits: %v, then %v", before["yubin_commit_seconds"], after["yubin_commit_seconds"])
	}
	if after[`yubin_store_bytes{file="wal"}`] < 2<<20 || after[`yubin_store_bytes{file="database"}`] == 0 {
		t.Errorf("%v octets of WAL, %v of database", after[`yubin_store_bytes{file="wal"}`], after[`yubin_store_bytes{file="database"}`])
	}
}
