package metrics

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// counters is a family of counters that are found by a number. One appears in
// scrapes once it has counted something.
type counters struct {
	family *prometheus.CounterVec
	labels func(i int) []string
	at     []atomic.Pointer[prometheus.Counter]
}

func (m *Metrics) counters(name, help string, n int, labels func(int) []string, keys ...string) *counters {
	family := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, keys)
	m.registry.MustRegister(family)
	return &counters{family: family, labels: labels, at: make([]atomic.Pointer[prometheus.Counter], n)}
}

// add counts n at i.
func (c *counters) add(i, n int) {
	p := c.at[i].Load()
	if p == nil {
		one := c.family.WithLabelValues(c.labels(i)...) // The same one for all who come here at once.
		p = &one
		c.at[i].Store(p)
	}
	(*p).Add(float64(n))
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) gauge(name, help string, labels prometheus.Labels) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels})
	m.registry.MustRegister(g)
	return g
}

func (m *Metrics) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	m.registry.MustRegister(h)
	return h
}

func (m *Metrics) histogramVec(name, help string, buckets []float64, keys ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, keys)
	m.registry.MustRegister(h)
	return h
}

// names gives numbers to the first maxServices names that it sees, and the last
// number to all others. There are a handful, so looking through them is quick.
type names struct {
	mu   sync.Mutex
	list atomic.Pointer[[]string]
}

func (n *names) number(name string) int {
	if list := n.list.Load(); list != nil {
		if i := slices.Index(*list, name); i >= 0 {
			return i
		}
	}
	return n.learn(name)
}

func (n *names) learn(name string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []string
	if p := n.list.Load(); p != nil {
		list = *p
	}
	if i := slices.Index(list, name); i >= 0 {
		return i
	}
	if len(list) == maxServices {
		return maxServices
	}
	list = append(slices.Clip(list), name)
	n.list.Store(&list)
	return len(list) - 1
}

func (n *names) name(i int) string {
	if list := n.list.Load(); list != nil && i < len(*list) {
		return (*list)[i]
	}
	return other
}

const other = "other"
