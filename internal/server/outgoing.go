package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	randv2 "math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"yubin/internal/engine/copies"
	"yubin/internal/engine/forward"
	"yubin/internal/engine/hosts"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/report"
	"yubin/internal/engine/reports"
	"yubin/internal/engine/route"
	"yubin/internal/engine/signing"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/tlspolicy"
	"yubin/internal/mail"
	"yubin/internal/mailauth/tlsrpt"
	"yubin/internal/session/courier"
	"yubin/internal/session/smtpc"
	"yubin/internal/world/config"
	"yubin/internal/world/heap"
	"yubin/internal/world/netx"
	"yubin/internal/world/resolver"
	"yubin/internal/world/web"
)

// tlsSessions is how many TLS sessions with other hosts are kept for
// resumption.
const tlsSessions = 1000

// postmaster is the local part of the address that reports come from.
const postmaster = "postmaster"

// outgoing is what carries mail to other hosts: the schedule, and the couriers
// that it sends.
type outgoing struct {
	resolver *resolver.Resolver
	router   *route.Router
	forward  *forward.Forwarder
	spool    *spool.Spool
	queue    *queue.Queue
	courier  *courier.Courier // nil if mail is captured
	self     *ourselves
	signing  *signing.Signing
	policies *tlspolicy.Policies        // of other domains (MTA-STS)
	dns      atomic.Pointer[config.DNS] // as it is configured now
}

// openOutgoing opens the queue and what it needs over the engines of s.
func (s *Store) openOutgoing(ctx context.Context, cfg config.Config, d Deps) error {
	out := &s.outgoing
	up, err := upstream(cfg.DNS)
	if err != nil {
		return err
	}
	if out.resolver, err = resolver.New(resolver.Options{Upstream: up, Now: d.Now, Observe: s.metrics.Lookup}); err != nil {
		return err
	}
	if out.forward, err = forward.Open(ctx, forward.Options{DB: s.db, Secrets: s.secrets, Domains: s.directory, Random: rand.Reader, Now: d.Now, Log: d.Log}); err != nil {
		return err
	}
	out.self = newOurselves(cfg, d.Now)
	if out.policies, err = tlspolicy.Open(ctx, s.policyOptions(d)); err != nil {
		return err
	}
	if out.router, err = route.Open(ctx, s.routeOptions(cfg, d)); err != nil {
		return err
	}
	if err := s.openSigning(ctx, cfg, d); err != nil {
		return err
	}
	if out.spool, err = spool.Open(ctx, spool.Options{DB: s.db, Store: s.mail}); err != nil {
		return err
	}
	if out.queue, err = queue.Open(ctx, s.queueOptions(cfg, d)); err != nil {
		return err
	}
	if s.reports, err = reports.Open(ctx, s.reportsOptions(cfg, d), reportSettings(cfg.Reports)); err != nil {
		return err
	}
	if s.copies, err = copies.Open(ctx, copies.Options{DB: s.db, Directory: s.directory, Router: out.router,
		Sender: mail.Address{Local: postmaster, Domain: cfg.Hostname}, Log: d.Log}); err != nil {
		return err
	}
	s.intake = intake.New(intake.Options{Store: s.mail, Queue: out.queue, Forwards: out.forward, Keeper: s.reports, Copier: s.copies})
	return nil
}

func (s *Store) routeOptions(cfg config.Config, d Deps) route.Options {
	return route.Options{DB: s.db, Directory: s.directory, Hostname: cfg.Hostname, Now: d.Now, Log: d.Log,
		Ourselves: s.outgoing.self, Policies: s.outgoing.policies, Port: cfg.DeliverPort, Captured: cfg.Capture, Returns: s.outgoing.forward,
		Reports: func(a mail.Address) bool { return s.reports != nil && s.reports.IsAddress(a) }}
}

// policyOptions have policies fetched from everywhere but this machine and what is
// connected to it by a cable: strangers name the hosts.
func (s *Store) policyOptions(d Deps) tlspolicy.Options {
	return tlspolicy.Options{DB: s.db, Resolver: s.outgoing.resolver, Now: d.Now, Log: d.Log,
		Fetcher: web.NewPages(web.PagesOptions{Resolver: s.outgoing.resolver, Agent: "yubin/" + d.Version,
			Allowed: func(a netip.Addr) bool {
				return !a.IsLoopback() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast()
			}}),
	}
}

func (s *Store) reportsOptions(cfg config.Config, d Deps) reports.Options {
	return reports.Options{
		DB: s.db, Octets: s.mail, Domains: s.directory, Router: s.outgoing.router, Intake: door{s}, Resolver: s.outgoing.resolver,
		// RFC 8460 §7: who asks for reports of broken certificates may have one, too.
		Poster:   web.NewPages(web.PagesOptions{Resolver: s.outgoing.resolver, Allowed: web.IsPublic, AnyCertificate: true, Agent: "yubin/" + d.Version}),
		Hostname: cfg.Hostname, Version: d.Version, Now: d.Now, Rand: randv2.Float64, Log: d.Log,
	}
}

func reportSettings(c config.Reports) reports.Settings {
	return reports.Settings{Addresses: c.Addresses, Send: c.Send, Organization: c.Organization, Contact: c.Contact, Keep: c.Keep}
}

func (s *Store) queueOptions(cfg config.Config, d Deps) queue.Options {
	out := &s.outgoing
	grace := min(cfg.ShutdownTimeout, queue.DefaultGrace)
	return queue.Options{
		DB: s.db, Store: s.mail, Spool: out.spool,
		Courier: s.courier(cfg, d),
		Filer:   s.filer(cfg, d),
		Router:  hops{out.router, !cfg.Capture.IsZero()},
		Reporter: report.New(report.Config{
			Hostname: cfg.Hostname, Postmaster: mail.Address{Local: postmaster, Domain: cfg.Hostname},
			Router: out.router, Languages: s.directory, Intake: door{s}, Now: d.Now, NewID: rand.Text,
		}),
		Signer: out.signing,
		Now:    d.Now, Rand: randv2.Float64, Log: d.Log, Observe: s.watcher.observe,
		Name: string(cfg.Hostname), Alone: true,
		Limits: queueLimits(cfg.Queue, d.Memory), Schedule: schedule(cfg.Queue).schedule(), Grace: grace,
	}
}

// filer files what is at home here; if mail is captured, all of it.
func (s *Store) filer(cfg config.Config, d Deps) queue.Filer {
	h := &homeward{store: s, host: cfg.Hostname, now: d.Now}
	if !cfg.Capture.IsZero() {
		h.captured = &capture{store: s, to: cfg.Capture, now: d.Now}
	}
	return h
}

// courier carries mail elsewhere; nobody does if mail is captured.
func (s *Store) courier(cfg config.Config, d Deps) queue.Courier {
	if !cfg.Capture.IsZero() {
		return nil
	}
	talk := smtpc.Config{TLS: &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(tlsSessions)}, Now: d.Now}
	s.outgoing.courier = courier.New(courier.Config{
		Name: cfg.Hostname,
		Finder: &hosts.Finder{Resolver: s.outgoing.resolver, Ourselves: s.outgoing.self, Policies: s.outgoing.policies,
			Shuffle: randv2.Shuffle, Port: cfg.DeliverPort},
		Dialer:   netx.Dialer{},
		Converse: func(c *netx.Conn) courier.Conversation { return smtpc.New(c, talk) },
		Observer: observed{s},
		Now:      d.Now,
		Log:      d.Log,
	})
	return s.outgoing.courier
}

// run carries mail until ctx is done.
func (o *outgoing) run(ctx context.Context) error {
	var g sync.WaitGroup
	courierCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	if o.courier != nil {
		g.Go(func() { _ = o.courier.Run(courierCtx) })
	}
	err := o.queue.Run(ctx)
	stop()
	g.Wait()
	return err
}

// change applies what a running queue can change.
func (o *outgoing) change(cfg config.Config, m heap.Plan) error {
	o.queue.SetLimits(queueLimits(cfg.Queue, m))
	o.dns.Store(&cfg.DNS)
	o.signing.SetPolicy(signingPolicy(cfg))
	up, err := upstream(cfg.DNS)
	if err != nil {
		return err
	}
	return o.resolver.Use(up)
}

// upstream is who is asked for names: those of c, else the system's.
func upstream(c config.DNS) (resolver.Upstream, error) {
	up, err := resolver.SystemUpstream()
	if err != nil {
		return up, err
	}
	if len(c.Servers) > 0 {
		up = resolver.Upstream{Servers: c.Servers}
	}
	if c.Timeout > 0 {
		up.Timeout = c.Timeout
	}
	if c.Attempts > 0 {
		up.Attempts = c.Attempts
	}
	switch c.Trust {
	case config.DNSTrustLoopback:
		up.Trust = resolver.TrustLoopback
	case config.DNSTrustAll:
		up.Trust = resolver.TrustAll
	case config.DNSTrustNone:
		up.Trust = resolver.TrustNone
	}
	return up, nil
}

// queueLimits are those of c, of which no more is carried at a time than there is
// memory for.
func queueLimits(c config.Queue, m heap.Plan) queue.Limits {
	total := cmp.Or(c.Concurrency, queue.DefaultTotal)
	if m.Couriers > 0 {
		total = min(total, m.Couriers)
	}
	return queue.Limits{Total: total, Fresh: int(m.Fresh), Site: queue.Limit{Concurrency: c.SiteConcurrency, PerSecond: float64(c.SiteRate)}}
}

func schedule(c config.Queue) timing { return timing{c.Lifetime, c.NoticeAfter, c.History} }

// timing is what of a queue.Schedule is configured.
type timing struct{ lifetime, noticeAfter, history time.Duration }

func (t timing) schedule() queue.Schedule {
	return queue.Schedule{Lifetime: t.lifetime, NoticeAfter: t.noticeAfter, History: t.history}
}

// door is the intake as who makes reports sees it, whom the queue needs before there
// is one.
type door struct{ s *Store }

// Begin is that of intake.Intake.
func (d door) Begin(taps ...intake.Tap) *intake.Message { return d.s.intake.Begin(taps...) }

// Plan is that of intake.Intake.
func (d door) Plan(ctx context.Context, m *intake.Message, e intake.Envelope, to []intake.Recipient) (*intake.Plan, error) {
	return d.s.intake.Plan(ctx, m, e, to)
}

// Commit is that of intake.Intake.
func (d door) Commit(ctx context.Context, p *intake.Plan, also ...intake.Also) (intake.Receipt, error) {
	return d.s.intake.Commit(ctx, p, also...)
}

// observed is who reports about TLS as the courier tells it, which is there before.
type observed struct{ s *Store }

// ObserveTLS is that of reports.Reports.
func (o observed) ObserveTLS(seen tlsrpt.Observation) { o.s.reports.ObserveTLS(seen) }

// hops is the router as the queue asks it.
type hops struct {
	router   *route.Router
	captured bool // nothing leaves
}

// NextHop says where a recipient's mail goes as the tables stand now.
func (h hops) NextHop(ctx context.Context, q queue.Question) (queue.Hop, error) {
	hop, name, err := h.router.NextHop(ctx, route.Question{
		Recipient: q.Recipient, Sender: q.Sender, Account: q.Account, Via: q.Via,
	})
	return queue.Hop{NextHop: hop, Route: name, Here: h.captured || hop.Kind == mail.HopLocal}, err
}

// addressMemory is how long the addresses of this host are remembered.
const addressMemory = time.Minute
