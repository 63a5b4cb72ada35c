package server

import (
	"cmp"
	"context"
	"crypto/tls"

	"yubin/internal/world/config"
	"yubin/internal/world/netx"
)

// listener is an open listener.
type listener struct {
	config config.Listener
	server *netx.Server
	cancel context.CancelFunc // once it serves: stop and drain
}

// openListener binds the address of l.
func (s *Server) openListener(ctx context.Context, l config.Listener) (*listener, error) {
	var tlsConfig *tls.Config
	if l.TLS != config.TLSNone {
		tlsConfig = s.tls[l.Protocol]
	}
	server := netx.NewServer(netx.Listener{
		Name:         l.Service(),
		Addr:         l.Address,
		Mode:         tlsMode(l.TLS),
		TLS:          tlsConfig,
		Slots:        s.slots,
		Budget:       s.store.budget,
		SocketBuffer: s.deps.Memory.SocketBuffer,
		Refuse:       refusal(l.Protocol),
		Proxies:      l.Proxies,
		ReadTimeout:  firstReadTimeout,
		DrainTimeout: s.cfg.ShutdownTimeout,
	}, s.store.guests.received(s.handler(l, tlsConfig)), s.deps.Log)
	if err := server.Listen(ctx); err != nil {
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
