package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"

	"yubin/internal/world/config"
	"yubin/internal/world/netx"
)

// listener is an open listener.
type listener struct {
	config config.Listener
	server *netx.Server
	cancel context.CancelFunc // once it serves: stop and drain
}

// anybody is the mode of a socket for all users of this machine.
const anybody = 0o666

// openListener binds the address of l.
func (s *Server) openListener(ctx context.Context, l config.Listener) (*listener, error) {
	var tlsConfig *tls.Config
	if l.TLS != config.TLSNone {
		tlsConfig = s.tls[l.Protocol]
	}
	slots := s.slots
	if l.Profile == config.ProfileLocal {
		slots = nil // Its users have bounds of their own.
	}
	serve := s.handler(l, tlsConfig)
	if l.Protocol != config.HTTP { // Browsers connect ahead of what they may want.
		serve = s.store.silent(serve)
	}
	server := netx.NewServer(netx.Listener{
		Slots:        slots,
		Name:         l.Service(),
		Addr:         l.Address,
		Mode:         tlsMode(l.TLS),
		TLS:          tlsConfig,
		Budget:       s.store.budget,
		SocketBuffer: s.deps.Memory.SocketBuffer,
		Refuse:       refusal(l.Protocol),
		Banned:       s.store.turnedAway(l.Protocol),
		Proxies:      l.Proxies,
		ReadTimeout:  firstReadTimeout,
		DrainTimeout: s.cfg.ShutdownTimeout,
	}, s.store.guests.received(serve), s.deps.Log)
	if l.Profile == config.ProfileLocal {
		ln, err := netx.ListenUnix(l.Address, anybody)
		if err != nil {
			return nil, fmt.Errorf("the socket for yubin sendmail ([sendmail] in the configuration): %w", err)
		}
		server.Use(ln)
	} else if err := server.Listen(ctx); err != nil {
		return nil, err
	}
	return &listener{config: l, server: server, cancel: func() {}}, nil
}

func tlsMode(m config.TLSMode) netx.TLSMode {
	switch m {
	case config.TLSStart:
		return netx.StartTLS
	case config.TLSImplicit:
		return netx.ImplicitTLS
	}
	return netx.NoTLS
}

// limits are those of connections; how many there may be follows the memory
// unless c says so.
func (s *Server) limits(c config.Config) netx.Limits {
	return netx.Limits{
		Total:          cmp.Or(c.Limits.Connections, s.deps.Memory.Connections),
		PerAddress:     c.Limits.ConnectionsPerAddress,
		ExemptLoopback: true,
		PerAccount:     c.Limits.SessionsPerAccount,
	}
}

// start begins to accept on l. The caller holds s.mu, and s.running is set.
func (s *Server) start(l *listener) {
	ctx, cancel := context.WithCancel(s.running)
	l.cancel = cancel
	s.serving.Go(func() {
		defer cancel()
		if err := l.server.Serve(ctx); err != nil {
			s.fail(err)
		}
	})
}
