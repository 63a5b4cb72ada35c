package netx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"yubin/internal/world/heap"
	"yubin/internal/world/obs"
)

// TLSMode is how the connections of a listener come to TLS.
type TLSMode uint8

// The modes.
const (
	NoTLS       TLSMode = iota
	StartTLS            // the session starts it when the client asks
	ImplicitTLS         // the server starts it before the first octet (RFC 8314 §3)
)

// Listener says where a Server listens and how it treats those who come.
type Listener struct {
	Name   string // for logs and errors: "imaps"
	Addr   string // "host:port"; an empty host is all addresses
	Mode   TLSMode
	TLS    *tls.Config  // needed for ImplicitTLS; StartTLS is the session's work
	Slots  *Slots       // for connections, shared with other listeners; nil for no limits
	Budget *heap.Budget // of what the sessions hold; nil for no bound
	// Refuse returns the line, with its CRLF, that says goodbye to a connection
	// over the limits; nil sends none. ImplicitTLS never sends it: there is no
	// TLS yet in which to say it.
	Refuse func(Refusal) string
	// Banned says whether a client is turned away before anything is read or held for it, and the
	// line, with its CRLF, that it hears first ("" for none; ImplicitTLS never sends it). It must be
	// quick. nil turns nobody away.
	Banned func(netip.Addr) (line string, banned bool)
	// Proxies are networks of which every connection begins with a header of the PROXY
	// protocol that says for whom it is: that client's address is Remote, and counts.
	Proxies []netip.Prefix

	ReadTimeout      time.Duration // of a new Conn; the session changes it as it goes
	WriteTimeout     time.Duration // 0 means DefaultWriteTimeout
	HandshakeTimeout time.Duration // of ImplicitTLS; 0 means DefaultHandshakeTimeout
	SocketBuffer     int           // octets that the system holds in each direction of a connection; 0 leaves it to the system
	DrainTimeout     time.Duration // for sessions to end when Serve's context is done; 0 means DefaultDrainTimeout
}

// Times of a Server where a Listener names none.
const (
	DefaultWriteTimeout     = 5 * time.Minute
	DefaultHandshakeTimeout = 30 * time.Second
	DefaultDrainTimeout     = 20 * time.Second
)

const (
	firstBackoff    = 5 * time.Millisecond // after accept fails
	longestBackoff  = time.Second
	refusalTimeout  = time.Second // to write a refusal; the send buffer of a new socket is empty
	refusalLogEvery = 5 * time.Second
	troubleLogEvery = 5 * time.Second
	abortGrace      = 5 * time.Second // for handlers to notice that their socket is closed
)

// Server accepts connections on one address and runs a handler for each, in
// one goroutine per connection. Listen, then Serve.
type Server struct {
	l      Listener
	handle func(context.Context, *Conn)
	log    *slog.Logger

	ln       net.Listener
	open     connections
	handlers sync.WaitGroup

	unannounced atomic.Int64 // connections of proxies whose header was not read yet

	mu            sync.Mutex
	refusalLogged time.Time
}

// NewServer returns a server for l. handle runs one connection to its end; the
// server closes the Conn when it returns, so it must keep nothing of it. The
// context of handle ends with that of Serve, and when the connection is dismissed:
// once it is done, the session should say goodbye and return. A panic of handle is logged and ends only its connection.
func NewServer(l Listener, handle func(context.Context, *Conn), log *slog.Logger) *Server {
	l.WriteTimeout = orDefault(l.WriteTimeout, DefaultWriteTimeout)
	l.HandshakeTimeout = orDefault(l.HandshakeTimeout, DefaultHandshakeTimeout)
	l.DrainTimeout = orDefault(l.DrainTimeout, DefaultDrainTimeout)
	return &Server{
		l:      l,
		handle: handle,
		log:    log.With(obs.KeyListen, l.Name),
		open:   connections{open: map[*Conn]struct{}{}},
	}
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// Use makes the server accept from ln instead of listening itself.
func (s *Server) Use(ln net.Listener) { s.ln = ln }

// Addr returns the address listened on, with the port that was given if the
// configured one was 0. Only after Listen.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Close stops listening; for a server that will not Serve. Serve does it itself.
func (s *Server) Close() error {
	if s.ln == nil {
		return nil
	}
	return s.ln.Close()
}

// Stats returns the counters.
func (s *Server) Stats() Stats { return s.open.snapshot() }

// Serve accepts connections until ctx is done. Then it stops listening, wakes
// the sessions that wait for a command (Conn.Drain), gives all of them
// DrainTimeout to end, and closes the sockets of those left. The error is not
// nil if the listener broke or handlers hang even so.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.ln.Close() })
	defer stop()
	err := s.acceptAll(ctx)
	return errors.Join(err, s.drain())
}

func (s *Server) acceptAll(ctx context.Context) error {
	var trouble acceptTrouble
	for {
		raw, err := s.ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = raw.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("%s: listener on %s was closed: %w", s.l.Name, s.l.Addr, err)
		case err != nil:
			trouble.wait(ctx, s.log, err)
		default:
			trouble.over(s.log)
			s.admit(ctx, raw)
		}
	}
}

// admit takes a new connection in, at once or when it is known for whom it is.
func (s *Server) admit(ctx context.Context, raw net.Conn) {
	from := addrPort(raw.RemoteAddr()).Addr()
	proxy := s.speaksForOthers(from)
	if !proxy && s.turnsAway(raw, from) {
		return
	}
	c := NewConn(raw, s.l.ReadTimeout, s.l.WriteTimeout)
	if proxy {
		s.announce(ctx, c)
		return
	}
	s.enter(ctx, c)
}

// turnsAway ends a new connection of somebody who is banned. It waits for nothing: a line
// finds room in the buffer of a socket that is new.
func (s *Server) turnsAway(raw net.Conn, from netip.Addr) bool {
	if s.l.Banned == nil {
		return false
	}
	line, banned := s.l.Banned(from)
	if !banned {
		return false
	}
	s.open.refused(Banned)
	if s.l.Mode != ImplicitTLS && line != "" {
		_ = raw.SetWriteDeadline(time.Now().Add(refusalTimeout))
		_, _ = io.WriteString(raw, line) // The connection ends here whether it heard us or not.
	}
	_ = raw.Close()
	return true
}

// enter starts the handler of a new connection, or refuses it.
func (s *Server) enter(ctx context.Context, c *Conn) {
	c.share.Init(s.l.Budget, c)
	ctx, c.cancel = context.WithCancelCause(ctx)
	if s.l.Slots != nil {
		if why := s.l.Slots.add(c); why != accepted {
			c.cancel(nil)
			s.refuse(c, why)
			return
		}
	}
	s.open.add(c)
	s.handlers.Go(func() { s.run(ctx, c) })
}

func (s *Server) refuse(c *Conn, why Refusal) {
	s.open.refused(why)
	s.logRefusal(c, why)
	if s.l.Refuse != nil && s.l.Mode != ImplicitTLS {
		c.writeTimeout = refusalTimeout
		_, _ = c.WriteString(s.l.Refuse(why))
		_ = c.Flush() // The connection ends here whether it heard us or not.
	}
	_ = c.Close()
	c.release()
}

// logRefusal writes at most one line a refusalLogEvery: strangers decide how
// many refusals there are, and Stats counts them all.
func (s *Server) logRefusal(c *Conn, why Refusal) {
	if s.logsRefusal() {
		s.log.Warn("connection refused", obs.Remote(c.Remote(), false), obs.KeyReason, why.String(),
			obs.KeyCount, s.Stats().Refused)
	}
}

// logsRefusal reports whether it is time for a line.
func (s *Server) logsRefusal() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Sub(s.refusalLogged) < refusalLogEvery {
		return false
	}
	s.refusalLogged = now
	return true
}

func (s *Server) run(ctx context.Context, c *Conn) {
	defer s.leave(c)
	defer s.finish(c)
	if s.l.Mode == ImplicitTLS {
		if err := c.Handshake(s.l.TLS, s.l.HandshakeTimeout); err != nil {
			s.open.badHandshake()
			s.log.Debug("TLS handshake failed", obs.Remote(c.Remote(), false), obs.Err(err))
			return
		}
	}
	s.handle(ctx, c)
}

// leave forgets c, which is closed.
func (s *Server) leave(c *Conn) {
	c.cancel(nil)
	s.open.remove(c)
	if s.l.Slots != nil {
		s.l.Slots.remove(c)
	}
}

// finish closes c when its handler returned or panicked.
func (s *Server) finish(c *Conn) {
	if p := recover(); p != nil {
		s.log.Error("panic in a session; only its connection was closed",
			obs.KeyRemote, c.Remote(), obs.KeyErr, fmt.Sprint(p), "stack", string(debug.Stack()))
		c.Abort() // Not Close: the panic may have left TLS with its locks held.
		c.share.Close()
		return
	}
	_ = c.Close()
	c.release()
}

// drain waits for the handlers to end, at first kindly.
func (s *Server) drain() error {
	done := make(chan struct{})
	go func() {
		s.handlers.Wait()
		close(done)
	}()
	s.open.each(func(c *Conn) {
		c.cancel(nil) // The end of Serve's context may not have come to all yet.
		c.Drain()
	})
	if waitFor(done, s.l.DrainTimeout) {
		return nil
	}
	s.log.Warn("sessions did not end in time; closing their connections", obs.KeyCount, s.Stats().Open)
	s.open.each((*Conn).Abort)
	if waitFor(done, abortGrace) {
		return nil
	}
	return fmt.Errorf("%s: %d sessions hang after their connections were closed", s.l.Name, s.Stats().Open)
}

func waitFor(done <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}

// acceptTrouble is a run of failing accepts: out of file descriptors, mostly.
// It is logged when it begins and when it is over, however long it takes. Where
// connections that end let others in one by one, runs follow each other fast;
// then one in a troubleLogEvery is logged.
type acceptTrouble struct {
	failures int
	backoff  time.Duration
	told     time.Time // of the last run that is in the log
	loud     bool      // this one is
}

func (a *acceptTrouble) wait(ctx context.Context, log *slog.Logger, err error) {
	if a.failures++; a.failures == 1 && time.Since(a.told) >= troubleLogEvery {
		a.told, a.loud = time.Now(), true
		log.Error("cannot accept connections; trying on. If it says \"too many open files\", raise the limit (LimitNOFILE= in systemd, ulimit -n)", obs.Err(err))
	}
	a.backoff = min(max(2*a.backoff, firstBackoff), longestBackoff)
	waitFor(ctx.Done(), a.backoff)
}

func (a *acceptTrouble) over(log *slog.Logger) {
	if a.loud {
		log.Info("accepting connections again", obs.KeyCount, a.failures)
	}
	*a = acceptTrouble{told: a.told}
}
