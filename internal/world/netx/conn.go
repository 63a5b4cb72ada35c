// Package netx is the network as the conversations see it: a connection with
// strict line reading, deadlines, TLS and no memory held while idle; listeners
// with limits by address; a server that drains.
package netx

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"yubin/internal/world/heap"
)

// Sizes of the buffers of a Conn, in octets.
const (
	idleBuffer  = 512      // all that a connection waits with, unless half a line is longer
	readBuffer  = 16 << 10 // while input is being worked on
	writeBuffer = 16 << 10 // while output waits for Flush
	maxSend     = 64 << 10 // handed to the socket under one write timeout
)

// What TLS holds of memory, in octets, about: during the handshake, and then.
const (
	handshakeMemory = 56 << 10
	tlsMemory       = 32 << 10
)

// Times of a Conn whose end is near.
const (
	drainPatience = 5 * time.Second  // of each wait for input once Drain was called
	lastWords     = time.Second      // to write after Dismiss
	lastPages     = 30 * time.Second // to write after Retire, in all
)

// Errors of a Conn. After any of them the connection can only be closed, save
// for ErrLineTooLong, after which SkipLine goes on.
var (
	ErrLineTooLong = errors.New("netx: line is over the limit")
	ErrBareNewline = errors.New("netx: CR or LF that is not part of CRLF")
	ErrEarlyInput  = errors.New("netx: input before the TLS handshake")
)

// Conn is one connection. One goroutine reads; one at a time writes. Buffers
// come from a pool when input arrives and go back when it is used up, so a
// Conn that waits holds about 1 KiB of its own. If it has to wait with more, it
// takes that from its share of the budget of all sessions.
type Conn struct {
	raw    net.Conn   // the socket
	client *announced // for whom a proxy speaks; nil without one
	wire   wire       // over raw
	stream net.Conn   // wire, or the TLS connection over it
	tls    *tls.Conn
	leaf   *x509.Certificate // that we showed in the handshake, if known
	handed *handed           // nil as long as it was not handed over

	share  heap.Share
	slots  *Slots // nil for none
	seat   seat   // under Slots.mu
	cancel context.CancelCauseFunc

	in       []byte // first, or pooled; unread input is in[inPos:inEnd]
	inPos    int
	inEnd    int
	first    [idleBuffer]byte
	out      []byte // pooled; waiting for Flush
	readErr  error
	writeErr error
	received int64
	sent     int64
	pace     pace
	paced    int64 // received when the last command was over

	readTimeout  time.Duration
	writeTimeout time.Duration
	readUntil    time.Time   // no wait for input ends later; zero is never
	lineUntil    time.Time   // likewise, while a line is half read
	idle         atomic.Bool // waiting for the first octet of a line, or for a handshake
	draining     atomic.Bool
	interrupted  atomic.Bool
	dismissed    atomic.Bool
	silent       atomic.Int64 // no write ends later, in nanoseconds of Unix time; 0 is never
	known        atomic.Bool  // somebody logged in
	waiting      atomic.Int64 // for input since then, in nanoseconds of Unix time; 0: it does not
	large        atomic.Int32 // octets of in, if it is not first
}

var (
	readPool  = sync.Pool{New: func() any { return new([readBuffer]byte) }}
	writePool = sync.Pool{New: func() any { return new([writeBuffer]byte) }}
)

// NewConn wraps an accepted socket. Timeouts bound each wait for input and
// each write to the socket; zero means none.
func NewConn(c net.Conn, read, write time.Duration) *Conn {
	n := &Conn{raw: c, readTimeout: read, writeTimeout: write}
	n.wire.init(n, c)
	n.stream = &n.wire
	return n
}

// Share is what the session holds of the budget of all; it takes what it holds
// beyond small fixed buffers.
func (c *Conn) Share() *heap.Share { return &c.share }

// Party is the account that logged in, or the network of the peer.
func (c *Conn) Party() heap.Party {
	if c.known.Load() {
		return heap.Party{Account: c.seat.account}
	}
	return heap.Party{Network: network(c.Remote().Addr())}
}

// Yield ends the conversation for want of memory.
func (c *Conn) Yield() { c.Dismiss(heap.ErrFull) }

// LoggedIn says that the connection is an account's from now on: it does not
// have to make room for others any more. The error is for the client, if there
// are too many sessions of this account, or of all.
func (c *Conn) LoggedIn(account int64) error {
	if c.slots != nil {
		if err := c.slots.know(c, account); err != nil {
			return err
		}
	}
	c.share.Move()
	return nil
}

// SetReadTimeout changes how long each following wait for input may take.
func (c *Conn) SetReadTimeout(d time.Duration) { c.readTimeout = d }

// LimitReads makes all waits for input from now on end after d in all, however
// steadily it trickles; 0 lifts the limit.
func (c *Conn) LimitReads(d time.Duration) { c.readUntil = deadline(d) }

// Handshake starts TLS as the server. Input that is buffered already came
// before the handshake and could be an injection (CVE-2011-0411), so it is
// ErrEarlyInput. The handshake is bound by timeout.
func (c *Conn) Handshake(cfg *tls.Config, timeout time.Duration) error {
	if c.Buffered() > 0 {
		return ErrEarlyInput
	}
	if err := c.Flush(); err != nil {
		return err
	}
	if err := c.share.Take(handshakeMemory); err != nil {
		return err
	}
	c.idle.Store(true)
	defer c.idle.Store(false)
	if err := c.raw.SetDeadline(deadline(timeout)); err != nil {
		return err
	}
	if c.interrupted.Load() || c.draining.Load() {
		return os.ErrDeadlineExceeded
	}
	c.rest()
	c.waiting.Store(time.Now().UnixNano())
	defer c.waiting.Store(0)
	c.wire.left = maxHandshake
	t := tls.Server(&c.wire, cfg)
	if err := t.HandshakeContext(context.WithValue(context.Background(), leafKey{}, &c.leaf)); err != nil {
		return err
	}
	c.wire.left = -1
	c.tls, c.stream = t, t
	c.share.Give(handshakeMemory - tlsMemory)
	return c.raw.SetDeadline(time.Time{})
}

// TLS returns the state of the TLS session, or false without one.
func (c *Conn) TLS() (*tls.ConnectionState, bool) {
	if c.tls == nil {
		return nil, false
	}
	st := c.tls.ConnectionState()
	return &st, true
}

// leafKey is the context key under which Handshake passes a place for the leaf
// certificate.
type leafKey struct{}

// NoteCertificate tells the Conn whose handshake asks for a certificate which
// one it got; for GetCertificate functions, which are given hello.Context().
// crypto/tls keeps no trace of it, and channel binding needs it.
func NoteCertificate(hello context.Context, cert *tls.Certificate) {
	if leaf, ok := hello.Value(leafKey{}).(**x509.Certificate); ok {
		*leaf = cert.Leaf
	}
}

// Certificate returns the leaf certificate that we showed in the handshake, for
// the tls-server-end-point binding (RFC 5929 §4). It is nil without TLS, when
// the session was resumed, and when the tls.Config did not call NoteCertificate.
func (c *Conn) Certificate() *x509.Certificate { return c.leaf }

// Received and Sent return the octets so far, without what TLS adds; for the
// goroutine that reads and the one that writes.
func (c *Conn) Received() int64 { return c.received }

// Sent counts what was flushed; see Received.
func (c *Conn) Sent() int64 { return c.sent }

// Remote returns the client's address; invalid if it has none.
func (c *Conn) Remote() netip.AddrPort {
	if c.client != nil {
		return c.client.remote
	}
	return addrPort(c.raw.RemoteAddr())
}

// Local returns our own address of this connection, that of a proxy if there is one.
func (c *Conn) Local() netip.AddrPort {
	if c.client != nil {
		return c.client.local
	}
	return addrPort(c.raw.LocalAddr())
}

// Loopback reports whether both ends are on the loopback interface, and those of a
// proxy's connection too.
func (c *Conn) Loopback() bool {
	return c.Remote().Addr().IsLoopback() && c.Local().Addr().IsLoopback() &&
		(c.client == nil || addrPort(c.raw.RemoteAddr()).Addr().IsLoopback())
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// Buffered returns how many octets can be read without waiting for the socket.
func (c *Conn) Buffered() int { return c.inEnd - c.inPos }

// LineBuffered reports whether a whole line can be read without waiting for the
// socket. If not, output should be flushed before the next ReadLine: the peer
// may wait for it, even with half of its next line already sent.
func (c *Conn) LineBuffered() bool {
	return bytes.IndexByte(c.in[c.inPos:c.inEnd], '\n') >= 0
}

// Peek returns all buffered input, after waiting for some if there is none.
// The slice is valid until the next read.
func (c *Conn) Peek() ([]byte, error) {
	if c.inPos == c.inEnd {
		if err := c.fill(false); err != nil {
			return nil, err
		}
	}
	return c.in[c.inPos:c.inEnd], nil
}

// Discard drops n octets of what Peek returned.
func (c *Conn) Discard(n int) {
	c.inPos += n
	if c.inPos == c.inEnd {
		c.inPos, c.inEnd = 0, 0
	}
}

// Read reads into p what is buffered or arrives next.
func (c *Conn) Read(p []byte) (int, error) {
	b, err := c.Peek()
	if err != nil {
		return 0, err
	}
	n := copy(p, b)
	c.Discard(n)
	return n, nil
}

// ReadLine returns the next line without its CRLF. The slice is valid until
// the next read. A line of over limit octets is ErrLineTooLong; a CR or LF
// elsewhere is ErrBareNewline. Once its first octets are there, the rest has one
// read timeout in all. While it waits for the first octet of a line the
// connection holds no large buffer.
func (c *Conn) ReadLine(limit int) ([]byte, error) {
	c.lineUntil = time.Time{}
	for scanned := 0; ; {
		b := c.in[c.inPos:c.inEnd]
		if i := bytes.IndexByte(b[scanned:], '\n'); i >= 0 {
			return c.takeLine(b[:scanned+i+1], limit)
		}
		scanned = len(b)
		if scanned > limit+1 {
			return nil, ErrLineTooLong
		}
		if scanned > 0 && c.lineUntil.IsZero() {
			c.lineUntil = deadline(c.readTimeout)
		}
		if err := c.fill(true); err != nil {
			return nil, unexpected(err, scanned)
		}
	}
}

// takeLine checks and consumes line, which ends in its first LF.
func (c *Conn) takeLine(line []byte, limit int) ([]byte, error) {
	n := len(line)
	switch {
	case n-2 > limit: // First, as for a line whose end is not here yet.
		return nil, ErrLineTooLong
	case n < 2 || bytes.IndexByte(line, '\r') != n-2:
		return nil, ErrBareNewline
	}
	c.lineUntil = time.Time{}
	c.inPos += n // Not Discard: line must stay whole until the next read.
	return line[:n-2], nil
}

// SkipLine drops input up to and with the next LF, at most limit octets; past
// that it returns ErrLineTooLong again.
func (c *Conn) SkipLine(limit int) error {
	for dropped := 0; dropped <= limit; {
		b, err := c.Peek()
		if err != nil {
			return err
		}
		i := bytes.IndexByte(b, '\n')
		if i >= 0 {
			c.Discard(i + 1)
			return nil
		}
		dropped += len(b)
		c.Discard(len(b))
	}
	return ErrLineTooLong
}

func unexpected(err error, pending int) error {
	if err == io.EOF && pending > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fill waits for more input, with as little memory as it can. If idle is likely
// and nothing is unread, Drain may end the wait.
func (c *Conn) fill(idle bool) error {
	if c.readErr != nil {
		return c.readErr
	}
	if idle && c.inPos == c.inEnd {
		c.idle.Store(true) // Before the look at draining: Drain writes and reads in the other order.
		defer c.idle.Store(false)
		if c.draining.Load() {
			c.rest()
			return os.ErrDeadlineExceeded
		}
	}
	if err := c.armRead(); err != nil {
		return err
	}
	defer c.waiting.Store(0)
	if c.interrupted.Load() {
		c.rest()
		return os.ErrDeadlineExceeded
	}
	n, err := c.receive(idle)
	c.inEnd += n
	c.received += int64(n)
	switch c.readErr = err; { // An error that came with octets is for the next call.
	case n > 0:
		return nil
	case err == nil:
		return io.ErrNoProgress
	}
	return err
}

// receive reads once from the stream, behind what is unread.
func (c *Conn) receive(idle bool) (n int, err error) {
	if c.tls == nil && c.wire.sys != nil {
		c.rest()
		return c.wire.receive(nil)
	}
	if c.tls != nil || idle { // The others would get no more than fits into the small buffer.
		c.rest()
	}
	if c.inEnd == len(c.in) {
		c.grow()
	}
	small := len(c.in) == idleBuffer
	n, err = c.stream.Read(c.in[c.inEnd:])
	if !small || n == 0 {
		return n, err
	}
	c.inEnd += n
	filled := c.inEnd == len(c.in)
	c.grow()
	c.inEnd -= n
	if filled && err == nil && c.tls != nil { // There is more of the record.
		c.wire.noWait = true
		more, _ := c.stream.Read(c.in[c.inEnd+n:])
		c.wire.noWait = false
		n += more
	}
	return n, err
}

// armRead sets the deadline of the next read. TLS may write while it reads (key
// updates, alerts), so there the deadline of the last write, long past on an
// idle connection, must go too.
func (c *Conn) armRead() error {
	now := time.Now()
	c.waiting.Store(now.UnixNano())
	for {
		patience := c.patience()
		var end time.Time
		if patience != 0 {
			end = now.Add(patience)
		}
		for _, limit := range [...]time.Time{c.readUntil, c.lineUntil} {
			if !limit.IsZero() && (end.IsZero() || limit.Before(end)) {
				end = limit
			}
		}
		set := c.raw.SetReadDeadline
		if c.tls != nil {
			set = c.raw.SetDeadline
		}
		if err := set(end); err != nil {
			return err
		}
		if c.patience() == patience { // Else it became less in between, and who did that saw us not waiting yet.
			return nil
		}
	}
}

// patience is how long a wait for input may take now; 0 is for ever.
func (c *Conn) patience() time.Duration {
	d := c.readTimeout
	if c.draining.Load() && !c.idle.Load() {
		d = least(d, drainPatience)
	}
	if c.slots != nil && !c.known.Load() {
		d = least(d, time.Duration(c.slots.patience.Load()))
	}
	return d
}

// least is the lesser of two times, of which 0 is for ever.
func least(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// hurry makes a wait that has begun end after d at the latest.
func (c *Conn) hurry(d time.Duration) {
	if c.waiting.Load() != 0 {
		_ = c.raw.SetReadDeadline(time.Now().Add(d))
	}
}

// grow returns room for input behind what is unread, in a large buffer.
func (c *Conn) grow() []byte {
	switch {
	case len(c.in) < readBuffer:
		c.moveTo(readPool.Get().(*[readBuffer]byte)[:])
	case c.inPos > 0:
		c.moveTo(c.in)
	case c.inEnd == len(c.in): // A line longer than the buffer; ReadLine bounds it.
		old := c.in
		c.moveTo(make([]byte, 2*len(old)))
		if len(old) == readBuffer {
			readPool.Put((*[readBuffer]byte)(old))
		}
	}
	return c.in[c.inEnd:]
}

// rest gives the large buffer back if what is unread fits into half of the small
// one, and makes room in whichever it is.
func (c *Conn) rest() {
	if c.inEnd-c.inPos > idleBuffer/2 {
		return
	}
	c.shrink()
	if c.in == nil {
		c.in, c.inPos, c.inEnd = c.first[:], 0, 0
	} else if c.inPos > 0 {
		c.moveTo(c.in)
	}
}

// shrink gives the large buffer back if what is unread fits into the small one.
func (c *Conn) shrink() {
	if len(c.in) < readBuffer || c.inEnd-c.inPos > idleBuffer/2 {
		return
	}
	old := c.in
	c.moveTo(c.first[:])
	if len(old) == readBuffer {
		readPool.Put((*[readBuffer]byte)(old))
	}
}

// moveTo moves what is unread to the beginning of buf.
func (c *Conn) moveTo(buf []byte) {
	c.inEnd = copy(buf, c.in[c.inPos:c.inEnd])
	c.inPos = 0
	if len(buf) != len(c.in) {
		c.large.Store(int32(len(buf) / readBuffer * readBuffer))
	}
	c.in = buf
}

// Write adds p to the output, sending when the buffer is full. Errors stick.
func (c *Conn) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 && c.writeErr == nil {
		if len(c.out) == 0 && len(p) >= writeBuffer {
			n := min(len(p), maxSend)
			c.send(p[:n])
			p = p[n:]
			continue
		}
		n := copy(c.room(), p)
		c.took(n)
		p = p[n:]
	}
	if c.writeErr != nil {
		return 0, c.writeErr
	}
	return written, nil
}

// WriteString is Write.
func (c *Conn) WriteString(s string) (int, error) {
	written := len(s)
	for len(s) > 0 && c.writeErr == nil {
		n := copy(c.room(), s)
		c.took(n)
		s = s[n:]
	}
	if c.writeErr != nil {
		return 0, c.writeErr
	}
	return written, nil
}

// room returns the free part of the output buffer, never empty.
func (c *Conn) room() []byte {
	if c.out == nil {
		c.out = writePool.Get().(*[writeBuffer]byte)[:0]
	}
	return c.out[len(c.out):writeBuffer]
}

// took adds the first n octets of room to the output, and sends it when full.
func (c *Conn) took(n int) {
	c.out = c.out[:len(c.out)+n]
	if len(c.out) == writeBuffer {
		c.send(c.out)
		c.out = c.out[:0]
	}
}

// Flush sends all output and gives the buffer back.
func (c *Conn) Flush() error {
	if c.out != nil {
		if len(c.out) > 0 && c.writeErr == nil {
			c.send(c.out)
		}
		writePool.Put((*[writeBuffer]byte)(c.out[:writeBuffer]))
		c.out = nil
	}
	return c.writeErr
}

func (c *Conn) send(p []byte) {
	for {
		last, silent, timeout := c.dismissed.Load(), c.silent.Load(), c.writeTimeout
		if last {
			timeout = lastWords
		}
		end := deadline(timeout)
		if limit := time.Unix(0, silent); silent != 0 && (end.IsZero() || limit.Before(end)) {
			end = limit
		}
		if err := c.raw.SetWriteDeadline(end); err != nil {
			c.writeErr = err
			return
		}
		if c.dismissed.Load() == last && c.silent.Load() == silent {
			break
		}
	}
	n, err := c.stream.Write(p)
	c.sent += int64(n)
	c.writeErr = err
}

// Interrupt makes the pending and every later read fail with a timeout; for a
// shutdown that wants the session's own goroutine to say goodbye.
func (c *Conn) Interrupt() {
	c.interrupted.Store(true)
	_ = c.raw.SetReadDeadline(time.Unix(1, 0))
}

// Drain makes every wait for the first octet of a line or for a TLS handshake
// fail with a timeout, the pending one too. What has begun can be finished: the rest of a line, a
// message that is being read with Peek or Read, all output. But from now on each
// wait for input takes at most a few seconds.
func (c *Conn) Drain() {
	c.draining.Store(true)
	if c.idle.Load() {
		c.Interrupt()
		return
	}
	c.hurry(drainPatience)
}

// Retire is Interrupt for a reason: nothing more is heard of the client, not even
// the rest of what it has begun, while what is being written has a little time to be
// finished. The context of the session ends with why as its cause.
func (c *Conn) Retire(why error) {
	if c.cancel != nil {
		c.cancel(why)
	}
	c.Interrupt()
	end := time.Now().Add(lastPages)
	if c.silent.CompareAndSwap(0, end.UnixNano()) && !c.dismissed.Load() {
		_ = c.raw.SetWriteDeadline(end) // Of a write that has begun.
	}
}

// Dismiss ends the conversation whatever it does: reads fail with a timeout, and
// so do writes, save for a moment in which the session can say why. Its context
// ends with why as its cause.
func (c *Conn) Dismiss(why error) {
	if !c.dismissed.CompareAndSwap(false, true) {
		return
	}
	if c.cancel != nil {
		c.cancel(why)
	}
	c.interrupted.Store(true)
	_ = c.raw.SetDeadline(time.Unix(1, 0))
}

// Close closes the socket, after the TLS close alert if there is TLS. Output
// that was not flushed is dropped. Only the goroutine that uses the Conn may
// call it.
func (c *Conn) Close() error {
	if c.tls != nil && c.writeErr == nil {
		return c.tls.Close()
	}
	return c.raw.Close()
}

// Abort closes the socket under whatever is going on; from any goroutine.
func (c *Conn) Abort() { _ = c.raw.Close() }

// release gives all memory back; nothing may use c or a slice of it any more.
func (c *Conn) release() {
	c.share.Close()
	c.inPos, c.inEnd = 0, 0
	c.shrink()
	if c.out != nil {
		writePool.Put((*[writeBuffer]byte)(c.out[:writeBuffer]))
		c.out = nil
	}
}

func deadline(d time.Duration) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}
