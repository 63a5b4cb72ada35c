package netx

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// long ago: a deadline that ends whatever waits.
var longAgo = time.Unix(1, 0)

// handed is what is known of a Conn that is in the hands of somebody who reads, writes and
// sets deadlines himself.
type handed struct {
	mu     sync.Mutex
	inside int // at work for the client, reading or writing
	closed bool
	gone   chan struct{}
}

// Hand gives the connection to somebody who reads, writes and sets deadlines himself, as
// net/http does. Nothing else of the Conn reads or writes from then on. It is a *tls.Conn
// after Handshake. Its addresses are those of the client for whom a proxy speaks. The
// deadlines of its new owner hold, and end earlier if the Conn is dismissed, retired or
// drained, or if places run short while it Rests. Whoever has it closes it; the handler
// of a Server waits for Gone before it returns.
func (c *Conn) Hand() net.Conn {
	c.handed = &handed{gone: make(chan struct{})}
	c.Rests(true)
	if c.tls != nil {
		return c.tls
	}
	return &c.wire
}

// Of returns the Conn that gave c out of its hands, or nil.
func Of(c net.Conn) *Conn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if w, ok := c.(*wire); ok && w.c.handed != nil {
		return w.c
	}
	return nil
}

// Gone is closed when a connection that was handed over is closed and nobody is inside.
func (c *Conn) Gone() <-chan struct{} { return c.handed.gone }

// Enter notes that somebody begins to work for the client of a connection that was handed
// over; false: it is closed. Leave ends it.
func (c *Conn) Enter() bool {
	h := c.handed
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.inside++
	return true
}

// Leave ends what Enter began.
func (c *Conn) Leave() { c.handed.change(func(h *handed) { h.inside-- }) }

// change changes h, and tells if all is over.
func (h *handed) change(do func(*handed)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	over := h.closed && h.inside == 0
	do(h)
	if !over && h.closed && h.inside == 0 {
		close(h.gone)
	}
}

// Rests says whether a connection that was handed over waits for its client to ask for
// something. Then Drain ends it, and it may have to make room for others.
func (c *Conn) Rests(yes bool) {
	if !yes {
		c.idle.Store(false)
		c.waiting.Store(0)
		return
	}
	c.waiting.Store(time.Now().UnixNano())
	c.idle.Store(true) // Before the look at draining: Drain writes and reads in the other order.
	if c.draining.Load() {
		c.Interrupt()
	}
}

// setReads sets the deadline of reads as the owner wants it, and not later than the Conn has it.
func (c *Conn) setReads(until time.Time) error {
	for {
		interrupted, patience, end := c.interrupted.Load(), c.patience(), until
		if limit := time.Now().Add(patience); patience != 0 && c.waiting.Load() != 0 && (end.IsZero() || limit.Before(end)) {
			end = limit
		}
		if interrupted {
			end = longAgo
		}
		if err := c.raw.SetReadDeadline(end); err != nil {
			return err
		}
		if c.interrupted.Load() == interrupted && c.patience() == patience {
			return nil
		}
	}
}

// setWrites is setReads for writes.
func (c *Conn) setWrites(until time.Time) error {
	for {
		dismissed, silent, end := c.dismissed.Load(), c.silent.Load(), until
		if limit := time.Unix(0, silent); silent != 0 && (end.IsZero() || limit.Before(end)) {
			end = limit
		}
		if dismissed {
			end = longAgo
		}
		if err := c.raw.SetWriteDeadline(end); err != nil {
			return err
		}
		if c.dismissed.Load() == dismissed && c.silent.Load() == silent {
			return nil
		}
	}
}

// SetReadDeadline is that of net.Conn.
func (w *wire) SetReadDeadline(t time.Time) error {
	if w.c.handed == nil {
		return w.Conn.SetReadDeadline(t)
	}
	return w.c.setReads(t)
}

// SetWriteDeadline is that of net.Conn.
func (w *wire) SetWriteDeadline(t time.Time) error {
	if w.c.handed == nil {
		return w.Conn.SetWriteDeadline(t)
	}
	return w.c.setWrites(t)
}

// SetDeadline is that of net.Conn.
func (w *wire) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}

// Close is that of net.Conn.
func (w *wire) Close() error {
	err := w.Conn.Close()
	if h := w.c.handed; h != nil {
		h.change(func(h *handed) { h.closed = true })
	}
	return err
}

// RemoteAddr is the address of the client.
func (w *wire) RemoteAddr() net.Addr {
	if w.c.client != nil {
		return net.TCPAddrFromAddrPort(w.c.client.remote)
	}
	return w.Conn.RemoteAddr()
}

// LocalAddr is the address that the client connected to.
func (w *wire) LocalAddr() net.Addr {
	if w.c.client != nil {
		return net.TCPAddrFromAddrPort(w.c.client.local)
	}
	return w.Conn.LocalAddr()
}
