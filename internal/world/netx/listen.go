package netx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// keepAlive finds peers that went away without a word: after Idle of silence,
// Count probes, each Interval. About five minutes in all, within the idle
// timeouts of home routers.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 2 * time.Minute, Interval: 30 * time.Second, Count: 6}
}

// Listen starts listening on the configured address. The error says which
// listener and address it is about and what the operator can do.
func (s *Server) Listen(ctx context.Context) error {
	if s.l.Mode == ImplicitTLS && s.l.TLS == nil {
		return fmt.Errorf("listener %s on %s needs a certificate for TLS", s.l.Name, s.l.Addr)
	}
	lc := net.ListenConfig{KeepAliveConfig: keepAlive()}
	if s.l.SocketBuffer > 0 {
		lc.Control = s.boundBuffers
	}
	ln, err := lc.Listen(ctx, "tcp", s.l.Addr)
	if err != nil {
		return fmt.Errorf("listener %s cannot listen on %s: %s: %w", s.l.Name, s.l.Addr, listenAdvice(err), err)
	}
	s.ln = ln
	return nil
}

// boundBuffers bounds what the system holds of connections: they have it from
// the socket that listens.
func (s *Server) boundBuffers(_, _ string, socket syscall.RawConn) error {
	var failed error
	err := socket.Control(func(fd uintptr) { failed = sysBuffers(fd, s.l.SocketBuffer) })
	return errors.Join(err, failed)
}

func listenAdvice(err error) string {
	var dns *net.DNSError
	var addr *net.AddrError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program uses this port; find it with \"ss -ltnp\" and stop it, or choose another port"
	case errors.Is(err, os.ErrPermission):
		return "ports below 1024 need the capability CAP_NET_BIND_SERVICE (AmbientCapabilities= in systemd) or root"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no interface of this host has this address; see \"ip address\""
	case errors.As(err, &dns), errors.As(err, &addr):
		return "the address must be host:port with an IP address or a name that resolves"
	}
	return "the system refused"
}
