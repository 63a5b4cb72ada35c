package metrics

import "time"

// Filter counts what a filter of others said; it is filter.Options.Observe. The
// names are those of the configuration.
func (m *Metrics) Filter(filter, result string, took time.Duration) {
	m.filters.WithLabelValues(filter, result).Inc()
	m.filterSeconds.WithLabelValues(filter).Observe(took.Seconds())
}

// List counts what came of asking a list in the DNS.
func (m *Metrics) List(list, outcome string) { m.lists.WithLabelValues(list, outcome).Inc() }

// ListAsked says whether a list is asked from now on.
func (m *Metrics) ListAsked(list string, asked bool) {
	v := 0.0
	if asked {
		v = 1
	}
	m.listsAsked.WithLabelValues(list).Set(v)
}
