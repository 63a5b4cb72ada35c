package netx

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// maxHandshake is how many octets a client may send in its handshake: what TLS
// holds of them is not ours to bound otherwise.
const maxHandshake = 32 << 10

var errLongHandshake = errors.New("netx: the TLS handshake is too long")

// wire is the socket of a Conn, beneath TLS if there is TLS. It knows when a read
// or write has to wait: only then does it matter what the Conn holds meanwhile.
// One goroutine reads at a time, and one writes.
type wire struct {
	net.Conn
	c      *Conn
	sys    syscall.RawConn // nil for a Conn that is no socket: memory, a pipe
	left   int             // octets that the handshake may still read; -1: there is none
	noWait bool            // a read that would wait fails instead

	in, out           transfer
	tryRead, tryWrite func(fd uintptr) bool
}

// transfer is a read or write under way.
type transfer struct {
	p     []byte // nil for a read into the buffer of the Conn
	n     int
	err   error
	taken int // octets taken of the budget while it waits
}

func (w *wire) init(c *Conn, raw net.Conn) {
	w.Conn, w.c, w.left = raw, c, -1
	socket, ok := raw.(syscall.Conn)
	if !ok || !canTry {
		return
	}
	sys, err := socket.SyscallConn()
	if err != nil {
		return
	}
	w.sys, w.tryRead, w.tryWrite = sys, w.readOnce, w.writeOnce
}

// Read reads into p, as net.Conn has it.
func (w *wire) Read(p []byte) (n int, err error) {
	if w.c.handed != nil {
		if !w.c.Enter() {
			return 0, net.ErrClosed
		}
		defer w.c.Leave()
	}
	if w.left == 0 {
		return 0, errLongHandshake
	}
	if w.left > 0 {
		p = p[:min(len(p), w.left)]
	}
	if w.sys == nil {
		if w.noWait {
			return 0, os.ErrDeadlineExceeded
		}
		n, err = w.Conn.Read(p)
	} else if len(p) > 0 {
		n, err = w.receive(p)
	}
	if w.left > 0 {
		w.left -= n
	}
	return n, err
}

// receive reads into p; if it is nil into the buffer of the Conn, which it gets
// when there is something to read.
func (w *wire) receive(p []byte) (int, error) {
	w.in = transfer{p: p}
	err := w.sys.Read(w.tryRead)
	return w.in.end(w.c, err)
}

// readOnce is called when there may be something to read, and says whether the
// read is over.
func (w *wire) readOnce(fd uintptr) bool {
	t := &w.in
	p := t.p
	if p == nil {
		p = w.c.grow()
	}
	t.n, t.err = sysRead(fd, p)
	switch {
	case t.err == syscall.EAGAIN && w.noWait:
		t.err = os.ErrDeadlineExceeded
		return true
	case t.err == syscall.EAGAIN:
		if t.p == nil {
			w.c.shrink()
		}
		t.err = nil
		return !t.waits(w.c, 0)
	case t.err != nil:
		t.err = os.NewSyscallError("read", t.err)
	case t.n == 0:
		t.err = io.EOF
	}
	return true
}

// Write writes all of p, as net.Conn has it.
func (w *wire) Write(p []byte) (int, error) {
	if w.c.handed != nil {
		if !w.c.Enter() {
			return 0, net.ErrClosed
		}
		defer w.c.Leave()
	}
	if w.sys == nil {
		return w.Conn.Write(p)
	}
	w.out = transfer{p: p}
	err := w.sys.Write(w.tryWrite)
	return w.out.end(w.c, err)
}

func (w *wire) writeOnce(fd uintptr) bool {
	t := &w.out
	for t.n < len(t.p) {
		n, err := sysWrite(fd, t.p[t.n:min(len(t.p), t.n+maxSend)])
		switch {
		case err == syscall.EAGAIN:
			return !t.waits(w.c, writeBuffer)
		case err != nil:
			t.err = os.NewSyscallError("write", err)
			return true
		}
		t.n += n
	}
	return true
}

// waits takes what the Conn holds while it waits, and more octets, from the
// budget; false ends the wait with an error.
func (t *transfer) waits(c *Conn, more int) bool {
	if t.taken > 0 {
		return true
	}
	n := int(c.large.Load()) + more
	if t.err = c.share.Take(n); t.err == nil {
		t.taken = n
	}
	return t.err == nil
}

// end gives back what was taken, and returns what became of t; err is of the wait.
func (t *transfer) end(c *Conn, err error) (int, error) {
	c.share.Give(t.taken)
	if t.err != nil {
		err = t.err
	}
	n := t.n
	*t = transfer{}
	return n, err
}
