package netx

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// ConnectTimeout bounds the making of a connection where a Dialer has no
// Timeout.
const ConnectTimeout = 30 * time.Second

// Dialer makes outgoing connections. The zero value is ready.
type Dialer struct {
	Timeout time.Duration // of one connection; 0 is ConnectTimeout
}

// Dial connects to an address, from one of our own if from is valid; both must
// be of the same family. The Conn has no timeouts: Bound is what ends a wait.
// The error is a *DialError.
func (d Dialer) Dial(ctx context.Context, to netip.AddrPort, from netip.Addr) (*Conn, error) {
	dialer := net.Dialer{Timeout: cmp.Or(d.Timeout, ConnectTimeout), KeepAliveConfig: keepAlive()}
	if from.IsValid() {
		if from.Unmap().Is4() != to.Addr().Unmap().Is4() {
			return nil, &DialError{Reason: "the source address is of another family"}
		}
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from.Unmap(), 0))
	}
	c, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(to.Addr().Unmap(), to.Port()).String())
	if err != nil {
		return nil, dialError(err)
	}
	return NewOutgoing(c), nil
}

// DialHost connects to a host by the addresses that the system knows of it, one after the
// other. It is Dial else.
func (d Dialer) DialHost(ctx context.Context, host string, port uint16) (*Conn, error) {
	dialer := net.Dialer{Timeout: cmp.Or(d.Timeout, ConnectTimeout), KeepAliveConfig: keepAlive()}
	c, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
	if unknown := (*net.DNSError)(nil); errors.As(err, &unknown) && unknown.IsNotFound {
		return nil, &DialError{Reason: "there is no host of that name", Err: err}
	}
	if err != nil {
		return nil, dialError(err)
	}
	return NewOutgoing(c), nil
}

// DialUnix connects to a socket in the file system. It is Dial else.
func (d Dialer) DialUnix(ctx context.Context, path string) (*Conn, error) {
	dialer := net.Dialer{Timeout: cmp.Or(d.Timeout, ConnectTimeout)}
	c, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, dialError(err)
	}
	return NewOutgoing(c), nil
}

// DialError is why no connection was made.
type DialError struct {
	Reason  string // a few words, nothing internal
	Timeout bool
	Err     error // for the log; may be nil
}

func (e *DialError) Error() string { return e.Reason }

func (e *DialError) Unwrap() error { return e.Err }

func dialError(err error) *DialError {
	var n net.Error
	timeout := errors.As(err, &n) && n.Timeout()
	reason := "the connection could not be made"
	for _, known := range [...]struct {
		cause  error
		reason string
	}{
		{context.Canceled, "given up"},
		{syscall.ECONNREFUSED, "connection refused"},
		{syscall.ENOENT, "no such socket"},
		{syscall.ECONNRESET, "connection reset"},
		{syscall.EHOSTUNREACH, "no route to the host"},
		{syscall.ENETUNREACH, "network unreachable"},
		{syscall.EACCES, "not permitted"},
		{syscall.EPERM, "not permitted"},
		{syscall.EADDRNOTAVAIL, "the source address is not one of this host"},
		{syscall.EMFILE, "too many open files on this host"},
		{syscall.ENFILE, "too many open files on this host"},
		{syscall.ETIMEDOUT, "no answer in time"},
		{os.ErrDeadlineExceeded, "no answer in time"},
		{context.DeadlineExceeded, "no answer in time"},
	} {
		if errors.Is(err, known.cause) {
			reason = known.reason
			break
		}
	}
	return &DialError{Reason: reason, Timeout: timeout, Err: err}
}

// NewOutgoing wraps a connection that we made: a Conn without timeouts that can
// be bound by Bound.
func NewOutgoing(c net.Conn) *Conn { return NewConn(&bounded{Conn: c}, 0, 0) }

// Bound makes everything on the connection fail with a timeout from t on, until
// the next call; the zero time is no bound. However slowly the peer feeds us,
// a wait ends at t, which a timeout of each read cannot promise. It is for
// connections of NewOutgoing, and for the goroutine that uses the Conn.
func (c *Conn) Bound(t time.Time) {
	if b, ok := c.raw.(*bounded); ok {
		b.until.Store(&t)
	}
}

// HandshakeClient starts TLS as the client, within the bound. Input that is
// buffered already came before the handshake and could be an injection (RFC
// 3207 §6, CVE-2011-0411), so it is ErrEarlyInput.
func (c *Conn) HandshakeClient(ctx context.Context, cfg *tls.Config) error {
	if c.Buffered() > 0 {
		return ErrEarlyInput
	}
	if err := c.Flush(); err != nil {
		return err
	}
	if err := c.raw.SetDeadline(time.Time{}); err != nil {
		return err
	}
	t := tls.Client(&c.wire, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	c.tls, c.stream = t, t
	return nil
}

// bounded is a connection none of whose deadlines is later than until.
type bounded struct {
	net.Conn
	until atomic.Pointer[time.Time]
}

// clamp returns the earlier of t and the bound; the zero time is never.
func (b *bounded) clamp(t time.Time) time.Time {
	until := b.until.Load()
	if until == nil || until.IsZero() || !t.IsZero() && t.Before(*until) {
		return t
	}
	return *until
}

func (b *bounded) SetDeadline(t time.Time) error      { return b.Conn.SetDeadline(b.clamp(t)) }
func (b *bounded) SetReadDeadline(t time.Time) error  { return b.Conn.SetReadDeadline(b.clamp(t)) }
func (b *bounded) SetWriteDeadline(t time.Time) error { return b.Conn.SetWriteDeadline(b.clamp(t)) }
