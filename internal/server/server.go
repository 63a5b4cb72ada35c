// Package server puts a yubin together from a configuration: the engines over
// the data folder, the conversations over the engines, the listeners, and the
// administration on a socket in the data folder.
//
// There are no globals: several servers run in one process, each with its own
// folder and ports.
//
//	s, err := server.New(ctx, cfg, deps) // everything is open; clients may connect
//	err = s.Run(ctx)                     // serves until ctx is done, drains, closes
//
// Stopping goes from the outside in: the listeners close and their sessions
// say goodbye, then the background work of the engines ends, then the folder
// is closed.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"yubin/internal/server/admin"
	"yubin/internal/world/certs"
	"yubin/internal/world/config"
	"yubin/internal/world/datadir"
	"yubin/internal/world/heap"
	"yubin/internal/world/netx"
	"yubin/internal/world/obs"
)

// Deps is what a server is given of the world.
type Deps struct {
	Log     *slog.Logger
	Now     func() time.Time
	Version string
	Notify  *obs.Notifier // the service manager; nil for none
	Memory  heap.Plan     // how memory is divided; zero sets no bounds
}

// adminTimeout bounds reading the head of a request, webTimeout the answer to
// one on admin.address and the wait for the next, and maxWebHeader the octets
// of its head.
const (
	adminTimeout = 10 * time.Second
	adminGrace   = time.Second // for answers to say that the server stops
	webTimeout   = time.Minute
	maxWebHeader = 16 << 10
)

// Server is a whole yubin.
type Server struct {
	deps   Deps
	store  *Store
	slots  *netx.Slots // for connections, of all listeners
	locals *locals     // the users of this machine
	admin  net.Listener
	web    net.Listener // of admin.address; nil for none

	// What new connections get; a reload replaces it.
	services atomic.Pointer[services]
	certs    atomic.Pointer[certs.Certs]
	tls      map[config.Protocol]*tls.Config // one for all connections: it holds the keys of session tickets

	mu        sync.Mutex
	cfg       config.Config
	listeners []*listener
	running   context.Context // while Run serves; else nil
	broken    chan error      // a listener failed; Run ends
	serving   sync.WaitGroup
}

// New opens everything that cfg names. The server does not accept connections
// before Run, but the system lets clients queue for it.
func New(ctx context.Context, cfg config.Config, d Deps) (*Server, error) {
	recent := obs.NewRecent(d.Now)
	d.Log = slog.New(recent.Handler(d.Log.Handler()))
	st, err := makeStore(ctx, cfg, cfg, lockWait, d)
	if err != nil {
		return nil, err
	}
	s := &Server{deps: d, store: st, cfg: cfg, broken: make(chan error, 1)}
	st.gone = s.fail
	st.watcher.serving(s, recent)
	s.slots = netx.NewSlots(s.limits(cfg))
	s.locals = newLocals(st, cfg.Hostname, d.Now)
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) open(ctx context.Context) error {
	if err := s.loadCertificates(s.cfg); err != nil {
		return err
	}
	if err := s.store.setOAuth(s.cfg.OAuth, s.deps); err != nil {
		return err
	}
	s.services.Store(s.newServices(s.cfg, nil))
	for _, l := range s.listenersOf(s.cfg) {
		opened, err := s.openListener(ctx, l)
		if s.doesWithout(s.cfg, l, err) {
			continue
		}
		if err != nil {
			return err
		}
		s.listeners = append(s.listeners, opened)
	}
	s.watch()
	s.warn()
	if err := s.listenWeb(ctx); err != nil {
		return err
	}
	var err error
	s.admin, err = admin.Listen(s.cfg.Data)
	return err
}

// loadCertificates opens the certificates of cfg for new handshakes.
func (s *Server) loadCertificates(cfg config.Config) error {
	c, err := s.openCerts(cfg)
	if err != nil || c == nil {
		return err
	}
	s.certs.Store(c)
	if s.tls == nil {
		s.tls = s.tlsConfigs(c)
	}
	return nil
}

// tlsConfigs are the configurations of all connections, now and after reloads:
// they show the certificates of the moment.
func (s *Server) tlsConfigs(c *certs.Certs) map[config.Protocol]*tls.Config {
	all := map[config.Protocol]*tls.Config{}
	for _, p := range []config.Protocol{config.SMTP, config.IMAP, config.POP3, config.HTTP} {
		t := c.Server(protocolName(p)...)
		t.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.certs.Load().GetCertificate(hello)
		}
		t.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) { return s.certs.Load().Proof(hello) }
		all[p] = t
	}
	return all
}

// protocolName are the ALPN names of p (IANA's registry): SMTP has none.
func protocolName(p config.Protocol) []string {
	switch p {
	case config.IMAP:
		return []string{"imap"}
	case config.POP3:
		return []string{"pop3"}
	case config.HTTP:
		return []string{"h2", "http/1.1"}
	}
	return nil
}

// Admin is the administration, for calls from this process.
func (s *Server) Admin() http.Handler { return s.store.Admin() }

// Addrs returns the addresses listened on, in the order of the configuration.
func (s *Server) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	addrs := make([]net.Addr, len(s.listeners))
	for i, l := range s.listeners {
		addrs[i] = l.server.Addr()
	}
	return addrs
}

// Run serves until ctx is done or a listener breaks, lets the sessions finish
// for as long as the configuration says, and closes the server.
func (s *Server) Run(ctx context.Context) error {
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	var work sync.WaitGroup
	var workErr error
	work.Go(func() { workErr = s.runBackground(background) })

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var carrying sync.WaitGroup
	carrying.Go(func() { s.carry(ctx) })
	s.startAll(ctx)
	s.notify(s.deps.Notify.Ready())
	s.deps.Log.Info("serving", "version", s.deps.Version, "hostname", s.hostname(), "listeners", len(s.Addrs()))
	err := s.wait(ctx)
	s.notify(s.deps.Notify.Stopping())
	cancel()
	s.stopStarting()
	s.serving.Wait()
	carrying.Wait()
	stopBackground()
	work.Wait()
	if moved := (*datadir.MovedError)(nil); errors.As(err, &moved) {
		workErr = nil // The work was held by the move, and goes on in the new place.
	}
	err = errors.Join(err, workErr, s.Close())
	s.deps.Log.Info("stopped")
	return err
}

// carry carries mail to other hosts until ctx is done. Without it the server is
// not worth running.
func (s *Server) carry(ctx context.Context) {
	if err := s.store.carriage.run(ctx, s.store.outgoing.run); err != nil {
		s.fail(fmt.Errorf("the queue: %w", err))
	}
}

func (s *Server) hostname() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.cfg.Hostname)
}

func (s *Server) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.broken:
		return err
	}
}

// startAll begins to accept on every listener.
func (s *Server) startAll(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = ctx
	for _, l := range s.listeners {
		s.start(l)
	}
}

// stopStarting keeps a reload that comes now from starting listeners.
func (s *Server) stopStarting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = nil
}

// runBackground runs the engines' own work, the conversations' and the
// administration until ctx is done.
func (s *Server) runBackground(ctx context.Context) error {
	web := &http.Server{
		Handler:           s.store.Admin(),
		ReadHeaderTimeout: adminTimeout,
		ErrorLog:          slog.NewLogLogger(s.deps.Log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       admin.ConnContext,
	}
	var g sync.WaitGroup
	var err error
	g.Go(func() {
		if err = s.store.run(ctx); err != nil && ctx.Err() == nil { // Without it the server is not worth running.
			s.fail(fmt.Errorf("the store: %w", err))
			err = nil
		}
	})
	if s.web != nil {
		g.Go(func() { s.serveWeb(ctx) })
	}
	g.Go(func() { s.warnDaily(ctx) })
	g.Go(func() {
		if err := web.Serve(s.admin); !errors.Is(err, http.ErrServerClosed) {
			s.fail(fmt.Errorf("administration: %w", err))
		}
	})
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminGrace)
	_ = web.Shutdown(last) // Who waits for an answer hears that the server stops.
	s.store.Admin().Drain(last)
	cancel()
	_ = web.Close()
	g.Wait()
	return err
}

// fail makes Run end with err; the first one counts.
func (s *Server) fail(err error) {
	select {
	case s.broken <- err:
	default:
	}
}

// notify logs that the service manager did not hear of us.
func (s *Server) notify(err error) {
	if err != nil {
		s.deps.Log.Warn("service manager", obs.Err(err))
	}
}

// Close closes a server that does not run.
func (s *Server) Close() error {
	s.mu.Lock()
	listeners := s.listeners
	s.listeners = nil
	s.mu.Unlock()
	for _, l := range listeners {
		_ = l.server.Close() // Closed already if it served.
	}
	for _, l := range []net.Listener{s.admin, s.web} {
		if l != nil {
			_ = l.Close()
		}
	}
	return s.store.Close()
}
