package metrics

import (
	"cmp"

	"yubin/internal/engine/journal"
	"yubin/internal/engine/queue"
	"yubin/internal/mail"
	"yubin/internal/session/webd"
	"yubin/internal/world/resolver"
	"yubin/internal/world/sqldb"
)

// outcomes of attempts and recipients, in the order of mail.Outcome.
const outcomes = 3

var outcomeNames = [outcomes]string{"delivered", "deferred", "failed"}

// outcomeOf is a number below outcomes. What has no outcome was put off.
func outcomeOf(o mail.Outcome) int {
	if o < mail.Delivered || o > mail.Failed {
		o = mail.Deferred
	}
	return int(o - mail.Delivered)
}

// Queue counts what happened in the queue; it is queue.Options.Observe.
func (m *Metrics) Queue(o queue.Observation) {
	switch o.Kind {
	case queue.ObservedSpooled:
		m.spooled.Inc()
	case queue.ObservedAttempt:
		outcome := outcomeOf(o.Outcome)
		m.attempts.add(outcome*int(reasons)+int(reasonOf(o.Class, 0)), 1)
		m.attemptSeconds[outcome].Observe(o.Took.Seconds())
	case queue.ObservedSettled:
		m.settled.add(outcomeOf(o.Outcome)*int(reasons)+int(reasonOf(o.Class, 0)), 1)
	case queue.ObservedReport:
		m.reports.Inc()
	case queue.ObservedUntold:
		m.untold.add(int(reasonOf(o.Class, 0)), 1)
	case queue.ObservedParked:
		m.parked.Inc()
	case queue.ObservedTakeover:
		m.takeovers.Inc()
	}
}

// Record counts a message that was accepted, or what was refused.
func (m *Metrics) Record(e journal.Entry) {
	service := m.services.number(e.Service)
	switch e.Kind {
	case journal.Accepted:
		m.accepted.add(service, 1)
		m.acceptedBytes.add(service, int(e.Size))
		m.recipients.add(service, len(e.Recipients))
		m.acceptSeconds.Observe(e.Took.Seconds())
		m.filed.Add(float64(len(e.Filed)))
	case journal.Refused:
		m.refusals.add(service*int(reasons)+int(reasonOf(e.Enhanced, e.Code)), 1+e.More)
	}
}

// statuses are the classes of HTTP's status codes.
var statuses = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}

// Web counts a request; it is webd.Config.Observe.
func (m *Metrics) Web(r webd.Request) {
	mount, class := m.mounts.number(cmp.Or(r.Mount, "none")), min(max(r.Status/100, 1), len(statuses))-1
	m.webRequests.add(mount*len(statuses)+class, 1)
	m.webSeconds.Observe(r.Took.Seconds())
}

// Certificate counts an order of a certificate; it is certificates.Options.Observe.
func (m *Metrics) Certificate(_ string, err error) {
	result := "made"
	if err != nil {
		result = "failed"
	}
	m.orders.WithLabelValues(result).Inc()
}

// Commit counts a batch of writes; it is sqldb.Options.Observe.
func (m *Metrics) Commit(c sqldb.Commit) {
	if c.Failed {
		m.commitsFailed.Inc()
		return
	}
	m.commitWrites.Observe(float64(c.Writes))
	m.commitSeconds.Observe(c.Took.Seconds())
	m.syncSeconds.Observe(c.Sync.Seconds())
}

// login is how a login ended.
type login uint8

const (
	loginDone    login = iota
	loginRefused       // a wrong name or password, or a disabled account
	loginLimited       // too many failures before
	loginError         // ours
	logins
)

var loginNames = [logins]string{"ok", "refused", "limited", "error"}

// Login counts how a login ended: err is what the directory said.
func (m *Metrics) Login(err error) {
	how := loginError
	switch {
	case err == nil:
		how = loginDone
	case mail.KindOf(err) == mail.Forbidden:
		how = loginRefused
	case mail.KindOf(err) == mail.RateLimited:
		how = loginLimited
	}
	m.logins.add(int(how), 1)
}

const (
	sources  = 3  // of resolver.Source
	failures = 11 // of dns.Failure
)

var (
	sourceNames  = [sources]string{"asked", "shared", "cached"}
	failureNames = [failures]string{"found", "nxdomain", "nodata", "badname", "timeout", "servfail", "refused",
		"malformed", "loop", "unreachable", "canceled"}
)

// Lookup counts a name that was looked up; it is resolver.Options.Observe.
func (m *Metrics) Lookup(l resolver.Lookup) {
	m.lookups.add(min(int(l.Source), sources-1)*failures+min(int(l.Failure), failures-1), 1)
	if l.Source != resolver.Cached {
		m.lookupSeconds.Observe(l.Took.Seconds())
	}
}
