package memnet

import (
	"context"
	"net"
	"net/netip"
	"sync"
)

// Listener accepts what Dial connects.
type Listener struct {
	addr  netip.AddrPort
	queue chan *Conn
	done  chan struct{}
	once  sync.Once
}

var _ net.Listener = (*Listener)(nil)

// Listen returns a listener at addr; the zero AddrPort stands for DefaultServer.
func Listen(addr netip.AddrPort) *Listener {
	if !addr.IsValid() {
		addr = DefaultServer
	}
	return &Listener{addr: addr, queue: make(chan *Conn), done: make(chan struct{})}
}

// Dial connects from an address and returns when the connection is accepted.
// The zero AddrPort stands for DefaultClient.
func (l *Listener) Dial(ctx context.Context, from netip.AddrPort) (net.Conn, error) {
	client, server := Pipe(from, l.addr)
	select {
	case l.queue <- server:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept waits for a Dial.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends pending and later calls of Accept and Dial.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr is a *net.TCPAddr.
func (l *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }
