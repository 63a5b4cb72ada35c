package smtpd

import (
	"context"
	"errors"
	"io"
	"os"

	"yubin/internal/engine/bans"
	"yubin/internal/proto/sasl"
	"yubin/internal/proto/smtp"
	"yubin/internal/world/netx"
)

// conn joins a session with its connection.
type conn struct {
	*netx.Conn
	s      *session
	out    []byte // where replies are put together
	reason string // why the session ended, for the log
}

// Serve runs one connection to its end; the caller closes it. A connection
// whose TLS handshake is done already is implicit TLS (RFC 8314 §3.3). When ctx
// is done, the client hears 421 at the next command; netx.Conn.Drain, which
// netx.Server calls, wakes those that wait.
func (s *Server) Serve(ctx context.Context, nc *netx.Conn) {
	c := &conn{
		Conn: nc,
		s:    s.newSession(Client{Remote: nc.Remote()}, nc.Loopback()),
	}
	c.s.share = nc.Share()
	if t, on := c.tlsInfo(); on {
		c.s.secured(t)
	}
	c.run(ctx)
	c.s.reset() // Drops what there is of a message.
	c.s.logMore()
	c.s.logEnd(c.reason)
}

// tlsInfo returns what the session needs to know of the TLS connection.
func (c *conn) tlsInfo() (tlsInfo, bool) {
	st, on := c.TLS()
	if !on {
		return tlsInfo{}, false
	}
	return tlsInfo{on: true, number: st.Version, cipher: st.CipherSuite, binding: c.binding}, true
}

func (c *conn) binding() sasl.Binding {
	st, _ := c.TLS()
	return sasl.TLSBinding(st, c.Certificate())
}

func (c *conn) run(ctx context.Context) {
	c.SetReadTimeout(c.s.srv.limits.Greeting)
	if c.enter(ctx); c.s.next != hangUp {
		c.write(c.greeting())
	}
	for c.s.next != hangUp {
		switch c.s.next {
		case readCommand:
			c.command(ctx)
		case readData:
			c.data(ctx)
		case readChunk:
			c.chunk(ctx)
		case readAuth:
			c.auth(ctx)
		case handshake:
			c.handshake()
		}
		c.SetReadTimeout(c.s.srv.limits.Command)
	}
	_ = c.Flush() // The session is over either way.
}

// greeting is the first reply. Who spoke before it, on a port where other servers
// and mail programs wait for it (RFC 5321 §4.3.1), is a program that sends blindly.
func (c *conn) greeting() smtp.Reply {
	if c.s.client.Profile == LMTP || c.s.client.Profile == Local || !c.Early() {
		return c.s.greeting()
	}
	r := status(554, 5, 5, 1, "you spoke before the greeting; closing")
	c.s.reject(r, nil, nil)
	c.s.offended(bans.SpokeFirst)
	c.end("spoke before the greeting")
	return r
}

// write puts a reply into the output. A 421 is the last one.
func (c *conn) write(r smtp.Reply) {
	if r.Code == 0 {
		return
	}
	c.out = r.Append(c.out[:0])
	if _, err := c.Write(c.out); err != nil {
		c.end("write failed")
	}
	if r.Code == 421 {
		c.end(r.Text)
	}
}

func (c *conn) end(reason string) {
	c.s.next = hangUp
	if c.reason == "" {
		c.reason = reason
	}
}

// line reads a line, after sending what is written unless more lines are there
// already (RFC 2920 §3.2). It returns false after telling the client why.
func (c *conn) line(ctx context.Context, limit int) ([]byte, bool) {
	if ctx.Err() != nil {
		c.write(farewell(ctx))
		return nil, false
	}
	if !c.LineBuffered() {
		if err := c.Flush(); err != nil {
			c.end("write failed")
			return nil, false
		}
	}
	line, err := c.ReadLine(limit)
	if errors.Is(err, netx.ErrLineTooLong) {
		if err = c.SkipLine(maxSkip); err == nil {
			return nil, true
		}
	}
	if err != nil {
		c.fail(ctx, err)
		return nil, false
	}
	return line, true
}

// fail ends the session because of a read that failed, or of what was read.
func (c *conn) fail(ctx context.Context, err error) {
	switch {
	case errors.Is(err, netx.ErrBareNewline), errors.Is(err, smtp.ErrBareNewline):
		c.write(status(554, 5, 5, 2, "lines must end in CRLF, and CR or LF must not stand alone; closing"))
		c.end("bare newline")
	case errors.Is(err, netx.ErrLineTooLong):
		c.write(status(500, 5, 5, 2, "the line is too long; closing"))
		c.end("line too long")
	case errors.Is(err, errFlood):
		c.write(c.s.tx.content.fault)
		c.end("too much of a refused message")
	case ctx.Err() != nil:
		c.write(farewell(ctx))
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		c.write(status(421, 4, 4, 2, "timeout; closing"))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		c.end("closed by the client")
	default:
		c.end("read failed")
	}
}

func (c *conn) command(ctx context.Context) {
	line, ok := c.line(ctx, c.s.maxCommand())
	switch {
	case !ok:
		return
	case line == nil, len(line) > smtp.MaxCommandLine && !isAuth(line):
		r := status(500, 5, 5, 2, "the line is too long")
		c.s.note(smtp.Unknown, r)
		c.write(r)
	default:
		r := cutShort(ctx, c.s.command(ctx, line, c.Buffered() > 0))
		c.write(r)
		switch {
		case r.Code == 221:
			c.end("quit")
		case c.s.next == hangUp:
			c.end(r.Text)
		}
	}
	c.bound()
}

// bound closes the session of a client that is over its limits.
func (c *conn) bound() {
	if r, over := c.s.overLimits(); over && c.s.next != hangUp {
		c.write(r)
	}
}

func (c *conn) auth(ctx context.Context) {
	line, ok := c.line(ctx, smtp.MaxAuthLine)
	switch {
	case !ok:
		return
	case line == nil:
		c.write(c.s.authTooLong())
	default:
		c.write(cutShort(ctx, c.s.authLine(ctx, line)))
	}
	c.bound()
}

func (c *conn) handshake() {
	c.s.next = readCommand
	if err := c.Handshake(c.s.srv.cfg.TLS(), c.s.srv.limits.Handshake); err != nil {
		c.end("TLS handshake failed")
		return
	}
	t, _ := c.tlsInfo()
	c.s.secured(t)
}

// data reads a message up to the line with a dot.
func (c *conn) data(ctx context.Context) {
	c.SetReadTimeout(c.s.srv.limits.Data)
	if err := c.Flush(); err != nil {
		c.end("write failed")
		return
	}
	dots := smtp.DataReader{BareLF: c.s.repairsLines()}
	for {
		in, err := c.Peek()
		if err != nil {
			c.fail(ctx, unfinished(err))
			return
		}
		content, used, end, err := dots.Next(in)
		if err == nil {
			err = c.s.receive(ctx, content)
		}
		c.Discard(used)
		if err != nil {
			c.fail(ctx, err)
			return
		}
		if end {
			c.s.next = readCommand
			c.writeAll(ctx, c.s.endMessage(ctx))
			return
		}
	}
}

// unfinished tells a connection lost within a message from one that ended.
func unfinished(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// chunk reads the octets of a BDAT.
func (c *conn) chunk(ctx context.Context) {
	c.SetReadTimeout(c.s.srv.limits.Data)
	for c.s.tx.chunk.left > 0 {
		if c.Buffered() == 0 {
			if err := c.Flush(); err != nil {
				c.end("write failed")
				return
			}
		}
		in, err := c.Peek()
		if err != nil {
			c.fail(ctx, unfinished(err))
			return
		}
		n := int(min(int64(len(in)), c.s.tx.chunk.left))
		err = c.s.receiveChunk(ctx, in[:n])
		c.Discard(n)
		if err != nil {
			c.fail(ctx, err)
			return
		}
	}
	replies, err := c.s.endChunk(ctx)
	if err != nil {
		c.fail(ctx, err)
		return
	}
	c.writeAll(ctx, replies)
	c.bound()
}

func (c *conn) writeAll(ctx context.Context, replies []smtp.Reply) {
	for _, r := range replies {
		c.write(cutShort(ctx, r))
	}
}
