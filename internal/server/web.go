package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"yubin/internal/server/admin"
	"yubin/internal/server/metrics"
	"yubin/internal/world/obs"
)

// listenWeb binds admin.address, if there is one.
func (s *Server) listenWeb(ctx context.Context) error {
	if s.cfg.Admin.Address == "" {
		return nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Admin.Address)
	if err != nil {
		return fmt.Errorf("admin.address cannot listen on %s: %w", s.cfg.Admin.Address, err)
	}
	s.web = l
	return nil
}

// serveWeb shows the metrics and whether the server is well, and nothing else:
// anybody who can reach the address may look.
func (s *Server) serveWeb(ctx context.Context) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.store.metrics.Handler())
	mux.HandleFunc("GET /healthz", s.live)
	mux.HandleFunc("GET /readyz", s.ready)
	web := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: adminTimeout,
		ReadTimeout:       adminTimeout,
		WriteTimeout:      webTimeout,
		IdleTimeout:       webTimeout,
		MaxHeaderBytes:    maxWebHeader,
		ErrorLog:          slog.NewLogLogger(s.deps.Log.Handler(), slog.LevelWarn),
	}
	stop := context.AfterFunc(ctx, func() { _ = web.Close() })
	defer stop()
	if err := web.Serve(s.web); !errors.Is(err, http.ErrServerClosed) {
		s.fail(fmt.Errorf("admin.address: %w", err))
	}
}

// watch says what the metrics look at.
func (s *Server) watch() {
	s.store.metrics.Watch(metrics.Sources{
		Queue: s.store.outgoing.queue, Sizes: s.store.db.Sizes, Traffic: s.store.db.Traffic, Folder: s.cfg.Data, Listeners: s.connections, Memory: s.memory,
		Certificates: s.Certificates,
		Bans:         s.store.bans.Active,
		Held:         func() int { return len(s.store.sending.Held()) },
	})
}

// memory is how the bounds of memory stand that somebody can run into.
func (s *Server) memory() []metrics.Memory {
	return []metrics.Memory{
		{Use: "sessions", BudgetStats: s.store.budget.Stats()},
		{Use: "views", BudgetStats: s.store.mail.ViewStats()},
	}
}

func (s *Server) connections() []metrics.Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]metrics.Listener, len(s.listeners))
	for i, l := range s.listeners {
		list[i] = metrics.Listener{Protocol: string(l.config.Protocol), Service: l.config.Service(), Stats: l.server.Stats()}
	}
	return list
}

// live says that the process serves.
func (s *Server) live(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// ready says whether mail should be brought here, and why not: with a disk that is nearly
// full it is taken still, and balancers had better ask another server.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	var why []string
	for _, c := range s.store.watcher.concerns(r.Context()) {
		if c.State == admin.Trouble && (c.Cause == "database" || c.Cause == "disk") {
			why = append(why, c.Text)
		}
	}
	s.mu.Lock()
	if s.running == nil {
		why = append(why, "the server starts or stops")
	}
	s.mu.Unlock()
	if len(why) == 0 {
		fmt.Fprintln(w, "ready")
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusServiceUnavailable)
	for _, line := range why {
		fmt.Fprintln(w, obs.Printable(line))
	}
}
