package transcript

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"yubin/internal/testkit/memnet"
)

// client is our end of one connection.
type client struct {
	conn     net.Conn
	in       *bufio.Reader
	patience time.Duration
	cutOff   bool // the server closed before it had read all that we sent
}

func dial(from, to netip.AddrPort, patience time.Duration) (*client, net.Conn) {
	ours, theirs := memnet.Pipe(from, to)
	return &client{conn: ours, in: bufio.NewReader(ours), patience: patience}, theirs
}

func (c *client) hurry() { _ = c.conn.SetDeadline(time.Now().Add(c.patience)) }

// send sends octets. A server may close before it has read them all; then what it
// said until there counts, and nothing more can be sent.
func (c *client) send(octets string) error {
	c.hurry()
	_, err := io.WriteString(c.conn, octets)
	if errors.Is(err, io.ErrClosedPipe) && !c.cutOff {
		c.cutOff = true
		return nil
	}
	return err
}

// line reads up to and with the next LF.
func (c *client) line() (string, error) {
	c.hurry()
	return c.in.ReadString('\n')
}

// octets reads as much as want has, but at a difference only to the end of the line.
func (c *client) octets(want string) (string, error) {
	c.hurry()
	var got strings.Builder
	for got.Len() < len(want) {
		b, err := c.in.ReadByte()
		if err != nil {
			return got.String(), err
		}
		got.WriteByte(b)
		if b != want[got.Len()-1] {
			for b != '\n' && err == nil {
				if b, err = c.in.ReadByte(); err == nil {
					got.WriteByte(b)
				}
			}
			return got.String(), err
		}
	}
	return got.String(), nil
}

// wantEOF fails if the server says more or leaves the connection open.
func (c *client) wantEOF() error {
	got, err := c.line()
	switch {
	case got != "":
		return fmt.Errorf("the server said more instead of closing\n  got:  %s", printable(got))
	case err != io.EOF && !errors.Is(err, net.ErrClosed):
		return fmt.Errorf("the server did not close the connection: %w", err)
	}
	_ = c.close() // Nobody is left to hear a TLS alert.
	return nil
}

func (c *client) startTLS() error {
	if n := c.in.Buffered(); n > 0 {
		more, _ := c.in.Peek(n)
		return fmt.Errorf("the server said more before the TLS handshake\n  got:  %s", printable(string(more)))
	}
	c.hurry()
	// The server under test makes a certificate of its own.
	t := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true, ServerName: "test"})
	if err := t.Handshake(); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.conn, c.in = t, bufio.NewReader(t)
	return nil
}

func (c *client) close() error { return c.conn.Close() }

// hangupAll closes what is open and waits for the server to notice.
func (p *player) hangupAll() error {
	for _, c := range p.conns {
		_ = c.close()
	}
	done := make(chan struct{})
	go func() {
		p.serves.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-time.After(p.server.Patience):
		return fmt.Errorf("%s: the server still runs after all its clients closed", p.file.Path)
	}
}

// longest is how much of one text a failure shows.
const longest = 300

// printable shows octets as one line, without a CRLF at the end.
func printable(s string) string {
	s = strings.TrimSuffix(s, "\r\n")
	if n := len(s) - longest; n > 0 {
		s = fmt.Sprintf("%s(... %d octets ...)%s", s[:longest/2], n, s[len(s)-longest/2:])
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
