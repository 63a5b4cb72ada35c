// Package memnet is a network in memory: pairs of stream connections with
// buffers, deadlines and TCP addresses, and listeners that are dialed by call.
// It behaves as TCP on one machine does: what was written before a Close can
// still be read, writing to a peer that closed fails.
//
// Deadlines use the time package, so in a testing/synctest bubble they follow
// its clock, and a blocked Read or Write is durably blocked.
package memnet

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// Window is how many octets one direction holds before Write waits.
const Window = 64 << 10

// Addresses that Pipe uses when none is given: of the networks for
// documentation (RFC 5737), so neither end is on loopback.
var (
	DefaultClient = netip.MustParseAddrPort("192.0.2.1:49152")
	DefaultServer = netip.MustParseAddrPort("198.51.100.1:25")
)

// Pipe returns the two ends of a connection between two addresses. The zero
// AddrPort stands for DefaultClient or DefaultServer.
func Pipe(client, server netip.AddrPort) (clientEnd, serverEnd *Conn) {
	if !client.IsValid() {
		client = DefaultClient
	}
	if !server.IsValid() {
		server = DefaultServer
	}
	up, down := newStream(), newStream()
	return &Conn{in: down, out: up, local: client, remote: server},
		&Conn{in: up, out: down, local: server, remote: client}
}

// Conn is one end of a connection in memory.
type Conn struct {
	in, out       *stream
	local, remote netip.AddrPort
}

var _ net.Conn = (*Conn)(nil)

// Read reads what is there, or waits for it.
func (c *Conn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write returns when all of p is in the peer's window.
func (c *Conn) Write(p []byte) (int, error) { return c.out.write(p) }

// Close ends both directions. The peer can still read what is in the window.
func (c *Conn) Close() error {
	c.out.closeWrite()
	c.in.closeRead()
	c.out.closeLocal()
	return nil
}

// CloseWrite tells the peer that nothing more comes; reading goes on.
func (c *Conn) CloseWrite() error {
	c.out.closeWrite()
	return nil
}

// Reset breaks the connection as an RST of TCP does: what the peer has not read
// yet is lost, and all that either side tries fails.
func (c *Conn) Reset() {
	c.out.reset()
	c.in.reset()
}

// LocalAddr is a *net.TCPAddr.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr is a *net.TCPAddr.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline bounds pending and later reads.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readDeadline, t)
	return nil
}

// SetWriteDeadline bounds pending and later writes.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeDeadline, t)
	return nil
}

// stream is one direction.
type stream struct {
	mu            sync.Mutex
	changed       *sync.Cond
	buf           []byte
	noMore        bool // the writer closed: end of file after buf
	unread        bool // the reader closed: writing fails
	closed        bool // the writer's own end is closed
	broken        bool // by Reset
	readDeadline  deadline
	writeDeadline deadline
}

type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func newStream() *stream {
	s := &stream{}
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.unread:
			return 0, net.ErrClosed
		case s.broken:
			return 0, syscall.ECONNRESET
		case s.readDeadline.passed():
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case len(s.buf) > 0:
			n := copy(p, s.buf)
			s.buf = s.buf[:copy(s.buf, s.buf[n:])]
			s.changed.Broadcast()
			return n, nil
		case s.noMore:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(p []byte) (written int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.closed || s.noMore:
			return written, net.ErrClosed
		case s.broken:
			return written, syscall.ECONNRESET
		case s.unread:
			return written, io.ErrClosedPipe
		case s.writeDeadline.passed():
			return written, os.ErrDeadlineExceeded
		case written == len(p):
			return written, nil
		}
		if n := min(len(p)-written, Window-len(s.buf)); n > 0 {
			s.buf = append(s.buf, p[written:written+n]...)
			written += n
			s.changed.Broadcast()
			continue
		}
		s.changed.Wait()
	}
}

func (s *stream) closeWrite() { s.set(&s.noMore) }
func (s *stream) closeRead()  { s.set(&s.unread) }
func (s *stream) closeLocal() { s.set(&s.closed) }

func (s *stream) reset() {
	s.set(&s.broken)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf = nil
}

func (s *stream) set(flag *bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*flag = true
	s.readDeadline.stop()
	s.writeDeadline.stop()
	s.changed.Broadcast()
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

func (s *stream) setDeadline(d *deadline, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.stop()
	d.at = t
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.changed.Broadcast()
		})
	}
	s.changed.Broadcast()
}
