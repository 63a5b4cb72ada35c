package metrics

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"yubin/internal/engine/queue"
)

var (
	stateDesc   = desc("yubin_queue_deliveries", "Recipients in the queue, by state.", "state")
	asideDesc   = desc("yubin_queue_deliveries_parked", "Of those that wait, put off because their site is down or paused.")
	oldestDesc  = desc("yubin_queue_oldest_seconds", "Age of the oldest message in the queue; 0 if there is none.")
	sampledDesc = desc("yubin_queue_sampled_timestamp_seconds", "When the queue was counted last.")
)

// queueCollector collects the latest sample.
type queueCollector struct{ m *Metrics }

func (q queueCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{stateDesc, asideDesc, oldestDesc, sampledDesc} {
		out <- d
	}
}

func (q queueCollector) Collect(out chan<- prometheus.Metric) {
	if q.m.sources.Load().Queue == nil {
		return
	}
	s, ok := q.m.sampler.get()
	if !ok {
		return
	}
	gauge(out, stateDesc, float64(s.Waiting), queue.Waiting.String())
	gauge(out, stateDesc, float64(s.Held), queue.Held.String())
	gauge(out, stateDesc, float64(s.Active), queue.Active.String())
	gauge(out, stateDesc, float64(s.Owed), queue.Owed.String())
	gauge(out, asideDesc, float64(s.Parked))
	age := 0.0
	if !s.Oldest.IsZero() {
		age = max(0, q.m.o.Now().Sub(s.Oldest).Seconds())
	}
	gauge(out, oldestDesc, age)
	gauge(out, sampledDesc, float64(s.at.UnixMilli())/1000)
}

var (
	sitesDesc       = desc("yubin_sites", "Sites that the scheduler knows, by how they are.", "state")
	siteBusyDesc    = desc("yubin_site_busy", "Transactions under way at a site.", "site")
	siteAllowedDesc = desc("yubin_site_concurrency", "Transactions that a site is given at a time now.", "site")
	siteWaitingDesc = desc("yubin_site_waiting", "Messages for a site that wait for their turn in memory.", "site")
	siteDownDesc    = desc("yubin_site_down", "Whether no session with a site comes about; of the others, how many.", "site")
	sitePausedDesc  = desc("yubin_site_paused", "Whether a site is paused; of the others, how many.", "site")
)

// siteCollector collects the sites: the most active by name, the rest as one.
type siteCollector struct{ m *Metrics }

func (c siteCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sitesDesc, siteBusyDesc, siteAllowedDesc, siteWaitingDesc, siteDownDesc, sitePausedDesc} {
		out <- d
	}
}

func (c siteCollector) Collect(out chan<- prometheus.Metric) {
	q := c.m.sources.Load().Queue
	if q == nil {
		return
	}
	list := q.Sites()
	var all siteSum
	for _, s := range list {
		all.add(s)
	}
	gauge(out, sitesDesc, float64(len(list)), "known")
	gauge(out, sitesDesc, float64(all.down), "down")
	gauge(out, sitesDesc, float64(all.paused), "paused")
	named, rest := mostActive(list)
	for _, s := range named {
		var one siteSum
		one.add(s)
		one.collect(out, siteLabel(s.Site))
	}
	if len(rest) > 0 {
		var sum siteSum
		for _, s := range rest {
			sum.add(s)
		}
		sum.collect(out, other)
	}
}

// mostActive parts off the sites that have names of their own in scrapes.
func mostActive(list []queue.SiteStatus) (named, rest []queue.SiteStatus) {
	if len(list) <= maxSites {
		return list, nil
	}
	slices.SortStableFunc(list, func(a, b queue.SiteStatus) int { return activity(b) - activity(a) })
	return list[:maxSites], list[maxSites:]
}

// activity puts sites that are being sent to before those that only wait.
func activity(s queue.SiteStatus) int {
	n := s.Busy*queue.MaxWindow + s.InMemory
	if s.More {
		n++
	}
	return n
}

// siteSum is one or several sites.
type siteSum struct{ busy, allowed, waiting, down, paused int }

func (s *siteSum) add(o queue.SiteStatus) {
	s.busy += o.Busy
	s.allowed += o.Concurrency
	s.waiting += o.InMemory
	if o.Down {
		s.down++
	}
	if o.Paused {
		s.paused++
	}
}

func (s *siteSum) collect(out chan<- prometheus.Metric, label string) {
	gauge(out, siteBusyDesc, float64(s.busy), label)
	gauge(out, siteAllowedDesc, float64(s.allowed), label)
	gauge(out, siteWaitingDesc, float64(s.waiting), label)
	gauge(out, siteDownDesc, float64(s.down), label)
	gauge(out, sitePausedDesc, float64(s.paused), label)
}

// siteLabel is the name of a site as a label: valid UTF-8 of a bounded length,
// and still different for different sites.
func siteLabel(site string) string {
	clean := strings.ToValidUTF8(site, "?")
	if clean == site && len(site) <= maxSiteName && site != other {
		return site
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(site))
	cut := clean[:min(len(clean), maxSiteName)]
	return fmt.Sprintf("%s~%08x", strings.ToValidUTF8(cut, ""), h.Sum32())
}
